"""The Flow: what a compiled torch graph does at a call, as a list of plain steps, and the function that it becomes.

Nothing here imports torch: a Flow can be read from a file and run where only NumPy is.
"""
