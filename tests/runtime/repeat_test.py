"""A value that several kernels read is stored, or computed again in each, whichever moves fewer bytes for its work."""

import numpy as np
import pytest

from dvm import _core, graph_reference


def kernels(graph):
    return [step for step in _core.fuse(graph)["steps"] if step[0] == "kernel"]


def notes(graph, word):
    return [note for note in _core.fuse(graph)["notes"] if word in note]


def check(graph, *shapes, scalars=()):
    random = np.random.default_rng(0)
    executable = _core.Executable(graph)
    for sizes in shapes:
        inputs = [random.standard_normal(size).astype(np.float32) for size in sizes]
        came = executable(*inputs, *scalars)
        came = came if isinstance(came, tuple) else (came,)
        wanted = graph_reference.run(graph, [*inputs, *scalars])
        for mine, reference in zip(came, wanted, strict=True):
            np.testing.assert_allclose(mine, reference, rtol=1e-5, atol=1e-5)


def two_readers(first, second):
    """A graph of one input, two kernels that cannot be one, and what they share."""
    graph = _core.Graph("readers")
    x = graph.input("x", "f32", ["n", "m"])
    shared = first(graph, x)
    rows = graph.reduce("sum", second(graph, shared), [1])
    columns = graph.reduce("sum", shared, [0])
    graph.output(rows)
    graph.output(columns)
    return graph


SIZES = [[(3, 5)], [(1, 1)], [(0, 4)], [(67, 131)], [(2, 1009)]]


def test_an_operation_on_an_input_is_done_in_each_reader():
    graph = two_readers(
        lambda g, x: g.elementwise("abs", [x]), lambda g, x: g.elementwise("square", [x])
    )
    assert len(kernels(graph)) == 2
    (note,) = notes(graph, "computed again")
    assert "abs" in note
    assert "operations, to store it would move" in note
    check(graph, *SIZES)


def test_what_is_costly_is_stored():
    graph = two_readers(
        lambda g, x: g.elementwise("exp", [x]), lambda g, x: g.elementwise("square", [x])
    )
    assert not notes(graph, "computed again")
    check(graph, *SIZES)


def test_what_is_made_of_many_tensors_is_stored():
    graph = _core.Graph("many")
    inputs = [graph.input(f"x{i}", "f32", ["n", "m"]) for i in range(5)]
    total = inputs[0]
    for other in inputs[1:]:
        total = graph.elementwise("add", [total, other])
    graph.output(graph.reduce("sum", total, [1]))
    graph.output(graph.reduce("sum", total, [0]))
    assert not notes(graph, "computed again")
    (note,) = notes(graph, "is stored for another kernel")
    assert "to compute it again would move" in note
    check(graph, *([shape * 1 for shape in sizes] * 5 for sizes in SIZES))


def test_a_number_that_two_kernels_need_is_no_kernel():
    graph = _core.Graph("number")
    a, b = graph.input("a", "f32", []), graph.input("b", "f32", [])
    x, y = graph.input("x", "f32", ["n"]), graph.input("y", "f32", ["m", "k"])
    scale = graph.elementwise("mul", [graph.elementwise("add", [a, b]), a])
    graph.output(graph.elementwise("mul", [x, scale]))
    graph.output(graph.elementwise("sub", [y, scale]))
    assert len(kernels(graph)) == 2
    check(graph, [(), (), (7,), (3, 5)], [(), (), (0,), (1, 1)], [(), (), (2049,), (65, 33)])


def test_a_view_of_a_copy_is_a_view():
    graph = _core.Graph("viewed")
    x, y = graph.input("x", "f32", ["n", "m"]), graph.input("y", "f32", ["m", "n", "k"])
    shifted = graph.elementwise("neg", [x])
    turned = graph.expand(
        graph.reshape(graph.permute(shifted, [1, 0]), ["m", "n", 1]), ["m", "n", "k"]
    )
    graph.output(graph.elementwise("mul", [y, turned]))
    graph.output(graph.reduce("sum", shifted, [0]))
    assert len(kernels(graph)) == 2
    check(graph, [(3, 5), (5, 3, 2)], [(1, 7), (7, 1, 9)], [(64, 33), (33, 64, 5)])


def test_outputs_are_stored_and_read():
    graph = _core.Graph("output")
    x = graph.input("x", "f32", ["n", "m"])
    shared = graph.elementwise("abs", [x])
    graph.output(shared)
    graph.output(graph.reduce("sum", shared, [1]))
    graph.output(graph.reduce("sum", shared, [0]))
    assert not notes(graph, "computed again")
    check(graph, *SIZES)


def test_what_finishes_a_product_stays_its_epilogue():
    graph = _core.Graph("product")
    a, b = graph.input("a", "f32", ["n", 16]), graph.input("b", "f32", [16, 24])
    positions = graph.cast(graph.iota(["n", 24], 0), "f32")
    graph.output(graph.elementwise("relu", [graph.matmul(a, b)]))
    graph.output(graph.elementwise("add", [graph.matmul(a, b), positions]))
    graph.output(graph.reduce("sum", positions, [0]))
    steps = _core.Executable(graph).explain()["matmuls"]
    assert steps[0]["epilogue"] is not None
    check(graph, [(3, 16), (16, 24)], [(65, 16), (16, 24)])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_copies_in_many_readers(count):
    graph = _core.Graph("many readers")
    x = graph.input("x", "f32", ["n", "m"])
    shared = graph.elementwise("relu", [x])
    for reader in range(count):
        y = graph.input(f"y{reader}", "f32", ["n", "m", f"k{reader}"])
        graph.output(graph.elementwise("mul", [y, graph.reshape(shared, ["n", "m", 1])]))
    assert len(kernels(graph)) == count
    sizes = [(3, 5), *((3, 5, 2 + reader) for reader in range(count))]
    check(graph, sizes)
