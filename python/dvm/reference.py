"""Each instruction in NumPy: the living definition of the language, which every engine is tested against.

`evaluate` reads an instruction's row from the tables of isa/ and evaluates its `reference` expression. Floats enter it
widened and its value is rounded to the type of the result once, so that what comes out is the truth and not another
approximation. f32 is widened to float64. f64 becomes long double where an instruction is `costly` or a reduction;
the plain arithmetic of f64 rounds correctly by itself, which a sum rounded twice would not.
The functions below are what expressions may use beside NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvm import _core

Array = NDArray[Any]

_ROWS = {row["name"]: row for row in _core.instructions()}
_TYPES = {row["name"]: row for row in _core.element_types()}


def dtype_of(element: str) -> np.dtype[Any]:
    """The NumPy type of an element type; that of bf16 comes from the package ml_dtypes."""
    kind: Any = _TYPES[element]["numpy"]
    if element == "bf16":
        import ml_dtypes

        kind = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(kind)
    return dtype


def evaluate(name: str, *operands: Any, axis: int | tuple[int, ...] | None = None) -> Array:
    """The instruction `name` on arrays; a reduction runs over `axis` (None: all) and keeps it with size 1."""
    arrays = [np.asarray(operand) for operand in operands]
    dtype = arrays[-1].dtype
    row = _ROWS[name]
    with np.errstate(all="ignore"):
        # Operands have the names a, b and c; expressions are ours, from the tables.
        deep = row["family"] == "reduce" or "costly" in row["properties"]
        names = {key: _widen(value, deep) for key, value in zip("abc", arrays, strict=False)}
        value = np.asarray(
            eval(_expression(name), globals(), {**names, "axis": axis, "dtype": dtype})  # noqa: S307
        )
        if row["result"] == "same":
            return value.astype(dtype)
        return convert(value, "i64" if row["result"] == "index" else row["result"])


@cache
def _expression(name: str) -> CodeType:
    return compile(_ROWS[name]["reference"], f"<reference of {name}>", "eval")


def _widen(array: Array, deep: bool) -> Array:
    if array.dtype == np.float64:
        return array.astype(np.longdouble) if deep else array
    # ml_dtypes' bfloat16 is no np.floating
    half = array.dtype.itemsize == 2 and array.dtype.kind not in "iu"
    return array.astype(np.float64) if half or array.dtype == np.float32 else array


def convert(a: Array, element: str) -> Array:
    """`a` as an array of the element type `element`, as the rows to_* define it."""
    a = np.asarray(a)
    dtype = dtype_of(element)
    real = a.dtype.kind not in "iub"
    with np.errstate(all="ignore"):
        if element in ("f16", "bf16"):
            return a.astype(np.float32).astype(dtype)
        if real and dtype.kind in "iu":
            # A narrow integer keeps the low bits of an i32.
            return _truncate(a, np.int64 if element == "i64" else np.int32).astype(dtype)
        return a.astype(dtype)


def _truncate(a: Array, dtype: type[np.int32] | type[np.int64]) -> Array:
    low = np.iinfo(dtype).min
    wide = a.astype(np.longdouble)
    fits = (wide >= low) & (wide < -np.longdouble(low))
    return np.where(fits, np.where(fits, wide, 0).astype(dtype), low)


def _is_float(a: Array) -> bool:
    return a.dtype.kind == "f"


def whole(function: Callable[[Array], Array], a: Array) -> Array:
    """`function`, a rounding to whole numbers; integers are whole."""
    return function(a) if _is_float(a) else a


def sign(a: Array) -> Array:
    """-1, 0 or 1; 0 for nan."""
    return np.where(a != a, 0, np.sign(a))


def signbit(a: Array) -> Array:
    """Whether the sign bit is set."""
    return np.signbit(a) if _is_float(a) else a < 0


def fmod(a: Array, b: Array) -> Array:
    """The remainder with the sign of a; 0 for integers when b is 0."""
    return np.fmod(a, b)


def remainder(a: Array, b: Array) -> Array:
    """The remainder with the sign of b. A zero has the sign of a, as in PyTorch."""
    rest = np.fmod(a, b)
    return np.where((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest)


def floor_div(a: Array, b: Array) -> Array:
    """a / b rounded down."""
    if not _is_float(a):
        return np.floor_divide(a, b)
    down = np.rint((a - remainder(a, b)) / b)
    signed = np.where(down == 0, np.copysign(down, a / b), down)
    by_infinity = np.where((a != 0) & ((a < 0) != (b < 0)), -1, a / b)
    finite = np.where(np.isinf(b) & ~np.isnan(a), by_infinity, signed)
    return np.where(b == 0, a / b, np.where(np.isinf(a), np.nan, finite))


def trunc_div(a: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    """a / b, rounded, and then rounded toward 0."""
    if _is_float(a):
        return np.asarray(np.trunc((a / b).astype(dtype)))
    down = np.floor_divide(a, b)
    return np.asarray(down + ((down < 0) & (down * b != a) & (b != 0)).astype(dtype))


def power(a: Array, b: Array) -> Array:
    """a to the power b; of integers, what a whole number can hold of it."""
    if _is_float(a):
        # The long double function of some C libraries errs where an operand is 0 or infinite.
        plain = np.isfinite(a) & np.isfinite(b) & (a != 0)
        return np.where(plain, np.power(a, b), np.power(a.astype(np.float64), b.astype(np.float64)))
    inverse = np.where(a == 1, 1, np.where(a == -1, np.where(b % 2 == 0, 1, -1), 0))
    return np.where(b < 0, inverse, np.power(a, np.maximum(b, 0)))


def lcm(a: Array, b: Array) -> Array:
    """The least common multiple of the magnitudes."""
    divisor = np.gcd(a, b)
    return np.asarray(np.abs(np.abs(a) // np.where(divisor == 0, 1, divisor) * np.abs(b)))


def nextafter(a: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    """The neighbour of a among the numbers of `dtype`."""
    return np.asarray(np.nextafter(a.astype(dtype), b.astype(dtype)))


def shift_left(a: Array, b: Array) -> Array:
    """a * 2**b; counts outside the width shift everything out."""
    width = a.dtype.itemsize * 8
    inside = (b >= 0) & (b < width)
    return np.where(inside, a << np.where(inside, b, 0), 0)


def shift_right(a: Array, b: Array) -> Array:
    """a / 2**b rounded down; counts outside the width shift everything out."""
    last = a.dtype.itemsize * 8 - 1
    return a >> np.where((b >= 0) & (b < last), b, last)


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def erf(a: Array) -> Array:
    """The error function."""
    return np.asarray(_erf(a)) if a.size else a


def erfc(a: Array) -> Array:
    """Its complement."""
    return np.asarray(_erfc(a)) if a.size else a


def erfinv(a: Array) -> Array:
    """Its inverse, by Newton's method on the complement, where the digits are near 1."""
    size = np.abs(a).astype(np.float64)
    rest = (1 - np.abs(a)).astype(np.float64)
    guess = np.sqrt(np.maximum(-np.log(rest * (1 + size)), 0))  # never below the root
    for _ in range(80):
        error = np.where(size < 0.5, erf(guess) - size, rest - erfc(guess))
        step = error * math.sqrt(math.pi) / 2 * np.exp(guess * guess)
        guess = guess - np.where(np.isfinite(step), step, 0)
    inside = np.copysign(guess, a)
    edge = np.where(rest == 0, np.copysign(np.inf, a), np.nan)
    return np.where(rest > 0, np.where(size < 1e-9, a * (math.sqrt(math.pi) / 2), inside), edge)


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)) without overflow."""
    e = np.exp(-np.abs(a))
    return np.asarray(np.where(a < 0, e, 1) / (1 + e))


def silu(a: Array) -> Array:
    """a * sigmoid(a)."""
    return a * sigmoid(a)


def gelu(a: Array) -> Array:
    """a times the normal distribution function of a."""
    return a * erfc(-a / np.sqrt(a.dtype.type(2))) / 2


def gelu_tanh(a: Array) -> Array:
    """gelu with the distribution function replaced by a tanh, (1 + tanh(u)) / 2 = sigmoid(2 * u)."""
    return a * sigmoid(2 * np.sqrt(2 / a.dtype.type(np.pi)) * (a + 0.044715 * a * a * a))


def argreduce(function: Callable[..., Any], a: Array, axis: int | None) -> Array:
    """np.argmax or np.argmin with the axis kept: the first extreme wins, and the first nan over all."""
    return np.asarray(function(a, axis=axis, keepdims=True))


def pair(inner: str, outer: str, dtype: np.dtype[Any], *operands: Array) -> Array:
    """The instruction `outer` on the rounded result of `inner`, and on the operands that `inner` leaves."""
    values = [operand.astype(dtype) for operand in operands]
    count = _ROWS[inner]["arity"]
    return evaluate(outer, evaluate(inner, *values[:count]), *values[count:])
