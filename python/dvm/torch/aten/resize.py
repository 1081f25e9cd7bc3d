"""Resizing images: the nearest element, or a mean of the two nearest along each axis. Elements are picked by index,
which follows from the place as in torch's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.symbols import expression
from dvm.torch.value import Declined, Value

aten = torch.ops.aten


@lowers(
    COMPUTED,
    aten.upsample_nearest1d.default,
    aten.upsample_nearest2d.default,
    aten.upsample_nearest3d.default,
)
def nearest(
    b: Builder, node: fx.Node, x: fx.Node, output_size: Sequence[Any], *scales: Any
) -> Value:
    return _nearest(b, node, x, scales)


@lowers(
    COMPUTED,
    *(overload for axes in (1, 2, 3) for overload in overloads(f"upsample_nearest{axes}d", "vec")),
)
def nearest_by_factors(
    b: Builder, node: fx.Node, x: fx.Node, output_size: Any, scale_factors: Any
) -> Value:
    return _nearest(b, node, x, scale_factors or ())


def _nearest(b: Builder, node: fx.Node, x: fx.Node, scales: Sequence[Any]) -> Value:
    value = _operand(b, x)
    for axis in reversed(range(x.meta["val"].dim() - 2)):
        size, wanted = (n.meta["val"].shape[2 + axis] for n in (x, node))
        factor = _whole_factor(size, wanted)
        if factor is not None:
            value = _repeated(b, value, 2 + axis, factor)
            continue
        place = b.cast(b.iota([wanted], 0), "f32")
        at = b.cast(place * _step(b, size, wanted, scales, axis, corners=False), "i64")
        at = b.op("minimum", at, b.size(size) - 1)
        value = b.gather(value, _along(b, at, value.rank, 2 + axis), 2 + axis)
    return value


@lowers(COMPUTED, aten.upsample_bilinear2d.default)
def bilinear(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    output_size: Sequence[Any],
    align_corners: bool,
    *scales: Any,
) -> Value:
    return _linear(b, node, x, align_corners, scales)


@lowers(
    COMPUTED,
    *overloads("upsample_bilinear2d", "vec"),
    *overloads("upsample_linear1d", "vec"),
)
def bilinear_by_factors(
    b: Builder, node: fx.Node, x: fx.Node, output_size: Any, align_corners: bool, scale_factors: Any
) -> Value:
    return _linear(b, node, x, align_corners, scale_factors or ())


def _linear(
    b: Builder, node: fx.Node, x: fx.Node, align_corners: bool, scales: Sequence[Any]
) -> Value:
    """Axis by axis from the last, along which elements are picked one by one: that is done while there are fewer."""
    value = _operand(b, x)
    for axis in reversed(range(x.meta["val"].dim() - 2)):
        size, wanted = (n.meta["val"].shape[2 + axis] for n in (x, node))
        place = b.cast(b.iota([wanted], 0), "f32")
        step = _step(b, size, wanted, scales, axis, corners=align_corners)
        if align_corners:
            source = place * step
        else:
            source = b.op("maximum", (place + 0.5) * step - 0.5, 0.0)
        last = b.size(size) - 1
        low = b.op("minimum", b.cast(source, "i64"), last)
        high = b.op("minimum", low + 1, last)
        share = b.op("minimum", b.op("maximum", source - b.cast(low, "f32"), 0.0), 1.0)
        near, far = (
            b.gather(value, _along(b, at, value.rank, 2 + axis), 2 + axis) for at in (low, high)
        )
        weight = _along(b, share, value.rank, 2 + axis)
        value = near * (1 - weight) + far * weight
    return value


def _operand(b: Builder, x: fx.Node) -> Value:
    if x.meta["val"].dtype != torch.float32:
        raise Declined(f"the core resizes no {x.meta['val'].dtype}")
    return b.value(x)


def _along(b: Builder, value: Value, rank: int, axis: int) -> Value:
    """A vector as a tensor that lies along `axis`."""
    return b.reshape(value, [1] * axis + value.shape + [1] * (rank - axis - 1))


def _whole_factor(size: Any, wanted: Any) -> int | None:
    """How many times `wanted` has the elements of `size`, if that is a whole number for all sizes."""
    factor = expression(wanted) / expression(size) if expression(size) != 0 else None
    return int(factor) if factor is not None and factor.is_Integer else None


def _repeated(b: Builder, value: Value, axis: int, factor: int) -> Value:
    """Every element `factor` times."""
    if factor == 1:
        return value
    before, size, after = value.shape[:axis], value.shape[axis], value.shape[axis + 1 :]
    wide = b.expand(b.reshape(value, [*before, size, 1, *after]), [*before, size, factor, *after])
    whole = size * factor if isinstance(size, int) else f"({size}*{factor})"
    return b.reshape(wide, [*before, whole, *after])


def _step(
    b: Builder, size: Any, wanted: Any, scales: Sequence[Any], axis: int, *, corners: bool
) -> Value:
    """From one element of the result to the next, in elements of the operand."""
    if corners:
        gaps = b.op("maximum", b.size(wanted) - 1, 1)
        step = b.cast(b.size(size) - 1, "f32") / b.cast(gaps, "f32")
        return b.select(b.op("gt", b.size(wanted), 1), step, 0.0)
    scale = scales[axis] if axis < len(scales) else None
    if isinstance(scale, float) and scale > 0:
        return b.constant(1.0 / scale, "f32")
    if scale is not None:
        raise Declined("its scale is not a constant")
    return b.cast(b.size(size), "f32") / b.cast(b.size(wanted), "f32")
