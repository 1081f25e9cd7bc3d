"""Kernels, matrix products, convolutions, pools, scans and attentions of `explain()` in a line or two: what they
compute, from what to what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def kernel_line(kernel: dict[str, Any]) -> str:
    """For one entry of the "kernels" that an Executable explains."""
    axes = ", ".join(
        f"{axis['extent']}{' reduced' if axis['reduced'] else ''}" for axis in kernel["axes"]
    )
    reads, writes = (
        ", ".join(f"{_tensor(tensor)}" for tensor in kernel[way]) for way in ("inputs", "outputs")
    )
    return f"{' '.join(kernel['ops'])}\n    over [{axes}]: {reads or 'nothing'} -> {writes}"


def matmul_line(matmul: dict[str, Any], kernels: Sequence[dict[str, Any]]) -> str:
    """For one product, convolution, pool or scan that dvm.flow.products tells of; `kernels` are those among which its
    `epilogue` is a number."""
    operands = " by ".join(map(_tensor, matmul["operands"]))
    result = f"{matmul['type']}[{', '.join(map(str, matmul['shape']))}]"
    line = f"{operands} -> {result}, {matmul['flops']} flops"
    if matmul["epilogue"] is None:
        return line
    return f"{line}\n    whose tiles are finished by {' '.join(kernels[matmul['epilogue']]['ops'])}"


def attention_line(attention: dict[str, Any]) -> str:
    """For one that dvm.flow.products tells of."""
    operands = ", ".join(map(_tensor, attention["operands"]))
    result = f"{attention['type']}[{', '.join(map(str, attention['shape']))}]"
    causal = "causal, " if attention["causal"] else ""
    return f"{causal}of {operands} -> {result}, {attention['flops']} flops"


def _tensor(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} {tensor['type']}[{', '.join(map(str, tensor['shape']))}]"
