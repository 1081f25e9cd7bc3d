"""What random graphs once found, made small."""

import numpy as np
import pytest

import dvm

RANDOM = np.random.default_rng(3)


def test_a_sum_over_an_axis_of_one_inside_a_sum():
    x = RANDOM.uniform(-1, 1, (1, 5, 1)).astype(np.float32)
    total = dvm.kernel(lambda k, x: k.sum(k.sum(k.load(x), 2, keepdims=True), (0, 1)))
    np.testing.assert_allclose(total(x), x.sum((0, 1)), rtol=1e-5)


def test_sums_of_narrow_integers_wrap_before_they_are_used():
    graph = dvm.Graph("narrow")
    value = graph.input("x", "u8", ["n"])
    graph.output(graph.cast(graph.reduce("sum", value, [0]), "f32"))
    (came,) = dvm.Executable(graph)(np.full(3, 200, np.uint8))
    assert came == 600 % 256


@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (2, 4, 2, 17), (16, 4, 2, 2), (1, 2, 8, 3)])
def test_kept_values_that_do_not_vary_over_the_rows(shape):
    row = RANDOM.uniform(-2, 2, (*shape[:2], 1, shape[3])).astype(np.float32)
    x = np.broadcast_to(row, shape)

    @dvm.kernel
    def nothing(k, x):
        x = k.asinh(k.load(x))
        zero = x - x
        return k.store(zero * k.max(x, (1, 3), keepdims=True) + zero), k.store(zero)

    for came in nothing(x):
        np.testing.assert_array_equal(came, 0)


@pytest.mark.parametrize("shape", [(8, 257), (8, 64), (7, 32), (8, 1000)])
def test_a_result_does_not_overwrite_an_operand_that_other_rows_read(shape):
    x = RANDOM.uniform(-2, 2, shape).astype(np.float32)
    y = RANDOM.integers(0, shape[0], shape)

    @dvm.kernel
    def hits(k, x, y):
        y = k.load(y)
        found = k.cast(k.argmin(k.load(x), 0) == y, "i64")
        return k.store(found * k.iota(y.shape, axis=0) + found)

    found = (np.argmin(x, 0) == y).astype(np.int64)
    np.testing.assert_array_equal(hits(x, y), found * np.arange(shape[0])[:, None] + found)


def test_half_floats_are_not_rounded_between_operations():
    text = dvm.kernel(lambda k, x, y: (k.load(x) + k.load(y)) * 2).program(
        (4, 64), (4, 64), dtype="f16"
    )
    assert "round_f16" not in text.disassemble()
