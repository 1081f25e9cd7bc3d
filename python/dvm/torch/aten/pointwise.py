"""Elementwise ATen operations: arithmetic, comparisons, logic, bits, and choice."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.element_types import FLOATS
from dvm.torch.value import Declined, Value

aten = torch.ops.aten
prims = torch.ops.prims

# One instruction each. First those that give floats whatever comes, then those that keep the type.
_FLOAT_UNARY = """
exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc
erfinv sqrt rsqrt reciprocal sigmoid
"""
_SAME_UNARY = [
    "neg",
    "abs",
    "floor",
    "ceil",
    "trunc",
    "round",
    "sign",
    "square",
    "bitwise_not",
    "relu",
]
_SAME_BINARY = {
    "maximum": "maximum",
    "minimum": "minimum",
    "fmax": "fmax",
    "fmin": "fmin",
    "fmod": "fmod",
    "remainder": "remainder",
    "bitwise_and": "bitwise_and",
    "bitwise_or": "bitwise_or",
    "bitwise_xor": "bitwise_xor",
    "gcd": "gcd",
    "lcm": "lcm",
    "copysign": "copysign",
    "hypot": "hypot",
}
_COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"]
_LOGICAL = ["logical_and", "logical_or", "logical_xor"]


def _float_unary(name: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default"))
    def build(b: Builder, node: fx.Node, x: fx.Node) -> Value:
        return b.op(name, b.compute(x, to_float=True))


def _same_unary(name: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default"))
    def build(b: Builder, node: fx.Node, x: fx.Node) -> Value:
        value = b.compute(x)
        if value.type == "bool" and name in ("floor", "ceil", "trunc", "round", "sign", "abs"):
            return value
        return b.op(name, value)


def _same_binary(name: str, instruction: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default", "Tensor", "Scalar", "Scalar_Tensor"))
    def build(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
        to_float = name == "copysign"
        return b.op(instruction, *b.operands(x, y, to_float=to_float))


def _compare(name: str) -> None:
    @lowers(COMPUTED, *overloads(name, "Tensor", "Scalar"))
    def build(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
        return b.op(name, *b.operands(x, y))


def _logical(name: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default"))
    def build(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
        return b.op(name, b.cast(b.value(x), "bool"), b.cast(b.value(y), "bool"))


for _name in _FLOAT_UNARY.split():
    _float_unary(_name)
for _name in _SAME_UNARY:
    _same_unary(_name)
for _name, _instruction in _SAME_BINARY.items():
    _same_binary(_name, _instruction)
for _name in _COMPARE:
    _compare(_name)
for _name in _LOGICAL:
    _logical(_name)


# Arithmetic.


@lowers(COMPUTED, aten.add.Tensor, aten.add.Scalar)
def add(b: Builder, node: fx.Node, x: Any, y: Any, alpha: Any = 1) -> Value:
    first, second = b.operands(x, y)
    if first.type == "bool":
        return b.op("logical_or", first, second if alpha == 1 else _scaled(b, second, alpha))
    if not _is_one(alpha):
        return b.op("multiply_add", second, b.number(alpha, second.type), first)
    return first + second


@lowers(COMPUTED, aten.sub.Tensor, aten.sub.Scalar)
def sub(b: Builder, node: fx.Node, x: Any, y: Any, alpha: Any = 1) -> Value:
    first, second = b.operands(x, y)
    return first - _scaled(b, second, alpha)


@lowers(COMPUTED, aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(b: Builder, node: fx.Node, x: Any, y: Any, alpha: Any = 1) -> Value:
    first, second = b.operands(x, y)
    return second - _scaled(b, first, alpha)


def _is_one(number: Any) -> bool:
    return not isinstance(number, fx.Node) and number == 1


def _scaled(b: Builder, value: Value, factor: Any) -> Value:
    if _is_one(factor):
        return value
    if value.type == "bool":
        return b.op("logical_and", value, b.number(factor, "bool"))
    return value * b.number(factor, value.type)


@lowers(COMPUTED, aten.mul.Tensor, aten.mul.Scalar)
def mul(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    first, second = b.operands(x, y)
    return b.op("logical_and" if first.type == "bool" else "mul", first, second)


@lowers(COMPUTED, aten.div.Tensor, aten.div.Scalar, *overloads("true_divide", "Tensor", "Scalar"))
def div(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    first, second = b.operands(x, y, to_float=True)
    return first / second


@lowers(COMPUTED, aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_mode(b: Builder, node: fx.Node, x: Any, y: Any, rounding_mode: str | None = None) -> Value:
    if rounding_mode is None:
        return div(b, node, x, y)
    first, second = b.operands(x, y)
    if first.type == "bool":
        raise Declined("torch does not define the rounded quotient of booleans")
    return b.op("floor_div" if rounding_mode == "floor" else "trunc_div", first, second)


@lowers(COMPUTED, aten.floor_divide.default, aten.floor_divide.Scalar)
def floor_divide(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    return div_mode(b, node, x, y, "floor")


@lowers(COMPUTED, aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.pow.Scalar)
def power(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    base, exponent = b.operands(x, y)
    if base.type == "bool":
        raise Declined("the core has no power of booleans")
    known = None if isinstance(y, fx.Node) else float(y)
    if known == 1:
        return base
    if known == 2:
        return b.op("square", base)
    if known == 3:
        return b.op("square", base) * base
    if base.type in FLOATS:
        if known == 0.5:
            return b.op("sqrt", base)
        if known == -0.5:
            return b.op("rsqrt", base)
        if known == -1:
            return b.op("reciprocal", base)
        if known == -2:
            return b.op("reciprocal", b.op("square", base))
    return b.op("pow", base, exponent)


@lowers(COMPUTED, aten.atan2.default)
def atan2(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
    return b.op("atan2", *b.operands(x, y, to_float=True))


@lowers(COMPUTED, aten.nextafter.default)
def nextafter(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
    if b.common_dtype(x, y) not in (torch.float32, torch.float64):
        raise Declined("the neighbour of a number depends on its storage type")
    return b.op("nextafter", *b.operands(x, y))


@lowers(COMPUTED, aten.addcmul.default)
def addcmul(b: Builder, node: fx.Node, x: Any, y: Any, z: Any, value: Any = 1) -> Value:
    x, y, z = b.operands(x, y, z)
    return b.op("multiply_add", _scaled(b, y, value), z, x)


@lowers(COMPUTED, aten.addcdiv.default)
def addcdiv(b: Builder, node: fx.Node, x: Any, y: Any, z: Any, value: Any = 1) -> Value:
    first, second, third = b.operands(x, y, z, to_float=True)
    return first + _scaled(b, second, value) / third


@lowers(COMPUTED, aten.lerp.Scalar, aten.lerp.Tensor)
def lerp(b: Builder, node: fx.Node, start: fx.Node, end: fx.Node, weight: Any) -> Value:
    a, z = b.operands(start, end)
    w = b.operand(weight, a.type)
    span = z - a
    from_start = b.op("multiply_add", w, span, a)
    if isinstance(weight, int | float) and abs(weight) < 0.5:
        return from_start
    from_end = z - span * (1 - w)
    if isinstance(weight, int | float):
        return from_end
    return b.select(b.op("lt", b.op("abs", w), 0.5), from_start, from_end)


@lowers(COMPUTED, aten.frac.default)
def frac(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return value - b.op("trunc", value)


@lowers(COMPUTED, aten.sgn.default)
def sgn(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return value if value.type == "bool" else b.op("sign", value)


@lowers(COMPUTED, aten.deg2rad.default)
def deg2rad(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    return b.compute(x, to_float=True) * (math.pi / 180)


@lowers(COMPUTED, aten.rad2deg.default)
def rad2deg(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    return b.compute(x, to_float=True) * (180 / math.pi)


@lowers(COMPUTED, aten.xlogy.Tensor, aten.xlogy.Scalar_Self, aten.xlogy.Scalar_Other)
def xlogy(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    return _times_log(b, "log", x, y)


@lowers(COMPUTED, *overloads("special_xlog1py", "default", "self_scalar", "other_scalar"))
def xlog1py(b: Builder, node: fx.Node, x: Any, y: Any) -> Value:
    return _times_log(b, "log1p", x, y)


def _times_log(b: Builder, log: str, x: Any, y: Any) -> Value:
    x, y = b.operands(x, y, to_float=True)
    product = b.select(b.op("eq", x, 0), b.op("copy", b.constant(0, x.type)), x * b.op(log, y))
    return b.select(b.op("isnan", y), math.nan, product)


@lowers(COMPUTED, aten.logaddexp.default)
def logaddexp(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
    return _log_add(b, x, y, "exp", "log1p", 1.0)


@lowers(COMPUTED, aten.logaddexp2.default)
def logaddexp2(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
    return _log_add(b, x, y, "exp2", "log1p", 1 / math.log(2))


def _log_add(b: Builder, x: Any, y: Any, exp: str, log: str, scale: float) -> Value:
    x, y = b.operands(x, y)
    larger = b.op("maximum", x, y)
    smaller = b.op("minimum", x, y)
    tail = b.op(log, b.op(exp, smaller - larger))
    total = larger + (tail * scale if scale != 1 else tail)
    same_infinity = b.op("logical_and", b.op("isinf", x), b.op("eq", x, y))
    return b.select(same_infinity, x, total)


@lowers(COMPUTED, aten.logit.default)
def logit(b: Builder, node: fx.Node, x: fx.Node, eps: float | None = None) -> Value:
    value = b.compute(x, to_float=True)
    if eps is not None:
        low, high = b.constant(eps, value.type), 1 - b.constant(eps, value.type)
        value = b.select(
            b.op("lt", value, low), low, b.select(b.op("gt", value, high), high, value)
        )
    return b.op("log", value / (1 - value))


@lowers(COMPUTED, aten.sinc.default)
def sinc(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x, to_float=True)
    angle = value * math.pi
    return b.select(b.op("eq", value, 0), 1.0, b.op("sin", angle) / angle)


@lowers(COMPUTED, aten.angle.default)
def angle(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x, to_float=True)
    half_turn = b.select(b.op("lt", value, 0), b.constant(math.pi, value.type), 0.0)
    return b.select(b.op("isnan", value), value, half_turn)


@lowers(COMPUTED, aten.nan_to_num.default)
def nan_to_num(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Value:
    value = b.value(x)
    if value.type not in FLOATS:
        return b.op("copy", b.compute(x))
    limits = torch.finfo(x.meta["val"].dtype)
    value = b.compute(x)
    result = b.select(b.op("isnan", value), 0.0 if nan is None else nan, value)
    result = b.select(b.op("eq", value, math.inf), limits.max if posinf is None else posinf, result)
    return b.select(b.op("eq", value, -math.inf), limits.min if neginf is None else neginf, result)
