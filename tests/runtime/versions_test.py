"""Where sizes happen to be equal, more is fused: a version of its own, made when such a call comes."""

import numpy as np
import pytest

from dvm import _core, graph_reference


def two_lengths():
    """The shares of a query's row among those of a key's: they are one loop when both are equally long."""
    graph = _core.Graph("shares")
    x, y = graph.input("x", "f32", ["n", "q"]), graph.input("y", "f32", ["n", "k"])
    total = graph.reduce("sum", graph.elementwise("exp", [x]), [1])
    graph.output(graph.elementwise("div", [y, total]))
    return graph


def arrays(n, q, k):
    random = np.random.default_rng(n + q + k)
    return [random.standard_normal((n, size)).astype(np.float32) for size in (q, k)]


def kernels(executable, inputs):
    return len(executable.plan([array.shape for array in inputs])["kernels"])


def test_equal_sizes_are_one_kernel_and_others_two():
    executable = _core.Executable(two_lengths())
    assert kernels(executable, arrays(3, 5, 7)) == 2
    assert kernels(executable, arrays(3, 5, 5)) == 1
    assert executable.explain()["guards"] == [{"equal": ("q", "k"), "kernels": 1}]


def test_a_version_is_only_for_calls_in_which_its_guard_holds():
    graph = two_lengths()
    executable = _core.Executable(graph)
    for n, q, k in [(3, 5, 7), (3, 5, 5), (4, 5, 7), (4, 7, 7), (1, 1, 1), (0, 3, 3), (2, 0, 0)]:
        inputs = arrays(n, q, k)
        (wanted,) = graph_reference.run(graph, inputs)
        np.testing.assert_allclose(executable(*inputs), wanted, rtol=1e-5)


def test_without_speculation_there_is_one_version():
    executable = _core.Executable(two_lengths(), speculate=False)
    assert kernels(executable, arrays(3, 5, 5)) == 2


def test_what_facts_decide_is_no_guard():
    equal = two_lengths()
    equal.fact("equal", "q", "k")
    assert _core.Executable(equal).explain()["guards"] == []
    never = two_lengths()
    never.fact("range", "q", 1, 4)
    never.fact("range", "k", 5, 8)
    assert _core.Executable(never).explain()["guards"] == []


def test_sizes_that_are_numbers_are_no_guard():
    graph = _core.Graph("numbers")
    x, y = graph.input("x", "f32", ["n", 3]), graph.input("y", "f32", ["n", 4])
    graph.output(graph.elementwise("mul", [y, graph.reduce("sum", x, [1])]))
    assert _core.Executable(graph).explain()["guards"] == []


@pytest.mark.parametrize("q", [4, 6, 8])
def test_several_guards_hold_apart_and_together(q):
    graph = _core.Graph("three lengths")
    x = graph.input("x", "f32", ["n", "a"])
    total = graph.reduce("sum", x, [1])
    for name in ("b", "c"):
        y = graph.input(f"y_{name}", "f32", ["n", name])
        graph.output(graph.elementwise("mul", [y, total]))
    executable = _core.Executable(graph)
    for b in (4, 6):
        for c in (4, 8):
            inputs = [
                np.random.default_rng(0).random((3, size)).astype(np.float32) for size in (q, b, c)
            ]
            for mine, wanted in zip(
                executable(*inputs), graph_reference.run(graph, inputs), strict=True
            ):
                np.testing.assert_allclose(mine, wanted, rtol=1e-5)
