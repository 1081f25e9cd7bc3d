"""Softmax and the normalisations: each one group of instructions that fuses into one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.reduce import moments, result_type
from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.value import Value

aten = torch.ops.aten


@lowers(COMPUTED, aten._softmax.default)
def softmax(b: Builder, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> Value:
    value = b.cast(b.value(x), result_type(node))
    powers = b.op("exp_sub", value, b.reduce("max", value, [dim]))
    return powers / b.reduce("sum", powers, [dim])


@lowers(COMPUTED, *overloads("_safe_softmax", "default"))
def safe_softmax(
    b: Builder, node: fx.Node, x: fx.Node, dim: int, dtype: torch.dtype | None = None
) -> Value:
    value = b.cast(b.value(x), result_type(node))
    peak = b.reduce("max", value, [dim])
    powers = b.op("exp_sub", value, peak)
    # A row that is masked out altogether gives zeros.
    masked = b.op("eq", peak, float("-inf"))
    return b.select(masked, 0.0, powers / b.reduce("sum", powers, [dim]))


@lowers(COMPUTED, aten._log_softmax.default)
def log_softmax(b: Builder, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> Value:
    value = b.cast(b.value(x), result_type(node))
    peak = b.reduce("max", value, [dim])
    total = b.reduce("sum", b.op("exp_sub", value, peak), [dim])
    return (value - peak) - b.op("log", total)


@lowers(COMPUTED, aten._softmax_backward_data.default)
def softmax_backward(
    b: Builder, node: fx.Node, gradient: fx.Node, y: fx.Node, dim: int, dtype: torch.dtype
) -> Value:
    g, value = b.operands(gradient, y)
    weighted = g * value
    return weighted - value * b.reduce("sum", weighted, [dim])


@lowers(COMPUTED, aten._log_softmax_backward_data.default)
def log_softmax_backward(
    b: Builder, node: fx.Node, gradient: fx.Node, y: fx.Node, dim: int, dtype: torch.dtype
) -> Value:
    g, value = b.operands(gradient, y)
    return g - b.op("exp", value) * b.reduce("sum", g, [dim])


def _affine(b: Builder, value: Value, weight: Value | None, bias: Value | None) -> Value:
    if weight is not None and bias is not None:
        return b.op("multiply_add", value, weight, bias)
    if weight is not None:
        return value * weight
    return value if bias is None else value + bias


def _parameter(b: Builder, node: fx.Node | None, type: str) -> Value | None:  # noqa: A002
    return None if node is None else b.cast(b.value(node), type)


@lowers(COMPUTED, aten.native_layer_norm.default)
def layer_norm(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    normalized_shape: Sequence[Any],
    weight: fx.Node | None,
    bias: fx.Node | None,
    eps: Any,
) -> tuple[Value, Value, Value]:
    value = b.compute(x)
    axes = list(range(value.rank - len(normalized_shape), value.rank))
    variance, mean = moments(b, x, value, axes, 0)
    scale = b.op("rsqrt", variance + b.number(eps, value.type))
    normal = b.op("sub_mul", value, mean, scale)
    parameters = (_parameter(b, weight, value.type), _parameter(b, bias, value.type))
    return _affine(b, normal, *parameters), mean, scale


@lowers(COMPUTED, *overloads("_fused_rms_norm", "default"))
def rms_norm(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    normalized_shape: Sequence[Any],
    weight: fx.Node | None,
    eps: Any,
) -> tuple[Value, Value]:
    value = b.compute(x)
    axes = list(range(value.rank - len(normalized_shape), value.rank))
    shape = x.meta["val"].shape
    count = b.count([shape[axis] for axis in axes], value.type)
    squares = b.reduce("sum", b.op("square", value), axes) / count
    if eps is None:
        eps = torch.finfo(x.meta["val"].dtype).eps
    scale = b.op("rsqrt", squares + b.number(eps, value.type))
    return _affine(b, value * scale, _parameter(b, weight, value.type), None), scale


@lowers(COMPUTED, aten.native_group_norm.default)
def group_norm(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node | None,
    bias: fx.Node | None,
    batch: Any,
    channels: Any,
    elements: Any,
    groups: int,
    eps: Any,
) -> tuple[Value, Value, Value]:
    shape = x.meta["val"].shape
    size = b.symbols.size
    per_group = shape[1] // groups
    spatial = b.symbols.shape(shape[2:])
    value = b.reshape(b.compute(x), [size(shape[0]), groups, size(per_group), *spatial])
    axes = list(range(2, value.rank))
    count = b.count([per_group, *shape[2:]], value.type)
    mean = b.reduce("sum", value, axes) / count
    variance = b.reduce("sum", b.op("square_diff", value, mean), axes) / count
    scale = b.op("rsqrt", variance + b.number(eps, value.type))
    normal = b.op("sub_mul", value, mean, scale)
    parameter_shape = [groups, size(per_group), *([1] * len(spatial))]
    parameters = [
        None if p is None else b.cast(b.reshape(b.value(p), parameter_shape), value.type)
        for p in (weight, bias)
    ]
    result = b.reshape(_affine(b, normal, *parameters), b.symbols.shape(shape))
    statistics = [size(shape[0]), groups]
    return result, b.reshape(mean, statistics), b.reshape(scale, statistics)


@lowers(COMPUTED, *overloads("_native_batch_norm_legit_no_training", "default"))
def batch_norm(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node | None,
    bias: fx.Node | None,
    mean: fx.Node,
    variance: fx.Node,
    momentum: Any,
    eps: Any,
) -> tuple[Value, Value, Value]:
    value = b.compute(x)

    def per_channel(node: fx.Node | None) -> Value | None:
        if node is None:
            return None
        parameter = b.cast(b.value(node), value.type)
        return b.reshape(parameter, [*parameter.shape, *([1] * (value.rank - 2))])

    average, spread = per_channel(mean), per_channel(variance)
    assert average is not None
    assert spread is not None
    scale = b.op("rsqrt", spread + b.number(eps, value.type))
    normal = b.op("sub_mul", value, average, scale)
    # Inference saves no statistics: torch returns two empty tensors in their place.
    nothing = b.expand(b.constant(0, value.type), [0])
    return _affine(b, normal, per_channel(weight), per_channel(bias)), nothing, nothing
