"""Attention that a program spells out is the one operation, whichever way it is spelled, and left alone where something
else reads its scores."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import dvm

LOWEST = torch.finfo(torch.float32).min


def scores(q, k):
    return q @ k.transpose(-1, -2)


def causal(q, k):
    queries, keys = q.shape[-2], k.shape[-2]
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


def scaled_after(q, k, v):
    return (scores(q, k) * 0.25).softmax(-1) @ v


def divided_by_the_root_of_a_size(q, k, v):
    return torch.softmax(scores(q, k) / math.sqrt(q.shape[-1]), -1) @ v


def scaled_in_both(q, k, v):
    return scores(q * 0.5, k * 0.5).softmax(-1) @ v


def added_mask(q, k, v):
    return (scores(q, k) * 0.25 + causal(q, k).float()).softmax(-1) @ v


def mask_scaled_with_the_scores(q, k, v):
    return ((scores(q, k) + causal(q, k) * 3.0) * 0.25).softmax(-1) @ v


def causal_by_where(q, k, v):
    return torch.where(causal(q, k), scores(q, k) * 0.25, LOWEST).softmax(-1) @ v


def causal_by_masked_fill(q, k, v):
    return (scores(q, k) * 0.25).masked_fill(~causal(q, k), -math.inf).softmax(-1) @ v


def small_number_in_place(q, k, v):
    return scores(q, k).masked_fill(~causal(q, k), 0.5).softmax(-1) @ v


def positions_and_causal(q, k, v):
    near = torch.arange(k.shape[-2])[None] * 0.1
    return (scores(q, k) + near).masked_fill(~causal(q, k), LOWEST).softmax(-1) @ v


def added_boolean_mask_and_dropout(q, k, v):
    mask = torch.where(causal(q, k), 0.0, LOWEST)[None, None]
    shares = F.softmax(scores(q, k) * 0.25 + mask, -1, dtype=torch.float32).to(q.dtype)
    return F.dropout(shares, 0.1, training=False) @ v


def einsum(q, k, v):
    shares = torch.einsum("bhid,bhjd->bhij", q, k).mul(0.25).softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", shares, v)


def einsum_of_heads_behind_rows(q, k, v):
    q, k, v = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    shares = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", shares, v)


def flat_heads_joined_behind(q, k, v):
    b, h, s, d = q.shape
    q, k, v = (x.reshape(b * h, -1, d) for x in (q, k, v))
    shares = F.softmax(torch.bmm(q, k.transpose(1, 2)) * 0.25, -1)
    return torch.bmm(shares, v).view(b, h, s, d).transpose(1, 2).reshape(b, s, h * d)


def product_added_to_a_mask(q, k, v):
    b, h, s, d = q.shape
    q, k, v = (x.reshape(b * h, -1, d) for x in (q, k, v))
    mask = (causal(q, k) * 3.0).to(q.dtype).expand(b * h, s, -1)
    weights = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=0.25, beta=1.0)
    return (weights.softmax(-1) @ v).view(b, h, s, d)


def grouped_by_expand(q, k, v):
    b, _, n, d = k.shape
    k, v = (x[:, ::4, None].expand(b, 2, 4, n, d).reshape(b, 8, n, d) for x in (k, v))
    return (scores(q, k) * 0.25 + causal(q, k) * 3.0).softmax(-1) @ v


def grouped_by_repeat_interleave(q, k, v):
    k, v = (x[:, ::4].repeat_interleave(4, 1) for x in (k, v))
    return (scores(q, k) * 0.25).softmax(-1) @ v


SPELLINGS = [
    scaled_after,
    divided_by_the_root_of_a_size,
    scaled_in_both,
    added_mask,
    mask_scaled_with_the_scores,
    causal_by_where,
    causal_by_masked_fill,
    small_number_in_place,
    positions_and_causal,
    added_boolean_mask_and_dropout,
    einsum,
    einsum_of_heads_behind_rows,
    flat_heads_joined_behind,
    product_added_to_a_mask,
    grouped_by_expand,
    grouped_by_repeat_interleave,
]


def compiled(function, *inputs):
    """What came, and the account of it. Heads and their elements are no sizes that change."""
    torch._dynamo.reset()
    for tensor in inputs:
        torch._dynamo.mark_static(tensor, 1)
    with torch.no_grad(), dvm.torch.report.record() as report:
        came = torch.compile(function, backend="dvm", dynamic=True)(*inputs)
    (graph,) = (compilation.account() for compilation in report.compilations)
    return came, graph


def operands(dtype=torch.float32, queries=5, keys=9):
    return [torch.randn(2, 8, n, 16).to(dtype) for n in (queries, keys, keys)]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: spelling.__name__)
def test_each_spelling_is_one_attention_as_exact_as_its_parts(spelling):
    inputs = operands()
    came, graph = compiled(spelling, *inputs)
    assert (len(graph["attentions"]), graph["matmuls"], graph["notes"]) == (1, [], [])
    exact = spelling(*(tensor.double() for tensor in inputs))
    error = (came - exact).abs().max()
    assert error <= max(2 * (spelling(*inputs) - exact).abs().max(), 1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types_are_rounded_once(dtype):
    inputs = operands(dtype, 33, 130)
    came, graph = compiled(added_boolean_mask_and_dropout, *inputs)
    assert len(graph["attentions"]) == 1
    assert came.dtype == dtype
    exact = added_boolean_mask_and_dropout(*(tensor.double() for tensor in inputs))
    parts = (added_boolean_mask_and_dropout(*inputs) - exact).abs().max()
    assert (came - exact).abs().max() <= parts


def test_a_row_that_sees_nothing_is_as_its_parts_make_it():
    def attend(q, k, v, seen, hidden):
        return scores(q, k).masked_fill(~seen, hidden).softmax(-1) @ v

    q, k, v = operands(queries=70, keys=300)
    seen = torch.ones(70, 300, dtype=torch.bool).tril(-3)
    for hidden in (-math.inf, LOWEST, -1e9):
        wanted = attend(q, k, v, seen, hidden)
        came, graph = compiled(lambda *given, h=hidden: attend(*given, h), q, k, v, seen)
        assert len(graph["attentions"]) == 1
        torch.testing.assert_close(came, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)
        assert came[0, 0, 0].isnan().all() == (hidden == -math.inf)


def _returned(q, k, v):
    shares = scores(q, k).softmax(-1)
    return shares @ v, shares


def _capped(q, k, v):
    return scores(q, k).tanh().softmax(-1) @ v


def _over_queries(q, k, v):
    return scores(q, k).softmax(-2) @ v


def _learned(q, k, v):
    return (scores(q, k) * q[:, :, :1, :1]).softmax(-1) @ v


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_returned, "its shares are read elsewhere too"),
        (_capped, "its scores go through tanh"),
        (_over_queries, "its softmax is not over the last axis"),
        (_learned, "its scale is a tensor"),
    ],
)
def test_what_is_something_else_stays_and_is_told_of(function, reason):
    inputs = operands()
    came, graph = compiled(function, *inputs)
    torch.testing.assert_close(came, function(*inputs), rtol=1e-4, atol=1e-5)
    assert graph["attentions"] == []
    (note,) = graph["notes"]
    assert note.startswith(f"attention stays in parts: {reason}, at ")
    assert function.__name__ in note


def test_types_that_attention_has_not_stay_in_parts():
    came, graph = compiled(scaled_after, *operands(torch.float64))
    assert (graph["attentions"], came.dtype) == ([], torch.float64)
    assert "the core attends to no torch.float64" in graph["notes"][0]


def test_keys_that_lie_turned_stay_in_parts():
    def attend(q, turned, v):
        return (q @ turned).softmax(-1) @ v

    q, k, v = operands()
    came, graph = compiled(attend, q, k.mT.contiguous(), v)
    torch.testing.assert_close(came, attend(q, k.mT, v), rtol=1e-4, atol=1e-5)
    assert "its keys lie with their elements apart" in graph["notes"][0]


def test_training_keeps_the_parts_that_its_backward_reads():
    inputs = [tensor.requires_grad_() for tensor in operands()]
    torch._dynamo.reset()
    torch.compile(scaled_after, backend="dvm", dynamic=True)(*inputs).sum().backward()
    came = [tensor.grad.clone() for tensor in inputs]
    for tensor in inputs:
        tensor.grad = None
    scaled_after(*inputs).sum().backward()
    for mine, tensor in zip(came, inputs, strict=True):
        torch.testing.assert_close(mine, tensor.grad, rtol=1e-4, atol=1e-5)
