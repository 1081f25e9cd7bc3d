"""The plans of all Executables together stay within one bound, and those used longest ago go first."""

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dvm
from dvm import _core

OWN = 1 << 30  # an Executable's own bound, out of the way


def scaled(cache_bytes=OWN):
    graph = _core.Graph("scaled")
    x = graph.input("x", "f32", ["a", "b"])
    k = graph.scalar("k", "f32")
    graph.output(graph.elementwise("mul", [x, k]))
    return _core.Executable(graph, cache_bytes)


def ones(*shape):
    return np.ones(shape, np.float32)


def size_of_a_plan():
    executable = scaled()
    executable(ones(40, 3), 1.0)
    return executable.stats["bytes"]


@pytest.fixture
def bound():
    """Sets the bound to that of `plans` plans, with those of other tests gone."""

    def set_to(plans):
        size = size_of_a_plan()
        gc.collect()
        dvm.set_plan_bytes(0)
        dvm.set_plan_bytes(plans * size)

    yield set_to
    dvm.set_plan_bytes(None)


def test_the_sum_stays_within_the_bound(bound):
    bound(30)
    executables = [scaled() for _ in range(20)]
    for n in range(1, 25):
        for executable in executables:
            executable(ones(n, 3), 1.0)
            stats = dvm.plan_stats()
            assert stats["bytes"] <= stats["limit_bytes"]
    assert sum(executable.stats["bytes"] for executable in executables) <= stats["limit_bytes"]
    assert sum(executable.stats["plans"] for executable in executables) >= 20, "the bound is used"


def test_the_least_recently_used_go_first_whosever_they_are(bound):
    bound(20)
    old, busy = scaled(), scaled()
    for n in range(1, 6):
        old(ones(n, 3), 1.0)
    for n in range(1, 100):
        busy(ones(n, 3), 1.0)
        old(ones(2, 3), 1.0)
    assert old.stats["misses"] == 5, "the plan in use was never evicted"
    assert (old.stats["plans"], old.stats["evictions"]) == (1, 4)
    misses = busy.stats["misses"]
    for n in range(99, 90, -1):
        busy(ones(n, 3), 1.0)
    assert busy.stats["misses"] == misses, "the newest are there"


def test_the_newest_plan_stays_even_alone(bound):
    bound(0)
    first, second = scaled(), scaled()
    for _ in range(3):
        first(ones(2, 2), 1.0)
    assert (first.stats["misses"], first.stats["hits"]) == (1, 2)
    second(ones(2, 2), 1.0)
    assert (first.stats["plans"], second.stats["plans"]) == (0, 1)
    assert dvm.plan_stats()["plans"] == 1


def test_a_lower_bound_takes_hold_at_once(bound):
    bound(50)
    executable = scaled()
    for n in range(1, 31):
        executable(ones(n, 3), 1.0)
    assert executable.stats["plans"] == 30
    dvm.set_plan_bytes(10 * size_of_a_plan())
    assert 5 <= executable.stats["plans"] <= 10


def test_an_executable_keeps_a_bound_of_its_own(bound):
    bound(100)
    own = 10 * size_of_a_plan()
    small, large = scaled(own), scaled()
    for n in range(1, 61):
        small(ones(n, 3), 1.0)
        large(ones(n, 3), 1.0)
    assert small.stats["bytes"] <= own
    assert (large.stats["plans"], large.stats["evictions"]) == (60, 0)


def test_executables_that_end_give_their_bytes_back(bound):
    bound(200)
    gc.collect()
    before = dvm.plan_stats()
    executable = scaled()
    for n in (2, 3, 3):
        executable(ones(n, 3), 1.0)
    during = dvm.plan_stats()
    assert during["executables"] == before["executables"] + 1
    assert during["plans"] == before["plans"] + 2
    assert during["bytes"] == before["bytes"] + executable.stats["bytes"]
    del executable
    after = dvm.plan_stats()
    assert {key: after[key] for key in ("executables", "plans", "bytes")} == {
        key: before[key] for key in ("executables", "plans", "bytes")
    }
    assert (after["misses"], after["hits"]) == (before["misses"] + 2, before["hits"] + 1)


def test_clearing_gives_bytes_back(bound):
    bound(200)
    executable = scaled()
    before = dvm.plan_stats()["bytes"]
    executable(ones(2, 3), 1.0)
    executable.clear_cache()
    assert dvm.plan_stats()["bytes"] == before


def test_threads_with_executables_that_come_and_go(bound):
    bound(25)
    shared = [scaled() for _ in range(4)]
    barrier = threading.Barrier(8)

    def work(seed):
        rng = np.random.default_rng(seed)
        barrier.wait()
        for _ in range(150):
            own = scaled()
            for executable in (*shared, own):
                m, n = rng.integers(1, 30, size=2)
                k = float(rng.integers(1, 5))
                np.testing.assert_array_equal(executable(ones(m, n), k), np.full((m, n), k, "f4"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    gc.collect()
    scaled()(ones(1, 1), 1.0)
    stats = dvm.plan_stats()
    assert stats["bytes"] <= stats["limit_bytes"]
    for executable in shared:
        assert executable.stats["hits"] + executable.stats["misses"] == 8 * 150
    for executable in shared:
        executable.clear_cache()
    assert dvm.plan_stats()["plans"] <= 2


def test_what_is_no_bound_is_refused():
    with pytest.raises(ValueError, match=r"\[set_plan_bytes\] got -1, wanted at least 0"):
        dvm.set_plan_bytes(-1)


@pytest.mark.parametrize(
    ("text", "limit"), [(None, 64 << 20), ("1000000", 1000000), ("much", 64 << 20)]
)
def test_the_environment_sets_the_bound(text, limit):
    environment = {key: value for key, value in os.environ.items() if key != "DVM_PLAN_BYTES"}
    if text is not None:
        environment["DVM_PLAN_BYTES"] = text
    code = "from dvm import _core; print(_core.plan_stats()['limit_bytes'])"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert int(run.stdout) == limit
