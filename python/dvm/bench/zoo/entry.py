"""What the catalogue says of a model: how to build it, what to call it with, and which sizes may change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

_PRIMES = (5, 7, 11, 17, 19, 23)  # not 3, the colours of an image

Sizes = Mapping[str, int]
Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Entry:
    """A model with weights of its own and the ranges of its dynamic sizes."""

    name: str
    build: Callable[[], torch.nn.Module]
    """A module in eval mode, the same at every call. Its forward takes tensors and returns a tensor or a tuple."""

    inputs: Callable[[Sizes, torch.Generator], Inputs]
    """The arguments for a choice of sizes; the generator draws their elements."""

    sizes: dict[str, range]
    """Every dynamic size and the values it may take, at least 2: torch compiles 0 and 1 apart."""

    axes: tuple[dict[int, str], ...] = ()
    """For each argument, the name of the size that an axis has; an axis that is left out never changes. Names that
    are no key of `sizes` follow from those that are."""

    tolerance: float = 1e-5
    """The largest difference from eager that is accepted, relative to the largest element of the result."""

    packages: tuple[str, ...] = ()
    """What has to be installed besides torch."""

    captures: bool = False
    """Whether sizes inside follow from data: torch breaks the graph there unless it is told to go on."""

    def settings(self) -> AbstractContextManager[Any]:
        """What of torch.compile's settings this model needs while it is compiled and called."""
        patch: AbstractContextManager[Any] = torch._dynamo.config.patch(
            capture_dynamic_output_shape_ops=self.captures
        )
        return patch

    def first(self) -> dict[str, int]:
        """Sizes to compile with: a prime each, as torch takes sizes that are equal in the first call, be it to one
        of the weights', to be equal always."""
        chosen: dict[str, int] = {}
        for name, values in self.sizes.items():
            chosen[name] = next(
                size for size in values if size in _PRIMES and size not in chosen.values()
            )
        return chosen

    def dynamic_shapes(self, model: torch.nn.Module) -> tuple[Any, ...]:
        """`axes` as torch.export wants them: arguments that the forward takes as *rest are a tuple of their own."""
        auto = torch.export.Dim.AUTO
        each = [dict.fromkeys(axes, auto) for axes in self.axes]
        named = [
            parameter
            for parameter in inspect.signature(model.forward).parameters.values()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        rest = tuple(each[len(named) :])
        return (*each[: len(named)], rest) if rest else tuple(each)

    def draw(self, generator: torch.Generator) -> dict[str, int]:
        """A random choice of all sizes."""
        chosen = {}
        for name, values in self.sizes.items():
            place = torch.randint(len(values), (), generator=generator)
            chosen[name] = values[int(place)]
        return chosen

    def spread(self, count: int) -> list[dict[str, int]]:
        """`count` choices from the smallest sizes to the largest; each size takes its own steps."""
        chosen = []
        for step in range(count):
            choice = {}
            for number, (name, values) in enumerate(self.sizes.items()):
                # Odd ones run backwards, so that no two sizes grow together.
                place = step if number % 2 == 0 else count - 1 - step
                choice[name] = values[place * (len(values) - 1) // max(1, count - 1)]
            chosen.append(choice)
        return chosen


def difference(came: object, wanted: object) -> float:
    """The largest difference between two results relative to the largest element, inf where shapes or types differ
    or where only one of the two is not finite."""
    pairs = zip(flat(came), flat(wanted), strict=True)
    return max((_difference(a, b) for a, b in pairs), default=0.0)


def flat(result: object) -> list[torch.Tensor]:
    """The tensors of a result."""
    leaves = torch.utils._pytree.tree_leaves(result)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _difference(came: torch.Tensor, wanted: torch.Tensor) -> float:
    if came.shape != wanted.shape or came.dtype != wanted.dtype:
        return float("inf")
    if not wanted.is_floating_point():
        return 0.0 if torch.equal(came, wanted) else float("inf")
    if wanted.numel() == 0:
        return 0.0
    finite = wanted.isfinite()
    if not torch.equal(came.masked_fill(finite, 0), wanted.masked_fill(finite, 0)):
        return float("inf")
    came, wanted = came.masked_fill(~finite, 0), wanted.masked_fill(~finite, 0)
    largest = float(wanted.abs().max())
    return float((came - wanted).abs().max()) / max(largest, 1e-6)
