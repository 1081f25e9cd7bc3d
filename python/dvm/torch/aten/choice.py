"""Elementwise ATen operations that compute no new numbers: tests, logic, shifts, choice between values, conversion."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.element_types import COMPUTE, FLOATS, NAMES
from dvm.torch.value import Declined, Value

aten = torch.ops.aten
prims = torch.ops.prims


# Comparisons and logic.


@lowers(COMPUTED, aten.logical_not.default)
def logical_not(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    return b.op("logical_not", b.compute(x))


@lowers(COMPUTED, aten.isnan.default)
def isnan(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return b.op("isnan", value) if value.type in FLOATS else b.op("ne", value, value)


@lowers(COMPUTED, aten.isinf.default)
def isinf(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return b.op("isinf", value) if value.type in FLOATS else b.op("ne", value, value)


@lowers(COMPUTED, *overloads("isfinite", "default"))
def isfinite(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return b.op("isfinite", value) if value.type in FLOATS else b.op("eq", value, value)


@lowers(COMPUTED, aten.isposinf.default)
def isposinf(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return b.op("eq", value, math.inf) if value.type in FLOATS else b.op("ne", value, value)


@lowers(COMPUTED, aten.isneginf.default)
def isneginf(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return b.op("eq", value, -math.inf) if value.type in FLOATS else b.op("ne", value, value)


@lowers(COMPUTED, aten.signbit.default)
def signbit(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return b.op("ne", value, value) if value.type == "bool" else b.op("signbit", value)


@lowers(COMPUTED, aten.heaviside.default)
def heaviside(b: Builder, node: fx.Node, x: fx.Node, values: fx.Node) -> Value:
    x_value, at_zero = b.operands(x, values)
    if x_value.type == "bool":
        return b.op("logical_or", x_value, at_zero)
    positive = b.cast(b.op("gt", x_value, 0), x_value.type)
    return b.select(b.op("eq", x_value, 0), at_zero, positive)


# Bits. The other bitwise instructions stand in the tables above.


@lowers(
    COMPUTED,
    *overloads("bitwise_left_shift", "Tensor", "Tensor_Scalar", "Scalar_Tensor"),
    *overloads("__lshift__", "Tensor", "Scalar"),
)
def left_shift(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    return _shift(b, "shift_left", x, y)


@lowers(
    COMPUTED,
    *overloads("bitwise_right_shift", "Tensor", "Tensor_Scalar", "Scalar_Tensor"),
    *overloads("__rshift__", "Tensor", "Scalar"),
)
def right_shift(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    return _shift(b, "shift_right", x, y)


def _shift(b: Builder, name: str, x: Any, y: Any) -> Value:
    dtype = b.common_dtype(x, y)
    if dtype.is_floating_point or dtype == torch.bool:
        raise Declined(f"the core has no shift of {dtype}")
    first, second = b.operands(x, y)
    if NAMES[dtype] != first.type:
        # A shift by the width of the narrow type or more must leave nothing of it; a negative one too.
        width = torch.iinfo(dtype).bits
        inside = b.op("logical_and", b.op("ge", second, 0), b.op("lt", second, width))
        if name == "shift_left":
            return b.select(inside, b.op(name, first, second), 0)
        return b.op(name, first, b.select(inside, second, 31))
    return b.op(name, first, second)


# Choice.


@lowers(COMPUTED, aten.where.self, *overloads("where", "ScalarSelf", "ScalarOther", "Scalar"))
def where(b: Builder, node: fx.Node, condition: fx.Node, x: Any, y: Any) -> Value:
    first, second = b.operands(x, y)
    return b.select(b.cast(b.value(condition), "bool"), first, second)


@lowers(COMPUTED, aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def masked_fill(b: Builder, node: fx.Node, x: fx.Node, mask: fx.Node, value: Any) -> Value:
    compute = COMPUTE[NAMES[node.meta["val"].dtype]]
    return b.select(b.value(mask), b.operand(value, compute), b.operand(x, compute))


@lowers(COMPUTED, aten.clamp.default, aten.clamp.Tensor)
def clamp(b: Builder, node: fx.Node, x: fx.Node, min: Any = None, max: Any = None) -> Value:  # noqa: A002
    given = [argument for argument in (x, min, max) if argument is not None]
    type = b.common_type(*given)  # noqa: A001
    value = b.operand(x, type)
    if min is not None and max is not None and type != "bool":
        return b.op("clamp", value, b.operand(min, type), b.operand(max, type))
    if min is not None:
        value = b.op("maximum", value, b.operand(min, type))
    if max is not None:
        value = b.op("minimum", value, b.operand(max, type))
    return value


@lowers(COMPUTED, aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(b: Builder, node: fx.Node, x: fx.Node, bound: Any) -> Value:
    return b.op("maximum", *b.operands(x, bound))


@lowers(COMPUTED, aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(b: Builder, node: fx.Node, x: fx.Node, bound: Any) -> Value:
    return b.op("minimum", *b.operands(x, bound))


@lowers(COMPUTED, aten.triu.default)
def triu(b: Builder, node: fx.Node, x: fx.Node, diagonal: int = 0) -> Value:
    return _triangle(b, x, "ge", diagonal)


@lowers(COMPUTED, aten.tril.default)
def tril(b: Builder, node: fx.Node, x: fx.Node, diagonal: int = 0) -> Value:
    return _triangle(b, x, "le", diagonal)


def _triangle(b: Builder, x: fx.Node, keep: str, diagonal: int) -> Value:
    value = b.compute(x)
    shape = x.meta["val"].shape
    row = b.iota([shape[-2], 1], 0)
    column = b.iota([1, shape[-1]], 1)
    return b.select(b.op(keep, column - row, b.number(diagonal, "i64")), value, 0)


# Types.


@lowers(COMPUTED, aten._to_copy.default)
def to_copy(b: Builder, node: fx.Node, x: fx.Node, **options: Any) -> Value:
    source, result = x.meta["val"], node.meta["val"]
    if source.device != result.device:
        raise Declined(f"the copy goes from {source.device} to {result.device}")
    if options.get("layout") not in (None, torch.strided):
        raise Declined(f"the core has no layout {options['layout']}")
    if result.dtype not in NAMES:
        raise Declined(f"the core has no type {result.dtype}")
    return b.cast(b.value(x), NAMES[result.dtype])


@lowers(COMPUTED, prims.convert_element_type.default)
def convert_element_type(b: Builder, node: fx.Node, x: fx.Node, dtype: torch.dtype) -> Value:
    return to_copy(b, node, x)
