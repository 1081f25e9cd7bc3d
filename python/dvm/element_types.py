"""Element types as Python meets them: their names in other libraries, and what two of them promote to.

Promotion follows PyTorch: the wider kind wins (bool < integer < float), within a kind the wider type, and the two
half floats meet in f32. Python numbers are *weak*: they only choose the kind, never the width.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from dvm import _core


class Kind(IntEnum):
    """The categories of types, in the order in which promotion climbs."""

    BOOL = 0
    INTEGER = 1
    FLOAT = 2


_ROWS = {row["name"]: row for row in _core.element_types()}
NAMES = tuple(_ROWS)
_KINDS = {"bool": Kind.BOOL, "integer": Kind.INTEGER, "float": Kind.FLOAT}
_BY_ALIAS: dict[str, str] = {name: name for name in NAMES} | {
    row["numpy"]: name for name, row in _ROWS.items()
}
_BY_OBJECT: dict[Any, str] = {bool: "bool", int: "i64", float: "f32"}

DEFAULT = {Kind.BOOL: "bool", Kind.INTEGER: "i64", Kind.FLOAT: "f32"}
"""The type of a Python number that meets no typed value."""

WIDEST = {Kind.BOOL: "bool", Kind.INTEGER: "i64", Kind.FLOAT: "f64"}
"""The type in which weak values are computed among themselves."""


def kind(dtype: str) -> Kind:
    """The kind of the element type `dtype`."""
    return _KINDS[_ROWS[dtype]["kind"]]


def compute(dtype: str) -> str:
    """The type that values of `dtype` have inside a kernel."""
    return str(_ROWS[dtype]["compute"])


def size(dtype: str) -> int:
    """Bytes of one element in memory."""
    return int(_ROWS[dtype]["bytes"])


def numpy_name(dtype: str) -> str:
    """What NumPy (or ml_dtypes, for bfloat16) calls `dtype`."""
    return str(_ROWS[dtype]["numpy"])


def name_of(dtype: Any, where: str = "dtype") -> str:
    """Our name of a type given as one of our names, a NumPy or torch dtype, or `float`, `int`, `bool`."""
    try:
        return _BY_OBJECT[dtype]
    except (KeyError, TypeError):
        pass
    text = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    if getattr(dtype, "byteorder", "=") == ">" or not isinstance(text, str):
        text = getattr(dtype, "__name__", None) or str(dtype)
    text = text.removeprefix("torch.")
    if text not in _BY_ALIAS:
        raise TypeError(f"[{where}] the type {dtype} came; one of {', '.join(NAMES)} is wanted")
    if dtype.__hash__ is not None:
        _BY_OBJECT[dtype] = _BY_ALIAS[text]
    return _BY_ALIAS[text]


def promote(a: str, b: str) -> str:
    """The type in which values of types `a` and `b` meet."""
    if a == b:
        return a
    if kind(a) != kind(b):
        return a if kind(a) > kind(b) else b
    if size(a) != size(b):
        wide, narrow = (a, b) if size(a) > size(b) else (b, a)
        return wide if narrow != "u8" or size(wide) > 1 else "i16"
    return "f32" if kind(a) is Kind.FLOAT else "i16"  # f16 with bf16, i8 with u8


def promote_weak(dtype: str, weak: Kind) -> str:
    """The type in which a value of `dtype` meets a Python number of kind `weak`."""
    return dtype if weak <= kind(dtype) else DEFAULT[weak]
