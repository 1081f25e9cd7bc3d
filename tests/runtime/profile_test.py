"""A profile tells what each kernel of a call took, changes no result, and is no part of calls outside of it."""

import json
import threading
import time

import numpy as np
import pytest

import dvm
from dvm import _core


@dvm.kernel
def softmax(k, x):
    x = k.load(x)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))


def independent(count):
    graph = _core.Graph("several")
    for i in range(count):
        graph.output(graph.elementwise("exp", [graph.input(f"x{i}", "f32", [f"n{i}"])]))
    return _core.Executable(graph)


def test_results_are_the_same_and_nothing_is_noted_outside():
    x = np.random.default_rng(0).standard_normal((50, 70)).astype(np.float32)
    plain = softmax(x)
    with dvm.profile() as profile:
        np.testing.assert_array_equal(softmax(x), plain)
    softmax(x)
    assert [event.kind for event in profile.events] == ["kernel"]


def test_launches_that_usually_run_at_once_each_have_a_time():
    several = independent(3)
    arrays = [np.ones(n, np.float32) for n in (3, 100, 1000)]
    assert several.plan([array.shape for array in arrays])["stages"] == [3]
    begin = time.perf_counter_ns()
    with dvm.profile() as profile:
        several(*arrays)
    end = time.perf_counter_ns()
    assert [event.bytes for event in profile.events] == [24, 800, 8000]
    assert [event.number for event in profile.events] == [0, 1, 2]
    times = [time for event in profile.events for time in (event.begin_ns, event.end_ns)]
    assert times == sorted(times)
    assert begin <= times[0]
    assert times[-1] <= end


def test_a_kernel_of_several_launches_is_one_event():
    graph = _core.Graph("total")
    graph.output(graph.reduce("sum", graph.input("x", "f32", ["n", "m"]), [0, 1]))
    executable = _core.Executable(graph)
    x = np.ones((1000, 1000), np.float32)
    launches = len(executable.plan([x.shape])["kernels"])
    assert launches > 1
    with dvm.profile() as profile:
        executable(x)
    (event,) = profile.events
    assert event.launches == launches
    assert event.bytes == 4 * (1000 * 1000 + 1)


def test_of_a_table_only_the_rows_that_are_picked_count():
    graph = _core.Graph("lookup")
    table, ids = graph.input("table", "f32", ["rows", 8]), graph.input("ids", "i64", ["n", 8])
    graph.output(graph.gather(table, ids, 0))
    executable = _core.Executable(graph)
    with dvm.profile() as profile:
        executable(np.ones((1000, 8), np.float32), np.ones((5, 8), np.int64))
    (event,) = profile.events
    assert event.bytes == 5 * 8 * (4 + 4 + 8)


def test_another_thread_is_not_noted():
    x = np.ones((4, 4), np.float32)
    with dvm.profile() as profile:
        thread = threading.Thread(target=softmax, args=(x,))
        thread.start()
        thread.join()
    assert profile.events == []
    assert profile.rows() == []


def test_profiles_do_not_nest():
    with dvm.profile():
        with pytest.raises(ValueError, match=r"\[profile\] one is on already"), dvm.profile():
            pass
        softmax(np.ones((2, 2), np.float32))
    with dvm.profile() as profile:  # and the failure left nothing behind
        softmax(np.ones((2, 2), np.float32))
    assert len(profile.events) == 1


def test_a_trace_is_in_the_trace_event_format(tmp_path):
    with dvm.profile() as profile:
        softmax(np.ones((200, 100), np.float32))
    profile.save(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    (event,) = (event for event in trace["traceEvents"] if event["ph"] == "X")
    assert event["ts"] == 0
    assert event["dur"] > 0
    assert {"name", "cat", "pid", "tid"} <= event.keys()
    assert event["args"]["bytes"] == 2 * 200 * 100 * 4
    assert event["args"]["graph"] == "softmax"
    assert event["args"]["threads"] >= 1
