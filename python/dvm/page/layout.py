"""Places the boxes of a directed graph in layers, every edge leading down, with few crossings and short edges.

The way of Sugiyama: a layer for each box, a bend in each layer that an edge passes, an order within the layers by the
mean position of neighbours, then positions that come as near to these as the widths of the boxes allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SWEEPS = 12
SETTLING = 24
HOME = 0.1  # how much boxes are drawn to the middle, beside 1 for a neighbour
GAP = 36.0  # between boxes that stand side by side
LANE = 20.0  # that a passing edge takes
RISE = 58.0  # between layers


@dataclass
class Box:
    """A rectangle that is placed, or the bend of an edge, which is a box without height."""

    width: float
    height: float
    x: float = 0.0  # of its middle
    y: float = 0.0  # of its top
    layer: int = 0
    bend: bool = False
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


@dataclass
class Layout:
    """Boxes with their places; for each edge the bends that it passes; the size of all."""

    boxes: list[Box]
    bends: list[list[tuple[float, float, float]]]  # middle, top and bottom of the layer passed
    width: float
    height: float


def place(
    boxes: list[Box], edges: Sequence[tuple[int, int]], tensors: Sequence[str] | None = None
) -> Layout:
    """`edges` lead from a box to a later one of the list. Those from the same box with the same of `tensors` are one
    line as far as they go together."""
    count = len(boxes)
    _choose_layers(boxes, edges)
    boxes = list(boxes)
    lanes: dict[tuple[int, str, int], int] = {}
    names = tensors or list(map(str, range(len(edges))))
    paths = [_bends(boxes, lanes, *edge, name) for edge, name in zip(edges, names, strict=True)]
    layers: list[list[int]] = [[] for _ in range(max((b.layer for b in boxes), default=-1) + 1)]
    for number, box in enumerate(boxes):
        layers[box.layer].append(number)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            _order(boxes, layer, down)
            _spread(boxes, layer, down)
    _center(boxes, layers)
    for sweep in range(SETTLING):
        for layer in layers if sweep % 2 else reversed(layers):
            _spread(boxes, layer, None)
    top, tops, bottoms = 0.0, [], []
    for layer in layers:
        height = max(boxes[number].height for number in layer)
        for number in layer:
            boxes[number].y = top + (
                0 if boxes[number].bend else (height - boxes[number].height) / 2
            )
        tops.append(top)
        bottoms.append(top + height)
        top += height + RISE
    left = min((box.x - box.width / 2 for box in boxes), default=0.0)
    for box in boxes:
        box.x -= left
    width = max((box.x + box.width / 2 for box in boxes), default=0.0)
    bends = [
        [(boxes[n].x, tops[boxes[n].layer], bottoms[boxes[n].layer]) for n in path]
        for path in paths
    ]
    return Layout(boxes[:count], bends, width, max(0.0, top - RISE))


def _choose_layers(boxes: list[Box], edges: Sequence[tuple[int, int]]) -> None:
    """As high as what leads to a box allows; what nothing leads to stands just above what it leads to."""
    fed = {target for _, target in edges}
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        boxes[target].layer = max(boxes[target].layer, boxes[source].layer + 1)
    for number, box in enumerate(boxes):
        below = [boxes[target].layer for source, target in edges if source == number]
        if number not in fed and below:
            box.layer = max(0, min(below) - 1)


def _bends(
    boxes: list[Box], lanes: dict[tuple[int, str, int], int], source: int, target: int, name: str
) -> list[int]:
    """Makes the bends of an edge that are not there yet, and ties everything on it to its neighbours."""
    path = []
    last = source
    for layer in range(boxes[source].layer + 1, boxes[target].layer):
        if (source, name, layer) not in lanes:
            lanes[source, name, layer] = len(boxes)
            boxes.append(Box(LANE, 0, layer=layer, bend=True))
        path.append(lanes[source, name, layer])
    for number in [*path, target]:
        if number not in boxes[last].below:
            boxes[last].below.append(number)
            boxes[number].above.append(last)
        last = number
    return path


def _order(boxes: list[Box], layer: list[int], down: bool) -> None:
    layer.sort(key=lambda number: _wish(boxes, number, down))


def _center(boxes: list[Box], layers: list[list[int]]) -> None:
    """Takes back the drift to a side that ordering leaves in a graph of many layers."""
    for layer in layers:
        real = [boxes[number].x for number in layer if not boxes[number].bend]
        for number in layer:
            boxes[number].x -= sum(real) / len(real)


def _wish(boxes: list[Box], number: int, down: bool | None) -> float:
    """Where a box would stand best: at the mean of its neighbours above, below, or on both sides."""
    box = boxes[number]
    near = box.above + box.below if down is None else box.above if down else box.below
    if not near:
        return box.x
    pulls = [_pull(box, boxes[other]) for other in near]
    home = HOME if down is None and not box.bend else 0.0
    total = sum(pull * boxes[other].x for pull, other in zip(pulls, near, strict=True))
    return total / (sum(pulls) + home)


def _pull(box: Box, other: Box) -> float:
    """How much the line between two wants to be straight: one that passes layers more, where it passes them."""
    if box.bend and other.bend:
        return 8.0
    return 0.2 if box.bend or other.bend else 1.0


def _spread(boxes: list[Box], layer: list[int], down: bool | None) -> None:
    """The positions nearest to what is wished for, in the order that there is: a regression to a rising line, in which
    boxes that push each other move as one."""
    offsets, at = [], 0.0
    for left, right in zip([None, *layer[:-1]], layer, strict=True):
        if left is not None:
            at += (boxes[left].width + boxes[right].width) / 2 + GAP
        offsets.append(at)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, boxes
    for number, offset in zip(layer, offsets, strict=True):
        # A line gives way to boxes.
        mean, weight, count = (
            _wish(boxes, number, down) - offset,
            0.1 if boxes[number].bend else 1.0,
            1,
        )
        while blocks and blocks[-1][0] >= mean:
            other, other_weight, others = blocks.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, count = weight + other_weight, count + others
        blocks.append((mean, weight, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    for number, mean, offset in zip(layer, means, offsets, strict=True):
        boxes[number].x = mean + offset
