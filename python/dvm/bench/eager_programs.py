"""Do whole programs of eager PyTorch run faster inside our scope, and do they do the same? Programs of dvm.bench.eager.

models.py compiles a model and calls it; here nothing is compiled beforehand, and what is timed is what users have:
loops with losses that are looked at, optimizers, branches. Every engine has an instance of the program of its own and
goes the same steps, a block of steps at a time and in turns, with the random numbers of its own past.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

EAGER, OURS, INDUCTOR = "eager", "dvm", "inductor"

# The first steps, in which engines get ready, and whose numbers are compared: later ones may lie apart by rounding.
FIRST = 10
# How long eager takes for a block.
_BLOCK_SECONDS = 0.05
_MOST = 10_000  # steps of a block
_ROUNDS = 5  # at least
# A program that many steps are run of: those that we have not measured take what steady ones take.
LONG = 1000

Step = Callable[[], float]
Scope = Callable[[], contextlib.AbstractContextManager[Any]]


class NoScopeError(Exception):
    """There is nothing here to fuse eager programs with."""


@dataclass(frozen=True)
class Program:
    """A script, what it is called with, and how far its numbers may be from eager's, relative to the largest."""

    name: str
    module: str
    full: Sequence[str] = ()
    quick: Sequence[str] = ()
    packages: Sequence[str] = ()
    tolerance: float = 1e-3

    def prepare(self, quick: bool) -> Step:
        """The function that goes one step of a new instance."""
        script = importlib.import_module(f"dvm.bench.eager.{self.module}")
        given = [*self.full, *self.quick] if quick else list(self.full)
        step: Step = script.prepare(script.arguments(given))
        return step


PROGRAMS = {
    program.name: program
    for program in (
        Program("mlp", "mlp", quick=["--batch", "128", "--hidden", "128"]),
        Program("transformer", "transformer", quick=["--width", "96", "--length", "32"]),
        Program("vae", "vae", quick=["--batch", "64"]),
        Program("dcgan", "dcgan", quick=["--batch", "4", "--channels", "8"]),
        Program("diffusion", "diffusion", quick=["--batch", "4", "--width", "64"]),
        Program("beam-search", "beam_search", quick=["--new", "6"], packages=["transformers"]),
        Program("waves", "waves", quick=["--side", "256"]),
        Program("n-body", "n_body", quick=["--bodies", "200"]),
        Program("k-means", "k_means", quick=["--points", "2000"]),
        Program("nms", "nms", quick=["--boxes", "300"]),
        Program("tree-lstm", "tree_lstm", quick=["--leaves", "8", "--width", "64"]),
        Program("experts", "experts", quick=["--tokens", "64", "--width", "64"]),
        Program("adamw", "adamw", quick=["--millions", "2"]),
        Program("adamw-plain", "adamw", full=["--plain"], quick=["--millions", "2"]),
        Program("averages", "averages", quick=["--layers", "6", "--width", "128"]),
        Program("notebook", "notebook"),
    )
}


@dataclass
class Course:
    """What one engine did: seconds of each of the first steps, then of a step in each block, and the first numbers."""

    first: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)

    @property
    def steady(self) -> float:
        """Seconds of a step after the first ones."""
        return statistics.median(self.blocks)

    def until(self, steps: int) -> float:
        """Seconds of the first so many steps, all that is compiled on the way included."""
        return sum(self.first[:steps]) + max(0, steps - len(self.first)) * self.steady


@dataclass
class Run:
    """The courses of all engines; `missing` says why one did not take part."""

    program: Program
    engines: dict[str, Course]
    missing: dict[str, str] = field(default_factory=dict)

    def ratio(self, engine: str) -> float:
        """How many times faster than eager a step is: the median over blocks of the same steps."""
        pairs = zip(self.engines[EAGER].blocks, self.engines[engine].blocks, strict=True)
        return statistics.median(theirs / mine for theirs, mine in pairs)

    def difference(self, engine: str) -> float:
        """The largest between the first numbers and eager's, relative to the largest of these."""
        wanted, came = self.engines[EAGER].numbers, self.engines[engine].numbers
        largest = max((abs(number) for number in wanted), default=0.0) or 1.0
        if any(math.isnan(a) != math.isnan(b) for a, b in zip(came, wanted, strict=True)):
            return math.inf
        pairs = [(a, b) for a, b in zip(came, wanted, strict=True) if not math.isnan(b)]
        return max((abs(a - b) / largest for a, b in pairs), default=0.0)

    @property
    def wrong(self) -> list[str]:
        """The engines whose numbers are not eager's."""
        return [name for name in self.engines if self.difference(name) > self.program.tolerance]


def fusing() -> Scope:
    """What makes our scope. Raises NoScopeError where this build has none."""
    ours = importlib.import_module("dvm.torch")
    scope: Scope | None = getattr(ours, "fuse", None)
    if scope is None:
        raise NoScopeError("dvm.torch.fuse is missing: nothing here fuses eager programs")
    return scope


def scopes(ours: bool = True) -> dict[str, Scope]:
    """The engines that need no compiler of torch's, eager first. Raises NoScopeError."""
    return {EAGER: contextlib.nullcontext, **({OURS: fusing()} if ours else {})}


class _Instance:
    """A program under one engine, and the random numbers that it has come to."""

    def __init__(self, program: Program, quick: bool, scope: Scope, compiled: bool) -> None:
        self._scope = scope
        self.course = Course()
        with scope():
            self._step = program.prepare(quick)
        if compiled:
            self._step = torch.compile(self._step)
        self._random = torch.get_rng_state()

    def go(self, steps: int) -> float:
        """Goes so many steps further; the seconds that they took."""
        torch.set_rng_state(self._random)
        numbers = []
        start = time.perf_counter()
        with self._scope():
            for _ in range(steps):
                numbers.append(self._step())  # noqa: PERF401 (a loop is what users write)
        seconds = time.perf_counter() - start
        self._random = torch.get_rng_state()
        if len(self.course.numbers) < FIRST:
            self.course.numbers += numbers
        return seconds


def measure(
    program: Program,
    engines: Mapping[str, Scope],
    *,
    quick: bool = False,
    inductor: bool = False,
    seconds: float = 2.0,
    on_step: Callable[[str], None] = lambda what: None,
) -> Run:
    """Runs one program under all engines, in blocks of about `seconds` in all, after the first steps."""
    instances: dict[str, _Instance] = {}
    for name, scope in engines.items():
        instances[name] = _Instance(program, quick, scope, compiled=False)
    missing: dict[str, str] = {}
    if inductor:
        torch._dynamo.reset()
        instances[INDUCTOR] = _Instance(program, quick, contextlib.nullcontext, compiled=True)
    for name, instance in list(instances.items()):
        on_step(f"{program.name}: first steps, {name}")
        try:
            instance.course.first = [instance.go(1) for _ in range(FIRST)]
        except Exception as error:
            if name != INDUCTOR:
                raise
            missing[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            del instances[name]
    on_step(f"{program.name}: steady steps")
    own = min(instances[EAGER].course.first)
    steps = max(1, min(_MOST, math.ceil(min(_BLOCK_SECONDS, seconds / _ROUNDS) / own)))
    order, deadline, rounds = list(instances), time.perf_counter() + seconds, 0
    while rounds < _ROUNDS or time.perf_counter() < deadline:
        first = rounds % len(order)
        for name in order[first:] + order[:first]:
            instances[name].course.blocks.append(instances[name].go(steps) / steps)
        rounds += 1
    return Run(program, {name: each.course for name, each in instances.items()}, missing)


def as_json(run: Run) -> dict[str, Any]:
    """The numbers of `run` for a result file."""
    engines = run.engines.items()
    return {
        "steady": {"seconds": {name: course.steady for name, course in engines}},
        "first step": {"seconds": {name: course.first[0] for name, course in engines}},
        "ratio to eager": {name: run.ratio(name) for name, _ in engines},
        "ratio of totals": {
            name: {
                str(steps): run.engines[EAGER].until(steps) / course.until(steps)
                for steps in (1, FIRST, LONG)
            }
            for name, course in engines
        },
        "difference": {name: run.difference(name) for name, _ in engines},
        "wrong": run.wrong,
        "missing": run.missing,
    }
