"""Views and copies: operations that compute nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from dvm.torch.aten.table import COMPUTED, COPIES, VIEWS, lowers, overloads
from dvm.torch.builder import Builder, Declined, Value
from dvm.torch.element_types import COMPUTE

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
    value, shape = b.value(x), b.symbols.shape(node.meta["val"].shape)
    before = value.shape
    if len(before) == len(shape) + 1 and b.recipes[value.id].method in ("elementwise", "cast"):
        for axis, size in enumerate(shape):
            if b.same(before[:axis] + before[axis + 2 :], shape[:axis] + shape[axis + 1 :]):
                return b.regroup(value, size, axis)
    return b.reshape(value, shape)


@lowers(VIEWS, aten.expand.default)
def expand(b: Builder, node: fx.Node, x: fx.Node, *_: Any, **__: Any) -> Value:
    return b.expand(b.value(x), b.symbols.shape(node.meta["val"].shape))


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
    return b.reshape(one, b.symbols.shape(node.meta["val"].shape))


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


@lowers(COMPUTED, aten.cat.default)
def cat(b: Builder, node: fx.Node, tensors: list[fx.Node], dim: int = 0) -> Value:
    """Parts of one shape, as a choice along an axis of their own that is then merged with `dim`."""
    shape = node.meta["val"].shape
    axis = dim % len(shape)
    return b.regroup(_side_by_side(b, tensors, axis), b.symbols.size(shape[axis]), axis)


@lowers(COMPUTED, aten.stack.default)
def stack(b: Builder, node: fx.Node, tensors: list[fx.Node], dim: int = 0) -> Value:
    return _side_by_side(b, tensors, dim % node.meta["val"].dim())


def _side_by_side(b: Builder, tensors: list[fx.Node], axis: int) -> Value:
    values = [b.value(tensor) for tensor in tensors]
    if len(values) != 2:
        raise Declined(f"{len(values)} parts came, 2 are joined by a kernel")
    first = values[0]
    if any(value.type != first.type or not b.same(value.shape, first.shape) for value in values):
        raise Declined("the parts differ in shape or type")
    shape = [*first.shape[:axis], 1, *first.shape[axis:]]
    part = b.iota([2, *([1] * (len(shape) - axis - 1))], 0)
    parts = [b.reshape(b.cast(value, COMPUTE[value.type]), shape) for value in values]
    return b.select(b.op("eq", part, 0), *parts)
