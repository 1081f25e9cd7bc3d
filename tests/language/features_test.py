"""What a kernel can say: operators, reductions, compositions, views, several outputs, `out=`."""

import numpy as np
import pytest

import dvm

RANDOM = np.random.default_rng(7)


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def run(function, *args, **constants):
    return dvm.kernel(function)(*args, **constants)


def close(came, wanted, rtol=1e-5, atol=1e-6):
    wanted = np.asarray(wanted)
    assert came.shape == wanted.shape
    np.testing.assert_allclose(came, wanted, rtol=rtol, atol=atol)


BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
BITS = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}


@pytest.mark.parametrize("sign", BINARY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_operators_do_what_numpy_does(sign, dtype):
    a = (RANDOM.standard_normal((3, 17)) * 9).astype(dtype)
    b = (RANDOM.standard_normal(17) * 9).astype(dtype)
    b[b == 0] = 3
    operator = BINARY[sign]
    came = run(lambda k, x, y: operator(k.load(x), k.load(y)), a, b)
    wanted = operator(a, b)
    if sign == "/" and dtype in (np.int32, np.int64):
        wanted = wanted.astype(np.float32)
    assert came.dtype == wanted.dtype
    close(came, wanted, rtol=1e-4 if sign == "%" else 1e-6, atol=2e-6)


@pytest.mark.parametrize("sign", BINARY)
def test_python_numbers_stand_on_both_sides(sign):
    a = floats(4, 5)
    operator = BINARY[sign]
    close(run(lambda k, x: operator(k.load(x), 2), a), operator(a, np.float32(2)))
    close(
        run(lambda k, x: operator(1.5, k.load(x)), a),
        operator(np.float32(1.5), a),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("sign", BITS)
@pytest.mark.parametrize("dtype", [bool, np.int32, np.int64, np.uint8, np.int8])
def test_bit_operators(sign, dtype):
    a, b = RANDOM.integers(0, 2 if dtype is bool else 100, (2, 40)).astype(dtype)
    came = run(lambda k, x, y: BITS[sign](k.load(x), k.load(y)), a, b)
    assert came.dtype == dtype
    np.testing.assert_array_equal(came, BITS[sign](a, b))


def test_shifts_and_inversion():
    a = RANDOM.integers(-1000, 1000, 33).astype(np.int32)
    shifted, back, inverted = run(lambda k, x: (x << 3, x >> 2, ~x), a)
    np.testing.assert_array_equal(shifted, a << 3)
    np.testing.assert_array_equal(back, a >> 2)
    np.testing.assert_array_equal(inverted, ~a)
    mask = np.array([True, False, True])
    np.testing.assert_array_equal(run(lambda k, x: ~x, mask), ~mask)


def test_unary_operators():
    a = floats(50)
    results = run(lambda k, x: (-x, +x, abs(x), round(x)), a)
    for came, wanted in zip(results, (-a, a, abs(a), np.rint(a)), strict=True):
        np.testing.assert_array_equal(came, wanted)


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, -0.5, 2.5, 0, 1])
def test_powers(exponent):
    a = np.abs(floats(20)) + 0.1
    close(run(lambda k, x: x**exponent, a), a**exponent)
    base = abs(exponent) + 0.5
    close(run(lambda k, x: base**x, a), base**a)


def test_powers_of_integers():
    a = np.arange(-5, 6, dtype=np.int64)
    np.testing.assert_array_equal(run(lambda k, x: x**2, a), a**2)
    np.testing.assert_array_equal(run(lambda k, x: x**3, a), a**3)
    assert run(lambda k, x: x**0.5, np.array([4, 9])).dtype == np.float32


REDUCTIONS = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_over_any_axes(name, axis, keepdims):
    a = floats(3, 5, 7)
    came = run(lambda k, x: getattr(k, name)(k.load(x), axis=axis, keepdims=keepdims), a)
    close(
        came,
        REDUCTIONS[name](a.astype(np.float64), axis=axis, keepdims=keepdims),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
def test_statistics(axis):
    a = floats(6, 11)
    wide = a.astype(np.float64)
    close(run(lambda k, x: k.mean(x, axis), a), wide.mean(axis))
    close(run(lambda k, x: k.var(x, axis), a), wide.var(axis, ddof=1))
    close(run(lambda k, x: k.var(x, axis, correction=0), a), wide.var(axis))
    close(run(lambda k, x: k.std(x, axis, keepdims=True), a), wide.std(axis, ddof=1, keepdims=True))
    close(run(lambda k, x: k.logsumexp(x, axis), a), np.log(np.exp(wide).sum(axis)))
    close(run(lambda k, x: k.sum_squares(x, axis), a), np.square(wide).sum(axis), rtol=1e-5)


def test_logsumexp_of_infinities():
    a = np.array([[-np.inf, -np.inf], [np.inf, 1.0], [1000.0, 1000.0]], np.float32)
    close(run(lambda k, x: k.logsumexp(x, -1), a), [-np.inf, np.inf, 1000.0 + np.log(2)])


def test_any_all_and_counts():
    a = np.array([[0, 1, 2], [0, 0, 0], [3, 4, 5]], np.int32)
    np.testing.assert_array_equal(run(lambda k, x: k.any(x, -1), a), a.any(-1))
    np.testing.assert_array_equal(run(lambda k, x: k.all(x, -1), a), a.all(-1))
    came = run(lambda k, x: k.sum(x > 1, 0), a)
    assert came.dtype == np.int64
    np.testing.assert_array_equal(came, (a > 1).sum(0))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_argmax_and_argmin(axis, keepdims):
    a = floats(9, 13)
    for name, numpy_function in (("argmax", np.argmax), ("argmin", np.argmin)):
        came = run(lambda k, x, *, name=name: getattr(k, name)(x, axis, keepdims), a)
        wanted = numpy_function(a, axis=axis, keepdims=keepdims)
        assert came.dtype == np.int64
        assert came.shape == wanted.shape
        np.testing.assert_array_equal(came, wanted)


def test_sums_of_integers_are_i64():
    a = np.full((2, 3), 2**30, np.int32)
    came = run(lambda k, x: k.sum(x, 1), a)
    assert came.dtype == np.int64
    np.testing.assert_array_equal(came, a.sum(1))
    np.testing.assert_array_equal(run(lambda k, x: k.sum(x), np.array([200, 100], np.uint8)), 300)


def test_normalisations():
    a, weight, bias = floats(4, 6, 10), floats(10), floats(10)
    wide = a.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    normal = centred / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    close(run(lambda k, x: k.layer_norm(x), a), normal, atol=1e-5)
    close(
        run(lambda k, x, w, b: k.layer_norm(x, w, b), a, weight, bias),
        normal * weight + bias,
        atol=1e-5,
    )
    rms = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6)
    close(run(lambda k, x, w: k.rms_norm(x, w), a, weight), rms * weight, atol=1e-5)
    grouped = wide.reshape(4, 3, 2, 10)
    grouped = (grouped - grouped.mean((2, 3), keepdims=True)) / np.sqrt(
        grouped.var((2, 3), keepdims=True) + 1e-5
    )
    close(run(lambda k, x: k.group_norm(x, 3), a), grouped.reshape(a.shape), atol=1e-5)
    channels = floats(6)
    close(
        run(lambda k, x, w, b: k.group_norm(x, 3, w, b), a, channels, channels),
        grouped.reshape(a.shape) * channels[:, None] + channels[:, None],
        atol=1e-5,
    )


def test_softmaxes():
    a = floats(5, 9) * 50
    wide = a.astype(np.float64)
    for axis in (0, -1):
        powers = np.exp(wide - wide.max(axis, keepdims=True))
        wanted = powers / powers.sum(axis, keepdims=True)
        close(run(lambda k, x, *, axis=axis: k.softmax(x, axis), a), wanted)
        close(
            run(lambda k, x, *, axis=axis: k.log_softmax(x, axis), a),
            np.log(wanted + 1e-300),
            rtol=1e-4,
            atol=1e-4,
        )


def test_where_and_clamp():
    a, b = floats(30), floats(30)
    np.testing.assert_array_equal(
        run(lambda k, x, y: k.where(x > 0, x, y), a, b), np.where(a > 0, a, b)
    )
    np.testing.assert_array_equal(run(lambda k, x: k.where(x > 0, x, 0), a), np.where(a > 0, a, 0))
    flags = np.array([0, 3, 0, -1])
    np.testing.assert_array_equal(
        run(lambda k, x: k.where(x, 1.0, -1.0), flags), np.where(flags, 1.0, -1.0)
    )
    np.testing.assert_array_equal(run(lambda k, x: k.clamp(x, -0.5, 0.5), a), np.clip(a, -0.5, 0.5))
    np.testing.assert_array_equal(
        run(lambda k, x: k.clamp(x, low=0.1), a), np.maximum(a, np.float32(0.1))
    )
    np.testing.assert_array_equal(
        run(lambda k, x: k.clamp(x, high=0.1), a), np.minimum(a, np.float32(0.1))
    )


def test_values_without_inputs():
    a = floats(4, 6)
    np.testing.assert_array_equal(run(lambda k, x: k.arange(x.shape[0]), a), np.arange(4))
    np.testing.assert_array_equal(run(lambda k, x: k.arange(2, 11, 3), a), np.arange(2, 11, 3))
    np.testing.assert_array_equal(run(lambda k, x: k.arange(1, x.shape[1]), a), np.arange(1, 6))
    np.testing.assert_array_equal(
        run(lambda k, x: k.arange(x.shape[1], 0, -2), a), np.arange(6, 0, -2)
    )
    np.testing.assert_array_equal(
        run(lambda k, x: k.iota(x.shape, axis=1), a), np.broadcast_to(np.arange(6), (4, 6))
    )
    came = run(lambda k, x: k.full(x.shape, 2.5, "f16"), a)
    assert came.dtype == np.float16
    np.testing.assert_array_equal(came, np.full((4, 6), 2.5))
    np.testing.assert_array_equal(run(lambda k: k.arange(5) * 2), np.arange(5) * 2)


def test_causal_mask_from_positions():
    scores = floats(2, 5, 5)

    @dvm.kernel
    def masked_softmax(k, x):
        rows, columns = x.shape[-2:]
        allowed = k.arange(rows)[:, None] >= k.arange(columns)
        return k.store(k.softmax(k.where(allowed, k.load(x), float("-inf"))))

    hidden = np.where(np.tril(np.ones((5, 5), bool)), scores.astype(np.float64), -np.inf)
    powers = np.exp(hidden - hidden.max(-1, keepdims=True))
    close(masked_softmax(scores), powers / powers.sum(-1, keepdims=True))


def test_views():
    a = floats(2, 3, 4)
    np.testing.assert_array_equal(run(lambda k, x: k.permute(x, 2, 0, 1), a), a.transpose(2, 0, 1))
    np.testing.assert_array_equal(
        run(lambda k, x: k.permute(x, (-1, 0, 1)) + 1, a), a.transpose(2, 0, 1) + 1
    )
    np.testing.assert_array_equal(run(lambda k, x: k.transpose(x) * 2, a), a.swapaxes(-1, -2) * 2)
    np.testing.assert_array_equal(run(lambda k, x: k.transpose(x, 0, 1), a), a.swapaxes(0, 1))
    np.testing.assert_array_equal(run(lambda k, x: x.T + 0, a), a.T)
    np.testing.assert_array_equal(run(lambda k, x: x.reshape(-1), a), a.reshape(-1))
    np.testing.assert_array_equal(
        run(lambda k, x: k.reshape(x, x.shape[0], -1) + 1, a), a.reshape(2, -1) + 1
    )
    np.testing.assert_array_equal(
        run(lambda k, x: k.reshape(x, (x.shape[0] * 3, -1)), a), a.reshape(6, 4)
    )
    np.testing.assert_array_equal(run(lambda k, x: k.reshape(x, -1, 2), a), a.reshape(-1, 2))
    np.testing.assert_array_equal(
        run(lambda k, x: k.expand(x[:, None], -1, 5, -1, -1), a), np.repeat(a[:, None], 5, 1)
    )
    np.testing.assert_array_equal(run(lambda k, x: k.unsqueeze(x, -1), a), a[..., None])
    close(run(lambda k, x: k.squeeze(k.sum(x, 1, keepdims=True), 1), a), a.sum(1))
    np.testing.assert_array_equal(
        run(lambda k, x: x[:, None, ..., None] + 1, a), a[:, None, ..., None] + 1
    )
    np.testing.assert_array_equal(run(lambda k, x: x[None], a), a[None])


def test_outer_product_by_indexing():
    a, b = floats(5), floats(7)
    np.testing.assert_array_equal(
        run(lambda k, x, y: x[:, None] * y[None, :], a, b), a[:, None] * b
    )


def test_several_outputs_of_different_shapes():
    a = floats(6, 8)
    results = run(
        lambda k, x: (k.store(x + 1), k.store(k.sum(x, 0)), k.store(x > 0), k.store(x, "f16")), a
    )
    assert isinstance(results, tuple)
    np.testing.assert_array_equal(results[0], a + 1)
    close(results[1], a.sum(0))
    np.testing.assert_array_equal(results[2], a > 0)
    np.testing.assert_array_equal(results[3], a.astype(np.float16))


def test_a_tuple_of_one_stays_a_tuple():
    (came,) = run(lambda k, x: (k.store(x + 1),), np.zeros(3, np.float32))
    np.testing.assert_array_equal(came, 1)


def test_the_same_value_twice_and_an_input_as_output():
    a = floats(3, 4)

    def both(k, x):
        y = k.load(x) * 2
        return y, y, x

    first, second, same = run(both, a)
    np.testing.assert_array_equal(first, a * 2)
    np.testing.assert_array_equal(second, a * 2)
    np.testing.assert_array_equal(same, a)
    same[:] = 0  # an output is never the input's memory
    assert a.any()


def test_out_is_filled_and_returned():
    a = floats(3, 4)
    double = dvm.kernel(lambda k, x: k.store(k.load(x) * 2))
    out = np.empty((3, 4), np.float32)
    assert double(a, out=out) is out
    np.testing.assert_array_equal(out, a * 2)
    wide = np.zeros((3, 8), np.float32)
    double(a, out=wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], a * 2)
    assert not wide[:, 1::2].any()


def test_out_of_several_outputs():
    a = floats(3, 4)
    two = dvm.kernel(lambda k, x: (k.store(k.load(x) + 1), k.store(k.sum(x, 1))))
    out = np.empty((3, 4), np.float32), np.empty(3, np.float32)
    two(a, out=out)
    np.testing.assert_array_equal(out[0], a + 1)
    close(out[1], a.sum(1))


def test_strided_inputs():
    base = floats(8, 10)
    double = dvm.kernel(lambda k, x: k.store(k.load(x) * 2))
    for view in (
        base[::2],
        base[:, ::3],
        base.T,
        base[::-1],
        base[1:, 2:7],
        np.broadcast_to(base[:1], (8, 10)),
    ):
        np.testing.assert_array_equal(double(view), view * 2)


def test_a_kernel_inside_a_kernel():
    softmax = dvm.kernel(lambda k, x, scale: k.store(k.softmax(k.load(x) * scale)))

    @dvm.kernel
    def twice(k, x):
        return k.store(softmax(softmax(k.load(x), 2.0), 1.0))

    a = floats(4, 9)
    close(twice(a), softmax(softmax(a, 2.0), 1.0))


def test_keyword_only_parameters_are_constants():
    @dvm.kernel
    def total(k, x, *, axis=0, square=False):
        x = k.load(x)
        return k.store(k.sum(x * x if square else x, axis))

    a = floats(3, 4)
    close(total(a), a.sum(0))
    close(total(a, axis=1), a.sum(1))
    close(total(a, axis=1, square=True), (a * a).sum(1))
    close(total(a), a.sum(0))


def test_positional_parameters_by_name_and_with_defaults():
    scaled = dvm.kernel(lambda k, x, factor=3.0: k.store(k.load(x) * factor))
    a = floats(4)
    close(scaled(a), a * 3)
    close(scaled(x=a, factor=2.0), a * 2)
    close(scaled(a, factor=4.0), a * 4)


def test_products_of_every_type_that_the_core_has():
    @dvm.kernel
    def product(k, x, w):
        return k.load(x) @ k.load(w).T

    x, w = floats(5, 40), floats(33, 40)
    close(product(x, w), x @ w.T, rtol=1e-4, atol=1e-4)
    halves = x.astype(np.float16), w.astype(np.float16)
    came = product(*halves)
    assert came.dtype == np.float32
    close(came, halves[0].astype(np.float32) @ halves[1].astype(np.float32).T, rtol=1e-4, atol=1e-4)
    bytes_ = RANDOM.integers(-128, 128, (33, 40), np.int8)
    close(product(x, bytes_), x @ bytes_.T.astype(np.float32), rtol=1e-4, atol=1e-2)
    with pytest.raises(TypeError, match=r"\[matmul\] i64 and i8 came"):
        product(bytes_.astype(np.int64), bytes_)
