"""Tensors made from numbers alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import CREATED, lowers
from dvm.torch.builder import Builder
from dvm.torch.element_types import COMPUTE, FLOATS
from dvm.torch.value import Value

aten = torch.ops.aten


def _filled(b: Builder, node: fx.Node, number: Any) -> Value:
    type, shape = b.described(node.meta["val"])  # noqa: A001
    return b.expand(b.number(number, COMPUTE[type]), shape)


@lowers(CREATED, aten.full.default)
def full(b: Builder, node: fx.Node, size: Any, number: Any, **_: Any) -> Value:
    return _filled(b, node, number)


@lowers(CREATED, aten.full_like.default, aten.fill.Scalar)
def full_like(b: Builder, node: fx.Node, x: fx.Node, number: Any, **_: Any) -> Value:
    return _filled(b, node, number)


@lowers(CREATED, aten.new_full.default)
def new_full(b: Builder, node: fx.Node, x: fx.Node, size: Any, number: Any, **_: Any) -> Value:
    return _filled(b, node, number)


@lowers(
    CREATED, aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default, aten.zero.default
)
def zeros(b: Builder, node: fx.Node, *_: Any, **__: Any) -> Value:
    return _filled(b, node, 0)


@lowers(CREATED, aten.ones.default, aten.ones_like.default, aten.new_ones.default)
def ones(b: Builder, node: fx.Node, *_: Any, **__: Any) -> Value:
    return _filled(b, node, 1)


@lowers(CREATED, aten.scalar_tensor.default)
def scalar_tensor(b: Builder, node: fx.Node, number: Any, **_: Any) -> Value:
    return _filled(b, node, number)


@lowers(CREATED, aten.arange.default)
def arange(b: Builder, node: fx.Node, end: Any, **_: Any) -> Value:
    return arange_step(b, node, 0, end)


@lowers(CREATED, aten.arange.start)
def arange_start(b: Builder, node: fx.Node, start: Any, end: Any, **_: Any) -> Value:
    return arange_step(b, node, start, end)


@lowers(CREATED, aten.arange.start_step)
def arange_step(b: Builder, node: fx.Node, start: Any, end: Any, step: Any = 1, **_: Any) -> Value:
    tensor = node.meta["val"]
    # Eager steps in double precision for every float type.
    type = "f64" if b.described(tensor)[0] in FLOATS else "i64"  # noqa: A001
    position = b.cast(b.iota(tensor.shape, 0), type)
    if (start, step) == (0, 1):
        return position
    return b.op("multiply_add", position, b.number(step, type), b.number(start, type))


@lowers(CREATED, torch.ops.prims.iota.default)
def prims_iota(b: Builder, node: fx.Node, length: Any, *, start: Any, step: Any, **_: Any) -> Value:
    return arange_step(b, node, start, None, step)
