"""The account of one compiled graph as plain values, for an Explanation: from torch.compile, dvm.compile or a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dvm import _core
from dvm.compiled.host_cost import host_cost
from dvm.flow import traffic
from dvm.flow.arithmetic import evaluate
from dvm.flow.products import (
    attentions,
    convolutions,
    finished_tiles,
    launched,
    pools,
    products,
    scans,
)
from dvm.flow.steps import Flow, Run
from dvm.flow.wiring import Types, wiring

Explained = Sequence[tuple[_core.Graph, Mapping[str, Any]]]
"""The Graphs of a Flow, each with what its Executable explains."""


def account(
    flow: Flow,
    executables: Sequence[_core.Executable],
    types: Types,
    fallbacks: Sequence[Mapping[str, Any]],
    updates: Sequence[Mapping[str, Any]],
    *,
    sizes: Mapping[str, int],
    framework: str = "torch",
    facts: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """What was fused, what was not and why, what is multiplied, what flows where, and the bytes of it; what
    `account_of` tells, and besides the `launches` of a call with these sizes and the `host_cost`. `sizes` are the
    values of symbols for which bytes are told as numbers as well; `facts` were stated of them, whose sources Graphs
    that were read from text do not know; `more` goes into the account as it is."""
    explained = [(executable.graph, executable.explain()) for executable in executables]
    launches = _launches(flow, executables, sizes)
    runs = [step.graph for step in flow.steps if isinstance(step, Run)]
    count = sum(len(run["kernels"]) * run["times"] for run in launches)
    return {
        **account_of(flow, explained, types, fallbacks, updates, sizes=sizes, facts=facts, **more),
        "launches": launches,
        "host_cost": host_cost(
            flow,
            count or sum(len(list(launched(explained[run][1]))) for run in runs),
            framework,
        ),
    }


def account_of(
    flow: Flow,
    executables: Explained,
    types: Types,
    fallbacks: Sequence[Mapping[str, Any]],
    updates: Sequence[Mapping[str, Any]] = (),
    *,
    sizes: Mapping[str, int],
    facts: Sequence[Mapping[str, Any]] = (),
    unlike: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """As `account`, where the Executables are known by their Graphs and what they explain. `unlike` are notes of
    what was not made one operation before there were Graphs."""
    runs = [step.graph for step in flow.steps if isinstance(step, Run)]
    wired = wiring(flow, executables, types, fallbacks)
    return {
        **more,
        "kernels": list(_kernels(runs, executables)),
        "matmuls": list(_with_epilogues(products, runs, executables)),
        "convolutions": list(_with_epilogues(convolutions, runs, executables)),
        "pools": list(_with_epilogues(pools, runs, executables)),
        "scans": [found for run in runs for found in scans(*executables[run])],
        "attentions": [found for run in runs for found in attentions(*executables[run])],
        "fallbacks": list(fallbacks),
        "updates": list(updates),
        "notes": [*unlike, *(note for run in runs for note in executables[run][1]["notes"])],
        "facts": _facts(facts, [executables[run][0] for run in dict.fromkeys(runs)]),
        "guards": list(_guards(runs, executables)),
        "concats": list(_concats(runs, executables)),
        "graphs": [str(flow.graphs[run]) for run in runs],
        "sizes": dict(sizes),
        "peak_bytes": traffic.peak(wired),
        "wiring": wired,
    }


def _kernels(runs: Sequence[int], executables: Explained) -> Iterator[dict[str, Any]]:
    """Each with the `bytes` that it moves. A product whose tiles it finishes is never in memory."""
    for run in runs:
        explained = executables[run][1]
        tiles = finished_tiles(explained)
        for number, kernel in enumerate(explained["kernels"]):
            tensors = [*kernel["inputs"], *kernel["outputs"]]
            moved = [tensor for tensor in tensors if tensor["value"] != tiles.get(number)]
            yield {**kernel, "bytes": traffic.text(traffic.of_tensors(moved))}


def _with_epilogues(
    told: Callable[[_core.Graph, Mapping[str, Any]], list[dict[str, Any]]],
    runs: Sequence[int],
    executables: Explained,
) -> Iterator[dict[str, Any]]:
    """As dvm.flow.products tells of them; an `epilogue` is a place among the kernels of all runs."""
    before = 0
    for run in runs:
        graph, explained = executables[run]
        for one in told(graph, explained):
            number = one["epilogue"]
            yield {**one, "epilogue": None if number is None else before + number}
        before += len(explained["kernels"])


def _facts(
    stated: Sequence[Mapping[str, Any]], graphs: Sequence[_core.Graph]
) -> list[dict[str, Any]]:
    """What is known of sizes, each with its `text`, `source`, and whether it was `given` or follows from the graph."""
    found = {fact["text"]: dict(fact) for fact in stated}
    for graph in graphs:
        for fact in graph.facts:
            found.setdefault(fact["text"], fact)
    return list(found.values())


def _guards(runs: Sequence[int], executables: Explained) -> Iterator[dict[str, Any]]:
    """Sizes which, where they are `equal`, make fewer `kernels` than are `otherwise` there; `times` the graph runs."""
    for run, times in Counter(runs).items():
        graph, explained = executables[run]
        for guard in explained.get("guards", ()):
            yield {
                "equal": list(guard["equal"]),
                "kernels": guard["kernels"],
                "otherwise": len(explained["kernels"]),
                "graph": graph.name,
                "times": times,
            }


def _concats(runs: Sequence[int], executables: Explained) -> Iterator[dict[str, Any]]:
    """Tensors that are put together, each with its `parts`, of which some are `copied`."""
    for run, times in Counter(runs).items():
        graph, explained = executables[run]
        for concat in explained.get("concats", ()):
            parts = [
                {
                    "name": str(graph.node(value).get("name") or f"%{value}"),
                    "type": graph.type(value),
                    "shape": graph.shape(value),
                    "copied": value in concat["copied"],
                }
                for value in concat["operands"]
            ]
            yield {
                "type": concat["type"],
                "shape": list(concat["shape"]),
                "parts": parts,
                "graph": graph.name,
                "times": times,
            }


def _launches(
    flow: Flow, executables: Sequence[_core.Executable], sizes: Mapping[str, int]
) -> list[dict[str, Any]]:
    """For each Executable what one call of it does at these sizes: the `kernels` in the order of their launches, how
    many of them each of its `stages` runs at once, and `arena_bytes`; `times` it is called. One whose sizes are not
    known, because they follow from data, is left out."""
    found = []
    runs = Counter(step.graph for step in flow.steps if isinstance(step, Run))
    for run, times in runs.items():
        executable = executables[run]
        graph = executable.graph
        try:
            shapes = [
                [int(evaluate(str(size), sizes)) for size in graph.shape(value)]
                for value in graph.inputs
            ]
            scalars = [int(sizes.get(str(graph.node(s)["name"]), 1)) for s in graph.scalars]
            plan = executable.plan(shapes, scalars)
        except (NameError, ValueError):
            continue
        found.append(
            {
                "graph": graph.name,
                "times": times,
                "kernels": plan["kernels"],
                "stages": plan["stages"],
                "arena_bytes": plan["arena_bytes"],
            }
        )
    return found
