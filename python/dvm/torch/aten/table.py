"""The table of ATen operations that the core computes: overload -> the function that builds it.

A function takes the Builder, the FX node and the node's own arguments (tensors and sizes are FX nodes), and returns
the value, or a tuple for an operation with several results. The caller gives results the type and shape that torch
says they have. A function that cannot build its arguments raises Declined with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Build = Callable[..., Any]
AnyBuild = TypeVar("AnyBuild", bound=Build)

COMPUTED: dict[Any, Build] = {}
"""Operations with arithmetic of their own."""

VIEWS: dict[Any, Build] = {}
"""Operations that only look at their operand in another way; between kernels torch does them at no cost."""

CREATED: dict[Any, Build] = {}
"""Operations that make a tensor from numbers alone."""

COPIES: dict[Any, Build] = {}
"""Operations that copy their operand as it is: nothing inside a kernel, torch's own copy elsewhere."""


NAMED: dict[str, Build] = {}
"""Operations that other libraries define, once they are imported, by their names: arithmetic of their own."""


def names(*operations: str) -> Callable[[AnyBuild], AnyBuild]:
    """Enters the decorated function into NAMED."""

    def register(build: AnyBuild) -> AnyBuild:
        NAMED.update(dict.fromkeys(operations, build))
        return build

    return register


def lowers(table: dict[Any, Build], *overloads: Any) -> Callable[[AnyBuild], AnyBuild]:
    """Enters the decorated function into `table` for every overload."""

    def register(build: AnyBuild) -> AnyBuild:
        for overload in overloads:
            assert overload not in table, f"{overload} is built twice"
            table[overload] = build
        return build

    return register


def overloads(name: str, *kinds: str) -> list[Any]:
    """The overloads of an ATen operation that this torch has."""
    packet = getattr(torch.ops.aten, name, None)
    return [getattr(packet, kind) for kind in kinds if packet is not None and hasattr(packet, kind)]
