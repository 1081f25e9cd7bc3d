"""Pools of ATen: the largest element or the mean of windows. Those that tell where the largest was are torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.convolution import numbers
from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.moves import Moves
from dvm.torch.value import Declined, Value

aten = torch.ops.aten


@lowers(COMPUTED, aten.max_pool2d_with_indices.default, aten.max_pool3d_with_indices.default)
def max_pool_with_indices(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Value, ...]:
    if any(user.args[1] != 0 for user in node.users):
        raise Declined("it tells where the largest elements are")
    return (_pool(b, x, "max", kernel_size, stride, padding, dilation, ceil_mode),)


@lowers(
    COMPUTED,
    *overloads("max_pool1d", "default"),
    *overloads("max_pool2d", "default"),
    *overloads("max_pool3d", "default"),
)
def max_pool(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Value:
    return _pool(b, x, "max", kernel_size, stride, padding, dilation, ceil_mode)


@lowers(COMPUTED, aten.avg_pool2d.default, aten.avg_pool3d.default)
def avg_pool(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    axes = _axes(node)
    taps, ends = numbers(kernel_size, axes), numbers(padding, axes)
    padded = any(ends) or ceil_mode
    if ceil_mode and divisor_override is None:
        raise Declined("how many elements a window has at the end depends on sizes")
    total = _pool(b, x, "sum", kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None:
        return total / divisor_override
    if padded and not count_include_pad:
        return total / _counts(b, node, x, taps, numbers(stride or kernel_size, axes), ends)
    count = 1
    for tap in taps:
        count *= tap
    return total / count


@lowers(COMPUTED, *overloads("avg_pool1d", "default"))
def avg_pool1d(b: Builder, node: fx.Node, x: fx.Node, *rest: Any) -> Value:
    return avg_pool(b, node, x, *rest)


@lowers(
    COMPUTED,
    *overloads("_adaptive_avg_pool2d", "default"),
    *overloads("_adaptive_avg_pool3d", "default"),
    *overloads("adaptive_avg_pool1d", "default"),
    *overloads("adaptive_avg_pool2d", "default"),
    *overloads("adaptive_avg_pool3d", "default"),
)
def adaptive_avg_pool(b: Builder, node: fx.Node, x: fx.Node, output_size: Any) -> Value:
    """To one element, which is a mean, or to a number of elements that divides a size that is known."""
    value, axes = _operand(b, x), len(output_size)
    sizes, wanted = x.meta["val"].shape[-axes:], list(output_size)
    if all(size == 1 for size in wanted):
        total = b.reduce("sum", value, list(range(value.rank - axes, value.rank)))
        return total / b.count(sizes, value.type)
    steps = []
    for size, parts in zip(sizes, wanted, strict=True):
        if not isinstance(size, int) or not isinstance(parts, int) or not parts or size % parts:
            raise Declined("its windows are not of one size")
        steps.append(size // parts)
    return avg_pool(b, node, x, steps)


def _axes(node: fx.Node) -> int:
    """Along which windows move, by the name of the operation."""
    name = node.target._schema.name if isinstance(node.target, torch._ops.OpOverload) else ""
    return int(next(digit for digit in name if digit.isdigit()))


def _operand(b: Builder, x: fx.Node) -> Value:
    if x.meta["val"].dtype != torch.float32:
        raise Declined(f"the core has no pools of {x.meta['val'].dtype}")
    return b.value(x)


def _pool(
    b: Builder,
    x: fx.Node,
    name: str,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> Value:
    value = _operand(b, x)
    axes = len(kernel_size) if isinstance(kernel_size, Sequence) else value.rank - 2
    taps, ends = numbers(kernel_size, axes), numbers(padding, axes)
    steps = numbers(stride, axes) if stride not in ((), []) else taps
    apart = numbers(dilation, axes)
    after = list(ends)
    if ceil_mode:
        for i in range(axes):
            # Else the last window might begin beyond the end, where torch leaves it out.
            if steps[i] + ends[i] > apart[i] * (taps[i] - 1) + 1:
                raise Declined("where its last window begins depends on sizes")
            after[i] += steps[i] - 1
    batched = value if value.rank == axes + 2 else b.reshape(value, [1, *value.shape])
    pooled = b.pool(name, batched, taps, Moves(steps, (*ends, *after), apart))
    return pooled if value.rank == axes + 2 else b.reshape(pooled, pooled.shape[1:])


def _counts(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    taps: Sequence[int],
    steps: Sequence[int],
    ends: Sequence[int],
) -> Value:
    """How many elements of a window are none of the padding."""
    axes = len(taps)
    places, sizes = node.meta["val"].shape[-axes:], x.meta["val"].shape[-axes:]
    counts: Value | None = None
    for i in range(axes):
        shape = [places[j] if j == i else 1 for j in range(axes)]
        first = b.iota(shape, i) * steps[i] - ends[i]
        end = b.op("minimum", first + taps[i], b.size(sizes[i]))
        along = b.cast(end - b.op("maximum", first, 0), "f32")
        counts = along if counts is None else counts * along
    assert counts is not None
    return counts
