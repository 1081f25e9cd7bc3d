"""How the values of a Graph were made: what builder.py notes of each, and how a segment makes it again in a Graph of
its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


class Recipe:
    """How a value was made, so that a segment can make it again in a Graph of its own."""

    __slots__ = ("arguments", "method", "operands")

    def __init__(self, method: str, operands: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self.method = method
        self.operands = operands
        self.arguments = arguments


@dataclass(frozen=True)
class Moves:
    """How windows move: a number for each axis behind images and channels; of padding all those before and then all
    those after."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


@dataclass(frozen=True)
class Scoring:
    """What becomes of the scores of an attention, as Graph.attention takes it."""

    scale: float
    causal: bool
    hidden: float = -math.inf
    nan_if_blind: bool = False


def make(graph: Any, method: str, operands: Sequence[int], arguments: tuple[Any, ...]) -> int:
    """Adds one node to a Graph from the parts of a Recipe."""
    if method == "elementwise":
        return int(graph.elementwise(arguments[0], list(operands)))
    if method == "reduce":
        return int(graph.reduce(arguments[0], operands[0], arguments[1]))
    if method == "attention":
        scoring, order = arguments
        return int(graph.attention(*operands, **asdict(scoring), order=order))
    if method == "pool":
        return int(graph.pool(arguments[0], operands[0], *arguments[1:]))
    if method == "scan":
        return int(graph.scan(arguments[0], operands[0], arguments[1]))
    if method == "concat":
        return int(graph.concat(list(operands), arguments[0]))
    return int(getattr(graph, method)(*operands, *arguments))
