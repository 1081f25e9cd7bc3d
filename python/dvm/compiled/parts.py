"""What a CompiledModel is made of, and what its file holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dvm import _core
from dvm.compiled.signature import Signature
from dvm.flow.steps import Flow


@dataclass(frozen=True)
class Parts:
    """All that a compiled model is."""

    name: str
    signature: Signature
    flow: Flow
    executables: list[_core.Executable]  # of the Flow's Graphs
    constants: dict[str, Any]  # the Flow's tensors
    fallbacks: list[
        dict[str, Any]
    ]  # what torch runs: name, reason, line, count and results of each
    updates: list[dict[str, Any]]  # of tensors: name, tensor, in_place, how and line of each
    milliseconds: float  # that its compilation took, torch's tracing apart
    types: dict[str, list[Any]]  # element type and sizes of the Flow's tensors that are no views
    sizes: dict[str, int]  # of the example arguments, by symbol
    facts: list[
        dict[str, Any]
    ]  # that were stated of sizes, with kind, text, source and given, as Graph.facts
