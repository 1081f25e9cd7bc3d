"""How NumPy does the steps of a Flow that Executables do not: views, copies and tensors of one number. A Flow with
other operations needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dvm.flow.steps import Word


def _transpose(array: Any, a: int, b: int) -> Any:
    return array.swapaxes(a, b)


def _expand(array: Any, shape: Sequence[int], implicit: bool = False) -> Any:
    new = len(shape) - array.ndim
    sizes = [array.shape[axis - new] if size == -1 else size for axis, size in enumerate(shape)]
    return np.broadcast_to(array, sizes)


def _squeeze(array: Any, axis: int) -> Any:
    return array.squeeze(axis) if array.ndim and array.shape[axis] == 1 else array


def _select(array: Any, axis: int, index: int) -> Any:
    return array[(slice(None),) * (axis % array.ndim) + (index,)]


def _slice(
    array: Any, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    return array[(slice(None),) * (axis % array.ndim) + (slice(start, end, step),)]


def _copy(array: Any, **_: Any) -> Any:
    return np.copy(array, order="K")


def _arange(*limits: Any, dtype: Any = None, **_: Any) -> Any:
    if dtype is None and any(isinstance(limit, float) for limit in limits):
        dtype = np.float32  # as torch
    return np.arange(*limits, dtype=dtype)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "aten::view.default": np.reshape,
    "aten::_unsafe_view.default": np.reshape,
    "aten::t.default": np.transpose,
    "aten::transpose.int": _transpose,
    "aten::permute.default": np.transpose,
    "aten::expand.default": _expand,
    "aten::unsqueeze.default": np.expand_dims,
    "aten::squeeze.dim": _squeeze,
    "aten::select.int": _select,
    "aten::slice.Tensor": _slice,
    "aten::alias.default": lambda array: array[...],
    "aten::detach.default": lambda array: array[...],
    "aten::clone.default": _copy,
    "aten::fill_.Scalar": lambda array, number: array.fill(number),
    "aten::arange.default": _arange,
    "aten::arange.start": _arange,
    "aten::arange.start_step": _arange,
}


class NumpyDialect:
    """See dvm.flow.function.Dialect."""

    def size(self, tensor: str, axis: int) -> str:
        return f"{tensor}.shape[{axis}]"

    def call(self, operation: str) -> str | Callable[..., Any]:
        """Raises ValueError for what needs torch."""
        function = OPERATIONS.get(operation)
        if function is None:
            raise ValueError(f"[flow] {operation} needs torch")
        return function

    def word(self, word: Word) -> Any:
        return (
            find_dtype(word.text) if word.kind == "dtype" else None
        )  # arrays have no device or layout

    def fill(self, name: Callable[[str, Any], str], code: Sequence[str]) -> str:
        return f"{name('filled', _filled)}({', '.join(code)})"

    @property
    def restride(self) -> Callable[[Any, Any, Any], Any]:
        return _restride

    def update(self, target: str, source: str) -> str:
        return f"{target}[...] = {source}"


def find_dtype(name: str) -> np.dtype[Any]:
    """The type that torch calls `name`. Raises ValueError where NumPy has none."""
    if name == "bfloat16":
        try:
            import ml_dtypes  # noqa: F401 - registers the type
        except ImportError:
            raise ValueError(
                "[flow] bfloat16 arrays need ml_dtypes: pip install ml_dtypes"
            ) from None
    try:
        return np.dtype(name)
    except TypeError:
        raise ValueError(f"[flow] NumPy has no type {name!r}") from None


def _filled(shape: Any, strides: Any, kind: Any, number: Any) -> Any:
    made = _strided(shape, strides, kind)
    if number is not None:
        made.fill(number)
    return made


def _strided(shape: Sequence[int], strides: Sequence[int], kind: np.dtype[Any]) -> Any:
    """An array with strides in elements."""
    last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    count = 0 if 0 in shape else last + 1
    steps = tuple(stride * kind.itemsize for stride in strides)
    return np.ndarray(shape, kind, np.empty(count, kind), 0, steps)


def _restride(array: Any, shape: Any, strides: Any) -> Any:
    made = _strided(shape, strides, array.dtype)
    made[...] = array
    return made
