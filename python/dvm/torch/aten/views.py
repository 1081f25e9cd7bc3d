"""Views and copies: operations that compute nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from dvm.torch.aten.table import COMPUTED, COPIES, VIEWS, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.element_types import COMPUTE, NAMES
from dvm.torch.value import Declined, Value

aten = torch.ops.aten


@lowers(
    VIEWS,
    aten.view.default,
    aten._unsafe_view.default,
    *overloads("_reshape_alias", "default"),
    aten.unsqueeze.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
)
def reshape(b: Builder, node: fx.Node, x: fx.Node, *_: Any) -> Value:
    return b.reshape(b.value(x), b.symbols.shape_of(node.meta["val"]))


@lowers(VIEWS, aten.expand.default)
def expand(b: Builder, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Value:
    return b.expand(b.value(x), b.symbols.shape_of(node.meta["val"]))


@lowers(VIEWS, aten.permute.default)
def permute(b: Builder, node: fx.Node, x: fx.Node, axes: list[int]) -> Value:
    return b.permute(b.value(x), axes) if axes else b.value(x)


@lowers(VIEWS, aten.transpose.int)
def transpose(b: Builder, node: fx.Node, x: fx.Node, first: int, second: int) -> Value:
    value = b.value(x)
    axes = list(range(value.rank))
    if axes:
        axes[first], axes[second] = axes[second], axes[first]
    return b.permute(value, axes) if axes else value


@lowers(VIEWS, aten.t.default)
def t(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.value(x)
    return b.permute(value, [1, 0]) if value.rank == 2 else value


@lowers(VIEWS, aten.slice.Tensor)
def cut(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> Value:
    size, length = x.meta["val"].shape[dim], node.meta["val"].shape[dim]
    return b.slice(b.value(x), dim, _place(b, start or 0, size, length), length, step)


@lowers(VIEWS, aten.select.int)
def select(b: Builder, node: fx.Node, x: fx.Node, dim: int, index: Any) -> Value:
    one = b.slice(b.value(x), dim, _place(b, index, x.meta["val"].shape[dim], 1), 1)
    return b.reshape(one, b.symbols.shape_of(node.meta["val"]))


def _place(b: Builder, start: Any, size: Any, length: Any) -> Any:
    """Where a part of `length` elements of `size` begins; `start` may count from the end."""
    if isinstance(start, fx.Node):
        start = start.meta["val"]
    if not (b.is_size(start) and b.is_size(length)):
        raise Declined("where it begins or ends is a number of the program, new at every call")
    if statically_known_true(start >= 0):
        return start
    # From the end, unless there are fewer elements than that: torch then starts at the first.
    if isinstance(start, int) and b.same([b.symbols.size(length)], [-start]):
        return size + start
    if isinstance(start, int) and statically_known_true(size + start >= 0):
        return size + start
    raise Declined(f"it begins at {start}, which may be before the first element")


@lowers(VIEWS, aten.alias.default, aten.detach.default, *overloads("lift_fresh", "default"))
def alias(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    return b.value(x)


@lowers(COPIES, aten.clone.default, *overloads("lift_fresh_copy", "default"))
def clone(b: Builder, node: fx.Node, x: fx.Node, **_: Any) -> Value:
    return b.value(x)


@lowers(COMPUTED, *overloads("copy", "default"))
def copy(b: Builder, node: fx.Node, x: fx.Node, source: fx.Node, *_: Any) -> Value:
    return b.value(source)  # in the type and shape of x, which are the result's


@lowers(COMPUTED, aten.unbind.int)
def unbind(b: Builder, node: fx.Node, x: fx.Node, dim: int = 0) -> tuple[Value, ...]:
    value = b.value(x)
    axis = dim % value.rank
    shape = [*value.shape[:axis], *value.shape[axis + 1 :]]
    count = len(node.meta["val"])
    return tuple(b.reshape(b.slice(value, axis, part, 1), shape) for part in range(count))


# What joins tensors. Two parts of one shape that cost next to nothing are a choice by the place of an element, which
# fuses with whoever reads it: the halves of a rotary embedding. All else is made where it lies in the result.

# Operations per element that both parts of a choice may have together.
_MAX_CHOICE = 4


@lowers(COMPUTED, aten.cat.default)
def cat(b: Builder, node: fx.Node, tensors: list[fx.Node], dim: int = 0) -> Value:
    tensor = node.meta["val"]
    axis = dim % tensor.dim()
    values = [b.value(part) for part in tensors]
    if any(value.rank != tensor.dim() for value in values):
        raise Declined("a part of shape [0] is joined with tensors of another rank")
    if _is_choice(b, values):
        return b.reshape(_choice(b, values, axis), b.symbols.shape_of(tensor))
    return b.concat([b.cast(value, NAMES[tensor.dtype]) for value in values], axis)


@lowers(COMPUTED, aten.stack.default)
def stack(b: Builder, node: fx.Node, tensors: list[fx.Node], dim: int = 0) -> Value:
    tensor = node.meta["val"]
    axis = dim % tensor.dim()
    values = [b.value(part) for part in tensors]
    if _is_choice(b, values):
        return _choice(b, values, axis)
    parts = [b.cast(value, NAMES[tensor.dtype]) for value in values]
    return b.concat([_with_axis(b, part, axis) for part in parts], axis)


@lowers(COMPUTED, aten.constant_pad_nd.default)
def constant_pad_nd(b: Builder, node: fx.Node, x: fx.Node, pad: list[Any], value: Any = 0) -> Value:
    """Of each axis, the last one first, what comes before and behind; less than nothing cuts off."""
    tensor = node.meta["val"]
    result = b.cast(b.value(x), NAMES[tensor.dtype])
    number = b.cast(b.number(value, COMPUTE[NAMES[tensor.dtype]]), NAMES[tensor.dtype])
    sizes = list(x.meta["val"].shape)
    pad = [amount.meta["val"] if isinstance(amount, fx.Node) else amount for amount in pad]
    for i in range(len(pad) // 2):
        axis, before, behind = len(sizes) - 1 - i, pad[2 * i], pad[2 * i + 1]
        more = [_at_least_nothing(amount) for amount in (before, behind)]
        less = [_at_least_nothing(-amount) for amount in (before, behind)]
        sizes[axis] = sizes[axis] - sum(less)
        result = b.slice(result, axis, less[0], sizes[axis])
        parts = [result]
        for place, count in enumerate(more):
            if not (isinstance(count, int) and count == 0):
                border = b.symbols.shape([*sizes[:axis], count, *sizes[axis + 1 :]])
                parts.insert(place * len(parts), b.expand(number, border))
        sizes[axis] = sizes[axis] + sum(more)
        result = b.concat(parts, axis) if len(parts) > 1 else result
    return result


def _at_least_nothing(amount: Any) -> Any:
    """The amount, or 0 if it is negative, which has to be known."""
    if statically_known_true(amount >= 0):
        return amount
    if statically_known_true(amount <= 0):
        return 0
    raise Declined(f"it pads by {amount}, which may be more or less than nothing")


def _is_choice(b: Builder, values: list[Value]) -> bool:
    if len(values) != 2:
        return False
    first, second = values
    if first.type != second.type or not b.same(first.shape, second.shape):
        return False
    costs = [b.cost(value, _MAX_CHOICE) for value in values]
    return None not in costs and sum(cost or 0 for cost in costs) <= _MAX_CHOICE


def _choice(b: Builder, values: list[Value], axis: int) -> Value:
    shape = values[0].shape
    part = b.iota([2, *([1] * (len(shape) - axis))], 0)
    parts = [_with_axis(b, b.cast(value, COMPUTE[value.type]), axis) for value in values]
    return b.select(b.op("eq", part, 0), *parts)


def _with_axis(b: Builder, value: Value, axis: int) -> Value:
    return b.reshape(value, [*value.shape[:axis], 1, *value.shape[axis:]])
