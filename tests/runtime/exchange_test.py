"""Tensors cross without copies, and results belong to the framework of the first tensor."""

import array

import numpy as np
import pytest

from dvm import _core

TYPES = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "bool": np.bool_, "i8": np.int8,
    "u8": np.uint8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
}  # fmt: skip


def copying(element="f32", rank=2):
    graph = _core.Graph("copying")
    x = graph.input("x", element, [f"d{i}" for i in range(rank)])
    graph.output(graph.elementwise("copy", [x]))
    return _core.Executable(graph)


def doubling(rank=2):
    graph = _core.Graph("doubling")
    x = graph.input("x", "f32", [f"d{i}" for i in range(rank)])
    graph.output(graph.elementwise("add", [x, x]))
    return _core.Executable(graph)


@pytest.mark.parametrize("element", TYPES)
def test_numpy_types(element):
    x = (np.arange(12).reshape(3, 4) % 7).astype(TYPES[element])
    result = copying(element)(x)
    assert isinstance(result, np.ndarray)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result, x)


def test_numpy_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.arange(12).reshape(3, 4).astype(ml_dtypes.bfloat16)
    result = copying("bf16")(x)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result, x)
    with pytest.raises(TypeError, match="float8_e4m3"):
        copying("bf16")(x.astype(ml_dtypes.float8_e4m3))


def views(x):
    return {
        "whole": x,
        "transposed": x.T,
        "columns": x[:, ::2],
        "reversed": x[::-1, ::-1],
        "part": x[1:, 2:],
        "broadcast": np.broadcast_to(x[:, :1], x.shape),
        "fortran": np.asfortranarray(x),
        "empty": x[:0],
        "one": x[:1, :1],
    }


@pytest.mark.parametrize("view", views(np.zeros((2, 2))))
def test_numpy_strides(view):
    x = views(np.arange(35, dtype=np.float32).reshape(5, 7))[view]
    result = doubling()(x)
    np.testing.assert_array_equal(result, x + x)
    assert result.flags.c_contiguous


def test_read_only_numpy():
    x = np.ones((2, 2), np.float32)
    x.flags.writeable = False
    np.testing.assert_array_equal(doubling()(x), x + x)


def test_other_buffers():
    result = doubling(1)(array.array("f", [1, 2, 3]))
    np.testing.assert_array_equal(result, [2, 4, 6])


def test_rank_0():
    graph = _core.Graph("point")
    graph.output(graph.elementwise("neg", [graph.input("x", "f64", [])]))
    executable = _core.Executable(graph)
    assert executable(np.array(2.0)) == -2.0
    assert executable(np.float64(2.0)) == -2.0


class Exporter:
    """Nothing but the protocol."""

    def __init__(self, array, legacy=False):
        self.array = array
        self.legacy = legacy
        self.exports = 0

    def __dlpack__(self, **options):
        self.exports += 1
        if self.legacy and options:
            raise TypeError("an old exporter")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("legacy", [False, True])
def test_dlpack_exporters(legacy):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    exporter = Exporter(x, legacy)
    result = doubling()(exporter)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, x + x)
    assert exporter.exports == 1 + legacy


def test_dlpack_elsewhere():
    class Elsewhere(Exporter):
        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(ValueError, match="input x is on a CUDA device: only CPU"):
        doubling()(Elsewhere(np.ones((2, 2), np.float32)))


def test_out_is_filled_and_returned():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    executable = doubling()
    for out in (
        np.empty((2, 3), np.float32),
        np.empty((3, 2), np.float32).T,
        np.empty((2, 6), np.float32)[:, ::2],
    ):
        assert executable(x, out=out) is out
        np.testing.assert_array_equal(out, x + x)


def test_out_strides_do_not_disturb_other_calls():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    executable = doubling()
    executable(x, out=np.empty((3, 2), np.float32).T)
    np.testing.assert_array_equal(executable(x), x + x)


def test_several_results():
    graph = _core.Graph("two")
    x = graph.input("x", "f32", ["n"])
    graph.output(graph.elementwise("neg", [x]))
    graph.output(graph.elementwise("gt", [x, graph.constant(0, "f32")]))
    executable = _core.Executable(graph)
    x = np.array([-1, 2], np.float32)
    negative, positive = executable(x)
    np.testing.assert_array_equal(negative, -x)
    np.testing.assert_array_equal(positive, x > 0)
    out = (np.empty(2, np.float32), np.empty(2, np.bool_))
    assert executable(x, out=out) is out
    np.testing.assert_array_equal(out[1], x > 0)


def test_no_tensor_comes_in():
    graph = _core.Graph("filled")
    graph.output(graph.expand(graph.scalar("k", "f32"), [2, 3]))
    np.testing.assert_array_equal(_core.Executable(graph)(4.0), np.full((2, 3), 4, np.float32))


def test_inputs_and_scalars_in_the_order_of_their_declaration():
    graph = _core.Graph("mixed")
    a = graph.scalar("a", "f32")
    x = graph.input("x", "f32", ["n"])
    b = graph.scalar("b", "f32")
    graph.output(graph.elementwise("add", [graph.elementwise("mul", [a, x]), b]))
    np.testing.assert_array_equal(_core.Executable(graph)(2, np.ones(2, np.float32), 5), [7, 7])


def test_an_empty_out_may_have_any_strides():
    out = np.empty((0, 6), np.float32)[:, ::2]
    assert doubling()(np.empty((0, 3), np.float32), out=out) is out
