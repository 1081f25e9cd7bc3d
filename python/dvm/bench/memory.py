"""Peak memory of whole models over lengths and batches, beside eager and Inductor.

Each model and engine has a process of its own (peak.py), in which every allocation is counted (heap.c): those of
torch, of its libraries, of Inductor's code and of the core alike. Weights and arguments do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dvm.bench import peak

ENGINES = ("eager", "inductor", "dvm", "dvm.compile")
MODELS = tuple(peak.MODELS)
LENGTHS = (8, 32, 128, 512)
BATCHES = (1, 8)

Results = dict[str, dict[str, list[dict[str, int]]]]
"""By model and engine, for each size `batch`, `length` and the peak in `bytes`."""


def measure(
    models: Sequence[str],
    engines: Sequence[str],
    lengths: Sequence[int],
    batches: Sequence[int],
    *,
    on_step: Callable[[str], None] = lambda name: None,
    on_result: Callable[[Results], None] = lambda results: None,
) -> Results:
    """`on_step` is told what begins, `on_result` what is known so far whenever a process is done.

    Raises RuntimeError with the end of what a process said that failed, or FileNotFoundError without a compiler.
    """
    results: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        counter = build(Path(folder))
        for model in models:
            for engine in engines:
                on_step(f"{model}, {engine}")
                arguments = [model, engine, *(",".join(map(str, of)) for of in (lengths, batches))]
                results.setdefault(model, {})[engine] = _process(arguments, counter)
                on_result(results)
    return results


def build(folder: Path) -> Path:
    """Compiles heap.c into `folder`; the library to load before all others."""
    library = folder / "heap.so"
    source = Path(__file__).with_name("heap.c")
    compiler = os.environ.get("CC", "cc")
    subprocess.run(  # noqa: S603 (our own source, by the user's compiler)
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True
    )
    return library


def _process(arguments: Sequence[str], counter: Path) -> list[dict[str, int]]:
    done = subprocess.run(  # noqa: S603 (our own module, by this interpreter)
        [sys.executable, "-m", "dvm.bench.peak", *arguments],
        env={**os.environ, "LD_PRELOAD": str(counter)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"[memory] {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    found: list[dict[str, int]] = json.loads(done.stdout)
    return found


def at(results: Results, model: str, engine: str) -> dict[tuple[int, int], int]:
    """The bytes by batch and length."""
    return {(one["batch"], one["length"]): one["bytes"] for one in results[model][engine]}


def exceeding(results: Results, engine: str, rival: str) -> list[dict[str, Any]]:
    """The sizes at which `engine` needs more than `rival`."""
    found = []
    for model in results:
        ours, theirs = at(results, model, engine), at(results, model, rival)
        for (batch, length), used in ours.items():
            if used > theirs[batch, length]:
                over = used - theirs[batch, length]
                found.append({"model": model, "batch": batch, "length": length, "over": over})
    return found
