"""Small launches that need nothing of each other run at once; results do not depend on it."""

import numpy as np
import pytest

from dvm import _core, graph_reference


def stages(executable, *shapes):
    return executable.plan(shapes)["stages"]


def many(count, op="exp"):
    graph = _core.Graph("many")
    for i in range(count):
        graph.output(graph.elementwise(op, [graph.input(f"x{i}", "f32", [f"n{i}"])]))
    return graph


def check(graph, *arrays):
    executable = _core.Executable(graph)
    for mine, wanted in zip(executable(*arrays), graph_reference.run(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
    return executable


def test_independent_small_kernels_are_one_stage():
    arrays = [
        np.random.default_rng(0).random(n).astype(np.float32) for n in (3, 1000, 17, 1, 0, 4097)
    ]
    executable = check(many(len(arrays)), *arrays)
    assert stages(executable, *[array.shape for array in arrays]) == [5]  # nothing for no elements


def test_a_chain_of_kernels_is_a_chain_of_stages():
    graph = _core.Graph("chain")
    x = graph.input("x", "f32", ["n", "m"])
    rows = graph.reduce("sum", x, [1])
    columns = graph.reduce("max", graph.elementwise("mul", [x, rows]), [0])
    graph.output(columns)
    graph.output(graph.reduce("min", graph.elementwise("sub", [x, columns]), [1]))
    executable = check(graph, np.random.default_rng(0).random((30, 40)).astype(np.float32))
    assert stages(executable, (30, 40)) == [1] * len(executable.programs([(30, 40)]))


def test_large_kernels_are_not_stacked():
    executable = _core.Executable(many(2))
    assert stages(executable, (4_000_000,), (4_000_000,)) == [1, 1]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_memory_between_stacked_kernels_is_not_shared(threads):
    """Intermediates whose steps overlap have places of their own in the arena."""
    graph = _core.Graph("arena")
    for i in range(12):
        x = graph.input(f"x{i}", "f32", ["n", "m"])
        total = graph.reduce("sum", x, [0])
        graph.output(graph.reduce("sum", graph.elementwise("mul", [x, total]), [1]))
    arrays = [np.random.default_rng(0).random((64, 31)).astype(np.float32) for _ in range(12)]
    _core.set_threads(threads)
    try:
        for _ in range(20):
            check(graph, *arrays)
    finally:
        _core.set_threads(None)
