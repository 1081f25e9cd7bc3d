"""What recording costs: microseconds of small operations in eager and in our scope, `python -m dvm.bench.recording`.

eager_programs.py times whole programs; here it is one operation many times over, which is recorded and computed later,
at the end of a round or when the recorder has enough. Both are told: `issued` is what the line of the program takes,
`in all` has the work too. Tiny tensors are nothing but overhead, large ones show what overhead matters. At last comes a
loop of two hundred operations that nobody has seen, and what its first round costs beside a later one.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dvm.bench.eager_programs import EAGER, NoScopeError, Scope, scopes
from dvm.cli.output import write_json

_ROUNDS = 15
_OPERATIONS = 50  # of a round, each of which is recorded before anything is looked at
_NEW = 200  # operations of the loop's body
_TINY, _LARGE = (8, 8), (512, 512)

Operation = Callable[[torch.Tensor], Any]

OPERATIONS: Mapping[str, Operation] = {
    "add": lambda x: x + x,
    "mul with a number": lambda x: x * 0.5,
    "relu": torch.relu,
    "exp": torch.exp,
    "sum": lambda x: x.sum(-1),
    "softmax": lambda x: x.softmax(-1),
    "matmul": lambda x: x @ x,
    "view": lambda x: x.view(-1),
    "slice": lambda x: x[1:, :4],
    "mul_": lambda x: x.mul_(1.0),
    "item": lambda x: x[0, 0].item(),
    "five in a chain": lambda x: torch.tanh(x * 0.5 + 1) * x - x,
}


@dataclass(frozen=True)
class Cost:
    """Microseconds of one operation."""

    issued: float
    in_all: float


def cost(operation: Operation, shape: tuple[int, ...], scope: Scope) -> Cost:
    """The medians over rounds, the first of which do not count."""
    x = torch.rand(shape)
    issued, in_all = [], []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        with scope():
            start = time.perf_counter()
            results = [operation(x) for _ in range(_OPERATIONS)]
            issued.append(time.perf_counter() - start)
        in_all.append(time.perf_counter() - begin)
        del results
    later = slice(_ROUNDS // 3, None)
    scale = 1e6 / _OPERATIONS
    return Cost(statistics.median(issued[later]) * scale, statistics.median(in_all[later]) * scale)


def body(seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Two hundred operations in an order that no other seed gives."""
    numbers = torch.randint(0, 5, (_NEW,), generator=torch.Generator().manual_seed(seed)).tolist()
    kinds: list[Operation] = [
        lambda x: x + 1,
        lambda x: x * 0.5,
        torch.relu,
        torch.tanh,
        lambda x: x - x.mean(-1, keepdim=True),
    ]

    def run(x: torch.Tensor) -> torch.Tensor:
        for number in numbers:
            x = kinds[number](x)
        return x

    return run


def rounds(scope: Scope, shape: tuple[int, ...] = _TINY) -> dict[str, float]:
    """Milliseconds of the first and of a later round of loops that are new."""
    first, later = [], []
    for seed in range(5):
        loop, x = body(seed), torch.rand(shape)
        times = []
        with scope():
            for _ in range(6):
                start = time.perf_counter()
                float(loop(x).sum())
                times.append(time.perf_counter() - start)
        first.append(times[0])
        later.append(statistics.median(times[2:]))
    return {"first": statistics.median(first) * 1e3, "later": statistics.median(later) * 1e3}


def measure(engines: Mapping[str, Scope]) -> dict[str, Any]:
    """Everything, as a result file has it; times in microseconds, those of the loop in milliseconds."""
    costs: dict[str, Any] = {}
    with torch.no_grad():
        for shape in (_TINY, _LARGE):
            for name, operation in OPERATIONS.items():
                found = {engine: cost(operation, shape, scope) for engine, scope in engines.items()}
                costs[f"{name} {shape[0]}x{shape[1]}"] = {
                    engine: {"issued": each.issued, "in all": each.in_all}
                    for engine, each in found.items()
                }
        loops = {engine: rounds(scope) for engine, scope in engines.items()}
    return {"microseconds": costs, f"milliseconds of {_NEW} new operations": loops}


def _print(results: Mapping[str, Any]) -> None:
    engines = list(next(iter(results["microseconds"].values())))
    heads = [f"{engine} {what}" for engine in engines for what in ("issued", "in all")]
    lines = [f"{'microseconds':<26}" + "".join(f"{head:>16}" for head in heads)]
    for name, found in results["microseconds"].items():
        cells = [found[engine][what] for engine in engines for what in ("issued", "in all")]
        lines.append(f"{name:<26}" + "".join(f"{cell:>16.2f}" for cell in cells))
    for name, found in results.items():
        if name.startswith("milliseconds"):
            for engine, times in found.items():
                told = ", ".join(f"{which} round {value:.2f}" for which, value in times.items())
                lines.append(f"{name}, {engine}: {told}")
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="What recording an operation costs.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engines: Mapping[str, Scope] = {EAGER: contextlib.nullcontext}
    try:
        engines = scopes()
    except NoScopeError as error:
        sys.stderr.write(f"{error}; eager alone\n")
    results = measure(engines)
    if given.json:
        write_json(results)
    else:
        _print(results)


if __name__ == "__main__":
    main()
