"""Element types between torch and the core, and torch's type promotion over graph operands."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch

NAMES: dict[torch.dtype, str] = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.bool: "bool",
}

# The type that values of a storage type have while they are computed with.
COMPUTE: dict[str, str] = {
    "f32": "f32",
    "f64": "f64",
    "f16": "f32",
    "bf16": "f32",
    "i8": "i32",
    "u8": "i32",
    "i16": "i32",
    "i32": "i32",
    "i64": "i64",
    "bool": "bool",
}

FLOATS = frozenset({"f32", "f64", "f16", "bf16"})
INTEGERS = frozenset({"i8", "u8", "i16", "i32", "i64"})

# bool < integer < float: a number of a higher category than all tensors changes their type.
_CATEGORY = {torch.bool: 0, bool: 0, int: 1, float: 2}


def _category(dtype: torch.dtype) -> int:
    if dtype == torch.bool:
        return 0
    return 2 if dtype.is_floating_point else 1


@functools.cache
def _promote(a: torch.dtype, b: torch.dtype) -> torch.dtype:
    return torch.promote_types(a, b)  # slow where tensors are being traced


def promote(tensors: Iterable[torch.Tensor], numbers: Iterable[type]) -> torch.dtype:
    """The type torch computes an elementwise operation in: tensors with dimensions decide, then tensors without,
    then Python numbers, a later group only when it is of a higher category (bool, integer, float)."""
    groups: list[torch.dtype | None] = [None, None, None]
    for tensor in tensors:
        group = 0 if tensor.dim() > 0 else 1
        known = groups[group]
        groups[group] = tensor.dtype if known is None else _promote(known, tensor.dtype)
    for kind in numbers:
        dtype = {bool: torch.bool, int: torch.int64}.get(kind, torch.get_default_dtype())
        known = groups[2]
        groups[2] = dtype if known is None else _promote(known, dtype)
    result, *others = [dtype for dtype in groups if dtype is not None]
    for dtype in others:
        if _category(dtype) > _category(result):
            result = _promote(result, dtype)
    return result
