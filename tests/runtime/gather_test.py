"""Picking elements by index, slices, and the checks that guard them, against NumPy."""

import numpy as np
import pytest

from dvm import _core
from dvm.graph_reference import run

ELEMENTS = ["f32", "f64", "f16", "i8", "i32", "i64", "bool"]
NUMPY = {row["name"]: row["numpy"] for row in _core.element_types()}
RANDOM = np.random.default_rng(3)


def draw(element, shape):
    return RANDOM.integers(0, 2 if element == "bool" else 100, shape).astype(NUMPY[element])


def gathered(element, rank, axis):
    graph = _core.Graph("pick")
    sizes = [f"n{i}" for i in range(rank)]
    value = graph.input("value", element, sizes)
    index = graph.input("index", "i64", ["m" if i == axis else n for i, n in enumerate(sizes)])
    graph.output(graph.gather(value, index, axis))
    return graph


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("shape", [(1,), (7,), (5, 9), (64, 1031), (3, 1, 50), (4, 6, 33)])
def test_gather_is_take_along_axis(element, shape):
    for axis in range(len(shape)):
        for count in (0, 1, 13):
            wanted = tuple(count if i == axis else n for i, n in enumerate(shape))
            value, index = draw(element, shape), RANDOM.integers(0, shape[axis], wanted)
            executable = _core.Executable(gathered(element, len(shape), axis))
            np.testing.assert_array_equal(
                executable(value, index), np.take_along_axis(value, index, axis)
            )


def embedding(checked=True):
    """Rows of a table, scaled and normalised: the indices broadcast along the columns."""
    graph = _core.Graph("embedding")
    table = graph.input("table", "f32", ["v", "h"])
    ids = graph.input("ids", "i64", ["b", "s"])
    if checked:
        zero = graph.constant(0, "i64")
        low = graph.elementwise("ge", [ids, zero])
        high = graph.elementwise("lt", [ids, graph.size("v", "i64")])
        holds = graph.reduce("all", graph.elementwise("bitwise_and", [low, high]), [0, 1])
        graph.check(graph.reshape(holds, []), "an index is out of range")
    rows = graph.gather(graph.reshape(table, [1, "v", "h"]), graph.reshape(ids, ["b", "s", 1]), 1)
    centred = graph.elementwise("sub", [rows, graph.reduce("max", rows, [2])])
    graph.output(graph.elementwise("exp", [centred]))
    return graph


def test_an_embedding_is_part_of_the_kernel_that_reads_it():
    executable = _core.Executable(embedding(checked=False))
    (kernel,) = executable.explain()["kernels"]
    assert "gather" in kernel["ops"]
    assert "max" in kernel["ops"]
    for rows, width, shape in [(1, 1, (1, 1)), (10, 33, (2, 7)), (1000, 769, (3, 130))]:
        table = RANDOM.standard_normal((rows, width)).astype(np.float32)
        ids = RANDOM.integers(0, rows, shape)
        picked = table[ids]
        want = np.exp(picked - picked.max(-1, keepdims=True))
        np.testing.assert_allclose(executable(table, ids), want, rtol=2e-6)


def test_an_index_out_of_range_is_an_error_of_the_call():
    executable = _core.Executable(embedding())
    table = np.ones((10, 4), np.float32)
    executable(table, np.array([[0, 9]]))
    for bad in (-1, 10, 2**40):
        with pytest.raises(IndexError, match="an index is out of range"):
            executable(table, np.array([[0, bad]]))
    with pytest.raises(ValueError, match="no elements to pick from"):
        executable(np.ones((0, 4), np.float32), np.zeros((1, 1), np.int64))


def test_from_nothing_nothing_can_be_picked():
    empty, none = np.ones((4, 0), np.float32), np.zeros((4, 0), np.int64)
    executable = _core.Executable(gathered("f32", 2, 1))
    assert executable(empty, none).shape == (4, 0)
    graph = _core.Graph("total")
    value, index = graph.input("x", "f32", ["v"]), graph.input("i", "i64", ["n"])
    graph.output(graph.reduce("sum", graph.gather(value, index, 0), [0]))
    assert _core.Executable(graph)(empty[0], none[0]) == 0


def test_without_a_check_the_nearest_element_is_read():
    executable = _core.Executable(gathered("f32", 1, 0))
    value = np.array([5, 6, 7], np.float32)
    np.testing.assert_array_equal(executable(value, np.array([-3, 1, 2**62])), [5, 6, 7])


def test_what_is_computed_is_picked_from_too():
    """The producer is a kernel of its own: an order that only the data know needs the whole of it."""
    graph = _core.Graph("sorted")
    value = graph.input("x", "f32", ["n", "m"])
    index = graph.input("i", "i64", ["n", "k"])
    doubled = graph.elementwise("add", [value, value])
    picked = graph.gather(doubled, index, 1)
    graph.output(graph.elementwise("mul", [picked, picked]))
    executable = _core.Executable(graph)
    assert len(executable.explain()["kernels"]) == 2
    x, i = RANDOM.standard_normal((6, 40)).astype(np.float32), RANDOM.integers(0, 40, (6, 11))
    np.testing.assert_allclose(
        executable(x, i), np.square(np.take_along_axis(x + x, i, 1)), rtol=1e-6
    )


def test_the_picked_axis_may_be_split_reversed_or_strided():
    executable = _core.Executable(gathered("f32", 2, 1))
    x = RANDOM.standard_normal((40, 60)).astype(np.float32)
    for view in (
        x.T,
        x[::2, ::3],
        np.broadcast_to(x[:1], (5, 60)),
        np.broadcast_to(x[:, :1], (40, 9)),
    ):
        index = RANDOM.integers(0, view.shape[1], (view.shape[0], 8))
        np.testing.assert_array_equal(executable(view, index), np.take_along_axis(view, index, 1))


def test_a_long_row_of_picked_elements_is_reduced_in_parts():
    graph = _core.Graph("total")
    value, index = graph.input("x", "f32", ["v"]), graph.input("i", "i64", ["n"])
    graph.output(graph.reduce("sum", graph.gather(value, index, 0), [0]))
    x, i = RANDOM.standard_normal(100).astype(np.float32), RANDOM.integers(0, 100, 1 << 20)
    np.testing.assert_allclose(
        _core.Executable(graph)(x, i), [x[i].astype(np.float64).sum()], rtol=1e-4, atol=1e-2
    )


SLICES = [(0, "n", 1), (2, 5, 1), (1, "(n//2)", 2), (0, 1, 1), (3, 0, 1)]


@pytest.mark.parametrize(("start", "length", "step"), SLICES)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_slice_is_a_view(start, length, step, axis):
    graph = _core.Graph("slice")
    value = graph.input("x", "f32", ["n", "n"])
    graph.output(graph.elementwise("exp", [graph.slice(value, axis, start, length, step)]))
    executable = _core.Executable(graph)
    x = RANDOM.standard_normal((10, 10)).astype(np.float32)
    size = {"n": 10, "(n//2)": 5}.get(length, length)
    picked = slice(start, start + size * step, step)
    want = np.exp(x[picked] if axis == 0 else x[:, picked])
    np.testing.assert_allclose(executable(x), want, rtol=2e-6)
    assert len(executable.explain()["kernels"]) == 1
    np.testing.assert_allclose(run(graph, [x])[0], want, rtol=2e-6)
    assert str(_core.Graph.parse(str(graph))) == str(graph)


def test_slices_of_what_is_computed():
    graph = _core.Graph("halves")
    value = graph.elementwise("exp", [graph.input("x", "f32", ["m", "n"])])
    halves = [graph.slice(value, 1, start, "(n//2)") for start in (0, "(n//2)")]
    graph.output(graph.elementwise("mul", halves))
    graph.output(halves[1])
    x = RANDOM.standard_normal((5, 14)).astype(np.float32)
    product, second = _core.Executable(graph)(x)
    np.testing.assert_allclose(product, np.exp(x[:, :7]) * np.exp(x[:, 7:]), rtol=2e-6)
    np.testing.assert_allclose(second, np.exp(x[:, 7:]), rtol=2e-6)


def test_a_slice_beyond_the_end_is_an_error():
    graph = _core.Graph("slice")
    graph.output(graph.elementwise("neg", [graph.slice(graph.input("x", "f32", ["n"]), 0, 2, 3)]))
    with pytest.raises(ValueError, match=r"a slice of 3 elements from 2 on.* axis 0 of 4 elements"):
        _core.Executable(graph)(np.ones(4, np.float32))


def test_the_text_of_picks_and_checks_is_read_back():
    graph = embedding()
    assert str(_core.Graph.parse(str(graph))) == str(graph)
    assert "check %" in str(graph)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda g, x, i: g.gather(x, x, 0), "the index is f32, i64 is wanted"),
        (lambda g, x, i: g.gather(x, i, 0), "an index of rank 1 came for a tensor of rank 2"),
        (lambda g, x, i: g.slice(x, 2, 0, 1), "axis 2"),
        (lambda g, x, i: g.slice(x, 0, 0, 1, 0), "a step of 0"),
        (lambda g, x, i: g.check(x, "never"), r"the condition is f32\[n, m\], one bool is wanted"),
    ],
)
def test_what_cannot_be_built_says_why(build, message):
    graph = _core.Graph("bad")
    value, index = graph.input("x", "f32", ["n", "m"]), graph.input("i", "i64", ["k"])
    with pytest.raises(ValueError, match=message):
        build(graph, value, index)
