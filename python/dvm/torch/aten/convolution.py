"""Convolutions of ATen. A bias, a normalisation of inference, an activation or a residual behind one is elementwise and
joins it in the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder
from dvm.torch.moves import Moves
from dvm.torch.value import Declined, Value

aten = torch.ops.aten


@lowers(COMPUTED, aten.convolution.default)
def convolution(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None,
    stride: Sequence[Any],
    padding: Sequence[Any],
    dilation: Sequence[Any],
    transposed: bool,
    output_padding: Sequence[Any],
    groups: int,
) -> Value:
    axes = weight.meta["val"].dim() - 2
    ends = numbers(padding, axes)
    # Output padding is what is left out at the end, less.
    extra = numbers(output_padding, axes) if transposed else (0,) * axes
    after = tuple(end - more for end, more in zip(ends, extra, strict=True))
    moves = Moves(numbers(stride, axes), (*ends, *after), numbers(dilation, axes))
    data, taps = _operand(b, x), _operand(b, weight)
    if data.rank != axes + 2:
        raise Declined(f"its operand has {data.rank} dimensions, not {axes + 2}")
    if transposed and groups == 1 and _tiles_exactly(moves, taps.shape[2:]):
        result = _spread(b, data, taps)
    else:
        result = b.convolve(data, taps, moves, groups, transposed)
    if bias is None:
        return result
    added = _operand(b, bias)
    return result + b.reshape(added, [*added.shape, *([1] * axes)])


def numbers(given: Any, axes: int) -> tuple[int, ...]:
    """A number for each axis, where one may stand for all. Raises Declined for sizes that change."""
    listed = list(given) if isinstance(given, Sequence) else [given]
    if not all(isinstance(number, int) for number in listed):
        raise Declined("its windows move by sizes that change")
    return tuple(listed * axes if len(listed) == 1 else listed)


def _operand(b: Builder, node: fx.Node) -> Value:
    if node.meta["val"].dtype != torch.float32:
        raise Declined(f"the core has no convolutions of {node.meta['val'].dtype}")
    return b.value(node)


def _tiles_exactly(moves: Moves, taps: Sequence[int | str]) -> bool:
    """Whether windows lie side by side and cover all of the result."""
    return tuple(taps) == moves.stride and not any(moves.padding) and set(moves.dilation) <= {1}


def _spread(b: Builder, x: Value, weight: Value) -> Value:
    """A transposed convolution whose windows do not overlap: each element becomes a block of the result, and all of
    them are one matrix product."""
    axes = x.rank - 2
    images, channels, *places = x.shape
    _, outputs, *taps = weight.shape
    columns = b.reshape(x, [images, channels, product(places)])
    rows = b.permute(b.reshape(weight, [channels, product([outputs, *taps])]), [1, 0])
    blocks = b.reshape(b.matmul(rows, columns), [images, outputs, *taps, *places])
    order = [axis for i in range(axes) for axis in (2 + axes + i, 2 + i)]
    sides = [product([place, tap]) for place, tap in zip(places, taps, strict=True)]
    return b.reshape(b.permute(blocks, [0, 1, *order]), [images, outputs, *sides])


def product(sizes: Sequence[int | str]) -> int | str:
    """Of sizes as a Graph has them."""
    known, others = 1, []
    for size in sizes:
        if isinstance(size, int):
            known *= size
        else:
            others.append(size)
    if not others:
        return known
    return f"({'*'.join([*others, *([str(known)] if known != 1 else [])])})"
