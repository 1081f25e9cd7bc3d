"""Tensors of torch, as framework.py asks. Imports torch, but nothing of its compilers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dvm.compiled.framework import Place
from dvm.compiled.signature import Tensor
from dvm.flow.json_form import NotSaveableError
from dvm.flow.torch_dialect import TorchDialect


class TorchFramework:
    """See dvm.compiled.framework.Framework."""

    name = "torch"
    tensor = torch.Tensor
    dialect = TorchDialect()

    def conditions(self, tensor: Tensor, code: str) -> tuple[list[str], dict[str, Any]]:
        dtype = f"dtype_{tensor.dtype}"
        named: dict[str, Any] = {
            "is_tensor": torch.Tensor,
            "strided": torch.strided,
            "is_grad_enabled": torch.is_grad_enabled,
            dtype: getattr(torch, tensor.dtype),
        }
        if tensor.device == "cpu":
            device = f"{code}.is_cpu"
        else:
            named["device_" + tensor.device.replace(":", "_")] = torch.device(tensor.device)
            device = f"{code}.device == device_{tensor.device.replace(':', '_')}"
        return [
            f"isinstance({code}, is_tensor)",
            f"{code}.dtype is {dtype}",
            device,
            f"{code}.layout is strided",
            f"not ({code}.requires_grad and is_grad_enabled())",
        ], named

    def refusal(self, tensor: Tensor, value: Any) -> str:
        if not isinstance(value, torch.Tensor):
            return f"a {type(value).__name__} came, wanted a torch.Tensor"
        if value.dtype is not getattr(torch, tensor.dtype):
            came = str(value.dtype).removeprefix("torch.")
            return f"elements of type {came} came, wanted {tensor.dtype}"
        if value.device != torch.device(tensor.device):
            return f"a tensor on {value.device} came, wanted one on {tensor.device}"
        if value.layout is not torch.strided:
            return f"a tensor of the layout {value.layout} came, wanted torch.strided"
        if value.dim() != len(tensor.shape):
            return f"{value.dim()} dimensions came, wanted {len(tensor.shape)}"
        if value.requires_grad and torch.is_grad_enabled():
            return (
                "it requires gradients, which a compiled model does not compute: "
                "call it under torch.no_grad(), or detach the tensor"
            )
        return ""

    def shares_memory(self, a: Any, b: Any) -> bool:
        if a.device != b.device or not a.numel() or not b.numel():
            return False
        first, second = a.data_ptr(), b.data_ptr()
        return first < second + _reach(b) and second < first + _reach(a) if first else False

    def place(self, tensor: Any) -> Place:
        if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            raise NotSaveableError(f"a tensor of the layout {tensor.layout} on {tensor.device}")
        if tensor.is_conj() or tensor.is_neg():
            raise NotSaveableError("a tensor that is conjugated or negated when it is read")
        dtype = str(tensor.dtype).removeprefix("torch.")
        return Place(tensor.data_ptr(), dtype, tuple(tensor.shape), tensor.stride())

    def example(self, dtype: str, shape: Sequence[int]) -> Any:
        kind = getattr(torch, dtype)
        return (
            torch.randn(shape).to(kind) if kind.is_floating_point else torch.ones(shape, dtype=kind)
        )

    def from_memory(
        self, memory: Any, offset: int, dtype: str, shape: list[int], strides: list[int]
    ) -> Any:
        kind = getattr(torch, dtype)
        if 0 in shape:
            return torch.empty_strided(shape, strides, dtype=kind)
        count = 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        flat = torch.frombuffer(memory, dtype=kind, count=count, offset=offset)
        return flat.as_strided(shape, strides)

    def freeze(self, tensor: Any) -> None:
        """torch has no such tensors; it counts what is written instead."""


def _reach(tensor: torch.Tensor) -> int:
    """The bytes from its first element to behind its last."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return int(tensor.itemsize) * (1 + sum((size - 1) * stride for size, stride in sizes))


FRAMEWORK = TorchFramework()
