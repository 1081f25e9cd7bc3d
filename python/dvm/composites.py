"""Compositions of instructions that kernels need often: statistics and normalisations.

Half floats are computed in f32 from the first operation to the last, and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dvm.element_types import Kind
from dvm.handles import Dim, Handle, Operand
from dvm.instructions import TABLE

if TYPE_CHECKING:
    from dvm.trace import Trace


class Composites:
    """The part of `k` that is written in terms of the rest of it."""

    _trace: Trace

    if TYPE_CHECKING:  # what the Builder adds
        _axes: Callable[..., tuple[int, ...]]

        def __getattr__(self, name: str) -> Callable[..., Handle]: ...

    def where(self, condition: Operand, if_true: Operand, if_false: Operand) -> Handle:
        """`if_true` where the condition holds (is not 0), else `if_false`."""
        return self._trace.elementwise("select", (condition, if_true, if_false))

    def clamp(
        self, value: Operand, low: Operand | None = None, high: Operand | None = None
    ) -> Handle:
        """The value, raised to `low` and lowered to `high`; either bound may be left out."""
        if low is not None and high is not None:
            return self._trace.elementwise("clamp", (value, low, high))
        if low is not None:
            return self._trace.elementwise("maximum", (value, low))
        if high is not None:
            return self._trace.elementwise("minimum", (value, high))
        raise TypeError("[clamp] no bound came; low or high is wanted")

    def count(self, value: Handle, axis: int | Sequence[int] | None = None) -> int | Dim:
        """How many elements a reduction over `axis` takes together: an int, or a size known at the call."""
        product: int | Dim = 1
        for one in self._axes("count", value, axis):
            product = value.shape[one] * product
        return product

    def mean(
        self, value: Operand, axis: int | Sequence[int] | None = None, keepdims: bool = False
    ) -> Handle:
        """The arithmetic mean."""
        wide, dtype = self._wide("mean", value)
        return self.cast(self.sum(wide, axis, keepdims) / self.count(wide, axis), dtype)

    def var(
        self,
        value: Operand,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        correction: int = 1,
    ) -> Handle:
        """The variance; the sum of squares is divided by the number of elements less `correction`."""
        wide, dtype = self._wide("var", value)
        squares = self.sum_squares(wide - self.mean(wide, axis, keepdims=True), axis, keepdims)
        count = self.count(wide, axis)
        # Never below 0, so that too few elements give inf or nan and not a negative variance.
        freedom = (
            max(count - correction, 0)
            if isinstance(count, int)
            else self.maximum(count - correction, 0)
        )
        return self.cast(squares / freedom, dtype)

    def std(
        self,
        value: Operand,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        correction: int = 1,
    ) -> Handle:
        """The standard deviation, the square root of `var`."""
        wide, dtype = self._wide("std", value)
        return self.cast(self.sqrt(self.var(wide, axis, keepdims, correction)), dtype)

    def logsumexp(
        self, value: Operand, axis: int | Sequence[int] | None = None, keepdims: bool = False
    ) -> Handle:
        """log(sum(exp(value))), without overflow on the way."""
        wide, dtype = self._wide("logsumexp", value)
        top = self.max(wide, axis, keepdims=True)
        top = self.where(self.isinf(top), 0.0, top)
        result = self.log(self.sum(self.exp(wide - top), axis, keepdims=True)) + top
        if not keepdims:
            result = self._without(result, self._axes("logsumexp", wide, axis))
        return self.cast(result, dtype)

    def softmax(self, value: Operand, axis: int = -1) -> Handle:
        """exp(value), scaled to the sum 1 along `axis`."""
        wide, dtype = self._wide("softmax", value)
        powers = self.exp(wide - self.max(wide, axis, keepdims=True))
        return self.cast(powers / self.sum(powers, axis, keepdims=True), dtype)

    def log_softmax(self, value: Operand, axis: int = -1) -> Handle:
        """The logarithm of `softmax`."""
        wide, dtype = self._wide("log_softmax", value)
        shifted = wide - self.max(wide, axis, keepdims=True)
        return self.cast(
            shifted - self.log(self.sum(self.exp(shifted), axis, keepdims=True)), dtype
        )

    def layer_norm(
        self,
        value: Operand,
        weight: Operand | None = None,
        bias: Operand | None = None,
        axis: int | Sequence[int] = -1,
        eps: Operand = 1e-5,
    ) -> Handle:
        """Shifted and scaled to the mean 0 and variance 1 over `axis`, then times `weight`, plus `bias`."""
        wide, dtype = self._wide("layer_norm", value)
        return self.cast(self._affine(self._normal(wide, axis, eps), weight, bias), dtype)

    def rms_norm(
        self,
        value: Operand,
        weight: Operand | None = None,
        axis: int | Sequence[int] = -1,
        eps: Operand = 1e-6,
    ) -> Handle:
        """Scaled to the mean square 1 over `axis`, then times `weight`."""
        wide, dtype = self._wide("rms_norm", value)
        mean_square = self.sum_squares(wide, axis, keepdims=True) / self.count(wide, axis)
        return self.cast(self._affine(wide * self.rsqrt(mean_square + eps), weight, None), dtype)

    def group_norm(
        self,
        value: Operand,
        groups: int,
        weight: Operand | None = None,
        bias: Operand | None = None,
        eps: Operand = 1e-5,
    ) -> Handle:
        """`layer_norm` over each of `groups` groups of channels; axis 1 has the channels, as `weight` and `bias` do."""
        wide, dtype = self._wide("group_norm", value)
        if wide.ndim < 2:
            raise ValueError(
                f"[group_norm] a tensor of rank {wide.ndim} came; axes for samples and channels are wanted"
            )
        shape = wide.shape
        split = self.reshape(wide, shape[0], groups, shape[1] // groups, *shape[2:])
        normal = self.reshape(self._normal(split, tuple(range(2, split.ndim)), eps), *shape)
        channels = (slice(None), *(None,) * (len(shape) - 2))
        weight = None if weight is None else self.index(weight, channels)
        bias = None if bias is None else self.index(bias, channels)
        return self.cast(self._affine(normal, weight, bias), dtype)

    def _normal(self, wide: Handle, axis: int | Sequence[int], eps: Operand) -> Handle:
        count = self.count(wide, axis)
        centred = wide - self.sum(wide, axis, keepdims=True) / count
        return centred * self.rsqrt(self.sum_squares(centred, axis, keepdims=True) / count + eps)

    def _affine(self, value: Handle, weight: Operand | None, bias: Operand | None) -> Handle:
        if weight is not None:
            value = value * weight
        return value if bias is None else value + bias

    def _wide(self, where: str, value: Operand) -> tuple[Handle, str]:
        """The value in a type fit for sums and exponentials, and the type of the result."""
        handle = self._handle(where, value)
        if handle.kind is not Kind.FLOAT:
            return self.cast(handle, "f32"), "f32"
        return (
            handle if handle.dtype in TABLE["exp"].types else self.cast(handle, "f32")
        ), handle.dtype
