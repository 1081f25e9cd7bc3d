"""The account of one compiled graph as plain values, for an Explanation: from torch.compile, dvm.compile or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dvm import _core
from dvm.flow import traffic
from dvm.flow.steps import Flow, Run
from dvm.flow.wiring import Types, wiring


def account(
    flow: Flow,
    executables: Sequence[_core.Executable],
    types: Types,
    fallbacks: Sequence[Mapping[str, Any]],
    updates: Sequence[Mapping[str, Any]],
    *,
    sizes: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    """What was fused, what was not and why, what flows where, and the bytes of it. `sizes` are the values of symbols
    for which bytes are told as numbers as well; `more` goes into the account as it is."""
    explained = [(executable.graph, executable.explain()) for executable in executables]
    return account_of(flow, explained, types, fallbacks, updates, sizes=sizes, **more)


def account_of(
    flow: Flow,
    executables: Sequence[tuple[_core.Graph, Mapping[str, Any]]],
    types: Types,
    fallbacks: Sequence[Mapping[str, Any]],
    updates: Sequence[Mapping[str, Any]] = (),
    *,
    sizes: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    """As `account`, where the Executables are known by their Graphs and what they explain."""
    runs = [step.graph for step in flow.steps if isinstance(step, Run)]
    wired = wiring(flow, executables, types, fallbacks)
    return {
        **more,
        "kernels": [
            _with_bytes(kernel) for run in runs for kernel in executables[run][1]["kernels"]
        ],
        "fallbacks": list(fallbacks),
        "updates": list(updates),
        "notes": [note for run in runs for note in executables[run][1]["notes"]],
        "graphs": [flow.graphs[run] for run in runs],
        "sizes": dict(sizes),
        "peak_bytes": traffic.peak(wired),
        "wiring": wired,
    }


def _with_bytes(kernel: Mapping[str, Any]) -> dict[str, Any]:
    moved = traffic.of_tensors([*kernel["inputs"], *kernel["outputs"]])
    return {**kernel, "bytes": traffic.text(moved)}
