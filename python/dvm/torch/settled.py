"""Floats that tracing has settled, such as the epsilon of a norm: constants by the time a backend is called.

With `dynamic=True` Dynamo takes every float of a program for an argument that may change. An operation of torch's that
wants a number, not a tensor, settles it, by a guard. But AOTAutograd only finds that out at its end, and then has
Dynamo begin again without these arguments: all is traced twice. What Dynamo does in its second attempt is done here in
the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx
from torch._dynamo.symbolic_convert import InstructionTranslator, TensorifyState


@contextlib.contextmanager
def settled_floats(gm: fx.GraphModule, inputs: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Takes the floats that are settled out of Dynamo's graph and its arguments, and gives the inputs that are left."""
    tracer: Any = getattr(InstructionTranslator.current_tx(), "output", None)
    names = _settled(gm.graph) - TensorifyState.force_specializations
    if not names or getattr(tracer, "graph", None) is not gm.graph:
        yield inputs
        return
    TensorifyState.force_specializations |= names
    try:
        tracer.remove_tensorify_specialized_graphargs()
        gm.recompile()
        yield tracer.example_inputs()
    finally:
        TensorifyState.force_specializations -= names


def _settled(graph: fx.Graph) -> set[str]:
    """The symbols of floats that came as arguments and stand for one number by now, or that nothing reads."""
    names: set[str] = set()
    for node in graph.find_nodes(op="placeholder"):
        number = getattr(node.meta.get("example_value"), "item_memo", None)
        if not isinstance(number, torch.SymFloat):
            continue
        readers = [reader for item in node.users for reader in item.users]
        unread = bool(readers) and all(map(_takes_norm_for_nothing, readers))
        if number.node.expr.is_number or unread:
            names.add(str(number.node._expr))
    return names


def _takes_norm_for_nothing(node: fx.Node) -> bool:
    """Whether it is a table of vectors that need not be shortened: its other number says by which norm it would be."""
    return node.target is torch.nn.functional.embedding and node.args[3:4] == (None,)
