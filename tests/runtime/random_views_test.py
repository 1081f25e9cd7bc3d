"""Chains of views at random, of inputs with any strides, into results with any order: the same as in NumPy."""

import random

import numpy as np
import pytest

from dvm import _core


def strided(rng, sizes):
    """An array of these sizes that steps over elements, or goes backwards, on any axis."""
    whole = np.random.default_rng(rng.randrange(1 << 30))
    whole = whole.normal(size=[2 * size for size in sizes]).astype(np.float32)
    ways = [(slice(0, n), slice(0, 2 * n, 2), slice(n - 1, None, -1)) for n in sizes]
    return whole[
        tuple(rng.choice(way) if n else slice(0, 0) for n, way in zip(sizes, ways, strict=True))
    ]


def factors(number):
    factor = 2
    while number > 1:
        if number % factor == 0:
            yield factor
            number //= factor
        else:
            factor += 1


def chain(rng, graph, value, x):
    """Adds a few operations to the graph; returns the last value and what it is in NumPy."""
    for _ in range(rng.randint(1, 6)):
        kind = rng.choice(["permute", "reshape", "expand", "neg"])
        if kind == "permute":
            axes = rng.sample(range(x.ndim), x.ndim)
            value, x = graph.permute(value, axes), x.transpose(axes)
        elif kind == "reshape" and x.size:
            shape = [1] * rng.randint(1, 4)
            for factor in factors(x.size):
                shape[rng.randrange(len(shape))] *= factor
            value, x = graph.reshape(value, shape), x.reshape(shape)
        elif kind == "expand" and x.size < 500:
            shape = [rng.randint(1, 3)] * rng.randint(0, 1)
            shape += [rng.randint(1, 3) if size == 1 else size for size in x.shape]
            value, x = graph.expand(value, shape), np.broadcast_to(x, shape)
        elif kind == "neg":
            value, x = graph.elementwise("neg", [value]), -x
    return value, x


def gaps(shape):
    """Memory for a result of this shape, with elements between its own."""
    whole = np.full([2 * size for size in shape], 7, np.float32)
    return whole[(*(slice(0, 2 * size, 2) for size in shape), ...)], whole


@pytest.mark.parametrize("seed", range(8))
def test_chains_of_views(seed):
    rng = random.Random(seed)
    for _ in range(60):
        sizes = [rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 4]) for _ in range(rng.randint(0, 5))]
        x = strided(rng, sizes)
        graph = _core.Graph("views")
        value, wanted = chain(rng, graph, graph.input("x", "f32", sizes), x)
        order = rng.sample(range(wanted.ndim), wanted.ndim) if rng.random() < 0.5 else []
        graph.output(value, order)
        graph.output(graph.elementwise("neg", [value]))
        executable = _core.Executable(graph)

        result, negative = executable(x)
        np.testing.assert_array_equal(result, wanted, err_msg=str(graph))
        np.testing.assert_array_equal(negative, -wanted, err_msg=str(graph))
        assert not np.shares_memory(result, x)
        if order and result.size:
            strides = [result.strides[axis] for axis in order if result.shape[axis] > 1]
            assert strides == sorted(strides, reverse=True)

        out, whole = gaps(wanted.shape)
        executable(x, out=(out, np.empty_like(negative)))
        np.testing.assert_array_equal(out, wanted, err_msg=str(graph))
        out[...] = 7
        assert (whole == 7).all(), "only the elements of out were written"
