"""Does a real model run faster, from the first call of a new length on? A sentence encoder under every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from dvm.bench import timer
from dvm.bench.sentences import Sentence, SentenceEncoder
from dvm.bench.timer import Timing

# Called with the name of a stage and its number of steps, once per step done.
OnStep = Callable[[str, int], None]


@dataclass
class EngineResult:
    """What one engine did: seconds of the first call and steady timing, both per distinct length."""

    first: list[float] = field(default_factory=list)
    steady: list[Timing] = field(default_factory=list)
    outputs: list[torch.Tensor] = field(default_factory=list)
    difference: float = 0.0


@dataclass
class ModelRun:
    """The results of every engine. `outputs` are per sentence; all else is per distinct length, ascending."""

    threads: int
    lengths: list[int]
    engines: dict[str, EngineResult]


def engine(name: str, function: Any) -> Any:
    """`function` as the engine `name` runs it: "eager", "inductor" or "dvm"."""
    if name == "eager":
        return function
    # A model meets as many lengths as the user's text has; none may fall back to eager unnoticed.
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(function, backend=name, dynamic=True)


def run(
    encoder: SentenceEncoder,
    batch: Sequence[Sentence],
    names: Sequence[str],
    *,
    seconds: float = 0.2,
    on_step: OnStep = lambda stage, total: None,
) -> ModelRun:
    """Runs every sentence through every engine in the order given, then times each distinct length in turns."""
    by_length: dict[int, Sentence] = {}
    for sentence in batch:
        by_length.setdefault(sentence.length, sentence)
    lengths = sorted(by_length)
    calls = {name: engine(name, encoder) for name in names}
    result = ModelRun(torch.get_num_threads(), lengths, {name: EngineResult() for name in names})
    with torch.inference_mode():
        for name in names:
            stage = f"first calls: {name}"
            first: dict[int, float] = {}
            for sentence in batch:
                start = time.perf_counter()
                output = calls[name](*sentence.inputs)
                first.setdefault(sentence.length, time.perf_counter() - start)
                result.engines[name].outputs.append(output.clone())
                on_step(stage, len(batch))
            result.engines[name].first = [first[length] for length in lengths]
        for length in lengths:
            inputs = by_length[length].inputs
            timings = timer.interleave(
                {name: partial(call, *inputs) for name, call in calls.items()}, seconds=seconds
            )
            for name in names:
                result.engines[name].steady.append(timings[name])
            on_step("steady state", len(lengths))
    expected = result.engines[names[0]].outputs
    for name in names:
        result.engines[name].difference = max(
            float((output - wanted).abs().max())
            for output, wanted in zip(result.engines[name].outputs, expected, strict=True)
        )
    return result


def as_json(run: ModelRun) -> dict[str, Any]:
    """The numbers of `run` for a result file: per length, then per engine."""
    lengths = {
        f"{length} tokens": {
            "first": {
                "seconds": {name: engine.first[index] for name, engine in run.engines.items()}
            },
            "steady": {
                "seconds": {
                    name: engine.steady[index].median for name, engine in run.engines.items()
                }
            },
        }
        for index, length in enumerate(run.lengths)
    }
    differences = {name: engine.difference for name, engine in run.engines.items()}
    return {"threads": run.threads, "lengths": lengths, "largest_difference": differences}
