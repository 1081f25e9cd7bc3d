"""What does not fit is told by operation, argument and what was wanted."""

import re

import numpy as np
import pytest

from dvm import _core

X = np.ones((2, 3), np.float32)
Y = np.ones(3, np.float32)


def add():
    graph = _core.Graph("add")
    x = graph.input("x", "f32", ["m", "n"])
    y = graph.input("y", "f32", ["n"])
    graph.output(graph.elementwise("add", [x, y]))
    return _core.Executable(graph)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "[add] takes 2 arguments (x, y), got 1", (X,)),
        (TypeError, "[add] input y: expected a tensor, got list", (X, [1.0])),
        (TypeError, "[add] input y: expected a tensor, got float", (X, 1.0)),
        (TypeError, "[add] input x: expected a tensor, got NoneType", (None, Y)),
        (TypeError, "[add] input x: elements of type complex64 are not supported", (X * 1j, Y)),
        (TypeError, "[add] input y: elements of type uint16", (X, Y.astype(np.uint16))),
        (TypeError, "[add] input y: elements of type >f4", (X, Y.astype(">f4"))),
        (ValueError, "[add] input x: expected f32, got f64", (X.astype(np.float64), Y)),
        (ValueError, "[add] input y: expected f32, got bool", (X, Y > 0)),
        (ValueError, "[add] input x: expected rank 2, got rank 1", (Y, Y)),
        (
            ValueError,
            "[add] input y: dimension 0 is 2, but n is 3 from dimension 1 of input x",
            (X, Y[:2]),
        ),
    ],
    ids=str,
)
def test_arguments(error, message, arguments):
    with pytest.raises(error, match=re.escape(message)):
        add()(*arguments)


def test_keyword_arguments():
    with pytest.raises(TypeError, match=r"\[add\] the only keyword argument is out"):
        add()(X, Y, dtype="f32")


def test_a_constant_dimension():
    graph = _core.Graph("fixed")
    graph.output(graph.elementwise("neg", [graph.input("x", "f32", [2, "n"])]))
    executable = _core.Executable(graph)
    executable(X)
    with pytest.raises(ValueError, match="input x: dimension 0 is 3, expected 2"):
        executable(X.T)


def test_more_dimensions_than_supported():
    with pytest.raises(ValueError, match="input x has rank 17, at most 16"):
        add()(np.ones((1,) * 17, np.float32), Y)


def test_misaligned_memory():
    words = np.frombuffer(bytes(13), np.uint8)[1:]
    with pytest.raises(ValueError, match="input y does not lie at a multiple of its element size"):
        add()(X, words.view(np.float32))
    records = np.zeros(3, np.dtype([("a", "f4"), ("b", "u1")]))
    with pytest.raises(ValueError, match="input y has a stride that is no multiple"):
        add()(X, records["a"])


def scalar(element):
    graph = _core.Graph("scalar")
    graph.output(graph.elementwise("copy", [graph.scalar("k", element)]))
    return _core.Executable(graph)


@pytest.mark.parametrize(
    ("element", "value", "error", "message"),
    [
        ("f32", "1", TypeError, "scalar k: expected a number, got str"),
        ("i32", 1.0, TypeError, "scalar k: expected an integer, got float"),
        ("i64", 1 << 63, ValueError, "scalar k: the integer does not fit 64 bits"),
        ("i32", 1 << 31, ValueError, "scalar k: 2147483648 does not fit i32"),
        ("u8", -1, ValueError, "scalar k: -1 does not fit u8"),
        ("i8", 128, ValueError, "scalar k: 128 does not fit i8"),
        ("f32", Y, ValueError, "scalar k: expected a scalar, got a tensor of rank 1"),
        ("f64", None, TypeError, "scalar k: expected a number, got NoneType"),
    ],
)
def test_scalars(element, value, error, message):
    with pytest.raises(error, match=re.escape(message)):
        scalar(element)(value)


@pytest.mark.parametrize(
    ("element", "value"),
    [("i8", -128), ("i8", 127), ("u8", 255), ("i16", -32768), ("i32", -(1 << 31)), ("i64", -(1 << 63)),
     ("i64", (1 << 63) - 1), ("f32", 1), ("f64", 0.1), ("bool", True), ("i32", np.int16(-3)), ("f16", 1.5)],
)  # fmt: skip
def test_scalars_at_their_limits(element, value):
    assert scalar(element)(value) == value


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((2, 2), np.float32), "has shape (2, 2), the result has (2, 3)"),
        (np.zeros((2, 3), np.float64), "is f64, the result is f32"),
        (X, "overlaps input x"),
        (np.broadcast_to(np.float32(0), (2, 3)), "is read-only"),
        ((X, X), "[out] 2 tensors came, add has 1 results"),
    ],
    ids=["shape", "type", "overlap", "read-only", "count"],
)
def test_out(out, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        add()(X, Y, out=out)


def test_out_that_shares_memory():
    whole = np.zeros(7, np.float32)
    executable = add()
    with pytest.raises(ValueError, match="overlaps input x"):
        executable(whole[:6].reshape(2, 3), Y, out=whole[1:].reshape(2, 3))
    self_sharing = np.lib.stride_tricks.as_strided(whole, (2, 3), (0, 4))
    with pytest.raises(ValueError, match="has elements that share their memory"):
        executable(X, Y, out=self_sharing)


def test_results_that_share_memory():
    graph = _core.Graph("two")
    x = graph.input("x", "f32", ["n"])
    graph.output(graph.elementwise("neg", [x]))
    graph.output(graph.elementwise("abs", [x]))
    out = np.empty(3, np.float32)
    with pytest.raises(ValueError, match="overlaps result 0"):
        _core.Executable(graph)(Y, out=(out, out))


def test_a_graph_without_outputs():
    with pytest.raises(ValueError, match=r"\[empty\] has no outputs"):
        _core.Executable(_core.Graph("empty"))


def test_programs_wants_a_shape_per_input():
    with pytest.raises(ValueError, match=r"\[add\] expected 2 shapes, one per input, got 1"):
        add().programs([(2, 3)])


def test_graph_builders_take_only_their_types():
    graph = _core.Graph()
    with pytest.raises(ValueError, match='there is no element type "float"'):
        graph.input("x", "float", [1])
    with pytest.raises(ValueError, match=r"a dimension cannot be -1"):
        graph.input("x", "f32", [-1])
    with pytest.raises(TypeError, match="a dimension is an int or a str, got float"):
        graph.input("x", "f32", [1.0])
    with pytest.raises(TypeError, match="a shape is a sequence"):
        graph.input("x", "f32", "n")
    with pytest.raises(ValueError, match='there is no instruction "plus"'):
        graph.elementwise("plus", [])
    with pytest.raises(ValueError, match="has no value %7"):
        graph.type(7)
