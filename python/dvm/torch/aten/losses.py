"""Losses. Cross entropy picks one element of each row, of what the log-probabilities are computed from, so that their
table is never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.index import pick
from dvm.torch.aten.reduce import axes_of
from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder
from dvm.torch.value import Declined, Value

aten = torch.ops.aten

# torch's codes for the argument `reduction`.
NONE, MEAN, SUM = 0, 1, 2


@lowers(COMPUTED, aten.mse_loss.default)
def mse_loss(b: Builder, node: fx.Node, x: fx.Node, target: fx.Node, reduction: int = 1) -> Value:
    first, second = b.operands(x, target)
    squares = b.op("square_diff", first, second)
    if reduction == NONE:
        return squares
    summed = b.reduce("sum", squares, axes_of(squares, None), False)
    if reduction == SUM:
        return summed
    return summed / b.count(
        _broadcast_sizes(x.meta["val"].shape, target.meta["val"].shape), squares.type
    )


def _broadcast_sizes(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """The shape of two tensors together. Torch knows which sizes are 1, so nothing has to be asked of the others."""
    rank = max(len(first), len(second))
    first, second = ([1] * (rank - len(shape)) + list(shape) for shape in (first, second))
    return [n if isinstance(m, int) and m == 1 else m for m, n in zip(first, second, strict=True)]


@lowers(COMPUTED, aten.nll_loss_forward.default)
def nll_loss(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    target: fx.Node,
    weight: fx.Node | None,
    reduction: int,
    ignore_index: Any,
) -> tuple[Value, Value]:
    value = b.compute(x)
    position, counts = _positions(b, target, weight, ignore_index)
    classes = b.size(x.meta["val"].shape[-1])
    inside = b.op("logical_and", b.op("ge", position, 0), b.op("lt", position, classes))
    fits = b.op("logical_or", inside, b.op("logical_not", counts))
    b.require(node, fits, f"[{node.target}] a target is out of range of the classes")
    losses = b.select(counts, -pick(b, value, position, value.rank - 1), 0)
    flat = b.reshape(losses, losses.shape[:-1])
    if reduction == NONE:
        return flat, b.constant(0, value.type)
    kept = b.cast(b.reshape(counts, flat.shape), value.type)
    total, number = (b.reduce("sum", v, axes_of(v, None), False) for v in (flat, kept))
    return (total if reduction == SUM else total / number), number


@lowers(COMPUTED, aten.nll_loss_backward.default)
def nll_loss_backward(
    b: Builder,
    node: fx.Node,
    gradient: fx.Node,
    x: fx.Node,
    target: fx.Node,
    weight: fx.Node | None,
    reduction: int,
    ignore_index: Any,
    total_weight: fx.Node,
) -> Value:
    g = b.compute(gradient)
    position, counts = _positions(b, target, weight, ignore_index)
    shape = x.meta["val"].shape
    chosen = b.op("eq", b.iota([*([1] * (len(shape) - 1)), shape[-1]], len(shape) - 1), position)
    if reduction == MEAN:
        g = g / b.cast(b.value(total_weight), g.type)
    if reduction == NONE:
        g = b.reshape(g, [*g.shape, 1])
    return b.select(b.op("logical_and", chosen, counts), -g, b.constant(0, g.type))


def _positions(
    b: Builder, target: fx.Node, weight: fx.Node | None, ignore_index: Any
) -> tuple[Value, Value]:
    """The class of each row, and whether the row counts; both with an axis of size 1 for the classes."""
    if weight is not None:
        raise Declined("classes have weights")
    value = b.value(target)
    if value.type != "i64":
        raise Declined(f"the targets are {value.type}, not i64")
    position = b.reshape(value, [*value.shape, 1])
    return position, b.op("ne", position, b.number(ignore_index, "i64"))
