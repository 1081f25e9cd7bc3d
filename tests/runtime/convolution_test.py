"""Convolutions of any windows, sizes and layouts, and what runs on their tiles."""

import itertools

import numpy as np
import pytest

from dvm import _core, graph_reference


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def convolution(axes=2, **windows):
    """Of any images, channels and sizes."""
    graph = _core.Graph("convolution")
    sizes = ["h", "w", "d"][:axes]
    taps = ["kh", "kw", "kd"][:axes]
    x = graph.input("x", "f32", ["n", "c", *sizes])
    w = graph.input("w", "f32", ["p", "q", *taps])
    graph.output(graph.convolve(x, w, **windows))
    return graph


def check(graph, *arrays, executable=None):
    (wanted,) = graph_reference.run(graph, arrays)
    came = (executable or _core.Executable(graph))(*arrays)
    assert came.shape == wanted.shape
    np.testing.assert_allclose(came, wanted, rtol=1e-4, atol=1e-4)
    return came


def steps(executable):
    return [step[0] for step in executable.explain()["steps"] if step[0] != "view"]


# Stride, padding and dilation of every axis, taps, sizes.
WINDOWS = [
    (1, 0, 1, (1, 1), [(1, 1), (7, 5), (33, 65)]),
    (2, 0, 1, (1, 1), [(1, 1), (8, 9), (33, 70)]),
    (1, 1, 1, (3, 3), [(1, 1), (2, 3), (7, 7), (13, 31), (40, 66)]),
    (2, 1, 1, (3, 3), [(1, 2), (7, 7), (14, 33), (64, 67)]),
    (2, 3, 1, (7, 7), [(1, 1), (9, 11), (40, 67)]),
    (1, 2, 2, (3, 3), [(1, 5), (9, 8), (20, 37)]),
    (3, 2, 1, (4, 5), [(5, 5), (17, 40)]),
    (1, 0, 1, (2, 9), [(2, 9), (5, 41)]),
]  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS, ids=[f"{w[3]} by {w[0]}" for w in WINDOWS])
@pytest.mark.parametrize("channels", [(1, 1), (3, 17), (40, 9)])
def test_all_windows_and_sizes(window, channels):
    stride, padding, dilation, taps, sizes = window
    graph = convolution(stride=[stride] * 2, padding=[padding] * 2, dilation=[dilation] * 2)
    executable = _core.Executable(graph)
    c, o = channels
    for n, size in itertools.product((1, 2), sizes):
        check(graph, random(n, c, *size), random(o, c, *taps), executable=executable)


@pytest.mark.parametrize("axes", [1, 3])
def test_one_axis_and_three(axes):
    graph = convolution(axes, stride=[2] * axes, padding=[1] * axes)
    for size in ((9, 6, 11), (1, 5, 4), (33, 8, 3)):
        check(graph, random(2, 5, *size[:axes]), random(7, 5, *(3, 2, 3)[:axes]))


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("outputs", [6, 12])
def test_groups_see_their_own_channels(groups, outputs):
    graph = convolution(padding=[1, 1], groups=groups)
    for size in ((5, 7), (1, 1), (20, 33)):
        check(graph, random(2, 6, *size), random(outputs, 6 // groups, 3, 3))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [(3, 3), (5, 5), (1, 7), (2, 1)])
def test_depthwise(stride, taps):
    graph = convolution(stride=[stride] * 2, padding=[2, 3], dilation=[1, 2], groups=7)
    executable = _core.Executable(graph)
    for size in ((9, 10), (1, 13), (30, 67), (17, 120)):
        check(graph, random(2, 7, *size), random(7, 1, *taps), executable=executable)


@pytest.mark.parametrize("axes", [1, 3])
def test_depthwise_over_one_axis_and_three(axes):
    graph = convolution(axes, stride=[2] * axes, padding=[1] * axes, groups=5)
    for size in ((9, 6, 11), (3, 5, 4), (33, 8, 3)):
        check(graph, random(2, 5, *size[:axes]), random(10, 1, *(3, 2, 3)[:axes]))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed(stride, groups):
    """`after` may be negative: elements that no window reaches."""
    graph = convolution(
        stride=[stride] * 2,
        padding=[1, 0, 1, 1 - stride],
        dilation=[1, 2],
        groups=groups,
        transposed=True,
    )
    for size in ((1, 1), (4, 7), (13, 20)):
        for taps in ((3, 3), (4, 2), (2, 2)):
            check(graph, random(2, 4, *size), random(4, 5, *taps))


@pytest.mark.parametrize("axes", [1, 3])
def test_transposed_over_one_axis_and_three(axes):
    graph = convolution(axes, stride=[2] * axes, transposed=True)
    check(graph, random(2, 3, *(5, 4, 3)[:axes]), random(3, 4, *(3, 2, 3)[:axes]))


@pytest.mark.parametrize("shape", [(1, 64, 56, 56, 64), (2, 160, 14, 14, 136), (1, 512, 7, 7, 300)])
def test_large_and_odd_sizes(shape):
    n, c, h, w, o = shape
    check(convolution(padding=[1, 1]), random(n, c, h, w), random(o, c, 3, 3) / c**0.5)
    check(convolution(), random(n, c, h, w), random(o, c, 1, 1) / c**0.5)


def test_padding_differs_at_the_ends():
    graph = convolution(padding=[0, 3, 2, 1], stride=[2, 1])
    check(graph, random(1, 3, 8, 9), random(4, 3, 3, 4))


def test_operands_of_any_layout():
    graph = convolution(padding=[1, 1], stride=[1, 2])
    executable = _core.Executable(graph)
    wide, weight = random(2, 13, 18, 6), random(8, 3, 3, 6)
    last = wide.transpose(0, 3, 1, 2)
    check(graph, last, weight.transpose(0, 3, 1, 2), executable=executable)
    check(graph, last[:, :, ::-1, ::2], weight.transpose(0, 3, 2, 1), executable=executable)
    check(graph, random(4, 6, 13, 18)[::2], random(8, 12, 3, 3)[:, ::2], executable=executable)


def finished():
    """A layer of a residual net: silu(convolution * scale + shift) + rest."""
    graph = _core.Graph("finished")
    x = graph.input("x", "f32", ["n", "c", "h", "w"])
    w = graph.input("weight", "f32", ["o", "c", 3, 3])
    scale, shift = (graph.input(name, "f32", ["o", 1, 1]) for name in ("scale", "shift"))
    rest = graph.input("rest", "f32", ["n", "o", "h", "w"])
    y = graph.convolve(x, w, padding=[1, 1])
    y = graph.elementwise("add", [graph.elementwise("mul", [y, scale]), shift])
    graph.output(graph.elementwise("add", [graph.elementwise("silu", [y]), rest]))
    return graph


def test_an_epilogue_runs_on_tiles():
    graph = finished()
    executable = _core.Executable(graph)
    assert steps(executable) == ["convolution"]
    for n, c, h, w, o in ((1, 3, 5, 7, 4), (2, 16, 33, 35, 70), (1, 64, 56, 56, 64), (0, 3, 4, 4, 5),
                          (1, 0, 4, 4, 3), (3, 5, 1, 1, 9)):  # fmt: skip
        arrays = [
            random(n, c, h, w), random(o, c, 3, 3) / 8, random(o, 1, 1), random(o, 1, 1),
            random(n, o, h, w),
        ]  # fmt: skip
        check(graph, *arrays, executable=executable)
        arrays[-1] = np.ascontiguousarray(arrays[-1].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        check(graph, *arrays, executable=executable)


@pytest.mark.parametrize("shape", [["w"], ["h", 1], ["n", 1, "h", "w"]])
def test_an_epilogue_reads_what_is_broadcast_along_the_places(shape):
    """Lines of the result are then no longer one axis with their elements."""
    graph = _core.Graph("broadcast")
    x, w = graph.input("x", "f32", ["n", "c", "h", "w"]), graph.input("k", "f32", [6, "c", 3, 3])
    added = graph.input("added", "f32", shape)
    y = graph.convolve(x, w, padding=[1, 1])
    graph.output(graph.elementwise("add", [y, added]))
    executable = _core.Executable(graph)
    assert steps(executable) == ["convolution"]
    sizes = {"n": 2, "h": 9, "w": 35, 1: 1}
    arrays = [random(2, 4, 9, 35), random(6, 4, 3, 3), random(*(sizes[dim] for dim in shape))]
    check(graph, *arrays, executable=executable)


def test_a_depthwise_convolution_has_an_epilogue_too():
    graph = _core.Graph("depthwise")
    x, w = graph.input("x", "f32", ["n", 8, "h", "w"]), graph.input("k", "f32", [8, 1, 3, 3])
    y = graph.convolve(x, w, padding=[1, 1], groups=8)
    graph.output(graph.elementwise("relu", [y]))
    executable = _core.Executable(graph)
    assert steps(executable) == ["convolution"]
    for size in ((7, 5), (70, 130), (1, 1)):
        check(graph, random(2, 8, *size), random(8, 1, 3, 3), executable=executable)


def test_the_result_lies_in_any_order():
    graph = _core.Graph("channels last")
    x = graph.input("x", "f32", ["n", "c", "h", "w"])
    y = graph.convolve(x, graph.input("k", "f32", [5, "c", 3, 3]), padding=[1, 1])
    graph.output(y, order=[0, 2, 3, 1])
    graph.output(graph.elementwise("relu", [y]), order=[0, 2, 3, 1])
    arrays = [random(2, 4, 9, 35), random(5, 4, 3, 3)]
    plain, positive = _core.Executable(graph)(*arrays)
    np.testing.assert_allclose(plain, graph_reference.run(graph, arrays)[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(positive, np.maximum(plain, 0))
    assert plain.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("groups", [1, 8])
def test_results_do_not_depend_on_the_number_of_threads(groups):
    run = _core.Executable(convolution(padding=[1, 1], groups=groups))
    arrays = [random(2, 64, 60, 60), random(64, 64 // groups, 3, 3)]
    results = []
    for threads in (1, 2, 3):
        _core.set_threads(threads)
        try:
            results.append(run(*arrays))
        finally:
            _core.set_threads(None)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("groups", [1, 3])
def test_nan_and_infinity_reach_what_reads_them_and_nothing_else(groups):
    graph = convolution(padding=[1, 1], groups=groups)
    x, w = random(1, 3, 9, 40), random(3, 3 // groups, 3, 3)
    x[0, 1, 4, 20], x[0, 2, 0, 0] = np.nan, np.inf
    came = _core.Executable(graph)(x, w)
    (wanted,) = graph_reference.run(graph, [x, w])
    np.testing.assert_array_equal(np.isnan(came), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(came), np.isinf(wanted))


def test_one_plan_cache_serves_all_sizes():
    graph = convolution(padding=[1, 1])
    executable = _core.Executable(graph)
    for size in range(1, 40, 3):
        check(graph, random(1, 2, size, 41 - size), random(3, 2, 3, 3), executable=executable)


def test_what_does_not_fit_is_refused():
    graph = _core.Graph("wrong")
    x, w = graph.input("x", "f32", [2, 6, 9, 9]), graph.input("w", "f32", [4, 3, 3, 3])
    with pytest.raises(ValueError, match=r"\[convolve\] .* 1 groups: the channels differ"):
        graph.convolve(x, w)
    with pytest.raises(ValueError, match=r"\[convolve\] .* does not divide into 3 groups"):
        graph.convolve(x, w, groups=3)
    with pytest.raises(ValueError, match=r"\[convolve\] operands of the types f32 and f64"):
        graph.convolve(x, graph.input("d", "f64", [4, 6, 3, 3]))
    with pytest.raises(ValueError, match=r"\[convolve\] .* three to five axes"):
        graph.convolve(x, graph.input("e", "f32", [4, 6, 3]))
    with pytest.raises(ValueError, match=r"\[convolve\] .* 2 are wanted"):
        graph.convolve(x, w, stride=[1], groups=2)
    with pytest.raises(ValueError, match=r"\[convolve\] a stride or dilation below 1"):
        graph.convolve(x, w, stride=[0, 1], groups=2)
    with pytest.raises(ValueError, match=r"\[convolve\] a negative padding"):
        graph.convolve(x, w, padding=[-1, 1], groups=2)


def test_a_window_larger_than_what_comes_is_an_error_of_the_call():
    executable = _core.Executable(convolution(padding=[1, 1]))
    with pytest.raises(ValueError, match=r"\[convolve\] 4 elements .* are wanted: 5"):
        executable(random(1, 2, 2, 9), random(3, 2, 5, 5))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_reads_back_from_its_text(transposed):
    graph = convolution(
        stride=[2, 1], padding=[1, 0, 2, 3], dilation=[1, 2], groups=2, transposed=transposed
    )
    assert str(_core.Graph.parse(str(graph))) == str(graph)


def pool(op, taps, **windows):
    graph = _core.Graph("pool")
    x = graph.input("x", "f32", ["n", "c", *["h", "w", "d"][: len(taps)]])
    graph.output(graph.pool(op, x, taps, **windows))
    return graph


@pytest.mark.parametrize("op", ["max", "sum"])
@pytest.mark.parametrize("taps", [(3,), (3, 3), (2, 5), (1, 70), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_pools(op, taps, stride):
    axes = len(taps)
    dilation = [1] * (axes - 1) + [2]
    graph = pool(op, taps, stride=[stride] * axes, padding=[1] * axes, dilation=dilation)
    executable = _core.Executable(graph)
    for size in ((7, 140, 5), (20, 150, 8)):
        size = (150,) if axes == 1 else size[:axes]
        check(graph, random(2, 3, *size), executable=executable)
        check(graph, random(3, 2, *size).swapaxes(0, 1)[::-1], executable=executable)


def test_pools_of_no_elements_and_of_nothing_but_padding():
    graph = pool("max", [3, 3], padding=[2, 2])
    executable = _core.Executable(graph)
    check(graph, random(0, 3, 4, 5), executable=executable)
    came = check(graph, random(1, 1, 1, 1), executable=executable)
    assert came.shape == (1, 1, 3, 3)


def test_a_pool_has_an_epilogue_too():
    """A mean is a sum times a number, in one launch."""
    graph = _core.Graph("mean")
    x = graph.input("x", "f32", ["n", "c", "h", "w"])
    total = graph.pool("sum", x, [2, 2], stride=[2, 2])
    graph.output(graph.elementwise("mul", [total, graph.constant(0.25, "f32")]))
    executable = _core.Executable(graph)
    assert steps(executable) == ["pool"]
    check(graph, random(2, 5, 8, 70), executable=executable)


def test_one_nan_in_a_window_is_its_largest_element():
    x = random(1, 1, 6, 40)
    x[0, 0, 2, 17] = np.nan
    came = _core.Executable(pool("max", [3, 3]))(x)
    assert np.isnan(came[0, 0, :3, 15:18]).all()
    assert np.isnan(came).sum() == 9


def test_pools_that_do_not_fit_are_refused():
    graph = _core.Graph("wrong")
    x = graph.input("x", "f32", [2, 6, 9, 9])
    with pytest.raises(ValueError, match=r"\[pool\] min came, max or sum is wanted"):
        graph.pool("min", x, [2, 2])
    with pytest.raises(ValueError, match=r"\[pool\] an element or more"):
        graph.pool("max", x, [2])
    with pytest.raises(ValueError, match=r"\[pool\] an operand of type i64"):
        graph.pool("max", graph.input("i", "i64", [2, 6, 9]), [2])


def test_a_pool_reads_back_from_its_text():
    graph = pool("max", [3, 2], stride=[2, 1], padding=[1, 0, 0, 1])
    assert str(_core.Graph.parse(str(graph))) == str(graph)
