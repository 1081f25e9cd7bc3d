"""How long until a shape never seen before runs: the time to plan it, the cost of a repeated call, the first call,
and our share of compiling a whole model.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

import dvm
from dvm.bench import timer

# Kernels of 10 to 20 operations, one for each way of scheduling.


@dvm.kernel
def chain(k: Any, x: Any, y: Any) -> Any:
    """Elementwise only."""
    x, y = k.load(x), k.load(y)
    for scale in (0.5, 0.25, 0.125):
        x = k.tanh(x * scale + y) - x * y
    return k.store(k.maximum(x, 0.0) + k.sigmoid(y))


@dvm.kernel
def norm(k: Any, x: Any, y: Any) -> Any:
    """Rows reduced twice, with consumers."""
    x = k.load(x) + k.load(y)
    centred = x - k.mean(x, axis=-1, keepdims=True)
    x = centred * k.rsqrt(k.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    return k.store(k.gelu(x * 1.5 + 0.5) * k.sigmoid(x))


@dvm.kernel
def attention_weights(k: Any, x: Any, y: Any) -> Any:
    """A masked softmax: rows reduced twice, a select before."""
    y = k.load(y)
    x = k.where(y > 0, k.load(x) * 0.125 + y, -1e9)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True) * (1 - y * 0.1))


@dvm.kernel
def columns(k: Any, x: Any, y: Any) -> Any:
    """Columns reduced, several results."""
    error = k.abs(k.load(x) - k.load(y))
    small = k.where(error < 1.0, error * error * 0.5, error - 0.5)
    return (
        k.store(k.mean(small, axis=0)),
        k.store(k.max(small, axis=0)),
        k.store(k.sum(k.sqrt(small), axis=0)),
    )


KERNELS = {"chain": chain, "norm": norm, "masked softmax": attention_weights, "columns": columns}

OnStep = Callable[[str], None]


def measure(
    *, shapes: int = 1000, first_calls: bool = True, on_step: OnStep = lambda name: None
) -> dict[str, Any]:
    """All four questions, the last two of new processes. `shapes` new ones for each kernel."""
    results: dict[str, Any] = {"plan_us": {}, "repeated_call": {}}
    for name, kernel in KERNELS.items():
        on_step(f"{shapes} new shapes: {name}")
        results["plan_us"][name] = _plans(kernel, shapes)
    for name, kernel in KERNELS.items():
        on_step(f"repeated shape: {name}")
        results["repeated_call"][name] = {"seconds": _repeated(kernel)}
    if first_calls:
        results["first_call"] = {}
        for backend, cold in (("dvm", True), ("inductor", True), ("inductor", False)):
            label = (
                f"{backend}, {'no' if cold else 'warm'} cache" if backend == "inductor" else backend
            )
            on_step(f"first call: {label}")
            results["first_call"][label] = {"seconds": first_call(backend, cold=cold)}
        if find_spec("transformers") is not None:
            on_step("compile after capture: BERT-base")
            results["lowering"] = _printed("dvm.bench.lowering")
    return results


def _plans(kernel: Any, shapes: int) -> dict[str, float]:
    """Microseconds from shapes to bytecode (Schedule, Programs, encoding), by the runtime's own clock."""
    numbers = random.Random(0)
    buffer = np.ones(64 * 1024 * 2, np.float32)
    seen: set[tuple[int, int]] = set()
    times: list[float] = []
    while len(times) < shapes:
        shape = numbers.randint(2, 64), numbers.randint(2, 1024)
        if shape in seen:
            continue
        seen.add(shape)
        x = buffer[: shape[0] * shape[1]].reshape(shape)
        kernel(x, x)
        [compiled] = kernel.explain()["specialisations"]
        times.append(float(compiled["stats"]["last_build"]["total_us"]))
    return {
        "p50": timer.percentile(times, 0.5),
        "p90": timer.percentile(times, 0.9),
        "p99": timer.percentile(times, 0.99),
        "max": max(times),
    }


def _repeated(kernel: Any) -> dict[str, float]:
    """A call on arrays so small that only its overhead is left."""
    x = np.ones((2, 4), np.float32)
    calls: dict[str, Callable[[], object]] = {"numpy": lambda: kernel(x, x)}
    try:
        import torch
    except ModuleNotFoundError:
        pass
    else:
        tensor = torch.ones(2, 4)
        calls["torch"] = lambda: kernel(tensor, tensor)
        calls["eager torch.add"] = lambda: torch.add(tensor, tensor)
    return {name: timing.median for name, timing in timer.interleave(calls, seconds=0.5).items()}


def first_call(backend: str, *, cold: bool) -> dict[str, float]:
    """Seconds of the first calls in a process of its own; `cold` without what Inductor kept on disk."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if cold:
            environment["TORCHINDUCTOR_CACHE_DIR"] = folder
        seconds: dict[str, float] = _printed("dvm.bench.first_call", backend, env=environment)
    return seconds


def _printed(module: str, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """The JSON that a module of ours prints in a process of its own."""
    done = subprocess.run(  # noqa: S603 (by this interpreter)
        [sys.executable, "-m", module, *arguments],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)
