"""A thousand shapes leave memory as flat as one."""

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dvm import _core

CACHE = 1 << 18


def softmax(cache_bytes=CACHE):
    graph = _core.Graph("softmax")
    x = graph.input("x", "f32", ["m", "n"])
    e = graph.elementwise("exp", [graph.elementwise("sub", [x, graph.reduce("max", x, [1])])])
    graph.output(graph.elementwise("div", [e, graph.reduce("sum", e, [1])]))
    return _core.Executable(graph, cache_bytes)


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def flat(call, make):
    """Runs `call(make(m, n))` for many shapes; what the second half adds to memory."""
    rng = np.random.default_rng(0)
    shapes = rng.integers(1, 60, size=(2000, 2)).tolist()
    for m, n in shapes[:1000]:
        call(make(m, n))
    gc.collect()
    tracemalloc.start()
    before, resident = tracemalloc.take_snapshot(), resident_bytes()
    for m, n in shapes[1000:]:
        call(make(m, n))
    gc.collect()
    after = tracemalloc.take_snapshot()
    grown = resident_bytes() - resident
    tracemalloc.stop()
    python = sum(entry.size_diff for entry in after.compare_to(before, "filename"))
    return python, grown


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_numpy():
    executable = softmax()
    python, grown = flat(executable, lambda m, n: np.ones((m, n), np.float32))
    assert python < 64 * 1024
    assert grown < 8 << 20
    assert executable.stats["bytes"] <= CACHE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_torch():
    torch = pytest.importorskip("torch")
    executable = softmax()
    python, grown = flat(executable, lambda m, n: torch.ones(m, n))
    assert python < 64 * 1024
    assert grown < 8 << 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_errors_and_strided_results():
    graph = _core.Graph("order")
    x = graph.input("x", "f32", ["m", "n"])
    graph.output(graph.elementwise("neg", [x]), [1, 0])
    executable = _core.Executable(graph, CACHE)

    def call(x):
        executable(x)
        with pytest.raises(ValueError, match="expected rank"):
            executable(x[0])

    python, grown = flat(call, lambda m, n: np.ones((m, n), np.float32))
    assert python < 64 * 1024
    assert grown < 8 << 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_many_executables_share_one_bound():
    executables = [softmax(1 << 30) for _ in range(8)]
    _core.set_plan_bytes(8 * CACHE)

    def call(x):
        for executable in executables:
            executable(x)

    try:
        python, grown = flat(call, lambda m, n: np.ones((m, n), np.float32))
        assert python < 64 * 1024
        assert grown < 2 << 20
        assert _core.plan_stats()["bytes"] <= 8 * CACHE
        assert sum(executable.stats["evictions"] for executable in executables) > 1000
    finally:
        _core.set_plan_bytes(None)


def test_the_arena_grows_to_what_the_largest_call_needs():
    """In a thread of its own, which has kept nothing yet."""
    graph = _core.Graph("between")
    x, w = graph.input("x", "f32", ["m", 64]), graph.input("w", "f32", [64, 64])
    graph.output(graph.matmul(graph.matmul(x, w), w))
    executable = _core.Executable(graph, CACHE)
    weight = np.ones((64, 64), np.float32)

    def kept():
        for rows in (300, 20, 600):
            executable(np.ones((rows, 64), np.float32), weight)
            yield _core.plan_stats()["arena_bytes"]

    with ThreadPoolExecutor(1) as thread:
        first, second, third = thread.submit(lambda: [*kept()]).result()
    assert 0 < first == second < third
    assert third >= executable.plan([[600, 64], [64, 64]])["arena_bytes"]


def test_executables_are_freed():
    softmax()(np.ones((2, 2), np.float32))
    before = resident_bytes()
    for _ in range(3000):
        softmax()(np.ones((2, 2), np.float32))
    assert resident_bytes() - before < 8 << 20
