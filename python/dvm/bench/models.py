"""Does a real model run faster, from the first call of a new size on? One model under every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch

from dvm.bench import timer
from dvm.bench.timer import Timing
from dvm.bench.zoo.entry import difference, flat

# Called with the name of a stage and its number of steps, once per step done.
OnStep = Callable[[str, int], None]

Call = Callable[..., Any]


class Example(Protocol):
    """What to call a model with."""

    @property
    def size(self) -> tuple[int, ...]:
        """What tells it from other examples, such as (33,) for 33 tokens."""

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]: ...


@dataclass
class EngineResult:
    """What one engine did: seconds of the first call and steady timing, both per distinct size, and the largest
    difference from the first engine, relative to the largest element."""

    first: list[float] = field(default_factory=list)
    steady: list[Timing] = field(default_factory=list)
    outputs: list[torch.Tensor] = field(default_factory=list)
    difference: float = 0.0


@dataclass
class ModelRun:
    """The results of every engine, the last of which is ours, per distinct size, ascending; `outputs`, if they are
    kept, per example. `unit` says what sizes count, `missing` why other engines did not take part."""

    threads: int
    unit: str
    sizes: list[tuple[int, ...]]
    engines: dict[str, EngineResult]
    missing: dict[str, str] = field(default_factory=dict)

    def seconds(self, index: int) -> dict[str, float]:
        """The steady time of every engine at the size of this index."""
        return {name: engine.steady[index].median for name, engine in self.engines.items()}

    def best_rival(self, index: int) -> tuple[str, float]:
        """The fastest engine but ours at this size, and how many times faster ours is."""
        *others, (_, ours) = self.seconds(index).items()
        name, seconds = min(others, key=lambda each: each[1])
        return name, seconds / ours

    def take_out_wrong(self, tolerance: float = 1e-2) -> None:
        """Moves the rivals to `missing` whose results differ by more: they are not what was asked for."""
        for name in list(self.engines)[:-1]:
            found = self.engines[name].difference
            if found > tolerance:
                del self.engines[name]
                self.missing[name] = f"its results differ from eager's by {found:.1e}"


def engines(names: Sequence[str], model: Any) -> dict[str, Call]:
    """`model` as each of torch's backends runs it: "eager", "inductor" or "dvm"."""
    # A model meets as many lengths as the user's text has; none may fall back to eager unnoticed.
    torch._dynamo.config.recompile_limit = 64
    return {
        name: model if name == "eager" else torch.compile(model, backend=name, dynamic=True)
        for name in names
    }


def run(
    calls: Mapping[str, Call],
    examples: Sequence[Example],
    *,
    unit: str = "tokens",
    seconds: float = 0.2,
    keep: bool = False,
    measure: Callable[..., dict[str, Timing]] = timer.interleave,
    on_step: OnStep = lambda stage, total: None,
) -> ModelRun:
    """Every example through every engine in the order given, then each distinct size timed by `measure`.

    With `keep` the results of all examples stay in `outputs`; they must then be one tensor each.
    """
    by_size: dict[tuple[int, ...], Example] = {}
    for example in examples:
        by_size.setdefault(example.size, example)
    sizes = sorted(by_size)
    results = {name: EngineResult() for name in calls}
    first: dict[str, dict[tuple[int, ...], float]] = {name: {} for name in calls}
    with torch.inference_mode():
        for example in examples:
            wanted: list[torch.Tensor] | None = None
            for name, call in calls.items():
                start = time.perf_counter()
                output = flat(call(*example.inputs))
                first[name].setdefault(example.size, time.perf_counter() - start)
                wanted = [tensor.clone() for tensor in output] if wanted is None else wanted
                came = difference(output, wanted)
                results[name].difference = max(results[name].difference, came)
                if keep:
                    results[name].outputs.append(output[0].clone())
            on_step("first calls", len(examples))
        for size in sizes:
            timings = measure(
                {name: partial(call, *by_size[size].inputs) for name, call in calls.items()},
                seconds=seconds,
            )
            for name, result in results.items():
                result.first.append(first[name][size])
                result.steady.append(timings[name])
            on_step("steady state", len(sizes))
    return ModelRun(torch.get_num_threads(), unit, sizes, results)


def label(size: tuple[int, ...]) -> str:
    """`33`, or `7x11`."""
    return "x".join(map(str, size))


def as_json(run: ModelRun) -> dict[str, Any]:
    """The numbers of `run` for a result file: per size, then per engine."""
    sizes = {
        f"{label(size)} {run.unit}": {
            "first": {
                "seconds": {name: engine.first[index] for name, engine in run.engines.items()}
            },
            "steady": {"seconds": run.seconds(index)},
        }
        for index, size in enumerate(run.sizes)
    }
    differences = {name: engine.difference for name, engine in run.engines.items()}
    return {
        "threads": run.threads,
        "sizes": sizes,
        "largest_difference": differences,
        "missing": run.missing,
    }
