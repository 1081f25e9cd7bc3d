"""Where the operands of an attention come from: the earliest tensors that they are views, copies, conversions or
multiples of, which the core reads as they lie. axes.py follows one step; this goes as far as it helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from dvm.torch.aliases import CONVERSIONS
from dvm.torch.axes import Axes, Part, is_one
from dvm.torch.symbols import expression

aten = torch.ops.aten

TIMES = (aten.mul.Tensor, aten.mul.Scalar)
OVER = (aten.div.Tensor, aten.div.Scalar)


def product_axes(node: fx.Node, parts: Sequence[Part] | None, row: Part, column: Part) -> Axes:
    """The axes of a matrix, or of one for each head. Axes of size 1 are none."""
    shape = node.meta["val"].shape
    if parts is None:
        parts = [Part(size) for size in shape[:-2] if not is_one(size)]
    heads = [tuple(parts)] if len(shape) == 3 else []
    matrix = [() if is_one(part.size) else (part,) for part in (row, column)]
    return Axes(node, parts, [*heads, *matrix])


def source(axes: Axes) -> Axes:
    """The earliest tensor that a mask is views, copies and conversions of, with the same axes."""
    best = axes
    while True:
        node = axes.node
        operand = node.args[0] if node.target in CONVERSIONS else None
        if isinstance(operand, fx.Node) and operand.meta["val"].dtype.is_floating_point:
            back: Axes | None = Axes(operand, axes.parts, axes.axes)
        else:
            back = axes.back()
        if back is None:
            return best
        axes = back
        if _complete(axes):
            best = axes


@dataclass
class Origin:
    """Where queries, keys or values come from, and the factor that they are to be multiplied by."""

    axes: Axes
    factor: float
    in_rows: bool  # whether the elements of each lie side by side


def origin(axes: Axes, elements: Part) -> Origin:
    """The earliest tensor that an operand is views, copies and multiples of, with rows that lie in one piece."""
    start = Origin(axes, 1.0, _in_rows(axes, elements))
    best, factor = start, 1.0
    kept = {part for axis in axes.axes for part in axis} - set(axes.parts)
    while True:
        node = axes.node
        back: Axes | None
        if (
            node.target in (*TIMES, *OVER)
            and isinstance(node.args[1], int | float)
            and node.args[1]
        ):
            number = float(node.args[1])
            factor *= number if node.target in TIMES else 1 / number
            operand = node.args[0]
            assert isinstance(operand, fx.Node)
            same = operand.meta["val"].dtype == node.meta["val"].dtype
            back = Axes(operand, axes.parts, axes.axes) if same else None
        else:
            back = axes.back()
        if back is None:
            return best
        axes = back
        if not kept <= {part for axis in axes.axes for part in axis}:
            return best
        if _complete(axes) and (_in_rows(axes, elements) or not best.in_rows):
            best = Origin(axes, factor, _in_rows(axes, elements))


def _complete(axes: Axes) -> bool:
    """Whether it is known what every axis is."""
    return all(axis or is_one(size) for axis, size in zip(axes.axes, axes.shape, strict=True))


def _in_rows(axes: Axes, elements: Part) -> bool:
    strides = axes.node.meta["val"].stride()
    at = axes.axes.index((elements,)) if (elements,) in axes.axes else None
    return at is None or bool(expression(strides[at]) == 1)
