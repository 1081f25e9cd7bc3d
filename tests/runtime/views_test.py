"""Views cost nothing where strides can say them, and are copied where they cannot."""

import numpy as np
import pytest

from dvm import _core


def launches(executable, *shapes):
    return len(executable.programs(shapes))


def test_an_input_as_a_result_is_a_copy():
    graph = _core.Graph("identity")
    graph.output(graph.input("x", "i64", ["n"]))
    x = np.arange(4)
    result = _core.Executable(graph)(x)
    np.testing.assert_array_equal(result, x)
    assert not np.shares_memory(result, x)


def test_one_value_as_two_results_is_two_tensors():
    graph = _core.Graph("twice")
    y = graph.elementwise("neg", [graph.input("x", "f32", ["n"])])
    graph.output(y)
    graph.output(y)
    graph.output(graph.reshape(y, ["n", 1]))
    x = np.arange(4, dtype=np.float32)
    first, second, column = _core.Executable(graph)(x)
    np.testing.assert_array_equal(first, -x)
    np.testing.assert_array_equal(second, -x)
    np.testing.assert_array_equal(column, -x[:, None])
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, column)


@pytest.mark.parametrize(
    "x",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(24, dtype=np.float32).reshape(4, 3, 2).T,
        np.arange(96, dtype=np.float32).reshape(4, 6, 4)[::2, ::2],
        np.broadcast_to(np.arange(4, dtype=np.float32), (2, 3, 4)),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::-1],
        np.zeros((2, 0, 4), np.float32),
    ],
    ids=["dense", "transposed", "gaps", "broadcast", "reversed", "empty"],
)
def test_reshapes_of_inputs_with_any_strides(x):
    for shape, sizes in (
        (["(a*b)", "c"], (-1, x.shape[2])),
        (["a", "(b*c)"], (x.shape[0], x.shape[1] * x.shape[2])),
        (["(a*(b*c))"], (-1,)),
        (["c", 1, "b", "a"], (x.shape[2], 1, x.shape[1], x.shape[0])),
    ):
        graph = _core.Graph("reshaped")
        view = graph.reshape(graph.input("x", "f32", ["a", "b", "c"]), shape)
        graph.output(graph.elementwise("neg", [view]))
        wanted = -x.reshape(sizes if x.size else [d if d >= 0 else 0 for d in sizes])
        np.testing.assert_array_equal(_core.Executable(graph)(x), wanted)


def test_a_view_of_a_result_is_written_in_place():
    graph = _core.Graph("views")
    y = graph.elementwise("neg", [graph.input("x", "f32", ["a", "b"])])
    graph.output(graph.reshape(graph.permute(y, [1, 0]), ["b", 1, "a"]))
    executable = _core.Executable(graph)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(executable(x), -x.T.reshape(3, 1, 2))
    assert launches(executable, (2, 3)) == 1


def test_an_expansion_as_a_result_has_its_own_elements():
    graph = _core.Graph("expanded")
    y = graph.elementwise("neg", [graph.input("x", "f32", ["n", 1])])
    graph.output(graph.expand(y, [2, "n", 3]))
    x = np.arange(4, dtype=np.float32)[:, None]
    result = _core.Executable(graph)(x)
    np.testing.assert_array_equal(result, np.broadcast_to(-x, (2, 4, 3)))
    result[0, 0, 0] = 9
    assert result[1, 0, 0] == 0


def test_a_reshape_that_does_not_fit():
    graph = _core.Graph("odd")
    graph.output(graph.reshape(graph.input("x", "f32", ["n"]), [2, "(n//2)"]))
    executable = _core.Executable(graph)
    np.testing.assert_array_equal(executable(np.ones(4, np.float32)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"\[odd\] cannot reshape \[5\] to \[2, 2\]"):
        executable(np.ones(5, np.float32))


def test_the_memory_order_of_outputs():
    graph = _core.Graph("order")
    x = graph.input("x", "f32", ["a", "b", "c"])
    graph.output(graph.elementwise("neg", [x]), [2, 0, 1])
    graph.output(graph.permute(x, [1, 0, 2]), [0, 2, 1])
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    first, second = _core.Executable(graph)(x)
    np.testing.assert_array_equal(first, -x)
    assert first.strides == (12, 4, 24)
    np.testing.assert_array_equal(second, x.transpose(1, 0, 2))
    assert second.strides == (32, 4, 8)


def test_intermediates_between_kernels():
    """Two reductions over different axes cannot share a kernel."""
    graph = _core.Graph("chain")
    x = graph.input("x", "f32", ["a", "b"])
    rows = graph.elementwise("sub", [x, graph.reduce("max", x, [1])])
    columns = graph.elementwise("sub", [rows, graph.reduce("min", rows, [0])])
    again = graph.elementwise("sub", [columns, graph.reduce("max", columns, [1])])
    graph.output(graph.elementwise("add", [again, rows]))
    executable = _core.Executable(graph)
    for shape in ((1, 1), (3, 5), (64, 100), (1, 7), (7, 1)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        r = x - x.max(1, keepdims=True)
        c = r - r.min(0, keepdims=True)
        np.testing.assert_array_equal(executable(x), c - c.max(1, keepdims=True) + r)


def test_nothing_to_do():
    graph = _core.Graph("empty")
    x = graph.input("x", "f32", ["a", "b"])
    graph.output(graph.elementwise("neg", [x]))
    graph.output(graph.reduce("sum", x, [1]))
    executable = _core.Executable(graph)
    negative, total = executable(np.zeros((0, 4), np.float32))
    assert (negative.shape, total.shape) == ((0, 4), (0, 1))
    negative, total = executable(np.zeros((3, 0), np.float32))
    assert negative.shape == (3, 0)
    np.testing.assert_array_equal(total, np.zeros((3, 1)))
