"""What the target of a node says of it, asked of its schema once for every operation and not for every node."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx


@dataclass(frozen=True)
class Operation:
    """What calls of one target have in common."""

    is_overload: bool
    """Whether it is an operation of torch's dispatcher. All that follows is known of these only."""

    packet: str = ""
    """Its name without the overload: `add` for aten.add.Tensor."""

    is_pure: bool = False
    """Whether it only computes: nothing is lost when it is left out or done once instead of twice."""

    is_view: bool = False
    """Whether its result lies in the memory of an operand."""

    changes: bool = False
    """Whether it changes an operand in place."""

    draws: bool = False
    """Whether it draws random numbers."""


@functools.lru_cache(maxsize=4096)
def operation(target: Any) -> Operation:
    """Of the target of a node."""
    if not isinstance(target, torch._ops.OpOverload):
        # Higher-order operations may do anything.
        return Operation(False, changes=isinstance(target, torch._ops.HigherOrderOperator))
    schema = target._schema
    draws = torch.Tag.nondeterministic_seeded in target.tags
    return Operation(
        True,
        schema.name.removeprefix("aten::"),
        not schema.is_mutable and not draws and bool(schema.returns),
        any(returned.alias_info is not None for returned in schema.returns),
        schema.is_mutable,
        draws,
    )


def targets(graph: fx.Graph) -> list[Any]:
    """What a graph calls, each once. Their hashes take as long as a look at a node, so they are told by identity."""
    called = (node.target for node in graph.nodes if node.op == "call_function")
    return list({id(target): target for target in called}.values())


def calls(graph: fx.Graph, targets: Iterable[Any]) -> list[fx.Node]:
    """The calls of some operations, in the order of the graph. Others are not looked at."""
    found: list[fx.Node] = []
    for target in targets:
        found += graph.find_nodes(op="call_function", target=target, sort=False)
    return sorted(found)
