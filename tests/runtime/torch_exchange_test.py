"""Torch tensors cross by the C exchange API, whatever their subclass, and torch is never imported by the core."""

import subprocess
import sys

import numpy as np
import pytest

from dvm import _core

torch = pytest.importorskip("torch")


def doubling(element="f32", rank=2):
    graph = _core.Graph("doubling")
    x = graph.input("x", element, [f"d{i}" for i in range(rank)])
    graph.output(graph.elementwise("add", [x, x]))
    return _core.Executable(graph)


@pytest.mark.parametrize(
    ("element", "dtype"),
    [("f32", torch.float32), ("f64", torch.float64), ("f16", torch.float16), ("bf16", torch.bfloat16),
     ("i8", torch.int8), ("u8", torch.uint8), ("i16", torch.int16), ("i32", torch.int32), ("i64", torch.int64)],
)  # fmt: skip
def test_types(element, dtype):
    x = (torch.arange(12) % 5).reshape(3, 4).to(dtype)
    result = doubling(element)(x)
    assert type_and_dtype(result) == (torch.Tensor, dtype)
    assert torch.equal(result, x + x)


def type_and_dtype(tensor):
    return type(tensor), tensor.dtype


def test_bool():
    graph = _core.Graph("negation")
    graph.output(graph.elementwise("logical_not", [graph.input("x", "bool", ["n"])]))
    x = torch.tensor([True, False])
    assert torch.equal(_core.Executable(graph)(x), ~x)


@pytest.mark.parametrize(
    "view",
    [lambda x: x, lambda x: x.T, lambda x: x[:, ::2], lambda x: x[1:, 2:], lambda x: x[:1].expand(5, 7),
     lambda x: x[:0], lambda x: x[:1, :1], lambda x: x.unfold(0, 5, 1)[0]],
)  # fmt: skip
def test_strides(view):
    x = view(torch.arange(35.0).reshape(5, 7))
    result = doubling()(x)
    assert torch.equal(result, x + x)
    assert result.is_contiguous()


def test_subclasses_and_gradients():
    class Named(torch.Tensor):
        pass

    plain = torch.ones(2, 2)
    for x in (torch.nn.Parameter(plain), plain.clone().requires_grad_(), plain.as_subclass(Named)):
        result = doubling()(x)
        assert type(result) is torch.Tensor
        assert not result.requires_grad
        assert torch.equal(result, plain + plain)


def test_results_are_ordinary_tensors():
    result = doubling()(torch.ones(2, 3))
    result += 1
    assert result.view(6).sum().item() == 18
    assert result.data_ptr() % 64 == 0


def test_the_first_tensor_decides():
    graph = _core.Graph("add")
    x, y = graph.input("x", "f32", ["n"]), graph.input("y", "f32", ["n"])
    graph.output(graph.elementwise("add", [x, y]))
    executable = _core.Executable(graph)
    array, tensor = np.ones(2, np.float32), torch.ones(2)
    assert isinstance(executable(array, tensor), np.ndarray)
    assert isinstance(executable(tensor, array), torch.Tensor)


def test_like_decides_where_no_tensor_comes_in():
    graph = _core.Graph("filled")
    graph.output(graph.expand(graph.scalar("k", "f32"), [2]))
    assert torch.equal(_core.Executable(graph, like=torch.Tensor)(4.0), torch.full((2,), 4.0))
    with pytest.raises(TypeError, match="like is a type"):
        _core.Executable(graph, like="torch")


def test_scalars_from_tensors():
    graph = _core.Graph("scaled")
    x, k = graph.input("x", "f32", ["n"]), graph.scalar("k", "f32")
    graph.output(graph.elementwise("mul", [x, k]))
    executable = _core.Executable(graph)
    for k in (torch.tensor(3.0), torch.tensor(3), torch.tensor(3.0, dtype=torch.bfloat16)):
        assert torch.equal(executable(torch.ones(2), k), torch.full((2,), 3.0))


def test_the_memory_order_of_an_output():
    graph = _core.Graph("channels_last")
    x = graph.input("x", "f32", ["n", "c", "h", "w"])
    graph.output(graph.elementwise("add", [x, x]), [0, 2, 3, 1])
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    result = _core.Executable(graph)(x)
    assert torch.equal(result, x + x)
    assert result.is_contiguous(memory_format=torch.channels_last)
    result.resize_(1).fill_(7)


def test_out():
    x = torch.arange(6.0).reshape(2, 3)
    executable = doubling()
    for out in (torch.empty(2, 3), torch.empty(3, 2).T):
        assert executable(x, out=out) is out
        assert torch.equal(out, x + x)
    with pytest.raises(ValueError, match="overlaps input x"):
        executable(x, out=x)


def test_what_has_no_memory():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with pytest.raises(ValueError, match="input x cannot be read: Cannot pack tensors on meta"):
        doubling()(torch.empty(2, 2, device="meta"))
    with pytest.raises(ValueError, match="input x cannot be read"):
        doubling()(torch.eye(2).to_sparse())
    with FakeTensorMode():
        fake = torch.empty(2, 2)
    with pytest.raises(ValueError, match="input x"):
        doubling()(fake)
    with pytest.raises(TypeError, match="elements of type complex64"):
        doubling()(torch.ones(2, 2, dtype=torch.complex64))


def test_the_core_does_not_import_torch():
    code = """
import sys, numpy as np
from dvm import _core
graph = _core.Graph("f")
graph.output(graph.elementwise("neg", [graph.input("x", "f32", ["n"])]))
_core.Executable(graph)(np.ones(3, np.float32))
assert "torch" not in sys.modules, "torch was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
