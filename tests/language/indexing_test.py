"""Slices and picked elements inside a kernel."""

import numpy as np
import pytest

import dvm

X = np.random.default_rng(2).standard_normal((7, 10)).astype(np.float32)
IDS = np.random.default_rng(3).integers(0, 10, (7, 3))


@pytest.mark.parametrize(
    "index",
    [
        np.s_[1:],
        np.s_[:, 2:5],
        np.s_[..., :-1],
        np.s_[-3:, ::3],
        np.s_[:, None, 4:400],
        np.s_[5:2],
        np.s_[None, 1:6:2, ..., 1::4],
    ],
    ids=str,
)
def test_slices_are_those_of_numpy(index):
    @dvm.kernel
    def double(k, x):
        return k.store(k.load(x)[index] * 2)

    if "400" in str(
        index
    ):  # sizes are not known when the kernel is compiled, so nothing is cut to fit
        with pytest.raises(ValueError, match="leaves axis 1 of 10 elements"):
            double(X)
    else:
        np.testing.assert_array_equal(double(X), X[index] * 2)


def test_sizes_may_bound_a_slice():
    @dvm.kernel
    def gated(k, x):
        x = k.load(x)
        half = x.shape[-1] // 2
        return k.store(x[..., :half] * k.sigmoid(x[..., half:]))

    for width in (2, 10, 1024):
        x = np.random.default_rng(width).standard_normal((5, width)).astype(np.float32)
        gate = 1 / (1 + np.exp(-x[:, width // 2 :]))
        np.testing.assert_allclose(gated(x), x[:, : width // 2] * gate, rtol=1e-5)
    assert len(gated.explain((5, 10))["kernels"]) == 1


def test_gather_is_take_along_axis():
    @dvm.kernel
    def pick(k, x, ids):
        return k.store(k.gather(k.load(x), k.load(ids), axis=1) + 1)

    np.testing.assert_array_equal(pick(X, IDS), np.take_along_axis(X, IDS, 1) + 1)
    np.testing.assert_array_equal(pick(X, IDS.astype(np.int32)), np.take_along_axis(X, IDS, 1) + 1)
    with pytest.raises(IndexError, match=r"\[pick\] gather: an index is out of range"):
        pick(X, IDS + 8)


def test_cross_entropy_reads_the_chosen_classes_alone():
    @dvm.kernel
    def cross_entropy(k, x, target):
        x = k.load(x)
        chosen = k.gather(x, k.load(target)[:, None], axis=-1)
        return k.store(k.logsumexp(x, axis=-1) - k.squeeze(chosen, -1))

    target = np.array([0, 9, 3, 3, 5, 8, 1])
    want = np.log(np.exp(X).sum(-1)) - X[np.arange(7), target]
    np.testing.assert_allclose(cross_entropy(X, target), want, rtol=1e-5, atol=1e-6)
