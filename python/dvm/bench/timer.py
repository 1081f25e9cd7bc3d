"""Timing several engines side by side: medians of interleaved samples, and the statistics of their ratios.

Engines take turns, so that a slow moment of the machine falls on all of them alike: call by call, or in blocks where
an engine's threads go on spinning after a call. A call that is shorter than a sample should be is repeated within the
sample.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# A sample much shorter than this would measure the clock and the interpreter's loop.
_SAMPLE_SECONDS = 40e-6
_MIN_ROUNDS = 5
_MAX_ROUNDS = 201

# Between blocks: longer than thread pools spin before they sleep.
_PAUSE_SECONDS = 0.03
_BLOCK_ROUNDS = 5


@dataclass(frozen=True)
class Timing:
    """The seconds one call takes: median, and the 10th and 90th percentile of the samples."""

    median: float
    low: float
    high: float
    samples: int


def once(call: Callable[[], object]) -> float:
    """The seconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) * 1e-9


def _sample(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(repeats):
        call()
    return (time.perf_counter_ns() - start) * 1e-9 / repeats


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` of `values` lies, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(fraction * len(ordered)) - 1))]


def interleave(
    engines: Mapping[str, Callable[[], object]], *, seconds: float = 0.3, warmup: int = 2
) -> dict[str, Timing]:
    """Times every engine for about `seconds` in all, in turns; the first engine of a round changes."""
    repeats = {}
    for name, call in engines.items():
        for _ in range(warmup):
            call()
        repeats[name] = max(1, math.ceil(_SAMPLE_SECONDS / max(once(call), 1e-9)))
    samples: dict[str, list[float]] = {name: [] for name in engines}
    order = list(engines)
    deadline = time.perf_counter() + seconds
    for number in range(_MAX_ROUNDS):
        if number >= _MIN_ROUNDS and time.perf_counter() >= deadline:
            break
        first = number % len(order)
        for name in order[first:] + order[:first]:
            samples[name].append(_sample(engines[name], repeats[name]))
    return {name: _timing(values, repeats[name]) for name, values in samples.items()}


def blocks(
    engines: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 0.3,
    pause: float = _PAUSE_SECONDS,
) -> dict[str, Timing]:
    """Times every engine for about `seconds` in all, pauses and warm-up apart, in a few blocks of calls each, of which
    the fastest counts: a slow moment of the machine falls on one engine's block only.

    A block begins with `pause` seconds in which the threads of the engine before go to sleep, and with a call that
    does not count. So engines with thread pools of their own do not take the processors from each other.
    """
    best: dict[str, Timing] = {}
    repeats = dict.fromkeys(engines, 1)
    share = seconds / (_BLOCK_ROUNDS * max(1, len(engines)))
    order = list(engines)
    for number in range(_BLOCK_ROUNDS):
        first = number % max(1, len(order))
        for name in order[first:] + order[:first]:
            call = engines[name]
            time.sleep(pause)
            call()
            if number == 0:
                repeats[name] = max(1, math.ceil(_SAMPLE_SECONDS / max(once(call), 1e-9)))
            samples: list[float] = []
            deadline = time.perf_counter() + share
            while not samples or (len(samples) < _MAX_ROUNDS and time.perf_counter() < deadline):
                samples.append(_sample(call, repeats[name]))
            block = _timing(samples, repeats[name])
            best[name] = min(best.get(name, block), block, key=lambda each: each.median)
    return {name: best[name] for name in engines}


def _timing(samples: Sequence[float], repeats: int) -> Timing:
    return Timing(
        statistics.median(samples),
        percentile(samples, 0.1),
        percentile(samples, 0.9),
        len(samples) * repeats,
    )


def geomean(values: Sequence[float]) -> float:
    """The geometric mean; nan of nothing."""
    if not values:
        return math.nan
    return math.exp(sum(math.log(value) for value in values) / len(values))
