"""Weights are packed once, for all that read them, and packed anew when they change."""

import gc
import threading

import numpy as np
import pytest
import torch

import dvm
from dvm import _core


def linear(rows="m"):
    graph = _core.Graph("linear")
    x = graph.input("x", "f32", [rows, "k"])
    weight = graph.input("weight", "f32", ["n", "k"], weight=True)
    graph.output(graph.matmul(x, graph.permute(weight, [1, 0])))
    return _core.Executable(graph)


def tensors(m, n, k):
    generator = torch.Generator().manual_seed(m * n + k)
    return torch.randn(m, k, generator=generator), torch.randn(n, k, generator=generator)


def close(came, x, weight):
    wanted = (x.double() @ weight.double().T).numpy()
    np.testing.assert_allclose(np.asarray(came), wanted, rtol=0, atol=1e-5 * x.shape[1])


def packings(run):
    """How many weights `run` packs, and how many calls it is refused."""
    before = dvm.packed_stats()
    run()
    after = dvm.packed_stats()
    return after["packed"] - before["packed"], after["refused"] - before["refused"]


@pytest.fixture
def bound():
    yield
    dvm.set_packed_bytes(None)


@pytest.mark.parametrize(("n", "k"), [(128, 256), (131, 257), (3001, 33), (33, 3001)])
@pytest.mark.parametrize("layout", ["turned", "rows", "slice"])
def test_products_of_all_sizes_and_layouts(n, k, layout):
    graph = _core.Graph("product")
    x = graph.input("x", "f32", ["m", "k"])
    weight = graph.input("weight", "f32", ["k", "n"], weight=True)
    graph.output(graph.elementwise("relu", [graph.matmul(x, weight)]))
    run = _core.Executable(graph)
    kept = torch.randn(k, n) if layout == "rows" else torch.randn(n, k + 8)[:, 3 : 3 + k].T
    if layout == "turned":
        kept = torch.randn(n, k).T
    for m in (0, 1, 2, 7, 8, 9, 17, 130):
        x = torch.randn(m, k)
        close(run(x, kept), x, kept.T) if m == 0 else np.testing.assert_allclose(
            run(x, kept), (x.double() @ kept.double()).relu(), rtol=0, atol=1e-5 * k
        )


TYPES = {
    "f64": (torch.float64, torch.float64),
    "bf16": (torch.bfloat16, torch.bfloat16),
    "f32 bf16": (torch.float32, torch.bfloat16),
    "f32 f16": (torch.float32, torch.float16),
    "i8": (torch.int8, torch.int8),
    "u8 i8": (torch.uint8, torch.int8),
}


@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("types", TYPES)
def test_products_of_all_types(types, layout):
    names = (types.split() * 2)[:2]
    graph = _core.Graph("product")
    x = graph.input("x", names[0], ["m", "k"])
    weight = graph.input("weight", names[1], ["n", "k"], weight=True)
    graph.output(graph.matmul(x, graph.permute(weight, [1, 0])))
    run = _core.Executable(graph)

    def numbers(dtype, *shape):
        return (torch.randn(shape) if dtype.is_floating_point else torch.randint(-9, 99, shape)).to(
            dtype
        )

    left, right = TYPES[types]
    for m, n, k in ((1, 400, 331), (4, 33, 2103), (8, 513, 300), (9, 513, 301), (70, 257, 515)):
        x, weight = numbers(left, m, k), numbers(right, n, k)
        if layout == "columns":
            x = x.T.contiguous().T
        wanted = (x.double() @ weight.double().T).numpy()
        came = run(x, weight).double().numpy()
        bound = 0 if names[0].endswith("8") else 2e-2 if names[0] == "bf16" else 1e-4
        np.testing.assert_allclose(came, wanted, rtol=bound, atol=bound * k**0.5)


def test_packed_once_for_all_shapes_of_a_call_and_all_executables():
    x, weight = tensors(40, 200, 300)
    first, second = linear(), linear()

    def calls():
        for m in (1, 9, 40):
            close(first(x[:m], weight), x[:m], weight)
            close(second(x[:m], weight), x[:m], weight)

    assert packings(calls) == (1, 0)
    assert packings(lambda: first(x, weight.detach())) == (0, 0)  # another object, the same memory


def test_a_change_in_place_is_noticed():
    x, weight = tensors(9, 200, 300)
    run = linear()
    run(x, weight)
    weight[100:] *= 2
    assert packings(lambda: close(run(x, weight), x, weight)) == (1, 0)


def test_a_change_that_torch_does_not_count_is_noticed():
    x, weight = tensors(9, 200, 300)
    run = linear()
    run(x, weight)
    before = weight._version
    weight.data.mul_(0.5)
    assert weight._version == before
    close(run(x, weight), x, weight)


def test_new_memory_of_a_tensor_is_noticed():
    x, weight = tensors(9, 200, 300)
    run = linear()
    run(x, weight)
    kept = dvm.packed_stats()["weights"]
    weight.data = torch.randn(200, 300)
    close(run(x, weight), x, weight)
    assert dvm.packed_stats()["weights"] == kept


def test_parts_of_one_tensor_are_packed_each():
    graph = _core.Graph("parts")
    x = graph.input("x", "f32", ["m", 256])
    weight = graph.input("weight", "f32", [256, 512], weight=True)
    for start in (0, 256):
        graph.output(graph.matmul(x, graph.slice(weight, 1, start, 256)))
    run = _core.Executable(graph)
    x, weight = torch.randn(5, 256), torch.randn(256, 512)

    def calls():
        for _ in range(3):
            left, right = run(x, weight)
            close(torch.cat([left, right], 1), x, weight.T)

    assert packings(calls) == (2, 0)


def test_packed_weights_go_with_their_tensor():
    gc.collect()
    before = dvm.packed_stats()["bytes"]
    x, weight = tensors(9, 256, 256)
    run = linear()
    run(x, weight)
    assert dvm.packed_stats()["bytes"] == before + 256 * 256 * 4
    del weight
    assert dvm.packed_stats()["bytes"] == before
    other = torch.randn(256, 256)  # perhaps where the first one was
    close(run(x, other), x, other)


def test_beyond_the_bound_weights_are_read_as_they_lie(bound):
    x, weight = tensors(9, 256, 256)
    run = linear()
    dvm.set_packed_bytes(dvm.packed_stats()["bytes"] + 256 * 256 * 4 - 1)
    assert packings(lambda: close(run(x, weight), x, weight)) == (0, 1)
    dvm.set_packed_bytes(None)
    assert packings(lambda: close(run(x, weight), x, weight)) == (1, 0)


def test_a_bound_must_not_be_negative():
    with pytest.raises(ValueError, match=r"\[set_packed_bytes\] got -1, wanted at least 0"):
        dvm.set_packed_bytes(-1)


def test_of_arrays_only_those_are_packed_that_nobody_may_write():
    x, weight = (tensor.numpy() for tensor in tensors(9, 256, 256))
    run = linear()
    assert packings(lambda: run(x, weight)) == (0, 1)
    weight.setflags(write=False)
    assert packings(lambda: np.testing.assert_allclose(run(x, weight), x @ weight.T, atol=1e-3)) == (
        1, 0,
    )  # fmt: skip


def test_tensors_of_inference_mode_are_read_as_they_lie():
    with torch.inference_mode():
        x, weight = tensors(9, 256, 256)
        run = linear()
        assert packings(lambda: close(run(x, weight), x, weight)) == (0, 1)
        weight.mul_(2)
        close(run(x, weight), x, weight)


def test_small_weights_are_not_packed():
    x, weight = tensors(9, 64, 64)
    assert packings(lambda: linear()(x, weight)) == (0, 0)


def test_packing_changes_no_bit_with_the_number_of_threads():
    x, weight = tensors(33, 515, 515)
    run = linear()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(run(x, weight))
    assert torch.equal(*results)


def test_threads_that_call_at_once_share_what_is_packed():
    x, weight = tensors(33, 515, 515)
    run = linear()
    errors = []

    def work():
        try:
            for _ in range(20):
                close(run(x, weight), x, weight)
        except AssertionError as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]

    def call():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert packings(call) == (1, 0)
    assert not errors


def test_a_weight_is_said_in_the_text_of_a_graph():
    graph = linear().graph
    assert "weight weight : f32[n, k]" in str(graph)
    assert str(_core.Graph.parse(str(graph))) == str(graph)


def test_a_weight_stays_one_where_shapes_are_stitched():
    graph = _core.Graph("layer")
    x = graph.input("x", "f32", ["b", "s", 256])
    weight = graph.input("weight", "f32", [256, 256], weight=True)
    flat = graph.matmul(graph.reshape(x, ["b*s", 256]), graph.permute(weight, [1, 0]))
    graph.output(graph.elementwise("add", [graph.reshape(flat, ["b", "s", 256]), x]))
    run = _core.Executable(graph)
    x, weight = torch.randn(3, 4, 256), torch.randn(256, 256)
    assert packings(lambda: run(x, weight)) == (1, 0)
    torch.testing.assert_close(run(x, weight), x @ weight.T + x, rtol=1e-4, atol=1e-4)
