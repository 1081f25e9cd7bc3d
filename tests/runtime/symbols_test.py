"""Every dimension follows from the inputs, and contradictions are found before anything runs."""

import re

import numpy as np
import pytest

from dvm import _core


def ones(*shape):
    return np.ones(shape, np.float32)


def test_expressions_are_checked():
    graph = _core.Graph("flat")
    x = graph.input("x", "f32", ["a", "b"])
    y = graph.input("y", "f32", ["(a*b)"])
    graph.output(graph.elementwise("add", [graph.reshape(x, ["(a*b)"]), y]))
    executable = _core.Executable(graph)
    np.testing.assert_array_equal(executable(ones(2, 3), ones(6)), 2 * ones(6))
    with pytest.raises(ValueError, match=re.escape("input y: dimension 0 is 5, but (a*b) is 6")):
        executable(ones(2, 3), ones(5))


def test_an_expression_may_come_before_its_symbols():
    graph = _core.Graph("ahead")
    y = graph.input("y", "f32", ["(n+1)"])
    x = graph.input("x", "f32", ["n"])
    graph.output(graph.elementwise("neg", [y]))
    graph.output(graph.elementwise("neg", [x]))
    executable = _core.Executable(graph)
    executable(ones(4), ones(3))
    with pytest.raises(ValueError, match="dimension 0 is 5, but"):
        executable(ones(5), ones(3))


def test_equal_dimensions_have_one_size():
    graph = _core.Graph("add")
    x, y = graph.input("x", "f32", ["a"]), graph.input("y", "f32", ["b"])
    graph.output(graph.elementwise("add", [x, y]))
    executable = _core.Executable(graph)
    executable(ones(3), ones(3))
    with pytest.raises(
        ValueError, match="input y: dimension 0 is 2, but a is 3 from dimension 0 of input x"
    ):
        executable(ones(3), ones(2))
    with pytest.raises(ValueError, match="input y: dimension 0 is 1, but a is 3"):
        executable(ones(3), ones(1))


def test_a_symbol_that_only_another_expression_has():
    """`a` equals `(n+1)`, and only `n` is the size of anything."""
    graph = _core.Graph("equal")
    x = graph.input("x", "f32", ["n"])
    z = graph.elementwise("add", [graph.iota(["a"], 0), graph.iota(["(n+1)"], 0)])
    graph.output(graph.elementwise("neg", [x]))
    graph.output(z)
    np.testing.assert_array_equal(_core.Executable(graph)(ones(3))[1], [0, 2, 4, 6])


def test_a_symbol_without_an_input():
    graph = _core.Graph("arange")
    graph.output(graph.iota(["n"], 0))
    with pytest.raises(
        ValueError, match=r"\[arange\] dimension n of .* follows from no input.*scalar\(\"n\""
    ):
        _core.Executable(graph)


def arange():
    graph = _core.Graph("arange")
    graph.scalar("n", "i64")
    graph.output(graph.elementwise("add", [graph.iota(["n"], 0), graph.size("n", "i64")]))
    return _core.Executable(graph)


def test_a_scalar_can_be_a_dimension():
    executable = arange()
    for n in (3, 0, 1, 1000, 3):
        np.testing.assert_array_equal(executable(n), np.arange(n) + n)
    stats = executable.stats
    assert (stats["misses"], stats["hits"]) == (4, 1)
    with pytest.raises(ValueError, match="scalar n is a dimension and cannot be -1"):
        executable(-1)


def test_a_scalar_named_as_a_bound_symbol_is_a_number():
    graph = _core.Graph("plus")
    x = graph.input("x", "i64", ["n"])
    graph.output(graph.elementwise("add", [x, graph.scalar("n", "i64")]))
    executable = _core.Executable(graph)
    np.testing.assert_array_equal(executable(np.zeros(2, np.int64), 7), [7, 7])


def test_a_dimension_that_would_be_negative():
    graph = _core.Graph("shrunk")
    graph.output(graph.elementwise("neg", [graph.input("x", "f32", ["n"])]))
    graph.output(graph.iota(["(n+-3)"], 0))
    executable = _core.Executable(graph)
    assert executable(ones(5))[1].shape == (2,)
    for n in (1, 2):
        with pytest.raises(ValueError, match="would be negative"):
            executable(ones(n))


def test_sizes_are_numbers():
    graph = _core.Graph("mean")
    x = graph.input("x", "f32", ["m", "n"])
    total = graph.reduce("sum", x, [1])
    graph.output(graph.elementwise("div", [total, graph.size("n", "f32")]))
    executable = _core.Executable(graph)
    for n in (1, 4, 8):
        np.testing.assert_array_equal(executable(ones(3, n)), ones(3, 1))
