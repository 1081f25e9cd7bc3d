"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers
from dvm.torch.builder import Builder
from dvm.torch.value import Value

aten = torch.ops.aten


@lowers(COMPUTED, aten.gelu.default)
def gelu(b: Builder, node: fx.Node, x: fx.Node, approximate: str = "none") -> Value:
    return b.op("gelu_tanh" if approximate == "tanh" else "gelu", b.compute(x))


@lowers(COMPUTED, aten.silu.default)
def silu(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    return b.op("silu", b.compute(x))


@lowers(COMPUTED, aten.mish.default)
def mish(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return value * b.op("tanh", b.op("softplus", value))


@lowers(COMPUTED, aten.softplus.default)
def softplus(b: Builder, node: fx.Node, x: fx.Node, beta: Any = 1, threshold: Any = 20) -> Value:
    value = b.compute(x)
    scaled = value * b.number(beta, value.type)
    soft = b.op("softplus", scaled) / b.number(beta, value.type)
    return b.select(b.op("gt", scaled, b.number(threshold, value.type)), value, soft)


@lowers(COMPUTED, aten.hardtanh.default)
def hardtanh(b: Builder, node: fx.Node, x: fx.Node, low: Any = -1, high: Any = 1) -> Value:
    value = b.compute(x)
    return b.op("clamp", value, b.number(low, value.type), b.number(high, value.type))


@lowers(COMPUTED, aten.hardsigmoid.default)
def hardsigmoid(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    return _hard_step(b, b.compute(x)) / 6.0


@lowers(COMPUTED, aten.hardswish.default)
def hardswish(b: Builder, node: fx.Node, x: fx.Node) -> Value:
    value = b.compute(x)
    return value * _hard_step(b, value) / 6.0


def _hard_step(b: Builder, value: Value) -> Value:
    """A line from 0 at -3 to 6 at 3."""
    return b.op("clamp", value + 3.0, b.constant(0, value.type), b.constant(6, value.type))


@lowers(COMPUTED, aten.leaky_relu.default)
def leaky_relu(b: Builder, node: fx.Node, x: fx.Node, slope: Any = 0.01) -> Value:
    value = b.compute(x)
    return b.select(b.op("gt", value, 0), value, value * b.number(slope, value.type))


@lowers(COMPUTED, aten._prelu_kernel.default)
def prelu(b: Builder, node: fx.Node, x: fx.Node, weight: fx.Node) -> Value:
    value, slope = b.operands(x, weight)
    return b.select(b.op("gt", value, 0), value, value * slope)


@lowers(COMPUTED, aten.elu.default)
def elu(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    alpha: Any = 1,
    scale: Any = 1,
    input_scale: Any = 1,
) -> Value:
    value = b.compute(x)
    alpha, scale = b.number(alpha, value.type), b.number(scale, value.type)
    scaled = value * b.number(input_scale, value.type)
    below = b.op("expm1", scaled) * (alpha * scale)
    return b.select(b.op("gt", value, 0), value * scale, below)


@lowers(COMPUTED, aten.celu.default)
def celu(b: Builder, node: fx.Node, x: fx.Node, alpha: Any = 1.0) -> Value:
    value = b.compute(x)
    alpha = b.number(alpha, value.type)
    return b.select(b.op("gt", value, 0), value, b.op("expm1", value / alpha) * alpha)


@lowers(COMPUTED, aten.threshold.default)
def threshold(b: Builder, node: fx.Node, x: fx.Node, limit: Any, replacement: Any) -> Value:
    value = b.compute(x)
    above = b.op("le", value, b.number(limit, value.type))
    return b.select(above, b.number(replacement, value.type), value)


@lowers(COMPUTED, aten.softshrink.default)
def softshrink(b: Builder, node: fx.Node, x: fx.Node, lambd: Any = 0.5) -> Value:
    value = b.compute(x)
    width = b.number(lambd, value.type)
    inside = b.select(b.op("isnan", value), value, value * 0.0)
    below = b.select(b.op("lt", value, -width), value + width, inside)
    return b.select(b.op("gt", value, width), value - width, below)


@lowers(COMPUTED, aten.hardshrink.default)
def hardshrink(b: Builder, node: fx.Node, x: fx.Node, lambd: Any = 0.5) -> Value:
    value = b.compute(x)
    width = b.number(lambd, value.type)
    inside = b.op("logical_and", b.op("ge", value, -width), b.op("le", value, width))
    return b.select(inside, b.constant(0, value.type), value)


@lowers(COMPUTED, aten.log_sigmoid_forward.default)
def log_sigmoid(b: Builder, node: fx.Node, x: fx.Node) -> tuple[Value, Value]:
    value = b.compute(x)
    # The second result is what eager keeps for its own backward pass: exp(-|x|).
    shrunk = b.op("exp", -b.op("abs", value))
    return b.op("minimum", value, 0) - b.op("log1p", shrunk), shrunk


@lowers(COMPUTED, aten.sigmoid_backward.default)
def sigmoid_backward(b: Builder, node: fx.Node, gradient: fx.Node, y: fx.Node) -> Value:
    g, value = b.operands(gradient, y)
    return g * (value * (1 - value))


@lowers(COMPUTED, aten.tanh_backward.default)
def tanh_backward(b: Builder, node: fx.Node, gradient: fx.Node, y: fx.Node) -> Value:
    g, value = b.operands(gradient, y)
    return g * (1 - b.op("square", value))


@lowers(COMPUTED, aten.threshold_backward.default)
def threshold_backward(b: Builder, node: fx.Node, gradient: fx.Node, x: fx.Node, at: Any) -> Value:
    g, value = b.operands(gradient, x)
    return b.select(b.op("le", value, b.number(at, value.type)), b.constant(0, g.type), g)


@lowers(COMPUTED, aten.silu_backward.default)
def silu_backward(b: Builder, node: fx.Node, gradient: fx.Node, x: fx.Node) -> Value:
    g, value = b.operands(gradient, x)
    gate = b.op("sigmoid", value)
    return g * gate * (1 + value * (1 - gate))


@lowers(COMPUTED, aten.gelu_backward.default)
def gelu_backward(
    b: Builder, node: fx.Node, gradient: fx.Node, x: fx.Node, approximate: str = "none"
) -> Value:
    g, value = b.operands(gradient, x)
    if approximate == "tanh":
        scale, cubic = math.sqrt(2 / math.pi), 0.044715
        squared = b.op("square", value)
        bent = b.op("tanh", scale * (value + cubic * squared * value))
        slope = scale * (1 + 3 * cubic * squared)
        curved = 0.5 * value * (1 - b.op("square", bent)) * slope
        return g * (0.5 * (1 + bent) + curved)
    cumulative = 0.5 * (1 + b.op("erf", value * math.sqrt(0.5)))
    density = b.op("exp", b.op("square", value) * -0.5) * (1 / math.sqrt(2 * math.pi))
    return g * b.op("multiply_add", value, density, cumulative)
