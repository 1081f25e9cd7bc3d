"""One Executable serves many threads at once, and long work does not hold the interpreter."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dvm import _core

THREADS = 8


def softmax(cache_bytes=1 << 20):
    graph = _core.Graph("softmax")
    x = graph.input("x", "f32", ["m", "n"])
    e = graph.elementwise("exp", [graph.elementwise("sub", [x, graph.reduce("max", x, [1])])])
    graph.output(graph.elementwise("div", [e, graph.reduce("sum", e, [1])]))
    return _core.Executable(graph, cache_bytes)


def reference(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def hammer(executable, shapes, rounds):
    barrier = threading.Barrier(THREADS)

    def work(seed):
        rng = np.random.default_rng(seed)
        barrier.wait()
        for _ in range(rounds):
            x = rng.normal(size=shapes[rng.integers(len(shapes))]).astype(np.float32)
            np.testing.assert_allclose(executable(x), reference(x), rtol=1e-5, atol=1e-7)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def test_threads_share_plans():
    executable = softmax()
    hammer(executable, [(m, n) for m in (1, 3, 40) for n in (1, 17, 130)], 100)
    stats = executable.stats
    assert stats["plans"] == 9
    assert stats["hits"] + stats["misses"] == THREADS * 100


def test_threads_and_a_cache_that_is_too_small():
    executable = softmax(cache_bytes=20_000)
    hammer(executable, [(m, n) for m in range(1, 9) for n in range(1, 9)], 100)
    stats = executable.stats
    assert stats["evictions"] > 0
    assert stats["bytes"] <= 20_000


def test_clearing_under_load():
    executable = softmax()
    stop = threading.Event()

    def clear():
        while not stop.wait(0.0005):
            executable.clear_cache()

    clearer = threading.Thread(target=clear)
    clearer.start()
    try:
        hammer(executable, [(2, 3), (30, 40)], 100)
    finally:
        stop.set()
        clearer.join()


def test_long_work_releases_the_gil():
    graph = _core.Graph("long")
    y = graph.input("x", "f32", ["n"])
    for _ in range(20):
        y = graph.elementwise("sin", [graph.elementwise("exp", [graph.elementwise("neg", [y])])])
    graph.output(y)
    executable = _core.Executable(graph)
    x = np.ones(4_000_000, np.float32)
    executable(x)
    started, done = threading.Event(), threading.Event()

    def run():
        started.set()
        executable(x)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    ticks = 0
    while not done.is_set():
        time.sleep(0.001)
        ticks += 1
    thread.join()
    assert ticks >= 5, "the interpreter stood still during the call"
