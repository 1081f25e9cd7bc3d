"""Operations that pick elements by index: embeddings, gather, index_select, indexing with tensors.

A kernel reads what it picks from as a tensor, so picking moves up through arithmetic: of a log-softmax only the chosen
elements are computed. An index out of range raises IndexError, as in eager, from a check of the core's Graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder, Declined, Value

aten = torch.ops.aten

# How much arithmetic is done on the picked elements instead of on all.
_MOST_STEPS = 16


def pick(b: Builder, value: Value, index: Value, axis: int) -> Value:
    """Of each place along `axis` the element at the index there; all other axes are broadcast. Nothing is checked."""
    steps = [_MOST_STEPS]
    return _pick(b, value, index, value.rank - axis, steps)


def _pick(b: Builder, value: Value, index: Value, from_right: int, steps: list[int]) -> Value:
    axis = value.rank - from_right
    if axis < 0 or value.shape[axis] == 1:
        return value
    recipe = b.recipes[value.id]
    steps[0] -= 1
    if recipe.method in ("elementwise", "cast") and not b.is_tensor(value):
        if steps[0] < 0:
            raise Declined("too much is computed from what is picked")
        operands = [
            _pick(b, Value(b, operand), index, from_right, steps) for operand in recipe.operands
        ]
        if recipe.method == "cast":
            return b.cast(operands[0], recipe.arguments[0])
        return b.op(recipe.arguments[0], *operands)
    if not _is_tensor(b, value):
        raise Declined(f"it picks from a {recipe.method} that a kernel makes")
    if index.rank > value.rank:
        value = b.reshape(value, [*([1] * (index.rank - value.rank)), *value.shape])
    return b.gather(value, index, index.rank - from_right)


def _is_tensor(b: Builder, value: Value) -> bool:
    """Whether the value is a tensor that exists before the kernel runs, or a view of one."""
    while not b.is_tensor(value):
        recipe = b.recipes[value.id]
        if recipe.method not in ("reshape", "permute", "expand", "slice"):
            return False
        value = Value(b, recipe.operands[0])
    return True


def indices(b: Builder, node: fx.Node, index: fx.Node, size: Any, *, negative: bool) -> Value:
    """The elements of `index` as i64 from 0 to `size` - 1, with a check that they are, or may be made so."""
    raw = b.value(index)
    if raw.type not in ("i64", "i32", "i16", "i8", "u8"):
        raise Declined(f"its index is {raw.type}")
    value = b.cast(raw, "i64")
    count = b.size(size)
    if node.target is not aten._unsafe_index.Tensor:
        low = b.op("ge", value, -count if negative else 0)
        holds = b.op("bitwise_and", low, b.op("lt", value, count))
        if value.rank:
            holds = b.reduce("all", holds, list(range(value.rank)), keepdims=False)
        b.require(node, holds, f"[{node.target}] an index is out of range")
    return b.select(b.op("lt", value, 0), value + count, value) if negative else value


@lowers(COMPUTED, aten.embedding.default)
def embedding(b: Builder, node: fx.Node, weight: fx.Node, index: fx.Node, *_: Any) -> Value:
    rows = indices(b, node, index, weight.meta["val"].shape[0], negative=False)
    return _take(b, b.value(weight), rows, 0)


@lowers(COMPUTED, aten.index_select.default)
def index_select(b: Builder, node: fx.Node, x: fx.Node, dim: int, index: fx.Node) -> Value:
    shape = x.meta["val"].shape
    if not shape:
        raise Declined("its operand has no dimensions")
    chosen = indices(b, node, index, shape[dim], negative=False)
    return _take(
        b,
        b.value(x),
        b.reshape(chosen, [b.symbols.size(index.meta["val"].numel())]),
        dim % len(shape),
    )


def _take(b: Builder, value: Value, index: Value, axis: int) -> Value:
    """Replaces `axis` by the axes of `index`."""
    shape = value.shape
    after = [1] * (value.rank - axis - 1)
    index_shape = index.shape
    index = b.reshape(index, [*([1] * axis), *index_shape, *after])
    extra = len(index_shape) - 1
    if extra < 0:  # one element: the axis goes
        index = b.reshape(index, [1] * value.rank)
        return b.reshape(pick(b, value, index, axis), [*shape[:axis], *shape[axis + 1 :]])
    if extra:
        value = b.reshape(value, [*shape[:axis], *([1] * extra), *shape[axis:]])
    return pick(b, value, index, axis + extra)


@lowers(COMPUTED, aten.gather.default)
def gather(b: Builder, node: fx.Node, x: fx.Node, dim: int, index: fx.Node, **_: Any) -> Value:
    value, sizes = b.value(x), x.meta["val"].shape
    if not sizes:
        raise Declined("its operand has no dimensions")
    axis = dim % len(sizes)
    chosen = indices(b, node, index, sizes[axis], negative=False)
    for other in range(value.rank):
        if other != axis and not b.same([value.shape[other]], [chosen.shape[other]]):
            raise Declined("it picks from a part of its operand")
    return pick(b, value, chosen, axis)


@lowers(COMPUTED, aten.index.Tensor, aten._unsafe_index.Tensor)
def index(b: Builder, node: fx.Node, x: fx.Node, at: Sequence[fx.Node | None]) -> Value:
    """Indexing with tensors that stand side by side, as one index over the axes they replace, merged."""
    places = [axis for axis, one in enumerate(at) if one is not None]
    if not places or places != list(range(places[0], places[-1] + 1)):
        raise Declined("its indices do not stand side by side")
    sizes = x.meta["val"].shape
    chosen: Value | None = None
    for axis in places:
        one = at[axis]
        assert one is not None
        numbers = indices(b, node, one, sizes[axis], negative=True)
        chosen = numbers if chosen is None else chosen * b.size(sizes[axis]) + numbers
    assert chosen is not None
    value, first = b.value(x), places[0]
    if len(places) > 1:
        if not _is_tensor(b, value):
            raise Declined("it picks along several axes of what a kernel makes")
        merged = b.symbols.size(math.prod(sizes[axis] for axis in places))
        shape = value.shape
        value = b.reshape(value, [*shape[:first], merged, *shape[first + len(places) :]])
    result = b.symbols.shape(node.meta["val"].shape)
    rank = len(result) - value.rank + 1  # of the indices together
    return _take(b, value, b.expand(chosen, result[first : first + rank]), first)
