"""Operators of `dvm bench operators` without reductions: chains, activations, casts, integers, broadcasts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

import dvm
from dvm.bench.catalogue import BLOCKS, Operator, Shape, coins, integers, normal


def _same(count: int) -> Any:
    """Inputs: `count` tensors of the operator's shape, all different."""
    return lambda shape: tuple(normal(*shape) * (1 + 0.1 * i) for i in range(count))


def _with_bias(shape: Shape) -> tuple[Tensor, ...]:
    return normal(*shape), normal(shape[-1])


def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


@dvm.kernel
def add_kernel(k: Any, x: Any, y: Any) -> Any:
    return k.store(k.load(x) + k.load(y))


def chain(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.relu(x * y + z) * 0.5 - x


@dvm.kernel
def chain_kernel(k: Any, x: Any, y: Any, z: Any) -> Any:
    x = k.load(x)
    return k.store(k.relu(x * k.load(y) + k.load(z)) * 0.5 - x)


def polynomial(x: Tensor) -> Tensor:
    result = x * 0.01 + 0.1
    for coefficient in (0.2, -0.3, 0.4, -0.5, 1.0):
        result = result * x + coefficient
    return result


@dvm.kernel
def polynomial_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    result = x * 0.01 + 0.1
    for coefficient in (0.2, -0.3, 0.4, -0.5, 1.0):
        result = result * x + coefficient
    return k.store(result)


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


@dvm.kernel
def bias_gelu_kernel(k: Any, x: Any, bias: Any) -> Any:
    return k.store(k.gelu(k.load(x) + k.load(bias)))


def bias_relu_residual(x: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
    return torch.relu(x + bias) + residual


@dvm.kernel
def bias_relu_residual_kernel(k: Any, x: Any, bias: Any, residual: Any) -> Any:
    return k.store(k.relu(k.load(x) + k.load(bias)) + k.load(residual))


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


@dvm.kernel
def swiglu_kernel(k: Any, gate: Any, up: Any) -> Any:
    return k.store(k.silu(k.load(gate)) * k.load(up))


def geglu(gate: Tensor, up: Tensor) -> Tensor:
    return F.gelu(gate, approximate="tanh") * up


@dvm.kernel
def geglu_kernel(k: Any, gate: Any, up: Any) -> Any:
    return k.store(k.gelu_tanh(k.load(gate)) * k.load(up))


def lstm_cell(i: Tensor, f: Tensor, g: Tensor, c: Tensor) -> Tensor:
    return torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)


@dvm.kernel
def lstm_cell_kernel(k: Any, i: Any, f: Any, g: Any, c: Any) -> Any:
    kept = k.sigmoid(k.load(f)) * k.load(c)
    return k.store(kept + k.sigmoid(k.load(i)) * k.tanh(k.load(g)))


def stable_softplus(x: Tensor) -> Tensor:
    return torch.log1p(torch.exp(-torch.abs(x))) + torch.clamp(x, min=0)


@dvm.kernel
def stable_softplus_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    return k.store(k.log1p(k.exp(-k.abs(x))) + k.relu(x))


def rope(a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    return a * cos - b * sin, b * cos + a * sin


@dvm.kernel
def rope_kernel(k: Any, a: Any, b: Any, cos: Any, sin: Any) -> Any:
    a, b, cos, sin = k.load(a), k.load(b), k.load(cos), k.load(sin)
    return k.store(a * cos - b * sin), k.store(b * cos + a * sin)


def _rope_inputs(shape: Shape) -> tuple[Tensor, ...]:
    # The two halves of the last axis as views, as models cut them.
    a, b = normal(*shape).chunk(2, dim=-1)
    angles = normal(shape[1], shape[2] // 2)
    return a, b, torch.cos(angles), torch.sin(angles)


def broadcast(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    return (x + row) * torch.tanh(column)


@dvm.kernel
def broadcast_kernel(k: Any, x: Any, row: Any, column: Any) -> Any:
    return k.store((k.load(x) + k.load(row)) * k.tanh(k.load(column)))


def _broadcast_inputs(shape: Shape) -> tuple[Tensor, ...]:
    batch, rows, columns = shape
    return normal(*shape), normal(batch, 1, columns), normal(rows, 1)


def add_transposed(x: Tensor, y: Tensor) -> Tensor:
    return x + y.t()


@dvm.kernel
def add_transposed_kernel(k: Any, x: Any, y: Any) -> Any:
    return k.store(k.load(x) + k.load(y).T)


def scale_f16(x: Tensor, bias: Tensor) -> Tensor:
    return (x.float() * 1.5 + bias).half()


@dvm.kernel
def scale_f16_kernel(k: Any, x: Any, bias: Any) -> Any:
    return k.store(k.cast(k.cast(k.load(x), "f32") * 1.5 + k.load(bias), "f16"))


def gelu_bf16(x: Tensor) -> Tensor:
    return F.gelu(x)


@dvm.kernel
def gelu_bf16_kernel(k: Any, x: Any) -> Any:
    return k.store(k.gelu(k.load(x)))


def dequantize(x: Tensor, scale: Tensor) -> Tensor:
    return x.float() * scale


@dvm.kernel
def dequantize_kernel(k: Any, x: Any, scale: Any) -> Any:
    return k.store(k.cast(k.load(x), "f32") * k.load(scale))


def quantize(x: Tensor) -> Tensor:
    return torch.clamp(torch.round(x * 32.0), -128, 127).to(torch.int8)


@dvm.kernel
def quantize_kernel(k: Any, x: Any) -> Any:
    return k.store(k.cast(k.clamp(k.round(k.load(x) * 32.0), -128, 127), "i8"))


def hash_i32(a: Tensor, b: Tensor) -> Tensor:
    return ((a * 31 + b) ^ (a >> 3)) & 0xFFFF


@dvm.kernel
def hash_i32_kernel(k: Any, a: Any, b: Any) -> Any:
    a = k.load(a)
    return k.store(((a * 31 + k.load(b)) ^ (a >> 3)) & 0xFFFF)


def _i32_inputs(shape: Shape) -> tuple[Tensor, ...]:
    a = integers(*shape, low=-(2**20), high=2**20, dtype=torch.int32)
    return a, a.flip(0).contiguous()


def count_i64(a: Tensor) -> Tensor:
    return torch.where(a > 0, a * 2, -a) + 1


@dvm.kernel
def count_i64_kernel(k: Any, a: Any) -> Any:
    a = k.load(a)
    return k.store(k.where(a > 0, a * 2, -a) + 1)


def dropout(x: Tensor, keep: Tensor) -> Tensor:
    return torch.where(keep, x * 1.25, 0.0)


@dvm.kernel
def dropout_kernel(k: Any, x: Any, keep: Any) -> Any:
    return k.store(k.where(k.load(keep), k.load(x) * 1.25, 0.0))


def between(x: Tensor, y: Tensor) -> Tensor:
    return (x > -0.5) & (x < y)


@dvm.kernel
def between_kernel(k: Any, x: Any, y: Any) -> Any:
    x = k.load(x)
    return k.store((x > -0.5) & (x < k.load(y)))


OPERATORS = (
    Operator("add", add, add_kernel, _same(2), streaming=True),
    Operator("chain of 4", chain, chain_kernel, _same(3), streaming=True),
    Operator("polynomial", polynomial, polynomial_kernel, _same(1), streaming=True),
    Operator("bias + gelu", bias_gelu, bias_gelu_kernel, _with_bias, streaming=True),
    Operator(
        "bias + relu + residual",
        bias_relu_residual,
        bias_relu_residual_kernel,
        lambda shape: (*_with_bias(shape), normal(*shape) * 2),
        streaming=True,
    ),
    Operator("swiglu", swiglu, swiglu_kernel, _same(2), streaming=True),
    Operator("geglu (tanh)", geglu, geglu_kernel, _same(2), streaming=True),
    Operator("lstm cell", lstm_cell, lstm_cell_kernel, _same(4), streaming=True),
    Operator("stable softplus", stable_softplus, stable_softplus_kernel, _same(1), streaming=True),
    Operator("rope", rope, rope_kernel, _rope_inputs, BLOCKS),
    Operator("broadcast 3-d", broadcast, broadcast_kernel, _broadcast_inputs, BLOCKS),
    Operator(
        "add transposed",
        add_transposed,
        add_transposed_kernel,
        lambda shape: (normal(*shape), normal(shape[1], shape[0])),
    ),
    Operator(
        "scale f16",
        scale_f16,
        scale_f16_kernel,
        lambda shape: (normal(*shape, dtype=torch.float16), normal(shape[-1])),
        tolerance=1e-3,
    ),
    Operator(
        "gelu bf16",
        gelu_bf16,
        gelu_bf16_kernel,
        lambda shape: (normal(*shape, dtype=torch.bfloat16),),
        tolerance=1e-2,
    ),
    Operator(
        "dequantize i8",
        dequantize,
        dequantize_kernel,
        lambda shape: (
            integers(*shape, low=-128, high=128, dtype=torch.int8),
            normal(shape[0], 1),
        ),
    ),
    Operator("quantize i8", quantize, quantize_kernel, _same(1), tolerance=0.0),
    Operator("hash i32", hash_i32, hash_i32_kernel, _i32_inputs, tolerance=0.0),
    Operator(
        "select i64",
        count_i64,
        count_i64_kernel,
        lambda shape: (integers(*shape, low=-1000, high=1000, dtype=torch.int64),),
        tolerance=0.0,
    ),
    Operator(
        "dropout mask",
        dropout,
        dropout_kernel,
        lambda shape: (normal(*shape), coins(*shape, probability=0.8)),
    ),
    Operator("between", between, between_kernel, _same(2), tolerance=0.0),
)
