"""Reshapes between operations cut no kernel where the sizes on both sides have equal products."""

import numpy as np
import pytest

from dvm import _core, graph_reference


def kernels(graph):
    return [step for step in _core.fuse(graph)["steps"] if step[0] == "kernel"]


def check(graph, *shapes):
    random = np.random.default_rng(0)
    executable = _core.Executable(graph)
    for sizes in shapes:
        inputs = [random.standard_normal(size).astype(np.float32) for size in sizes]
        came = executable(*inputs)
        came = came if isinstance(came, tuple) else (came,)
        for mine, wanted in zip(came, graph_reference.run(graph, inputs), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5)


def test_heads_are_split_off_inside_a_kernel():
    graph = _core.Graph("heads")
    x = graph.input("x", "f32", ["b", "s", 96])
    y = graph.elementwise("gelu", [x])
    heads = graph.permute(graph.reshape(y, ["b", "s", 12, 8]), [0, 2, 1, 3])
    top = graph.reduce("max", heads, [3])
    graph.output(graph.elementwise("sub", [heads, top]))
    assert len(kernels(graph)) == 1
    check(graph, [(2, 5, 96)], [(1, 1, 96)], [(3, 0, 96)], [(2, 129, 96)])


def test_a_group_norm_with_a_scale_per_channel_is_one_kernel():
    graph = _core.Graph("group norm")
    x, scale = graph.input("x", "f32", ["n", 12, "w"]), graph.input("scale", "f32", [12, 1])
    y = graph.elementwise("mul", [x, x])
    grouped = graph.reshape(y, ["n", 3, "4*w"])
    centred = graph.elementwise("sub", [grouped, graph.reduce("max", grouped, [2])])
    graph.output(graph.elementwise("mul", [graph.reshape(centred, ["n", 12, "w"]), scale]))
    assert len(kernels(graph)) == 1
    check(graph, [(2, 12, 7), (12, 1)], [(1, 12, 1), (12, 1)], [(5, 12, 64), (12, 1)])


def test_flattening_before_a_reduction_changes_nothing():
    graph = _core.Graph("flat")
    x = graph.input("x", "f32", ["b", "s", "h"])
    flat = graph.reshape(graph.elementwise("exp", [x]), ["b*s*h"])
    graph.output(graph.reduce("sum", flat, [0]))
    assert len(kernels(graph)) == 1
    check(graph, [(2, 3, 4)], [(1, 1, 1)], [(0, 3, 4)], [(17, 31, 5)])


def test_what_cannot_be_proved_stays_a_boundary():
    graph = _core.Graph("unknown")
    x = graph.input("x", "f32", ["n", 12])
    y = graph.reshape(graph.elementwise("exp", [x]), ["(n*12)//5", 5])
    graph.output(graph.elementwise("neg", [y]))
    assert len(kernels(graph)) == 2
    check(graph, [(5, 12)], [(10, 12)])


def test_an_axis_that_is_needed_whole_is_not_split():
    graph = _core.Graph("whole")
    x = graph.elementwise("exp", [graph.input("x", "f32", ["n", 12])])
    graph.output(graph.reduce("argmax", x, [1]))
    split = graph.reshape(x, ["n", 3, 4])
    graph.output(graph.elementwise("neg", [split]))
    check(graph, [(5, 12)])


@pytest.mark.parametrize("first", [(6, 4), (4, 6)])
def test_two_ways_to_split_one_axis_are_both_right(first):
    graph = _core.Graph("two ways")
    x = graph.elementwise("exp", [graph.input("x", "f32", ["n", 24])])
    for sizes in (first, first[::-1]):
        parts = graph.reshape(x, ["n", *sizes])
        graph.output(graph.elementwise("sub", [parts, graph.reduce("sum", parts, [2])]))
    check(graph, [(5, 24)])


def test_results_keep_their_shape():
    graph = _core.Graph("shape")
    x = graph.input("x", "f32", ["b", "s", 8])
    merged = graph.reshape(graph.elementwise("exp", [x]), ["b*s", 8])
    graph.output(graph.elementwise("mul", [merged, merged]))
    assert _core.Executable(graph)(np.ones((2, 3, 8), np.float32)).shape == (6, 8)
    check(graph, [(2, 3, 8)])
