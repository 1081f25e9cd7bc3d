"""NumPy's arrays, as framework.py asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dvm.compiled.framework import Place
from dvm.compiled.signature import Tensor
from dvm.flow.numpy_dialect import NumpyDialect, find_dtype


class NumpyFramework:
    """See dvm.compiled.framework.Framework."""

    name = "numpy"
    tensor = np.ndarray
    dialect = NumpyDialect()

    def conditions(self, tensor: Tensor, code: str) -> tuple[list[str], dict[str, Any]]:
        name = f"dtype_{tensor.dtype}"
        return [
            f"isinstance({code}, is_array)",
            f"{code}.dtype == {name}",
        ], {"is_array": np.ndarray, name: find_dtype(tensor.dtype)}

    def refusal(self, tensor: Tensor, value: Any) -> str:
        if not isinstance(value, np.ndarray):
            hint = ""
            if type(value).__module__ == "torch":
                hint = "; load it with framework='torch' to call it with tensors of torch"
            return f"a {type(value).__name__} came, wanted a numpy.ndarray{hint}"
        if value.dtype != find_dtype(tensor.dtype):
            return f"elements of type {value.dtype} came, wanted {tensor.dtype}"
        if value.ndim != len(tensor.shape):
            return f"{value.ndim} dimensions came, wanted {len(tensor.shape)}"
        return ""

    def shares_memory(self, a: Any, b: Any) -> bool:
        return np.may_share_memory(a, b)

    def place(self, tensor: Any) -> Place:
        strides = tuple(step // tensor.dtype.itemsize for step in tensor.strides)
        return Place(tensor.ctypes.data, tensor.dtype.name, tensor.shape, strides)

    def example(self, dtype: str, shape: Sequence[int]) -> Any:
        kind = find_dtype(dtype)
        if not dtype.startswith(("float", "bfloat")):
            return np.ones(shape, kind)
        return np.random.default_rng(0).standard_normal(shape).astype(kind)

    def from_memory(
        self, memory: Any, offset: int, dtype: str, shape: list[int], strides: list[int]
    ) -> Any:
        kind = find_dtype(dtype)
        if 0 in shape:
            return np.empty(shape, kind)
        return np.ndarray(shape, kind, memory, offset, [step * kind.itemsize for step in strides])

    def freeze(self, tensor: Any) -> None:
        tensor.setflags(write=False)


FRAMEWORK = NumpyFramework()
