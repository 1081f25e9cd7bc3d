"""An Explanation as one HTML page: `layout` places boxes, `drawing` makes the SVG of a graph, `tables` its lists,
`style` is the look, and `page` puts them together. Nothing here imports torch.
"""
