"""What a call costs the host: graphs of 1 to 64 kernels that cannot be fused, on tensors so small that running them
takes next to nothing. A repeated shape costs a look-up and the launches, a new one its plan besides; and graphs of
1 000 to 10 000 operations tell how compiling grows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import dvm
from dvm import _core

KERNELS = (1, 2, 4, 8, 16, 32, 64)
OPERATIONS = (1250, 2500, 5000, 10000)


def kernels_apart(count: int) -> _core.Graph:
    """`count` kernels, each of which needs the whole result of the one before."""
    graph = _core.Graph("host")
    value = graph.input("x", "f32", ["m", "n"])
    for number in range(count):
        total = graph.reduce("sum", value, [number % 2])
        value = graph.elementwise("sub", [value, total])
    graph.output(value)
    return graph


def layers(operations: int) -> _core.Graph:
    """About `operations` nodes in the proportions of a transformer: arithmetic, a softmax, a residual, a reshape."""
    graph = _core.Graph("layers")
    value = graph.input("x", "f32", ["b", "s", 64])
    while len(graph) < operations:
        flat = graph.reshape(value, ["(b*s)", 64])
        scaled = graph.elementwise("mul", [flat, graph.constant(0.5, "f32")])
        peak = graph.reduce("max", scaled, [1])
        powers = graph.elementwise("exp", [graph.elementwise("sub", [scaled, peak])])
        shares = graph.elementwise("div", [powers, graph.reduce("sum", powers, [1])])
        turned = graph.permute(graph.reshape(shares, ["b", "s", 64]), [1, 0, 2])
        back = graph.permute(graph.elementwise("tanh", [turned]), [1, 0, 2])
        value = graph.elementwise("add", [value, back])
    graph.output(value)
    return graph


def _median_us(run: Callable[[], Any], times: int, each: int = 1) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        for _ in range(each):
            run()
        taken.append((time.perf_counter() - start) / each)
    return statistics.median(taken) * 1e6


def calls(count: int, shapes: int = 100) -> dict[str, float]:
    """Microseconds of a call with a repeated and with a new shape, for a graph of `count` kernels, on one thread."""
    executable = _core.Executable(kernels_apart(count))
    threads = dvm.threads()
    dvm.set_threads(1)
    try:
        array = np.ones((4, 8), np.float32)
        executable(array)
        repeated = _median_us(lambda: executable(array), 100, 20)
        fresh = iter([np.ones((2 + i % 16, 3 + i // 16), np.float32) for i in range(shapes)])
        first = _median_us(lambda: executable(next(fresh)), shapes)
    finally:
        dvm.set_threads(threads)
    kernels = len(executable.explain()["kernels"])
    return {"kernels": kernels, "repeated_us": repeated, "first_us": first}


def compiling(operations: int) -> dict[str, float]:
    """Milliseconds from a graph of that many operations to an Executable: the fastest of three."""
    taken = []
    for _ in range(3):
        graph = layers(operations)
        start = time.perf_counter()
        executable = _core.Executable(graph)
        taken.append(time.perf_counter() - start)
    kernels = len(executable.explain()["kernels"])
    return {"operations": len(graph), "kernels": kernels, "compile_ms": min(taken) * 1e3}


def measure(on_step: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Runs both parts; `on_step` is told the name of each step when it begins."""
    results: dict[str, Any] = {"calls": [], "compiling": []}
    for count in KERNELS:
        on_step(f"{count} kernels")
        results["calls"].append(calls(count))
    for operations in OPERATIONS:
        on_step(f"{operations} operations")
        results["compiling"].append(compiling(operations))
    return results
