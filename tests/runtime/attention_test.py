"""Attention without its scores in memory: any lengths, masks, layouts and broadcasts."""

import ml_dtypes
import numpy as np
import pytest

from dvm import _core, graph_reference

LENGTHS = [
    (1, 1),
    (1, 7),
    (5, 1),
    (9, 9),
    (33, 130),
    (128, 128),
    (49, 257),
    (0, 4),
    (4, 0),
    (97, 300),
]


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def attention(
    mask=None, causal=False, order=(), kv_heads="h", stored="f32", mask_type="f32", **scoring
):
    graph = _core.Graph("attention")
    q = graph.input("q", "f32", ["b", "h", "m", "d"])
    k = graph.input("k", stored, ["b", kv_heads, "n", "d"])
    v = graph.input("v", stored, ["b", kv_heads, "n", "e"])
    added = None if mask is None else graph.input("mask", mask_type, mask)
    made = graph.attention(q, k, v, added, scale=0.25, causal=causal, order=order, **scoring)
    graph.output(made)
    return graph


def check(graph, *arrays):
    (wanted,) = graph_reference.run(graph, arrays)
    came = _core.Executable(graph)(*arrays)
    assert came.shape == wanted.shape
    np.testing.assert_allclose(came, wanted, rtol=1e-4, atol=2e-5)
    return came


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("depth", [1, 8, 64, 67])
def test_all_lengths(causal, depth):
    graph = attention(causal=causal)
    for m, n in LENGTHS:
        check(graph, random(2, 3, m, depth), random(2, 3, n, depth), random(2, 3, n, depth + 3))


@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16])
def test_keys_and_values_of_half_the_bytes_are_read_as_they_lie(stored):
    graph = attention(stored="f16" if stored is np.float16 else "bf16")
    for m, n in LENGTHS:
        k, v = random(2, 3, n, 16).astype(stored), random(2, 3, n, 19).astype(stored)
        check(graph, random(2, 3, m, 16), k, v)
    k, v = (random(2, 40, 3, 16).astype(stored).transpose(0, 2, 1, 3) for _ in range(2))
    check(graph, random(2, 3, 40, 16), k, v)
    check(graph, random(2, 3, 40, 16), k[..., ::-1], v)


@pytest.mark.parametrize("mask", [["b", 1, 1, "n"], ["m", "n"], ["b", "h", "m", "n"], ["m", 1]])
def test_masks_are_broadcast(mask):
    graph = attention(mask=mask)
    sizes = {"b": 2, "h": 3, "m": 37, "n": 150, 1: 1}
    added = random(*(sizes[dim] for dim in mask))
    added[added > 1] = -np.inf
    check(graph, random(2, 3, 37, 16), random(2, 3, 150, 16), random(2, 3, 150, 16), added)


@pytest.mark.parametrize("queries", [1, 5, 9, 37, 200])
@pytest.mark.parametrize("hidden", [-np.inf, -1e9, 0.25])
def test_a_bool_mask_puts_a_number_in_the_place_of_scores(queries, hidden):
    """Rows that see everything, blocks of keys that nobody sees, rows that see nothing at all."""
    keys = 700
    graph = attention(mask=["m", "n"], mask_type="bool", hidden=hidden, nan_if_blind=True)
    q, k, v = random(2, 3, queries, 16), random(2, 3, keys, 16), random(2, 3, keys, 16)
    seen = random(queries, keys) > 0
    for mask in (seen, np.tri(queries, keys, -2, bool), np.tri(queries, keys, 300, bool)):
        check(graph, q, k, v, mask)
        check(graph, q, k, v, np.asfortranarray(mask))
    padding = attention(mask=["b", 1, 1, "n"], mask_type="bool", hidden=hidden)
    lengths = np.array([700, 130])[:, None, None, None]
    check(padding, q, k, v, np.arange(keys) < lengths)
    check(padding, q, k, v, np.arange(keys) < lengths * 0)


def test_a_row_that_sees_nothing_is_zero():
    graph = attention(mask=["m", "n"])
    added = np.zeros((5, 6), np.float32)
    added[2] = -np.inf
    came = check(graph, random(1, 1, 5, 8), random(1, 1, 6, 8), random(1, 1, 6, 8), added)
    assert (came[0, 0, 2] == 0).all()


def test_what_is_masked_may_be_anything_but_nan_shows():
    graph = attention()
    q, k, v = random(1, 1, 4, 8), random(1, 1, 5, 8), random(1, 1, 5, 8)
    q[0, 0, 1, 0] = np.nan
    came = _core.Executable(graph)(q, k, v)
    assert np.isnan(came[0, 0, 1]).all()
    assert not np.isnan(came[0, 0, [0, 2, 3]]).any()


def test_large_scores_do_not_overflow():
    q, k = random(1, 1, 3, 8) * 100, random(1, 1, 200, 8) * 100
    check(attention(), q, k, random(1, 1, 200, 8))


def test_tensors_of_any_layout():
    graph = attention(order=[0, 2, 1, 3])
    q, k, v = (random(2, 40, 3, 16).transpose(0, 2, 1, 3) for _ in range(3))
    check(graph, q, k, v)
    check(graph, q[..., ::-1], k[..., ::-1], np.asfortranarray(v))


def test_keys_are_broadcast_over_heads():
    graph = attention(kv_heads=1)
    check(graph, random(2, 4, 9, 16), random(2, 1, 20, 16), random(2, 1, 20, 16))


def test_heads_that_lie_side_by_side_join_without_a_copy():
    """As a model does it: the result goes to the next layer with its heads joined."""
    graph = _core.Graph("heads")
    q, k, v = (graph.input(name, "f32", ["b", "s", 48]) for name in "qkv")
    heads = [graph.permute(graph.reshape(x, ["b", "s", 3, 16]), [0, 2, 1, 3]) for x in (q, k, v)]
    made = graph.attention(*heads, scale=0.25, order=[0, 2, 1, 3])
    joined = graph.reshape(graph.permute(made, [0, 2, 1, 3]), ["b", "s", 48])
    graph.output(graph.matmul(joined, graph.input("w", "f32", [48, 48])))
    executable = _core.Executable(graph)
    arrays = [*(random(2, 70, 48) for _ in range(3)), random(48, 48)]
    (wanted,) = graph_reference.run(graph, arrays)
    np.testing.assert_allclose(executable(*arrays), wanted, rtol=1e-3, atol=1e-4)
    assert executable.plan([array.shape for array in arrays])["kernels"] == ["attention", "matmul"]


def test_results_do_not_depend_on_the_number_of_threads():
    run = _core.Executable(attention())
    arrays = [random(2, 3, 200, 16), random(2, 3, 300, 16), random(2, 3, 300, 16)]
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
    q, k = graph.input("q", "f32", [2, 3, 8]), graph.input("k", "f32", [2, 4, 8])
    with pytest.raises(ValueError, match=r"\[attention\] shapes .* do not fit"):
        graph.attention(q, k, q, scale=1.0)
    with pytest.raises(ValueError, match=r"\[attention\] an operand of type f64"):
        graph.attention(q, k, graph.input("v", "f64", [2, 4, 8]), scale=1.0)
    with pytest.raises(ValueError, match=r"\[attention\] the memory order"):
        graph.attention(q, k, k, scale=1.0, order=[0, 0, 2])


def test_an_attention_reads_back_from_its_text():
    graph = attention(mask=["m", "n"], causal=True, order=[0, 2, 1, 3], nan_if_blind=True)
    assert str(_core.Graph.parse(str(graph))) == str(graph)
    hides = attention(mask=["m", "n"], mask_type="bool", hidden=-1e9)
    assert str(_core.Graph.parse(str(hides))) == str(hides)
