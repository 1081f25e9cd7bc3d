"""Operators of `dvm bench operators` that reduce: softmaxes, normalisations, sums over rows, columns and all."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

import dvm
from dvm.bench.catalogue import CHANNELS, Operator, Shape, coins, integers, normal

_GROUPS = 8


def _one(shape: Shape) -> tuple[Tensor, ...]:
    return (normal(*shape),)


def _affine(shape: Shape) -> tuple[Tensor, ...]:
    return normal(*shape), normal(shape[-1]), normal(shape[-1]) * 0.1


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


@dvm.kernel
def softmax_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))


def masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(torch.where(mask, x * 0.125, float("-inf")), -1)


@dvm.kernel
def masked_softmax_kernel(k: Any, x: Any, mask: Any) -> Any:
    x = k.where(k.load(mask), k.load(x) * 0.125, float("-inf"))
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))


def _masked_inputs(shape: Shape) -> tuple[Tensor, ...]:
    mask = coins(*shape, probability=0.7)
    mask[:, 0] = True
    return normal(*shape), mask


def log_softmax(x: Tensor) -> Tensor:
    return torch.log_softmax(x, -1)


@dvm.kernel
def log_softmax_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    shifted = x - k.max(x, axis=-1, keepdims=True)
    return k.store(shifted - k.log(k.sum(k.exp(shifted), axis=-1, keepdims=True)))


def logsumexp(x: Tensor) -> Tensor:
    return torch.logsumexp(x, -1)


@dvm.kernel
def logsumexp_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    top = k.max(x, axis=-1, keepdims=True)
    return k.store(k.squeeze(top + k.log(k.sum(k.exp(x - top), axis=-1, keepdims=True)), -1))


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), weight, bias)


def _normalized(k: Any, x: Any, axis: Any) -> Any:
    centred = x - k.mean(x, axis=axis, keepdims=True)
    return centred * k.rsqrt(k.mean(centred * centred, axis=axis, keepdims=True) + 1e-5)


@dvm.kernel
def layer_norm_kernel(k: Any, x: Any, weight: Any, bias: Any) -> Any:
    return k.store(_normalized(k, k.load(x), -1) * k.load(weight) + k.load(bias))


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, 1e-6)


@dvm.kernel
def rms_norm_kernel(k: Any, x: Any, weight: Any) -> Any:
    x = k.load(x)
    return k.store(x * k.rsqrt(k.mean(x * x, axis=-1, keepdims=True) + 1e-6) * k.load(weight))


def residual_layer_norm(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x + residual, (x.shape[-1],), weight, bias)


@dvm.kernel
def residual_layer_norm_kernel(k: Any, x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    x = k.load(x) + k.load(residual)
    return k.store(_normalized(k, x, -1) * k.load(weight) + k.load(bias))


def group_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, _GROUPS, weight, bias)


@dvm.kernel
def group_norm_kernel(k: Any, x: Any, weight: Any, bias: Any) -> Any:
    x = k.load(x)
    batch, channels, positions = x.shape
    grouped = x.reshape(batch, _GROUPS, channels // _GROUPS, positions)
    weight = k.load(weight).reshape(_GROUPS, channels // _GROUPS, 1)
    bias = k.load(bias).reshape(_GROUPS, channels // _GROUPS, 1)
    y = _normalized(k, grouped, (2, 3)) * weight + bias
    return k.store(y.reshape(batch, channels, positions))


def _group_inputs(shape: Shape) -> tuple[Tensor, ...]:
    return normal(*shape), normal(shape[1]), normal(shape[1]) * 0.1


def batch_norm(x: Tensor) -> Tensor:
    return (x - x.mean(0)) * torch.rsqrt(x.var(0, correction=0) + 1e-5)


@dvm.kernel
def batch_norm_kernel(k: Any, x: Any) -> Any:
    return k.store(_normalized(k, k.load(x), 0))


def l2_normalize(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


@dvm.kernel
def l2_normalize_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    return k.store(x / k.maximum(k.sqrt(k.sum(x * x, axis=-1, keepdims=True)), 1e-12))


def row_sum(x: Tensor) -> Tensor:
    return x.sum(-1)


@dvm.kernel
def row_sum_kernel(k: Any, x: Any) -> Any:
    return k.store(k.sum(k.load(x), axis=-1))


def column_sum(x: Tensor) -> Tensor:
    return x.sum(0)


@dvm.kernel
def column_sum_kernel(k: Any, x: Any) -> Any:
    return k.store(k.sum(k.load(x), axis=0))


def all_sum(x: Tensor) -> Tensor:
    return x.sum()


@dvm.kernel
def all_sum_kernel(k: Any, x: Any) -> Any:
    return k.store(k.sum(k.load(x)))


def column_max(x: Tensor) -> Tensor:
    return x.amax(0)


@dvm.kernel
def column_max_kernel(k: Any, x: Any) -> Any:
    return k.store(k.max(k.load(x), axis=0))


def variance(x: Tensor) -> Tensor:
    return x.var(-1, correction=0)


@dvm.kernel
def variance_kernel(k: Any, x: Any) -> Any:
    x = k.load(x)
    centred = x - k.mean(x, axis=-1, keepdims=True)
    return k.store(k.mean(centred * centred, axis=-1))


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) * (x - y)).mean()


@dvm.kernel
def squared_error_kernel(k: Any, x: Any, y: Any) -> Any:
    difference = k.load(x) - k.load(y)
    return k.store(k.mean(difference * difference))


def argmax(x: Tensor) -> Tensor:
    return x.argmax(-1)


@dvm.kernel
def argmax_kernel(k: Any, x: Any) -> Any:
    return k.store(k.argmax(k.load(x), axis=-1))


def cross_entropy(x: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(x, target, reduction="none")


@dvm.kernel
def cross_entropy_kernel(k: Any, x: Any, target: Any) -> Any:
    x, target = k.load(x), k.load(target)
    peak = k.max(x, axis=-1, keepdims=True)
    total = k.sum(k.exp(x - peak), axis=-1, keepdims=True)
    losses = k.log(total) + peak - k.gather(x, target[:, None], axis=-1)
    return k.store(k.squeeze(losses, -1))


def _labelled(shape: Shape) -> tuple[Tensor, ...]:
    return normal(*shape), integers(shape[0], low=0, high=shape[1], dtype=torch.int64)


OPERATORS = (
    Operator("softmax", softmax, softmax_kernel, _one),
    Operator("masked softmax", masked_softmax, masked_softmax_kernel, _masked_inputs),
    Operator("log_softmax", log_softmax, log_softmax_kernel, _one),
    Operator("logsumexp", logsumexp, logsumexp_kernel, _one),
    Operator("layer_norm", layer_norm, layer_norm_kernel, _affine),
    Operator("rms_norm", rms_norm, rms_norm_kernel, lambda shape: _affine(shape)[:2]),
    Operator(
        "residual + layer_norm",
        residual_layer_norm,
        residual_layer_norm_kernel,
        lambda shape: (normal(*shape), normal(*shape) * 0.5, *_affine(shape)[1:]),
    ),
    Operator("group_norm", group_norm, group_norm_kernel, _group_inputs, CHANNELS),
    Operator("batch_norm", batch_norm, batch_norm_kernel, _one),
    Operator("l2 normalize", l2_normalize, l2_normalize_kernel, _one),
    Operator("row sum", row_sum, row_sum_kernel, _one),
    Operator("column sum", column_sum, column_sum_kernel, _one),
    Operator("sum of all", all_sum, all_sum_kernel, _one),
    Operator("column max", column_max, column_max_kernel, _one),
    Operator("variance", variance, variance_kernel, _one),
    Operator(
        "mean squared error",
        squared_error,
        squared_error_kernel,
        lambda shape: (normal(*shape), normal(*shape) * 0.5),
    ),
    Operator("argmax", argmax, argmax_kernel, _one, tolerance=0.0),
    Operator("cross entropy", cross_entropy, cross_entropy_kernel, _labelled),
)
