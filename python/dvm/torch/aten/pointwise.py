"""Elementwise ATen operations: arithmetic, comparisons, logic, bits, and choice."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder, Declined, Value
from dvm.torch.element_types import COMPUTE, FLOATS, NAMES

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


def overloads(name: str, *kinds: str) -> list[Any]:
    """The overloads of an ATen operation that this torch has."""
    packet = getattr(aten, name, None)
    return [getattr(packet, kind) for kind in kinds if packet is not None and hasattr(packet, kind)]


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
    from_end = z - span * (1 - w)
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
