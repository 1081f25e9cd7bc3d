"""What a call costs the host besides the work itself, as an estimate: the steps of a Flow, counted, times what one of
each kind takes on tensors of four elements, measured here and once per process. The model itself is not run: `dvm run`
measures that.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from dvm import _core
from dvm.compiled.framework import find
from dvm.flow.steps import Call, Compute, Flow, Free, Item, Run, Size, Step

HOW = "counted, times what each takes on tensors of 4 elements; the model was not run"


def host_cost(flow: Flow, launches: int, framework: str) -> dict[str, Any]:
    """`us` of a call with repeated shapes, `how` that is known, and `parts`, each with `what`, `count` and `us_each`.
    `launches` are those of all Executables together."""
    counts: dict[str, int] = {}
    for step in flow.steps:
        counts[_kind(step)] = counts.get(_kind(step), 0) + 1
    counts["launches"] = launches
    each = _measured(framework)
    counted = {what: counts[what] for what in each if counts.get(what)}
    parts = [{"what": what, "count": n, "us_each": each[what]} for what, n in counted.items()]
    us = sum(n * each[what] for what, n in counted.items())
    return {"us": us, "how": HOW, "parts": parts}


def _kind(step: Step) -> str:
    match step:
        case Run():
            return "calls of Executables"
        case Call(optional=True):
            return "views"
        case Size() | Compute() | Item() | Free():
            return "sizes"
        case _:
            return "operations in torch"


@functools.cache
def _measured(framework: str) -> dict[str, float]:
    """Microseconds of each kind, with tensors of `framework`."""
    made = find(framework)
    x = made.example("float32", (2, 2))
    few, many = _apart(1), _apart(9)
    one, nine = _fastest(lambda: few(x)), _fastest(lambda: many(x))
    launches = len(many.plan([[2, 2]])["kernels"]) - len(few.plan([[2, 2]])["kernels"])
    launch = max(0.0, nine - one) / launches
    work = _fastest(lambda: x @ x)
    return {
        "calls of Executables": max(0.0, one - launch * len(few.plan([[2, 2]])["kernels"])),
        "launches": launch,
        "operations in torch": work,
        "views": _fastest(lambda: x.reshape(4)),
        "sizes": _fastest(lambda: x.shape[0]),
    }


def _apart(count: int) -> _core.Executable:
    """Kernels, each of which needs the whole result of the one before."""
    graph = _core.Graph("apart")
    value = graph.input("x", "f32", ["m", "n"])
    for number in range(count):
        total = graph.reduce("sum", value, [number % 2])
        value = graph.elementwise("sub", [value, total])
    graph.output(value)
    return _core.Executable(graph)


def _fastest(run: Callable[[], Any]) -> float:
    """Microseconds, of the fastest of some batches: what else the machine does is no cost of ours."""
    taken = []
    for _ in range(8):
        begin = time.perf_counter()
        for _ in range(50):
            run()
        taken.append((time.perf_counter() - begin) / 50)
    return min(taken) * 1e6
