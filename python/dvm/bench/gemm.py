"""Linear layers of real models, alone and with what follows them: ours beside torch's, which is MKL or oneDNN, and
beside the best rate at which anything here was seen to multiply. On request the products alone also by other libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from dvm import _core
from dvm.bench import rivals as other
from dvm.bench import timer

# Columns and depth: the projections of MiniLM, BERT-base and GPT-2, Llama and Qwen of about 0.5 B, and odd ones.
LAYERS = (
    (384, 384), (1536, 384), (384, 1536), (768, 768), (3072, 768), (768, 3072), (2304, 768),
    (1024, 1024), (2816, 1024), (1024, 2816), (769, 771), (50257, 768),
)  # fmt: skip
ROWS = (1, 2, 4, 8, 13, 16, 33, 64, 97, 128, 256, 384, 509)
QUICK_LAYERS = ((384, 384), (768, 768), (3072, 768), (768, 3072), (769, 771))
QUICK_ROWS = (1, 8, 33, 128, 384)

# What is done with the rows of a product: nothing, a bias, or a bias and an activation.
ENDS = ("product", "bias", "bias gelu")

_SQUARE = 1024

# Called with the name of each case once it is done.
OnStep = Callable[[str], None]


@dataclass
class Case:
    """One product of `rows` x `depth` by `depth` x `columns`. Seconds by engine."""

    rows: int
    columns: int
    depth: int
    end: str
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.rows} x {self.columns} x {self.depth} {self.end}, {self.threads} threads"

    @property
    def layer(self) -> str:
        return layer_name(self.columns, self.depth)

    def rate(self, engine: str) -> float:
        """Floating-point operations per second."""
        return 2.0 * self.rows * self.columns * self.depth / self.seconds[engine]

    @property
    def ratio(self) -> float:
        """How many times faster than torch."""
        return self.seconds["torch"] / self.seconds["dvm"]

    @property
    def best_ratio(self) -> float:
        """How many times faster than the fastest of all others."""
        return (
            min(seconds for name, seconds in self.seconds.items() if name != "dvm")
            / (self.seconds["dvm"])
        )


@dataclass
class Results:
    """The cases, by number of threads the most floating-point operations per second of all that ran, and why other
    libraries did not."""

    cases: list[Case] = field(default_factory=list)
    peaks: dict[int, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def layer_name(columns: int, depth: int) -> str:
    """`3072x768`: a weight as torch keeps it."""
    return f"{columns}x{depth}"


def executable(end: str) -> _core.Executable:
    """x[m, k] times the transpose of w[n, k], as torch keeps the weight of a linear layer."""
    graph = _core.Graph("linear")
    x = graph.input("x", "f32", ["m", "k"])
    w = graph.input("w", "f32", ["n", "k"], weight=True)
    y = graph.matmul(x, graph.permute(w, [1, 0]))
    if end != "product":
        y = graph.elementwise("add", [y, graph.input("b", "f32", ["n"])])
    if end == "bias gelu":
        y = graph.elementwise("gelu", [y])
    graph.output(y)
    return _core.Executable(graph, like=torch.Tensor)


def _eager(end: str, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    y = F.linear(x, w, None if end == "product" else b)
    return F.gelu(y) if end == "bias gelu" else y


def measure(
    threads: Sequence[int],
    *,
    quick: bool = False,
    only: str = "",
    rivals: bool = False,
    seconds: float = 0.3,
    on_step: OnStep = lambda name: None,
) -> Results:
    """Every case of the grid whose layer has `only` in its name, engines in turns; with `rivals` in blocks, as those
    have threads of their own."""
    results = Results()
    before = torch.get_num_threads()
    runs = {end: executable(end) for end in ENDS}
    try:
        for count in threads:
            torch.set_num_threads(count)
            of_count = [case for case in grid(count, quick) if only in case.layer]
            for case in of_count:
                results.missing |= _measure(case, runs[case.end], seconds, rivals)
                on_step(case.name)
            results.cases += of_count
            rates = [case.rate(engine) for case in of_count for engine in case.seconds]
            results.peaks[count] = max([_best_rate(runs["product"], seconds), *rates])
    finally:
        torch.set_num_threads(before)
    return results


def _best_rate(run: _core.Executable, seconds: float) -> float:
    """The fastest of all calls of either engine on square matrices, in operations per second. What multiply-add units
    could do is no less than this; no other way to measure that is here, and clocks that change make it no constant."""
    x, w = torch.randn(_SQUARE, _SQUARE), torch.randn(_SQUARE, _SQUARE)
    fastest = float("inf")
    with torch.inference_mode():
        deadline = time.perf_counter() + seconds
        while True:
            times = timer.once(lambda: F.linear(x, w)), timer.once(lambda: run(x, w))
            fastest = min(fastest, *times)
            if time.perf_counter() > deadline:
                return 2.0 * _SQUARE**3 / fastest


def grid(threads: int, quick: bool) -> list[Case]:
    """The cases, in order. Only plain products of the widest layer: its activation would be no model's."""
    layers, rows = (QUICK_LAYERS, QUICK_ROWS) if quick else (LAYERS, ROWS)
    return [
        Case(m, n, k, end, threads)
        for n, k in layers
        for m in rows
        for end in ENDS
        if (end == "product" or n < 10_000) and m * n < 20_000_000
    ]


def _measure(case: Case, run: _core.Executable, seconds: float, rivals: bool) -> dict[str, str]:
    """Fills `case`; the reasons of the libraries that are missing."""
    generator = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(shape, generator=generator)
        for shape in ((case.rows, case.depth), (case.columns, case.depth), (case.columns,))
    )
    alone = case.end == "product"
    arguments = (x, w) if alone else (x, w, b)
    missing: dict[str, str] = {}
    with torch.inference_mode():
        engines: dict[str, Callable[[], object]] = {
            "torch": lambda: _eager(case.end, x, w, b),
            "dvm": lambda: run(*arguments),
        }
        if rivals and alone:
            found, missing = other.products(x, w, case.threads)
            engines |= found
        measure = timer.blocks if rivals else timer.interleave
        timings = measure(engines, seconds=seconds)
    case.seconds = {name: timing.median for name, timing in timings.items()}
    return missing


def as_json(results: Results) -> dict[str, Any]:
    """The numbers for a result file: `seconds` of each case, and the `peaks`, in operations per second."""
    cases = {case.name: {"seconds": case.seconds} for case in results.cases}
    return {"cases": cases, "peaks": {str(count): rate for count, rate in results.peaks.items()}}
