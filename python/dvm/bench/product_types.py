"""Products of every pair of types beside torch's of one type, one thread: `python -m dvm.bench.product_types` prints
GFLOP/s (for integers 10^9 operations a second), of ours with the right operand as it lies and packed as a weight, and
the errors, relative to a product in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from dvm import _core
from dvm.bench import timer

# Rows, columns, depth.
CASES = (
    (1, 768, 768), (8, 768, 768), (33, 768, 768), (128, 768, 768), (384, 768, 3072), (1, 4096, 4096),
)  # fmt: skip
TYPES = {
    "f32": torch.float32,
    "bf16": torch.bfloat16,
    "f16": torch.float16,
    "i8": torch.int8,
    "u8": torch.uint8,
}


def executable(left: str, right: str, *, packed: bool = False) -> _core.Executable:
    """x[m, k] times the transpose of w[n, k], as torch keeps the weight of a linear layer."""
    graph = _core.Graph("product")
    x = graph.input("x", left, ["m", "k"])
    w = graph.input("w", right, ["n", "k"], weight=packed)
    graph.output(graph.matmul(x, graph.permute(w, [1, 0])))
    return _core.Executable(graph, like=torch.Tensor)


def measure(seconds: float = 0.3) -> dict[tuple[str, str], list[dict[str, float]]]:
    """By pair of types the median seconds for every case, of ours as it lies and packed, and of torch's where it has
    such a product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pairs = [(left, right) for left, right, _ in _core.products() if {left, right} <= set(TYPES)]
    try:
        return {pair: [_measure(*pair, *case, seconds) for case in CASES] for pair in pairs}
    finally:
        torch.set_num_threads(before)


def _measure(left: str, right: str, m: int, n: int, k: int, seconds: float) -> dict[str, float]:
    x, w = _random(left, m, k), _random(right, n, k)
    run, run_packed = executable(left, right), executable(left, right, packed=True)
    engines: dict[str, Callable[[], object]] = {
        "dvm": lambda: run(x, w),
        "packed": lambda: run_packed(x, w),
    }
    if left == right == "i8":
        engines["torch"] = lambda: torch._int_mm(x, w.t())
    elif left == right:
        engines["torch"] = lambda: F.linear(x, w)
    with torch.inference_mode():
        timings = timer.interleave(engines, seconds=seconds)
    return {name: timing.median for name, timing in timings.items()}


def errors(rows: int = 33, columns: int = 768, depth: int = 768) -> dict[str, dict[str, float]]:
    """For floats of one type the Frobenius norm of what is off, relative to that of the product, which for narrow
    types is rounded to them as torch does."""
    found = {}
    for name in ("f32", "bf16", "f16"):
        dtype = TYPES[name]
        x, w = torch.randn(rows, depth).to(dtype), torch.randn(columns, depth).to(dtype)
        exact = x.double() @ w.double().t()
        engines = {
            "dvm": executable(name, name)(x, w).to(dtype),
            "packed": executable(name, name, packed=True)(x, w).to(dtype),
            "torch": F.linear(x, w),
        }
        found[name] = {
            engine: float((came.double() - exact).norm() / exact.norm())
            for engine, came in engines.items()
        }
    return found


def _random(name: str, *shape: int) -> torch.Tensor:
    dtype = TYPES[name]
    if dtype.is_floating_point:
        return torch.randn(*shape).to(dtype)
    limits = torch.iinfo(dtype)
    return torch.randint(limits.min, limits.max + 1, shape, dtype=dtype)


if __name__ == "__main__":
    print("| types | " + " | ".join(f"{m} x {n} x {k}" for m, n, k in CASES) + " |")
    print("|---" * (len(CASES) + 1) + "|")
    for (left, right), of_cases in measure().items():
        rates = [
            " / ".join(f"{2e-9 * m * n * k / time:.0f}" for time in times.values())
            for (m, n, k), times in zip(CASES, of_cases, strict=True)
        ]
        print(f"| {left} by {right} | " + " | ".join(rates) + " |")
    print("\n| type | error as it lies | packed | in torch |\n|---|---|---|---|")
    for name, of_type in errors().items():
        print(f"| {name} | " + " | ".join(f"{error:.2e}" for error in of_type.values()) + " |")
