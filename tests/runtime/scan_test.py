"""Running sums and products: every type, size, axis and layout against NumPy, and what is a kernel beside them."""

import numpy as np
import pytest

from dvm import _core, graph_reference

TYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64}

# One element, none, primes, more lines than run side by side, long lines, and several axes.
SHAPES = [
    (1,), (0,), (7,), (10007,),
    (0, 5), (5, 0), (1, 1), (3, 1), (1, 13), (2, 3), (31, 67), (67, 131), (5, 4096), (4099, 3),
    (2, 3, 5), (3, 1, 7), (4, 65, 3), (1, 257, 64), (2, 3, 5, 7),
]  # fmt: skip


def scan(op, dtype, rank, axis):
    """Along one axis of a tensor of any sizes."""
    graph = _core.Graph("scan")
    x = graph.input("x", dtype, [f"n{i}" for i in range(rank)])
    graph.output(graph.scan(op, x, axis))
    return graph


def some(shape, dtype, op="sum"):
    """Numbers whose products neither vanish nor overflow soon."""
    random = np.random.default_rng(sum(shape))
    if np.issubdtype(dtype, np.integer):
        return random.integers(-9, 9, shape, dtype=dtype)
    numbers = random.standard_normal(shape)
    return (np.exp(numbers / 8) if op == "prod" else numbers).astype(dtype)


def check(graph, array, executable=None):
    (wanted,) = graph_reference.run(graph, [array])
    came = (executable or _core.Executable(graph))(array)
    assert came.dtype == wanted.dtype
    np.testing.assert_array_equal(came, wanted)
    return came


@pytest.mark.parametrize("op", ["sum", "prod"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_element_has_what_numpy_gathers_up_to_it(op, dtype):
    executables = {}
    for shape in SHAPES:
        for axis in range(len(shape)):
            key = len(shape), axis
            graph, executable = executables.setdefault(
                key, (graph := scan(op, dtype, *key), _core.Executable(graph))
            )
            check(graph, some(shape, TYPES[dtype], op), executable)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_operands_lie_in_any_way(axis):
    graph = scan("sum", "f32", 3, axis)
    whole = some((12, 70, 18), np.float32)
    for array in (
        whole[::2, ::3, ::2], whole[::-1, :, ::-1], whole.transpose(2, 0, 1), whole[:, :, 3:4],
        np.broadcast_to(whole[:, :1], whole.shape), np.broadcast_to(whole[:1, :, :1], whole.shape),
    ):  # fmt: skip
        check(graph, array)


def test_integers_wrap_as_elsewhere():
    for dtype in ("i32", "i64"):
        largest = np.full((5, 9), np.iinfo(TYPES[dtype]).max, TYPES[dtype])
        for op in ("sum", "prod"):
            check(scan(op, dtype, 2, 1), largest)


@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_no_number_stays_so_to_the_end_of_its_line_alone(axis):
    array = some((9, 70), np.float32)
    array[3, 5], array[4, 6], array[5, 69] = np.nan, np.inf, -np.inf
    came = check(scan("sum", "f32", 2, axis), array)
    assert np.isnan(came).sum() == (65 if axis == 1 else 6)
    assert np.isinf(came).any()


def test_floats_are_gathered_in_double_precision():
    tenths = np.full(1_000_000, 0.1, np.float32)
    came = check(scan("sum", "f32", 1, 0), tenths)
    assert abs(float(came[-1]) / (float(tenths[0]) * 1e6) - 1) < 1e-7


def test_a_result_does_not_depend_on_threads():
    graph = scan("sum", "f32", 2, 1)
    executable, array = _core.Executable(graph), some((301, 999), np.float32)
    wanted = executable(array)
    before = _core.threads()
    try:
        for threads in (1, 2, 3):
            _core.set_threads(threads)
            assert executable(array).tobytes() == wanted.tobytes()
    finally:
        _core.set_threads(before)


def test_kernels_before_and_behind_and_a_turned_result():
    graph = _core.Graph.parse(
        """graph positions {
  %0 = input mask : i64[b, n]
  %1 = constant(1) : i64[]
  %2 = mul(%0, %1) : i64[b, n]
  %3 = sum_scan(%2, axes=[1]) : i64[b, n]
  %4 = sub(%3, %1) : i64[b, n]
  %5 = permute(%3, axes=[1, 0]) : i64[n, b]
  %6 = prod_scan(%5, axes=[0]) : i64[n, b]
  return %4, %6
}
"""
    )
    executable = _core.Executable(graph)
    kinds = [step[0] for step in executable.explain()["steps"]]
    assert kinds.count("scan") == 2
    assert str(_core.Graph.parse(str(graph))) == str(graph)
    for shape in [(1, 1), (3, 17), (0, 4), (65, 130)]:
        array = np.random.default_rng(0).integers(0, 2, shape)
        for came, wanted in zip(
            executable(array), graph_reference.run(graph, [array]), strict=True
        ):
            np.testing.assert_array_equal(came, wanted)


def test_scans_of_parts_are_made_where_they_lie_in_the_whole():
    graph = _core.Graph("joined")
    x = graph.input("x", "f32", ["n", "m"])
    graph.output(graph.concat([graph.scan("sum", x, 1), graph.scan("sum", x, 0)], 1))
    executable = _core.Executable(graph)
    assert executable.explain()["concats"][0]["copied"] == []
    check(graph, some((13, 29), np.float32), executable)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g, x: g.scan("max", x, 0), r"\[scan\] max came, sum or prod is wanted"),
        (lambda g, x: g.scan("sum", x, 2), r"\[scan\] axis 2 came for a tensor of rank 2"),
        (lambda g, x: g.scan("sum", g.cast(x, "f16"), 0), r"\[scan\] .* type f16 came"),
        (lambda g, x: g.scan("sum", 99, 0), r"\[scan\]"),
    ],
)
def test_wrong_scans_are_refused(make, message):
    graph = _core.Graph("wrong")
    x = graph.input("x", "f32", ["n", "m"])
    with pytest.raises(ValueError, match=message):
        make(graph, x)
