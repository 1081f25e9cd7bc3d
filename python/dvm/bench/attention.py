"""Attention of many heads beside torch's, one thread: `python -m dvm.bench.attention` prints microseconds of both."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from dvm import _core
from dvm.bench import timer

# Queries, keys, heads, and elements of each.
CASES = (
    (9, 9, 12, 32), (33, 33, 12, 32), (128, 128, 12, 32), (384, 384, 12, 32),
    (128, 128, 12, 64), (512, 512, 12, 64), (1, 512, 16, 64),
)  # fmt: skip


def executable(depth: int) -> _core.Executable:
    """[b, h, m, d] queries by [b, h, n, d] keys and values, the result laid out as torch's."""
    graph = _core.Graph("attention")
    q = graph.input("q", "f32", ["b", "h", "m", depth])
    k, v = (graph.input(name, "f32", ["b", "h", "n", depth]) for name in "kv")
    graph.output(graph.attention(q, k, v, scale=depth**-0.5, order=[0, 2, 1, 3]))
    return _core.Executable(graph, like=torch.Tensor)


def measure(seconds: float = 0.5) -> list[tuple[tuple[int, ...], dict[str, float]]]:
    """For each case the median seconds of both engines, in turns."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [(case, _measure(*case, seconds)) for case in CASES]
    finally:
        torch.set_num_threads(before)


def _measure(queries: int, keys: int, heads: int, depth: int, seconds: float) -> dict[str, float]:
    q, k, v = (
        torch.randn(1, length, heads, depth).transpose(1, 2) for length in (queries, keys, keys)
    )
    run = executable(depth)
    engines = {
        "dvm": lambda: run(q, k, v),
        "torch": lambda: F.scaled_dot_product_attention(q, k, v),
    }
    with torch.inference_mode():
        timings = timer.interleave(engines, seconds=seconds)
    return {name: timing.median for name, timing in timings.items()}


if __name__ == "__main__":
    for (m, n, h, d), times in measure():
        print(f"| {m} x {n} x {h} x {d} | " + " | ".join(f"{t * 1e6:.0f}" for t in times.values()))
