"""Does one compilation serve a thousand shapes? Each model of the catalogue at random sizes, beside eager and, for as
many of the shapes as is wished, Inductor: our results compared, recompilations counted, memory watched, and the first
call of a shape timed apart from its repeats.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch._dynamo import lookup_backend

import dvm
from dvm.bench import timer
from dvm.bench.zoo import Entry, difference
from dvm.torch import report

EXPORTED = "dvm.compile"
OURS = ("dvm", EXPORTED)
INDUCTOR = "inductor"

# Calls of a shape after its first.
_REPEATS = 2

# A model that torch has to compile for many of its shapes shall not go on in eager unnoticed: beyond this it fails.
_RECOMPILE_LIMIT = 256

_PAGE = os.sysconf("SC_PAGE_SIZE")

# Called with the name of a model and the number of shapes, once per shape done.
OnStep = Callable[[str, int], None]


@dataclass
class Calls:
    """What the calls of one engine took, in seconds and in the order of the shapes, and what it compiled for them."""

    shapes: int  # how many of the shapes it ran, the first ones
    compile: float = 0.0  # the first call of all
    first: list[float] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)
    graphs: int = 0  # compiled in all
    recompilations: int = 0  # graphs that came after the first call


@dataclass
class Soak:
    """What became of one model."""

    entry: Entry
    engines: dict[str, Calls]
    kernels: int = 0
    fallbacks: int = 0
    difference: float = 0.0
    wrong: list[dict[str, int]] = field(default_factory=list)  # sizes beyond the tolerance
    memory: list[int] = field(default_factory=list)  # resident bytes, after each tenth
    plan_bytes: list[int] = field(default_factory=list)  # those of the plans of "dvm", then too
    arena_bytes: list[int] = field(
        default_factory=list
    )  # what is kept for intermediate results, then too
    plans: dict[str, int] = field(default_factory=dict)


def soak(
    entry: Entry,
    shapes: int,
    names: Sequence[str],
    *,
    inductor_shapes: int | None = None,
    seed: int = 0,
    on_step: OnStep = lambda model, total: None,
) -> Soak:
    """Runs `shapes` random shapes through the engines `names`, each shape a first time and again, the engines one
    after the other. The first is "eager", one is "dvm", others may be EXPORTED and INDUCTOR, which stops after
    `inductor_shapes`. Raises torch's FailOnRecompileLimitHit where one has to be compiled very often."""
    torch._dynamo.reset()
    model = entry.build()
    limits = {INDUCTOR: min(shapes, inductor_shapes or shapes)}
    run = Soak(entry, {name: Calls(limits.get(name, shapes)) for name in names})
    generator = torch.Generator().manual_seed(seed)
    seen: set[tuple[int, ...]] = set()
    with ExitStack() as stack:
        stack.enter_context(entry.settings())
        stack.enter_context(_patient())
        stack.enter_context(torch.inference_mode())
        inputs = entry.inputs(entry.first(), generator)
        calls = {name: _engine(name, run, model, inputs) for name in names}
        recorded = stack.enter_context(report.record())
        for name, call in calls.items():
            run.engines[name].compile += timer.once(lambda call=call: call(*inputs))  # type: ignore[misc]
        begun = {name: engine.graphs for name, engine in run.engines.items()}
        for number in range(shapes):
            sizes = entry.draw(generator)
            key = tuple(sizes.values())
            running = {name: calls[name] for name in names if number < run.engines[name].shapes}
            _shape(run, running, sizes, generator, key not in seen)
            seen.add(key)
            if (number + 1) % max(1, shapes // 10) == 0:
                gc.collect()
                run.memory.append(resident())
                run.plan_bytes.append(_plans(recorded.compilations).get("bytes", 0))
                run.arena_bytes.append(dvm.plan_stats()["arena_bytes"])
            on_step(entry.name, shapes)
    for name, engine in run.engines.items():
        engine.recompilations = engine.graphs - begun[name]
    run.kernels = sum(len(graph.kernels) for graph in recorded.compilations)
    run.fallbacks = sum(len(graph.fallbacks) for graph in recorded.compilations)
    run.plans = _plans(recorded.compilations)
    return run


def _patient() -> AbstractContextManager[Any]:
    """Lets torch compile a function many times, and fail rather than go on in eager."""
    patch: AbstractContextManager[Any] = torch._dynamo.config.patch(
        recompile_limit=_RECOMPILE_LIMIT,
        accumulated_recompile_limit=_RECOMPILE_LIMIT,
        fail_on_recompile_limit_hit=True,
    )
    return patch


def _engine(
    name: str, run: Soak, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]
) -> Callable[..., Any]:
    if name == "eager":
        return model
    calls = run.engines[name]
    if name == EXPORTED:
        start = time.perf_counter()
        shapes = run.entry.dynamic_shapes(model)
        exported = dvm.compile(model, inputs, dynamic_shapes=shapes)
        calls.compile = time.perf_counter() - start
        calls.graphs = 1  # a call has nothing to compile with
        return exported
    backend = lookup_backend(name)

    def counting(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        made = backend(graph, inputs)  # or has Dynamo begin anew
        calls.graphs += 1
        return made

    compiled: Callable[..., Any] = torch.compile(model, backend=counting, dynamic=True)
    return compiled


def _shape(
    run: Soak,
    calls: dict[str, Callable[..., Any]],
    sizes: dict[str, int],
    generator: torch.Generator,
    new: bool,
) -> None:
    inputs = run.entry.inputs(sizes, generator)
    wanted: Any = None
    for name, call in calls.items():
        engine = run.engines[name]
        start = time.perf_counter()
        result = call(*inputs)
        (engine.first if new else engine.repeated).append(time.perf_counter() - start)
        for _ in range(_REPEATS):
            engine.repeated.append(timer.once(lambda call=call: call(*inputs)))  # type: ignore[misc]
        if wanted is None:
            wanted = result
        elif name in OURS:
            found = difference(result, wanted)
            run.difference = max(run.difference, found)
            if found > run.entry.tolerance:
                run.wrong.append(sizes)


def _plans(compilations: Iterable[report.Compilation]) -> dict[str, int]:
    """The plans of all kernels together. Equal segments share an Executable, which counts once."""
    executables = {
        id(segment.executable): segment.executable
        for compilation in compilations
        for segment in compilation.segments
    }
    total: dict[str, int] = {}
    for executable in executables.values():
        for name in ("plans", "bytes", "hits", "misses", "evictions"):
            total[name] = total.get(name, 0) + executable.stats[name]
    return total


def resident() -> int:
    """The bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def growth(samples: Sequence[int]) -> int:
    """Bytes that came in the second half, where `samples` are of equal parts: the first half fills the caches."""
    return samples[-1] - samples[len(samples) // 2 - 1] if len(samples) > 1 else 0


def ratios(run: Soak, engine: str, rival: str, kind: str) -> list[float]:
    """For each call that both made, the seconds of `engine` over those of `rival`; `kind` is "first" or "repeated"."""
    ours, theirs = (getattr(run.engines[name], kind) for name in (engine, rival))
    return [a / b for a, b in zip(ours, theirs, strict=False)]


def pairs(run: Soak) -> list[tuple[str, str]]:
    """Each engine of ours with each that it is measured against."""
    ours = [name for name in run.engines if name in OURS]
    return [(name, rival) for name in ours for rival in run.engines if rival not in OURS]


def summary(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the largest; empty for nothing."""
    if not values:
        return {}
    return {
        "p50": timer.percentile(values, 0.5),
        "p99": timer.percentile(values, 0.99),
        "max": max(values),
    }


def as_json(run: Soak) -> dict[str, Any]:
    """The numbers of `run` for a result file."""
    kinds = ("first", "repeated")
    return {
        "threads": torch.get_num_threads(),
        "engines": {
            name: {
                "shapes": it.shapes,
                "distinct_shapes": len(it.first),
                "graphs": it.graphs,
                "recompilations": it.recompilations,
            }
            for name, it in run.engines.items()
        },
        "kernels": run.kernels,
        "fallbacks": run.fallbacks,
        "largest_difference": run.difference,
        "tolerance": run.entry.tolerance,
        "wrong": run.wrong,
        "resident_bytes": run.memory,
        "plan_bytes": run.plan_bytes,
        "arena_bytes": run.arena_bytes,
        "growth_bytes": growth(run.memory),
        "plan_growth_bytes": growth(run.plan_bytes),
        "arena_growth_bytes": growth(run.arena_bytes),
        "plans": run.plans,
        "compile": {"seconds": {name: it.compile for name, it in run.engines.items()}},
        **{
            kind: {
                "seconds": {name: summary(getattr(it, kind)) for name, it in run.engines.items()},
                "over": {
                    f"{name} over {rival}": summary(ratios(run, name, rival, kind))
                    for name, rival in pairs(run)
                },
            }
            for kind in kinds
        },
    }
