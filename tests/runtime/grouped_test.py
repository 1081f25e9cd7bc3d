"""Products of groups of rows: one plan for all ways to share rows out, any layout and type, ends that are no good."""

import ml_dtypes
import numpy as np
import pytest

from dvm import _core, graph_reference


def grouped(a="f32", b="f32", ends="i32", turned=False):
    graph = _core.Graph("grouped")
    x = graph.input("x", a, ["rows", "k"])
    shape = ["groups", "n", "k"] if turned else ["groups", "k", "n"]
    y = graph.input("y", b, shape)
    y = graph.permute(y, [0, 2, 1]) if turned else y
    graph.output(graph.matmul_grouped(x, y, graph.input("ends", ends, ["groups"])))
    return graph


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def ends_of(*counts):
    return np.cumsum(counts).astype(np.int32)


SHARES = [(5, 0, 9, 3), (0, 0, 0, 17), (17, 0, 0, 0), (4, 4, 4, 5), (0, 0, 0, 0), (3, 1, 0, 2)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("k", "n"), [(16, 40), (67, 7), (1, 33), (600, 130), (0, 5)])
def test_any_shares_are_one_plan(turned, k, n):
    graph = grouped(turned=turned)
    run = _core.Executable(graph)
    x, y = random(17, k), random(4, n, k) if turned else random(4, k, n)
    for counts in SHARES:  # some leave rows to no group: zeros
        arrays = [x, y, ends_of(*counts)]
        (wanted,) = graph_reference.run(graph, arrays)
        np.testing.assert_allclose(run(*arrays), wanted, rtol=1e-4, atol=1e-4)
    assert run.explain()["stats"]["plans"] == 1


@pytest.mark.parametrize("turned", [False, True])
def test_groups_of_many_rows(turned):
    graph = grouped(turned=turned)
    x, y = random(700, 80), random(3, 200, 80) if turned else random(3, 80, 200)
    for counts in [(300, 1, 399), (64, 128, 508), (700, 0, 0), (31, 33, 2)]:
        arrays = [x, y, ends_of(*counts)]
        (wanted,) = graph_reference.run(graph, arrays)
        np.testing.assert_allclose(_core.Executable(graph)(*arrays), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [("bf16", "bf16", ml_dtypes.bfloat16), ("f16", "f16", np.float16), ("f64", "f64", np.float64)],
)
@pytest.mark.parametrize("turned", [False, True])
def test_types_of_products(a, b, dtype, turned):
    graph = grouped(a, b, "i64", turned)
    x = random(130, 48).astype(dtype)
    y = (random(3, 70, 48) if turned else random(3, 48, 70)).astype(dtype)
    ends = ends_of(2, 100, 28).astype(np.int64)
    (wanted,) = graph_reference.run(graph, [x, y, ends])
    np.testing.assert_allclose(_core.Executable(graph)(x, y, ends), wanted, rtol=1e-3, atol=1e-3)


def test_operands_of_any_layout():
    graph = grouped()
    run = _core.Executable(graph)
    x, y, ends = (
        random(24, 20)[::2, ::-1],
        random(3, 40, 20).transpose(0, 2, 1)[..., ::3],
        ends_of(3, 5, 4),
    )
    every = np.stack([ends, ends], 1)[:, 0]
    (wanted,) = graph_reference.run(graph, [x, y, every])
    np.testing.assert_allclose(run(x, y, every), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ends", [[9, 4, 12], [-5, 3, 12], [50, 60, 70], [4, 2**31 - 1, -(2**31)]])
def test_ends_that_are_no_good_stay_inside_the_rows(ends):
    graph = grouped()
    arrays = [random(12, 8), random(3, 8, 5), np.array(ends, np.int32)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(_core.Executable(graph)(*arrays), wanted, rtol=1e-4, atol=1e-5)


def test_what_reads_the_product_runs_behind_it():
    graph = _core.Graph("experts")
    x, y = graph.input("x", "f32", ["rows", 8]), graph.input("y", "f32", [3, 8, 6])
    made = graph.matmul_grouped(x, y, graph.input("ends", "i32", [3]))
    graph.output(graph.elementwise("relu", [made]))
    arrays = [random(9, 8), random(3, 8, 6), ends_of(1, 5, 3)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(_core.Executable(graph)(*arrays), wanted, rtol=1e-4, atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    run = _core.Executable(grouped())
    arrays = [random(500, 64), random(5, 64, 300), ends_of(100, 3, 0, 390, 7)]
    results = []
    for threads in (1, 2, 3):
        _core.set_threads(threads)
        try:
            results.append(run(*arrays))
        finally:
            _core.set_threads(None)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_what_does_not_fit_is_refused():
    graph = _core.Graph("wrong")
    x, y = graph.input("x", "f32", [9, 8]), graph.input("y", "f32", [3, 8, 6])
    with pytest.raises(
        ValueError, match=r"\[matmul_grouped\] shapes .* came, wanted are \[rows, k\]"
    ):
        graph.matmul_grouped(x, y, graph.input("four", "i32", [4]))
    with pytest.raises(ValueError, match=r"\[matmul_grouped\] ends of groups of type f32 came"):
        graph.matmul_grouped(x, y, graph.input("floats", "f32", [3]))


def test_it_reads_back_from_its_text():
    graph = grouped()
    assert str(_core.Graph.parse(str(graph))) == str(graph)
