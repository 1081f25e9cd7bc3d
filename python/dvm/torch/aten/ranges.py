"""What is known of the whole numbers in a tensor before there are any: least and greatest, and whether they are the
positions along an axis. An index that is known to be in range needs no check, and picking by positions picks nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from dvm.torch.aten.table import COPIES, VIEWS
from dvm.torch.builder import Builder
from dvm.torch.symbols import IntLike, Size
from dvm.torch.value import Value

aten = torch.ops.aten

Bounds = tuple[Any, Any]
"""Least and greatest, numbers or what follows from sizes."""


def bounds(node: Any) -> Bounds | None:
    """Of the elements of a tensor of whole numbers, where the program tells."""
    if not isinstance(node, fx.Node):
        return (node, node) if isinstance(node, int | torch.SymInt) else None
    known = node.meta.get("val")
    if isinstance(known, torch.SymInt):
        return known, known
    if not isinstance(known, torch.Tensor) or known.dtype.is_floating_point:
        return None
    rule = _BOUNDS.get(node.target)
    if rule is not None:
        found: Bounds | None = rule(*node.args)
        return found
    if node.target in VIEWS or node.target in COPIES:
        return bounds(node.args[0])
    return None


def _arange(start: Any, end: Any, step: Any = 1) -> Bounds | None:
    first, last = bounds(start), bounds(end)
    if first is None or last is None or not (isinstance(step, int) and step > 0):
        return None
    return first[0], last[1] - 1


def _sum(x: Any, y: Any) -> Bounds | None:
    first, second = bounds(x), bounds(y)
    return None if first is None or second is None else (first[0] + second[0], first[1] + second[1])


def _remainder(x: Any, by: Any) -> Bounds | None:
    known = bounds(by)
    return (0, known[1] - 1) if known and statically_known_true(known[0] > 0) else None


def _clamp(x: Any, low: Any = None, high: Any = None) -> Bounds | None:
    return (low, high) if isinstance(low, int) and isinstance(high, int) else None


_BOUNDS: dict[Any, Callable[..., Bounds | None]] = {
    aten.arange.default: lambda end: _arange(0, end),
    aten.arange.start: _arange,
    aten.arange.start_step: _arange,
    aten.add.Tensor: _sum,
    aten.remainder.Scalar: _remainder,
    aten.clamp.default: _clamp,
    aten.full.default: lambda size, number: bounds(number),
    aten.full_like.default: lambda x, number: bounds(number),
    aten._to_copy.default: bounds,
    torch.ops.prims.convert_element_type.default: lambda x, dtype: bounds(x),
    **dict.fromkeys(
        (aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default), lambda *_: (0, 0)
    ),
    **dict.fromkeys(
        (aten.ones.default, aten.ones_like.default, aten.new_ones.default), lambda *_: (1, 1)
    ),
}


def within(node: fx.Node, least: IntLike, size: IntLike) -> bool:
    """Whether all elements are known to be from `least` to `size` - 1."""
    known = bounds(node)
    return known is not None and all(
        statically_known_true(holds) for holds in (known[0] >= least, known[1] < size)
    )


def positions(b: Builder, value: Value, length: Size) -> int | None:
    """The axis along which a value counts from 0 to `length` - 1, if it does and has no other axis."""
    shape = value.shape
    while value.kind in ("reshape", "cast"):
        (value,) = value.operands
    if value.kind != "iota" or not b.same(value.shape, [length]):
        return None
    wide = [axis for axis, size in enumerate(shape) if size != 1]
    return wide[0] if len(wide) == 1 and b.same([shape[wide[0]]], [length]) else None
