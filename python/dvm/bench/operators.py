"""Are fused operators faster than eager and Inductor, at every size? Through torch.compile, and called directly.

Every case runs eager, `torch.compile(dynamic=True)`, `torch.compile(backend="dvm", dynamic=True)` and the same
operator as a `@dvm.kernel`, in turns, in one process. Inductor compiles once per operator and number of threads, for
all shapes. A result that differs from eager's is reported in place of its time.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ctypes import memmove
from functools import partial
from typing import Any

import torch

from dvm.bench import pointwise, reductions, timer
from dvm.bench.catalogue import Operator, Shape, Tensors

OPERATORS: tuple[Operator, ...] = pointwise.OPERATORS + reductions.OPERATORS

Case = dict[str, Any]
OnCase = Callable[[str], None]

# Above this many bytes moved, no case fits a cache of the machines we know.
OUT_OF_CACHE_BYTES = 128 << 20


def key(operator: str, shape: Iterable[int], threads: int) -> str:
    """What tells a case from all others."""
    return f"{operator} {'x'.join(map(str, shape))} threads={threads}"


def quick(operators: Iterable[Operator] = OPERATORS) -> list[tuple[Operator, tuple[Shape, ...]]]:
    """Every third shape of each operator, up to a million elements."""
    plan = []
    for operator in operators:
        small = [shape for shape in operator.shapes if torch.Size(shape).numel() <= 1 << 20]
        plan.append((operator, tuple(small[1::3])))
    return plan


def full(operators: Iterable[Operator] = OPERATORS) -> list[tuple[Operator, tuple[Shape, ...]]]:
    """Every shape of each operator."""
    return [(operator, operator.shapes) for operator in operators]


def measure(
    plan: list[tuple[Operator, tuple[Shape, ...]]],
    threads: Iterable[int],
    *,
    inductor: bool = True,
    seconds: float = 0.35,
    deadline: float = float("inf"),
    done: dict[str, Case] | None = None,
    on_case: OnCase = lambda name: None,
) -> dict[str, Case]:
    """Measures the cases of `plan` that `done` lacks, until `deadline` (of time.monotonic)."""
    cases = {} if done is None else done
    torch._dynamo.config.recompile_limit = 64
    before = torch.get_num_threads()
    try:
        for operator, shapes in plan:
            for count in threads:
                todo = [shape for shape in shapes if key(operator.name, shape, count) not in cases]
                if todo and time.monotonic() < deadline:
                    torch.set_num_threads(count)
                    torch._dynamo.reset()
                    engines = _engines(operator, inductor)
                    for shape in todo:
                        name = key(operator.name, shape, count)
                        on_case(name)
                        cases[name] = {
                            "operator": operator.name,
                            "shape": list(shape),
                            "elements": torch.Size(shape).numel(),
                            "threads": count,
                            **_case(operator, engines, operator.inputs(shape), seconds, count),
                        }
    finally:
        torch.set_num_threads(before)
    return cases


def _own_code(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    # Dynamo keeps its cache on the code object: with a copy for each engine none searches another's entries.
    assert isinstance(function, types.FunctionType)
    return types.FunctionType(
        function.__code__.replace(co_name=f"{function.__name__}_{name}"), function.__globals__
    )


def _engines(operator: Operator, inductor: bool) -> dict[str, Callable[..., Any]]:
    engines: dict[str, Callable[..., Any]] = {"eager": operator.function}
    if inductor:
        engines["inductor"] = torch.compile(_own_code(operator.function, "inductor"), dynamic=True)
    engines["dvm"] = torch.compile(_own_code(operator.function, "dvm"), backend="dvm", dynamic=True)
    engines["kernel"] = operator.kernel
    return engines


def _case(
    operator: Operator,
    engines: dict[str, Callable[..., Any]],
    inputs: Tensors,
    seconds: float,
    threads: int,
) -> Case:
    expected = _tuple(operator.function(*inputs))
    calls: dict[str, Callable[[], object]] = {}
    wrong: dict[str, str] = {}
    with torch.inference_mode():
        for name, function in engines.items():
            try:
                problem = _difference(expected, _tuple(function(*inputs)), operator.tolerance)
            except Exception as error:  # an engine that fails is a result, the others go on
                problem = (
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                )
            if problem:
                wrong[name] = problem
            else:
                calls[name] = partial(function, *inputs)
        timings = timer.interleave(calls, seconds=seconds)
        case: Case = {"seconds": {name: timing.median for name, timing in timings.items()}}
        if wrong:
            case["wrong"] = wrong
        moved = sum(tensor.nbytes for tensor in (*inputs, *expected))
        if operator.streaming and moved >= OUT_OF_CACHE_BYTES and "kernel" in calls:
            case["bandwidth"] = _bandwidth(operator, inputs, expected, moved, threads)
    return case


def _tuple(result: Any) -> Tensors:
    return result if isinstance(result, tuple) else (result,)


def _difference(expected: Tensors, actual: Tensors, tolerance: float) -> str:
    """What is wrong with `actual`; empty if nothing is."""
    if len(actual) != len(expected):
        return f"{len(actual)} results, wanted {len(expected)}"
    for have, want in zip(actual, expected, strict=True):
        if have.shape != want.shape or have.dtype != want.dtype:
            return f"{have.dtype} {tuple(have.shape)}, wanted {want.dtype} {tuple(want.shape)}"
        if want.is_floating_point():
            allowed = tolerance * (1 + float(want.abs().amax()))
            worst = float((have - want).abs().amax())
            if not worst <= allowed:
                return f"differs by {worst:.2e}, allowed {allowed:.2e}"
        elif not torch.equal(have, want):
            return f"{int((have != want).sum())} elements differ"
    return ""


def _bandwidth(
    operator: Operator, inputs: Tensors, expected: Tensors, moved: int, threads: int
) -> dict[str, float]:
    """Bytes per second of the kernel writing to memory it was given, and of memcpy moving as much."""
    out = expected[0].clone()
    source = torch.zeros(moved // 2, dtype=torch.uint8)
    target = torch.ones_like(source)
    step = -(-source.nbytes // threads)
    pieces = [
        (target.data_ptr() + at, source.data_ptr() + at, min(step, source.nbytes - at))
        for at in range(0, source.nbytes, step)
    ]
    with ThreadPoolExecutor(threads) as pool:
        timings = timer.interleave(
            {
                "kernel": lambda: operator.kernel(*inputs, out=out),
                "memcpy": lambda: list(pool.map(lambda piece: memmove(*piece), pieces)),
                "copy_": lambda: target.copy_(source),
            },
            seconds=0.5,
        )
    best = min(timings["memcpy"].median, timings["copy_"].median)
    return {"kernel": moved / timings["kernel"].median, "memcpy": moved / best}
