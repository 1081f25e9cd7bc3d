"""Masks of attention: as large as what they tell, and equal to eager's."""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

import dvm


def attention(q, tokens):
    """As models write it: a condition on queries that always holds, and one on keys."""
    batch, length = tokens.shape
    rows = torch.arange(batch)[:, None, None, None]
    queries = torch.arange(length)[None, None, :, None] + 0
    keys = torch.arange(length)[None, None, None, :] + 0
    seen = queries.new_ones((), dtype=torch.bool) & (queries >= 0) & tokens.bool()[rows, keys]
    return F.scaled_dot_product_attention(q, q, q, attn_mask=seen.expand(batch, 1, length, length))


def test_a_mask_of_keys_is_not_written_for_every_query():
    q, tokens = torch.randn(3, 2, 7, 8), torch.ones(3, 7, dtype=torch.long)
    tokens[1, 4:] = 0
    with torch.inference_mode():
        compiled = torch.compile(attention, backend="dvm", dynamic=True)
        torch.testing.assert_close(compiled(q, tokens), attention(q, tokens))
        kernels = dvm.explain(attention, q, tokens).kernels
    (mask,) = [kernel for kernel in kernels if "select" in kernel["ops"]]
    (output,) = mask["outputs"]
    assert output["shape"][1:3] == [1, 1]


def test_a_mask_that_lets_everything_through_is_no_mask():
    class Model(torch.nn.Module):
        def forward(self, q):
            length = q.shape[2]
            seen = torch.arange(length)[None, None, :, None] >= 0
            seen = seen.expand(q.shape[0], 1, length, length)
            return F.scaled_dot_product_attention(q, q, q, attn_mask=seen)

    q = torch.randn(3, 2, 7, 8)
    axes = {0: torch.export.Dim("batch", max=64), 2: torch.export.Dim("length", max=512)}
    compiled = dvm.compile(Model(), (q,), dynamic_shapes=(axes,))
    larger = torch.randn(4, 2, 9, 8)
    torch.testing.assert_close(compiled(larger), Model()(larger))
    assert "select" not in [op for kernel in compiled.explain().kernels for op in kernel["ops"]]


def test_a_condition_that_may_fail_stays():
    def beyond(q, tokens):
        length = tokens.shape[1]
        late = torch.arange(length)[:, None] >= 2
        seen = late & tokens.bool()[:, None, None, :]
        return torch.where(seen, q, 0.0)

    q, tokens = torch.randn(3, 2, 7, 7), torch.randint(0, 2, (3, 7))
    compiled = torch.compile(beyond, backend="dvm", dynamic=True)
    torch.testing.assert_close(compiled(q, tokens), beyond(q, tokens))
