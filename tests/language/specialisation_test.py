"""One trace per class of arguments, any sizes after that; numbers change freely."""

import threading

import numpy as np
import pytest

import dvm


def compiled(kernel):
    return len(kernel._specialisations)


def test_all_sizes_share_one_trace():
    traces = []

    @dvm.kernel
    def add(k, x, y):
        traces.append(x.shape)
        return k.store(k.load(x) + k.load(y))

    for shape in [(3, 4), (2, 2), (0, 5), (7, 0), (100, 33), (1, 1)]:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        np.testing.assert_array_equal(add(x, x), x + x)
    assert len(traces) <= 2  # sizes of 1 may have a trace of their own


def test_sizes_of_one_broadcast():
    add = dvm.kernel(lambda k, x, y: k.store(k.load(x) + k.load(y)))
    random = np.random.default_rng(0)
    shapes = [(3, 4), (1, 4), (3, 1), (1, 1)]
    for a in shapes:
        for b in [*shapes, (4,), (1,), ()]:
            x, y = (
                random.standard_normal(a).astype(np.float32),
                random.standard_normal(b).astype(np.float32),
            )
            np.testing.assert_array_equal(add(x, y), x + y)


def test_types_and_ranks_have_their_own_traces():
    double = dvm.kernel(lambda k, x: k.store(k.load(x) * 2))
    for dtype in (np.float32, np.float64, np.int32, np.float16, np.int8, np.float32):
        for shape in ((3,), (2, 3)):
            x = np.ones(shape, dtype)
            assert double(x).dtype == dtype
            np.testing.assert_array_equal(double(x), 2)


def test_a_failed_call_leaves_the_kernel_usable():
    add = dvm.kernel(lambda k, x, y: k.store(k.load(x) + k.load(y)))
    x = np.ones((3, 4), np.float32)
    add(x, x)
    with pytest.raises(ValueError):
        add(x, np.ones((3, 5), np.float32))
    np.testing.assert_array_equal(add(x, x), 2)


def test_the_kind_of_a_number_decides_like_a_python_number():
    scale = dvm.kernel(lambda k, x, factor: k.store(k.load(x) * factor))
    whole = np.arange(4, dtype=np.int32)
    assert scale(whole, 2).dtype == np.int32
    came = scale(whole, 2.5)
    assert came.dtype == np.float32
    np.testing.assert_array_equal(came, whole * np.float32(2.5))
    assert scale(whole, 3).dtype == np.int32
    np.testing.assert_array_equal(scale(whole, 3), whole * 3)
    assert scale(whole.astype(np.float32), 3).dtype == np.float32


def test_numbers_keep_double_precision_where_it_counts():
    scale = dvm.kernel(lambda k, x, factor: k.store(k.load(x) * (factor + 1e-12)))
    x = np.ones(3, np.float64)
    np.testing.assert_array_equal(scale(x, 0.1), 0.1 + 1e-12)


def test_one_number_in_two_types():
    both = dvm.kernel(lambda k, x, y, a: (k.store(k.load(x) * a), k.store(k.load(y) * a)))
    x, y = np.ones(3, np.float32), np.ones(3, np.float64)
    first, second = both(x, y, 0.1)
    np.testing.assert_array_equal(first, np.float32(0.1))
    np.testing.assert_array_equal(second, 0.1)


def test_numbers_before_arrays():
    scale = dvm.kernel(lambda k, factor, x: k.store(k.load(x) * factor))
    np.testing.assert_array_equal(scale(3.0, np.ones(3, np.float32)), 3)


def test_numpy_numbers_are_numbers():
    scale = dvm.kernel(lambda k, x, factor: k.store(k.load(x) * factor))
    x = np.ones(3, np.float32)
    assert scale(x, np.float64(2.0)).dtype == np.float32
    np.testing.assert_array_equal(scale(x, np.float32(2.0)), 2)
    np.testing.assert_array_equal(scale(x, np.int64(2)), 2)


def test_explicit_scalars_have_a_type():
    wide = dvm.kernel(lambda k, x, a: k.store(k.load(x) * k.scalar(a, "f64")))
    x = np.ones(3, np.float32)
    came = wide(x, 0.1)
    assert came.dtype == np.float64
    np.testing.assert_array_equal(came, 0.1)


def test_bool_arguments():
    choose = dvm.kernel(lambda k, x, y, flag: k.store(k.where(flag, k.load(x), k.load(y))))
    x, y = np.ones(3, np.float32), np.zeros(3, np.float32)
    np.testing.assert_array_equal(choose(x, y, True), x)
    np.testing.assert_array_equal(choose(x, y, False), y)


def test_a_reused_kernel_makes_the_bytes_of_a_fresh_one():
    def softmax(k, x):
        return k.store(k.softmax(k.load(x)))

    used = dvm.kernel(softmax)
    shapes = [(4, 100), (1000, 7), (3, 70_001), (1, 5)]
    for shape in shapes:
        used(np.zeros(shape, np.float32))
    for shape in shapes:
        fresh = dvm.kernel(softmax)
        assert [p.words for p in used.programs(shape)] == [p.words for p in fresh.programs(shape)]


def test_calls_from_many_threads():
    kernel = dvm.kernel(lambda k, x: k.store(k.softmax(k.load(x))))
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((5, 10 + i)).astype(np.float32) for i in range(20)]
    wanted = [np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in inputs]
    failures = []

    def work():
        for _ in range(5):
            for x, y in zip(inputs, wanted, strict=True):
                if not np.allclose(kernel(x), y, rtol=1e-5):
                    failures.append(x.shape)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_programs_by_shape():
    add = dvm.kernel(lambda k, x, y, a: k.store(k.load(x) + k.load(y) * a))
    program = add.program((128, 768), (768,))
    assert program == add.program((128, 768), (768,), 1.0)
    assert add.program((128, 768), (768,), dtype="f16") != program
    assert add.program((128, 768), (768,), dtype=["f32", "f64"]) != program
    assert add.program(np.zeros((128, 768), np.float32), np.zeros(768, np.float32)) == program


def test_programs_when_loads_come_in_another_order():
    def late(k, x, y):
        return k.store(k.load(y)[:, None] * k.sum(k.load(x), 1)[None, :])

    assert dvm.kernel(late).programs((3, 4), (5,))


def test_explain_and_graph():
    kernel = dvm.kernel(lambda k, x: k.store(k.softmax(k.load(x))))
    found = kernel.explain((3, 4))
    assert len(found["kernels"]) == 1
    assert "exp" in str(found)
    graph = kernel.graph((3, 4))
    assert dvm.Graph.parse(str(graph)).inputs == graph.inputs
    kernel(np.zeros((3, 4), np.float32))
    assert dvm.explain(kernel)["specialisations"]


def test_int_arguments_as_sizes():
    table = dvm.kernel(
        lambda k, rows, columns: k.store(k.arange(rows)[:, None] * k.arange(columns))
    )
    for rows, columns in [(3, 4), (1, 5), (0, 2), (7, 7)]:
        wanted = np.arange(rows)[:, None] * np.arange(columns)
        np.testing.assert_array_equal(table(rows, columns), wanted)
    assert compiled(table) == 1
    assert table.programs(3, 4)

    pad = dvm.kernel(lambda k, x, n: k.store(k.expand(k.load(x)[:, None], -1, n) / n))
    np.testing.assert_array_equal(pad(np.ones(2, np.float32), 4), np.full((2, 4), 0.25))
