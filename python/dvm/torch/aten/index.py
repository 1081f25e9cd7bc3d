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
from torch.fx.experimental.symbolic_shapes import statically_known_true

from dvm.torch.aten.ranges import positions, within
from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder
from dvm.torch.value import Declined, Value

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
    steps[0] -= 1
    if value.kind in ("elementwise", "cast") and not b.is_tensor(value):
        if steps[0] < 0:
            raise Declined("too much is computed from what is picked")
        b.again.add(value.id)
        operands = [_pick(b, operand, index, from_right, steps) for operand in value.operands]
        return b.remake(value, *operands)
    if not _is_tensor(b, value):
        raise Declined(f"it picks from a {value.kind} that a kernel makes")
    if index.rank > value.rank:
        value = b.reshape(value, [*([1] * (index.rank - value.rank)), *value.shape])
    return b.gather(value, index, index.rank - from_right)


def _is_tensor(b: Builder, value: Value) -> bool:
    """Whether the value is a tensor that exists before the kernel runs, or a view of one."""
    while not b.is_tensor(value):
        if value.kind not in ("reshape", "permute", "expand", "slice"):
            return False
        (value,) = value.operands
    return True


def indices(b: Builder, node: fx.Node, index: fx.Node, size: Any, *, negative: bool) -> Value:
    """The elements of `index` as i64 from 0 to `size` - 1, with a check that they are, or may be made so, unless the
    program or another check tells."""
    raw = b.value(index)
    if raw.type not in ("i64", "i32", "i16", "i8", "u8"):
        raise Declined(f"its index is {raw.type}")
    value = b.cast(raw, "i64")
    count = b.size(size)
    if within(index, 0, size):
        return value
    seen = b.looked_at(raw)
    if node.target is not aten._unsafe_index.Tensor and not _is_checked(b, seen, size, negative):
        seen = b.cast(seen, "i64")
        low = b.op("ge", seen, -count if negative else 0)
        holds = b.op("bitwise_and", low, b.op("lt", seen, count))
        b.require(node, holds, f"[{node.target}] an index is out of range")
    return b.select(b.op("lt", value, 0), value + count, value) if negative else value


def _is_checked(b: Builder, index: Value, size: Any, negative: bool) -> bool:
    """Whether there is a check by now that says as much of an index; from now on there is."""
    known = b.checked.setdefault(index.id, [])
    for other, may_be_negative in known:
        if negative >= may_be_negative and statically_known_true(other <= size):
            return True
    known.append((size, negative))
    return False


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
    """Indexing with tensors that stand side by side. Along an axis of which one names the positions nothing is picked;
    those of the other axes are one index over these axes, merged."""
    places = [axis for axis, one in enumerate(at) if one is not None]
    if not places or places != list(range(places[0], places[-1] + 1)):
        raise Declined("its indices do not stand side by side")
    first, given = places[0], [one for one in at if one is not None]
    sizes = x.meta["val"].shape[first : first + len(given)]
    value, result = b.value(x), b.symbols.shape_of(node.meta["val"])
    rank = len(result) - value.rank + len(given)  # of the indices together
    along = [_along(b, one, size, rank) for one, size in zip(given, sizes, strict=True)]
    picked = [number for number, axis in enumerate(along) if axis is None]
    if len(picked) == len(along) or len({*along} - {None}) < len(along) - len(picked):
        picked = list(range(len(given)))
    chosen: Value | None = None
    for number in picked:
        numbers = indices(b, node, given[number], sizes[number], negative=True)
        chosen = numbers if chosen is None else chosen * b.size(sizes[number]) + numbers
    if len(picked) > 1 and not _is_tensor(b, value):
        raise Declined("it picks along several axes of what a kernel makes")
    merged = b.symbols.size(math.prod(sizes[number] for number in picked))
    if chosen is not None and len(picked) == len(given):
        value = b.reshape(value, [*value.shape[:first], merged, *value.shape[first + len(given) :]])
        return _take(b, value, b.expand(chosen, result[first : first + rank]), first)
    # Before the axis that is picked along come those of the indices.
    axes = sorted(set(range(len(given))) - set(picked), key=lambda number: along[number] or 0)
    order = [*range(first), *(first + number for number in [*axes, *picked])]
    behind = value.shape[first + len(given) :]
    value = b.permute(value, [*order, *range(len(order), value.rank)])
    block: list[Any] = [1] * rank
    for number in axes:
        block[along[number] or 0] = b.symbols.size(sizes[number])
    value = b.reshape(value, [*value.shape[:first], *block, merged, *behind])
    if chosen is not None:
        front, back = [1] * (first + rank - chosen.rank), [1] * (len(behind) + 1)
        value = pick(b, value, b.reshape(chosen, [*front, *chosen.shape, *back]), first + rank)
    return b.expand(b.reshape(value, [*value.shape[: first + rank], *behind]), result)


def _along(b: Builder, index: fx.Node, size: Any, rank: int) -> int | None:
    """The axis, of the `rank` that indices have together, along which an index names all positions of its own."""
    value = b.value(index)
    axis = positions(b, value, b.symbols.size(size))
    return None if axis is None else axis + rank - value.rank
