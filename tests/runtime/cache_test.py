"""Plans are made once per shape, kept within bounds, and made again only for what really differs."""

import numpy as np
import pytest

from dvm import _core


def scaled(cache_bytes=1 << 20):
    graph = _core.Graph("scaled")
    x = graph.input("x", "f32", ["a", "b"])
    k = graph.scalar("k", "f32")
    graph.output(graph.elementwise("mul", [x, k]))
    return _core.Executable(graph, cache_bytes)


def counts(executable):
    stats = executable.stats
    return stats["misses"], stats["hits"]


def ones(*shape):
    return np.ones(shape, np.float32)


def test_a_repeated_shape_is_a_hit():
    executable = scaled()
    for _ in range(3):
        executable(ones(2, 3), 1.0)
    assert counts(executable) == (1, 2)
    executable(ones(3, 2), 1.0)
    executable(ones(2, 3), 1.0)
    assert counts(executable) == (2, 3)
    assert executable.stats["plans"] == 2


def test_another_scalar_needs_no_new_plan():
    executable = scaled()
    for k in (1, 2.5, True, -0.0, np.float64(3), float("nan")):
        np.testing.assert_array_equal(executable(ones(2, 3), k), np.full((2, 3), k, np.float32))
    assert counts(executable) == (1, 5)


def test_strides_are_part_of_the_shape():
    executable = scaled()
    executable(ones(3, 4), 1.0)
    executable(ones(4, 3).T, 1.0)
    assert counts(executable) == (2, 0)


def test_the_stride_of_one_element_is_not():
    executable = scaled()
    executable(ones(1, 4), 1.0)
    executable(ones(9, 4)[3:4], 1.0)
    executable(ones(4, 1).T, 1.0)
    assert counts(executable) == (1, 2)


def test_the_least_recently_used_plans_go_first():
    executable = scaled()
    executable(ones(1, 1), 1.0)
    size = executable.stats["bytes"]
    executable = scaled(cache_bytes=20 * size)
    for n in range(1, 200):
        executable(ones(n, 3), 1.0)
        executable(ones(1, 3), 1.0)  # always the one before the newest
        stats = executable.stats
        assert stats["bytes"] <= stats["limit_bytes"]
        assert stats["plans"] <= 20
    assert stats["evictions"] == stats["misses"] - stats["plans"]
    assert stats["misses"] == 199, "the plan in use was never evicted"


def test_a_cache_of_nothing_keeps_the_newest_plan():
    executable = scaled(cache_bytes=0)
    for n in (2, 2, 3, 3, 2):
        executable(ones(n, n), 1.0)
    assert counts(executable) == (3, 2)
    assert executable.stats["plans"] == 1


def test_clear():
    executable = scaled()
    executable(ones(2, 2), 1.0)
    executable.clear_cache()
    assert executable.stats["plans"] == 0
    assert executable.stats["bytes"] == 0
    executable(ones(2, 2), 1.0)
    assert counts(executable) == (2, 0)


def test_stats_tell_how_long_a_plan_took():
    executable = scaled()
    executable(ones(5, 7), 1.0)
    time = executable.stats["last_build"]
    parts = time["bind_us"] + time["schedule_us"] + time["encode_us"]
    assert time["total_us"] == pytest.approx(parts)
    assert executable.explain()["stats"]["last_build"] == time
