"""Reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.element_types import COMPUTE, FLOATS, NAMES
from dvm.torch.value import Declined, Value

aten = torch.ops.aten

Axes = int | Sequence[int] | None


def axes_of(value: Value, dim: Axes) -> list[int]:
    """The axes that `dim` names: none given means all."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(value.rank))
    return [dim] if isinstance(dim, int) else list(dim)


def result_type(node: fx.Node) -> str:
    """The type that the (first) result is computed in."""
    tensor = node.meta["val"]
    tensor = tensor[0] if isinstance(tensor, tuple | list) else tensor
    if tensor.dtype not in NAMES:
        raise Declined(f"the core has no type {tensor.dtype}")
    return COMPUTE[NAMES[tensor.dtype]]


def extent(b: Builder, x: fx.Node, axes: Sequence[int], type: str) -> Value:  # noqa: A002
    """How many elements each result of a reduction of `x` is made from."""
    shape = x.meta["val"].shape
    return b.count([shape[axis] for axis in axes] if len(shape) else [], type)


def _same_type(name: str, instruction: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default"))
    def build(
        b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False, **_: Any
    ) -> Value:
        value = b.compute(x)
        return b.reduce(instruction, value, axes_of(value, dim), keepdim)


_same_type("amax", "max")
_same_type("amin", "min")


def _whole_or_pair(name: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default"))
    def whole(b: Builder, node: fx.Node, x: fx.Node) -> Value:
        value = b.compute(x)
        return b.reduce(name, value, axes_of(value, None), False)

    @lowers(COMPUTED, *overloads(name, "dim"))
    def pair(
        b: Builder, node: fx.Node, x: fx.Node, dim: int, keepdim: bool = False
    ) -> tuple[Value, Value]:
        value = b.compute(x)
        return (
            b.reduce(name, value, [dim], keepdim),
            b.reduce(f"arg{name}", value, [dim], keepdim),
        )

    @lowers(COMPUTED, *overloads(f"arg{name}", "default"))
    def index(
        b: Builder, node: fx.Node, x: fx.Node, dim: int | None = None, keepdim: bool = False
    ) -> Value:
        value = b.compute(x)
        if dim is not None:
            return b.reduce(f"arg{name}", value, [dim], keepdim)
        shape = x.meta["val"].shape
        count = math.prod(shape) if len(shape) else 1
        flat = b.reshape(value, [b.symbols.size(count)])
        index = b.reduce(f"arg{name}", flat, [0], False)
        return b.reshape(index, [1] * value.rank) if keepdim else index


_whole_or_pair("max")
_whole_or_pair("min")


@lowers(COMPUTED, aten.aminmax.default)
def aminmax(
    b: Builder, node: fx.Node, x: fx.Node, *, dim: int | None = None, keepdim: bool = False
) -> tuple[Value, Value]:
    value = b.compute(x)
    axes = axes_of(value, dim)
    return b.reduce("min", value, axes, keepdim), b.reduce("max", value, axes, keepdim)


@lowers(COMPUTED, aten.sum.default, aten.sum.dim_IntList)
def total(
    b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False, **_: Any
) -> Value:
    value = b.cast(b.value(x), _sum_type(node))
    return b.reduce("sum", value, axes_of(value, dim), keepdim)


def _sum_type(node: fx.Node) -> str:
    type = result_type(node)  # noqa: A001
    return "i64" if type == "bool" else type


@lowers(COMPUTED, aten.prod.default, aten.prod.dim_int)
def product(
    b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False, **_: Any
) -> Value:
    value = b.cast(b.value(x), _sum_type(node))
    return b.reduce("prod", value, axes_of(value, dim), keepdim)


def _running(name: str, instruction: str) -> None:
    @lowers(COMPUTED, *overloads(name, "default"))
    def build(b: Builder, node: fx.Node, x: fx.Node, dim: int, **_: Any) -> Value:
        value = b.cast(b.value(x), _sum_type(node))
        return value if value.rank == 0 else b.scan(instruction, value, dim % value.rank)


_running("cumsum", "sum")
_running("cumprod", "prod")


@lowers(COMPUTED, aten.mean.default, aten.mean.dim)
def mean(
    b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False, **_: Any
) -> Value:
    value = b.cast(b.value(x), result_type(node))
    axes = axes_of(value, dim)
    return b.reduce("sum", value, axes, keepdim) / extent(b, x, axes, value.type)


@lowers(COMPUTED, *overloads("any", "default", "dim", "dims"))
def any_of(b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False) -> Value:
    return _logical(b, "any", x, dim, keepdim)


@lowers(COMPUTED, *overloads("all", "default", "dim", "dims"))
def all_of(b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False) -> Value:
    return _logical(b, "all", x, dim, keepdim)


def _logical(b: Builder, name: str, x: fx.Node, dim: Axes, keepdim: bool) -> Value:
    value = b.cast(b.value(x), "bool")
    if dim is not None and not isinstance(dim, int) and len(dim) == 0:
        return value  # here, unlike elsewhere, an empty list means no axis
    return b.reduce(name, value, axes_of(value, dim), keepdim)


@lowers(COMPUTED, aten.count_nonzero.default, aten.count_nonzero.dim_IntList)
def count_nonzero(b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None) -> Value:
    value = b.cast(b.cast(b.value(x), "bool"), "i64")
    return b.reduce("sum", value, axes_of(value, dim), False)


@lowers(COMPUTED, *overloads("nansum", "default"))
def nansum(
    b: Builder, node: fx.Node, x: fx.Node, dim: Axes = None, keepdim: bool = False, **_: Any
) -> Value:
    value = b.cast(b.value(x), _sum_type(node))
    if value.type in FLOATS:
        value = b.select(b.op("isnan", value), 0.0, value)
    return b.reduce("sum", value, axes_of(value, dim), keepdim)


# Variance.


def moments(
    b: Builder, x: fx.Node, value: Value, axes: Sequence[int], correction: Any
) -> tuple[Value, Value]:
    """The variance and the mean over `axes`, which are kept."""
    count = extent(b, x, axes, value.type)
    average = b.reduce("sum", value, axes) / count
    squares = b.reduce("sum", b.op("square_diff", value, average), axes)
    return squares / _free_count(b, count, correction), average


def _free_count(b: Builder, count: Value, correction: Any) -> Value:
    if not isinstance(correction, fx.Node) and correction == 0:
        return count
    return b.op("maximum", count - b.number(correction, count.type), 0)


def _spread(
    b: Builder, node: fx.Node, x: fx.Node, dim: Axes, correction: Any, keepdim: bool
) -> tuple[Value, Value]:
    correction = {None: 1, True: 1, False: 0}.get(correction, correction)
    value = b.cast(b.value(x), result_type(node))
    axes = axes_of(value, dim)
    variance, average = moments(b, x, value, axes, correction)
    if keepdim or value.rank == 0:
        return variance, average
    axes = [axis % value.rank for axis in axes]
    kept = [size for axis, size in enumerate(value.shape) if axis not in axes]
    return b.reshape(variance, kept), b.reshape(average, kept)


@lowers(COMPUTED, aten.var.default, aten.var.dim)
def var_unbiased(b: Builder, node: fx.Node, x: fx.Node, *arguments: Any, **named: Any) -> Value:
    return _spread(b, node, x, *_unbiased(*arguments, **named))[0]


@lowers(COMPUTED, aten.var.correction)
def var(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    dim: Axes = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> Value:
    return _spread(b, node, x, dim, correction, keepdim)[0]


@lowers(COMPUTED, aten.std.default, aten.std.dim)
def std_unbiased(b: Builder, node: fx.Node, x: fx.Node, *arguments: Any, **named: Any) -> Value:
    return b.op("sqrt", _spread(b, node, x, *_unbiased(*arguments, **named))[0])


@lowers(COMPUTED, aten.std.correction)
def std(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    dim: Axes = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> Value:
    return b.op("sqrt", _spread(b, node, x, dim, correction, keepdim)[0])


@lowers(COMPUTED, aten.var_mean.correction)
def var_mean(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    dim: Axes = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> tuple[Value, Value]:
    return _spread(b, node, x, dim, correction, keepdim)


@lowers(COMPUTED, aten.std_mean.correction)
def std_mean(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    dim: Axes = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> tuple[Value, Value]:
    variance, average = _spread(b, node, x, dim, correction, keepdim)
    return b.op("sqrt", variance), average


def _unbiased(*arguments: Any, **named: Any) -> tuple[Axes, int, bool]:
    """(dim, correction, keepdim) of the older overloads: (unbiased), or (dim, unbiased, keepdim)."""
    if not arguments or isinstance(arguments[0], bool):
        arguments = (None, *arguments)
    dim, unbiased, keepdim = (*arguments, True, False)[:3] if len(arguments) < 3 else arguments
    return dim, int(named.get("unbiased", unbiased)), bool(named.get("keepdim", keepdim))


# Norms and log-sums.


@lowers(COMPUTED, aten.logsumexp.default)
def logsumexp(b: Builder, node: fx.Node, x: fx.Node, dim: Axes, keepdim: bool = False) -> Value:
    value = b.compute(x, to_float=True)
    axes = axes_of(value, dim)
    peak = b.reduce("max", value, axes)
    # An infinite peak would make nan of inf - inf; torch leaves it out.
    peak = b.select(b.op("isinf", peak), 0.0, peak)
    result = b.op("log", b.reduce("sum", b.op("exp_sub", value, peak), axes)) + peak
    if keepdim or value.rank == 0:
        return result
    axes = [axis % value.rank for axis in axes]
    return b.reshape(result, [n for axis, n in enumerate(value.shape) if axis not in axes])


@lowers(COMPUTED, aten.linalg_vector_norm.default)
def vector_norm(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    order: Any = 2,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Value:
    if isinstance(order, fx.Node):
        raise Declined("the order of the norm is not known at compile time")
    value = b.cast(b.value(x), result_type(node))
    axes = axes_of(value, dim)
    if order == 2:
        return b.op("sqrt", b.reduce("sum", b.op("square", value), axes, keepdim))
    if order == 0:
        nonzero = b.cast(b.op("ne", value, 0), value.type)
        return b.reduce("sum", nonzero, axes, keepdim)
    size = b.op("abs", value)
    if order == math.inf:
        return b.reduce("max", size, axes, keepdim)
    if order == -math.inf:
        return b.reduce("min", size, axes, keepdim)
    if order == 1:
        return b.reduce("sum", size, axes, keepdim)
    powers = b.reduce("sum", b.op("pow", size, float(order)), axes, keepdim)
    return b.op("pow", powers, 1 / float(order))


@lowers(COMPUTED, *overloads("norm", "Scalar", "ScalarOpt_dim"))
def norm(
    b: Builder, node: fx.Node, x: fx.Node, p: Any = 2, dim: Axes = None, keepdim: bool = False
) -> Value:
    return vector_norm(b, node, x, 2 if p is None else p, dim, keepdim)


@lowers(COMPUTED, *overloads("norm", "ScalarOpt_dtype"))
def norm_dtype(b: Builder, node: fx.Node, x: fx.Node, p: Any, *, dtype: torch.dtype) -> Value:
    return vector_norm(b, node, x, 2 if p is None else p)


@lowers(COMPUTED, *overloads("norm", "ScalarOpt_dim_dtype"))
def norm_dim_dtype(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    p: Any,
    dim: Axes,
    keepdim: bool = False,
    *,
    dtype: torch.dtype,
) -> Value:
    return vector_norm(b, node, x, 2 if p is None else p, dim, keepdim)
