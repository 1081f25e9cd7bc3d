"""Attention of many heads as one kernel, in parts (two products and a softmax) and in torch, one thread:
`python -m dvm.bench.attention [--mask]` prints microseconds of each, as medians over calls in turns.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from dvm import _core
from dvm.bench import timer

# Queries, keys, heads, and elements of each.
CASES = (
    (9, 9, 12, 32), (33, 33, 12, 32), (128, 128, 12, 32), (384, 384, 12, 32),
    (128, 128, 12, 64), (512, 512, 12, 64), (1, 512, 16, 64),
)  # fmt: skip
LENGTHS = (
    (1, 1, 12, 64), (1, 16, 12, 64), (1, 128, 12, 64), (1, 1024, 12, 64), (1, 4096, 12, 64),
    (4, 4, 12, 64), (4, 1024, 12, 64), (7, 7, 12, 64), (16, 16, 12, 64), (17, 1024, 12, 64),
    (64, 64, 12, 64), (256, 256, 12, 64), (1024, 1024, 12, 64), (4096, 4096, 2, 64),
)  # fmt: skip


def executable(depth: int, *, masked: bool = False) -> _core.Executable:
    """[b, h, m, d] queries by [b, h, n, d] keys and values, the result laid out as torch's. A mask is bool [m, n]."""
    graph, q, k, v = _graph(depth)
    mask = graph.input("mask", "bool", ["m", "n"]) if masked else None
    made = graph.attention(q, k, v, mask, scale=depth**-0.5, order=[0, 2, 1, 3])
    graph.output(made)
    return _core.Executable(graph, like=torch.Tensor)


def in_parts(depth: int, *, masked: bool = False) -> _core.Executable:
    """The same as a program spells it that needs its scores."""
    graph, q, k, v = _graph(depth)
    scale = graph.constant(depth**-0.5, "f32")
    scores = graph.matmul(q, graph.permute(k, [0, 1, 3, 2]))
    scores = graph.elementwise("mul", [scores, scale])
    if masked:
        hidden = graph.constant(float("-inf"), "f32")
        mask = graph.input("mask", "bool", ["m", "n"])
        scores = graph.elementwise("select", [mask, scores, hidden])
    powers = graph.elementwise("exp_sub", [scores, graph.reduce("max", scores, [3])])
    shares = graph.elementwise("div", [powers, graph.reduce("sum", powers, [3])])
    graph.output(graph.matmul(shares, v))
    return _core.Executable(graph, like=torch.Tensor)


def _graph(depth: int) -> tuple[_core.Graph, int, int, int]:
    graph = _core.Graph("attention")
    q = graph.input("q", "f32", ["b", "h", "m", depth])
    k, v = (graph.input(name, "f32", ["b", "h", "n", depth]) for name in "kv")
    return graph, q, k, v


def measure(
    seconds: float = 0.3, *, masked: bool = False
) -> list[tuple[tuple[int, ...], dict[str, float]]]:
    """For each case the median seconds of the engines, in turns. A mask is causal, the last query sees all keys."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [(case, _measure(case, seconds, masked)) for case in (*CASES, *LENGTHS)]
    finally:
        torch.set_num_threads(before)


def _measure(case: tuple[int, int, int, int], seconds: float, masked: bool) -> dict[str, float]:
    queries, keys, heads, depth = case
    q, k, v = (
        torch.randn(1, length, heads, depth).transpose(1, 2) for length in (queries, keys, keys)
    )
    mask = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries) if masked else None
    masks = [] if mask is None else [mask]
    run, parts = executable(depth, masked=masked), in_parts(depth, masked=masked)
    engines = {
        "dvm": lambda: run(q, k, v, *masks),
        "dvm in parts": lambda: parts(q, k, v, *masks),
        "torch": lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask),
    }
    with torch.inference_mode():
        timings = timer.interleave(engines, seconds=seconds)
    return {name: timing.median for name, timing in timings.items()}


if __name__ == "__main__":
    for (m, n, h, d), times in measure(masked="--mask" in sys.argv):
        print(
            f"| {m} x {n} x {h} x {d} | " + " | ".join(f"{t * 1e6:.0f}" for t in times.values()),
            flush=True,
        )
