"""Matrix products of any shapes and layouts, and what runs on their tiles."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from dvm import _core, graph_reference

NUMPY = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i8": np.int8,
    "u8": np.uint8,
    "i32": np.int32,
}
SIZES = (0, 1, 2, 3, 5, 7, 8, 13, 16, 31, 32, 33, 65, 129)


def random(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def product(type_="f32", batch=()):
    graph = _core.Graph("product")
    a = graph.input("a", type_, [*batch, "m", "k"])
    b = graph.input("b", type_, [*batch, "k", "n"])
    graph.output(graph.matmul(a, b))
    return _core.Executable(graph)


def close(came, a, b):
    wanted = np.matmul(a.astype(np.float64), b.astype(np.float64))
    depth = max(a.shape[-1], 1)
    epsilon = np.finfo(a.dtype).eps
    np.testing.assert_allclose(came, wanted, rtol=0, atol=8 * epsilon * depth)


@pytest.mark.parametrize("type_", ["f32", "f64"])
@pytest.mark.parametrize("layout", ["rows", "columns", "left", "both", "strided"])
def test_all_sizes_and_layouts(type_, layout):
    run = product(type_)
    dtype = np.float32 if type_ == "f32" else np.float64
    for m, n, k in itertools.product(
        (0, 1, 2, 5, 13, 33), (0, 1, 3, 16, 33, 65), (0, 1, 7, 16, 50)
    ):
        a, b = random(m, k, dtype=dtype), random(k, n, dtype=dtype)
        if layout in ("columns", "both"):
            b = np.ascontiguousarray(b.T).T
        if layout in ("left", "both"):
            a = np.ascontiguousarray(a.T).T
        if layout == "strided":
            a, b = np.repeat(a, 2, 1)[:, ::2], np.repeat(b, 3, 1)[:, ::3]
        close(run(a, b), a, b)


# The rows of isa/products.def.
TYPES = [f"{left} {right}" for left, right, _ in _core.products()]


def elements(type_, *shape):
    generator = np.random.default_rng(sum(shape))
    if type_ in ("i8", "u8"):
        limits = np.iinfo(NUMPY[type_])
        return generator.integers(limits.min, limits.max, shape, NUMPY[type_], endpoint=True)
    return generator.standard_normal(shape).astype(NUMPY[type_])


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("layout", ["rows", "columns", "left", "strided"])
def test_narrow_types_are_converted_as_they_are_read(types, layout):
    left, right = types.split()
    graph = _core.Graph("narrow")
    a, b = graph.input("a", left, ["m", "k"]), graph.input("b", right, ["k", "n"])
    y = graph.matmul(a, b)
    graph.output(y)
    run = _core.Executable(graph)
    for m, n, k in (
        (1, 1, 1),
        (0, 3, 2),
        (3, 5, 0),
        (2, 33, 7),
        (5, 70, 33),
        (40, 40, 131),
        (100, 65, 600),
    ):
        x, w = elements(left, m, k), elements(right, k, n)
        if layout == "columns":
            w = np.ascontiguousarray(w.T).T
        if layout == "left":
            x = np.ascontiguousarray(x.T).T
        if layout == "strided":
            x, w = np.repeat(x, 2, 1)[:, ::2], np.repeat(w, 3, 1)[:, ::3]
        (wanted,) = graph_reference.run(graph, [x, w])
        came = run(x, w)
        assert came.dtype == NUMPY[graph.type(y)]
        bound = 8 * k * (128 if right == "i8" else 1) * 2e-7 * (graph.type(y) != "i32")
        np.testing.assert_allclose(came, wanted, rtol=0, atol=bound)


@pytest.mark.parametrize(
    "shape", [(128, 768, 768), (127, 769, 771), (257, 1031, 67), (1, 3072, 768), (300, 5, 4000)]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_large_and_odd_sizes(shape, transposed):
    m, n, k = shape
    a, b = random(m, k), random(k, n)
    close(product()(a, np.ascontiguousarray(b.T).T if transposed else b), a, b)


def test_batches_are_broadcast():
    graph = _core.Graph("batches")
    a = graph.input("a", "f32", ["b", 1, "m", "k"])
    b = graph.input("b", "f32", ["h", "k", "n"])
    graph.output(graph.matmul(a, b))
    run = _core.Executable(graph)
    for sizes in ((2, 3, 5, 7, 4), (1, 1, 1, 1, 1), (3, 1, 9, 33, 17), (0, 2, 3, 4, 5)):
        batch, heads, m, n, k = sizes
        left, right = random(batch, 1, m, k), random(heads, k, n)
        close(run(left, right), left, right)


def test_a_linear_layer_of_sequences_is_one_product_of_all_rows():
    graph = _core.Graph("linear")
    x, w = graph.input("x", "f32", ["b", "s", 64]), graph.input("w", "f32", [32, 64])
    graph.output(graph.matmul(x, graph.permute(w, [1, 0])))
    run = _core.Executable(graph)
    left, weight = random(3, 17, 64), random(32, 64)
    close(run(left, weight), left, weight.T)


def finished(order=None):
    """gelu(x @ w + bias) * scale + rest, its axes perhaps turned."""
    graph = _core.Graph("finished")
    x, w = graph.input("x", "f32", ["b", "s", "k"]), graph.input("w", "f32", ["n", "k"])
    bias, rest = graph.input("bias", "f32", ["n"]), graph.input("rest", "f32", ["b", "s", "n"])
    scale = graph.input("scale", "f32", ["b", 1, 1])
    y = graph.matmul(x, graph.permute(w, [1, 0]))
    y = graph.elementwise("gelu", [graph.elementwise("add", [y, bias])])
    y = graph.elementwise("add", [graph.elementwise("mul", [y, scale]), rest])
    graph.output(y if order is None else graph.permute(y, order))
    return graph


@pytest.mark.parametrize("order", [None, [0, 2, 1], [2, 1, 0]])
def test_an_epilogue_runs_on_tiles(order):
    graph = finished(order)
    executable = _core.Executable(graph)
    assert [step[0] for step in executable.explain()["steps"] if step[0] != "view"] == ["matmul"]
    for b, s, n, k in (
        (2, 5, 7, 3),
        (1, 1, 1, 1),
        (3, 129, 70, 33),
        (1, 200, 300, 64),
        (0, 3, 4, 5),
        (4, 1, 33, 8),
    ):
        arrays = [random(b, s, k), random(n, k), random(n), random(b, s, n), random(b, 1, 1)]
        (wanted,) = graph_reference.run(graph, arrays)
        np.testing.assert_allclose(executable(*arrays), wanted, rtol=1e-4, atol=1e-4)


def test_no_elements_along_k_are_zeros_with_an_epilogue():
    graph = finished()
    arrays = [random(2, 3, 0), random(5, 0), random(5), random(2, 3, 5), random(2, 1, 1)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(_core.Executable(graph)(*arrays), wanted, rtol=1e-5, atol=1e-6)


def test_one_kernel_finishes_the_last_of_two_products():
    graph = _core.Graph("gated")
    x = graph.input("x", "f32", ["s", "k"])
    gate, up = (graph.matmul(x, graph.input(name, "f32", ["k", "n"])) for name in ("g", "u"))
    graph.output(graph.elementwise("mul", [graph.elementwise("silu", [gate]), up]))
    executable = _core.Executable(graph)
    assert [step[0] for step in executable.explain()["steps"]] == ["matmul", "matmul"]
    arrays = [random(37, 40), random(40, 70), random(40, 70)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(executable(*arrays), wanted, rtol=1e-4, atol=1e-4)


def test_a_product_that_is_a_result_too_is_written():
    graph = _core.Graph("kept")
    a, b = graph.input("a", "f32", ["m", "k"]), graph.input("b", "f32", ["k", "n"])
    y = graph.matmul(a, b)
    graph.output(y)
    graph.output(graph.elementwise("relu", [y]))
    x, w = random(9, 6), random(6, 40)
    plain, positive = _core.Executable(graph)(x, w)
    close(plain, x, w)
    np.testing.assert_array_equal(positive, np.maximum(plain, 0))


def test_what_depends_on_its_place_is_a_kernel_of_its_own():
    graph = _core.Graph("masked")
    a, b = graph.input("a", "f32", ["m", "k"]), graph.input("b", "f32", ["k", "n"])
    column = graph.cast(graph.iota(["m", "n"], 1), "f32")
    graph.output(graph.elementwise("add", [graph.matmul(a, b), column]))
    x, w = random(9, 6), random(6, 300)
    (wanted,) = graph_reference.run(graph, [x, w])
    np.testing.assert_allclose(_core.Executable(graph)(x, w), wanted, rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_the_number_of_threads():
    run = product()
    a, b = random(200, 300), random(300, 500)
    results = []
    for threads in (1, 2, 3):
        _core.set_threads(threads)
        try:
            results.append(run(a, b))
        finally:
            _core.set_threads(None)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_nan_and_infinity_go_through():
    a, b = random(4, 20), random(20, 40)
    a[1, 3], b[5, 7] = np.nan, np.inf
    came, wanted = product()(a, b), a @ b
    np.testing.assert_array_equal(np.isnan(came), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(came), np.isinf(wanted))


def test_what_does_not_multiply_is_refused():
    graph = _core.Graph("wrong")
    a = graph.input("a", "f32", [2, 3])
    with pytest.raises(
        ValueError, match=r"\[matmul\] shapes \[2, 3\] and \[4, 5\] do not multiply"
    ):
        graph.matmul(a, graph.input("b", "f32", [4, 5]))
    with pytest.raises(ValueError, match=r"\[matmul\] operands of the types f32 and i64 came"):
        graph.matmul(a, graph.input("c", "i64", [3, 4]))
    with pytest.raises(ValueError, match=r"\[matmul\] .* two axes or more"):
        graph.matmul(a, graph.input("d", "f32", [3]))
    with pytest.raises(ValueError, match=r"\[matmul\] .* do not broadcast"):
        graph.matmul(graph.input("e", "f32", [2, 4, 3]), graph.input("f", "f32", [5, 3, 4]))


def test_a_product_reads_back_from_its_text():
    graph = finished()
    assert str(_core.Graph.parse(str(graph))) == str(graph)


def scaled(bits, batch=()):
    """x @ weights of `bits` bits, which lie as those of a linear layer do: [n, k]."""
    graph = _core.Graph("scaled")
    x = graph.input("x", "f32", [*batch, "m", "k"])
    stored, depth = ("i8", "k") if bits == 8 else ("u8", "pairs")
    w, scales = graph.input("w", stored, ["n", depth]), graph.input("scales", "f32", ["n", "g"])
    turned = [graph.permute(value, [1, 0]) for value in (w, scales)]
    graph.output(graph.matmul_scaled(x, *turned, bits=bits))
    return graph


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 40, 100])
def test_weights_of_few_bits_have_a_scale_for_each_group(bits, rows):
    graph = scaled(bits)
    run = _core.Executable(graph)
    for n, k, group in (
        (1, 2, 2),
        (3, 6, 2),
        (33, 96, 32),
        (20, 128, 64),
        (37, 160, 32),
        (9, 256, 128),
        (9, 640, 640),
        (35, 2306, 1153),
        (40, 0, 1),
        (5, 4352, 256),
    ):
        x = random(rows, k)
        w = elements("i8", n, k) if bits == 8 else elements("u8", n, k // 2)
        scales = np.abs(random(n, max(k // group, 1))) / 128
        (wanted,) = graph_reference.run(graph, [x, w, scales])
        np.testing.assert_allclose(run(x, w, scales), wanted, rtol=1e-4, atol=1e-4)


def test_weights_of_few_bits_have_an_epilogue_and_any_layout():
    graph = _core.Graph("gelu")
    x, w = graph.input("x", "f32", ["b", "s", 64]), graph.input("w", "i8", [64, "n"])
    scales, bias = graph.input("scales", "f32", [2, "n"]), graph.input("bias", "f32", ["n"])
    y = graph.matmul_scaled(x, w, scales, bits=8)
    graph.output(graph.elementwise("gelu", [graph.elementwise("add", [y, bias])]))
    executable = _core.Executable(graph)
    assert [step[0] for step in executable.explain()["steps"]] == ["matmul"]
    arrays = [random(2, 9, 64), elements("i8", 64, 50), np.abs(random(2, 50)) / 128, random(50)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(executable(*arrays), wanted, rtol=1e-4, atol=1e-4)
    assert str(_core.Graph.parse(str(graph))) == str(graph)


def test_scales_that_do_not_fit_are_refused():
    graph = _core.Graph("wrong")
    x, w = graph.input("x", "f32", ["m", "k"]), graph.input("w", "i8", ["k", 8])
    scales, other = graph.input("scales", "f32", ["g", 8]), graph.input("s", "f32", ["g", 7])
    with pytest.raises(ValueError, match=r"\[matmul\] operand 1 of the type i8 came, u8 is wanted"):
        graph.matmul_scaled(x, w, scales, bits=4)
    with pytest.raises(ValueError, match=r"\[matmul\] 3 bits came"):
        graph.matmul_scaled(x, w, scales, bits=3)
    with pytest.raises(ValueError, match=r"\[matmul\] scales of \[g, 7\] came"):
        graph.matmul_scaled(x, w, other, bits=8)
    graph.output(graph.matmul_scaled(x, w, scales, bits=8))
    with pytest.raises(ValueError, match=r"100 elements along k do not part into 3 groups"):
        _core.Executable(graph)(random(2, 100), elements("i8", 100, 8), random(3, 8), random(3, 7))


def test_a_product_whose_rows_are_one_axis_for_its_readers_has_its_epilogue():
    """As GPT-2 says it: addmm of all rows, whose result is seen as sequences again."""
    graph = _core.Graph("conv1d")
    x, w = graph.input("x", "f32", ["b", "s", 24]), graph.input("w", "f32", [24, 40])
    rows = graph.reshape(graph.matmul(x, w), ["b*s", 40])
    rows = graph.elementwise("add", [rows, graph.input("bias", "f32", [40])])
    graph.output(graph.elementwise("gelu", [graph.reshape(rows, ["b", "s", 40])]))
    executable = _core.Executable(graph)
    assert [step[0] for step in executable.explain()["steps"]] == ["matmul"]
    arrays = [random(3, 7, 24), random(24, 40), random(40)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(executable(*arrays), wanted, rtol=1e-4, atol=1e-4)
