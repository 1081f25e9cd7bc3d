"""Losses. Cross entropy picks one element of each row: inside a kernel that is a choice by position and a sum, so that
the table of log-probabilities is never written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.reduce import axes_of
from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder, Declined, Value

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
    if b.recipes[b.value(x).id].method == "input":
        raise Declined("reading the picked elements alone is cheaper than reading every row")
    chosen, counts = _chosen(b, x, target, weight, ignore_index)
    # Whatever is not a class gives nan: eager raises, and a kernel cannot.
    row = b.reduce("sum", b.select(chosen, value, 0), [-1])
    classes = b.size(x.meta["val"].shape[-1])
    position = _column(b, target)
    inside = b.op("logical_and", b.op("ge", position, 0), b.op("lt", position, classes))
    losses = b.select(counts, b.select(inside, -row, math.nan), 0)
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
    chosen, counts = _chosen(b, x, target, weight, ignore_index)
    if reduction == MEAN:
        g = g / b.cast(b.value(total_weight), g.type)
    if reduction == NONE:
        g = b.reshape(g, [*g.shape, 1])
    return b.select(b.op("logical_and", chosen, counts), -g, b.constant(0, g.type))


def _column(b: Builder, target: fx.Node) -> Value:
    value = b.value(target)
    return b.reshape(value, [*value.shape, 1])


def _chosen(
    b: Builder, x: fx.Node, target: fx.Node, weight: fx.Node | None, ignore_index: Any
) -> tuple[Value, Value]:
    """Which element of each row is the target's, and which rows count."""
    if weight is not None:
        raise Declined("classes have weights")
    position = _column(b, target)
    if position.type != "i64":
        raise Declined(f"the targets are {position.type}, not i64")
    shape = x.meta["val"].shape
    column = b.iota([*([1] * (len(shape) - 1)), shape[-1]], len(shape) - 1)
    counts = b.op("ne", position, b.number(ignore_index, "i64"))
    return b.op("eq", column, position), counts
