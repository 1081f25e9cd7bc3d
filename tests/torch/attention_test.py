"""Attention runs in the core: with its linear layers a transformer layer calls nothing of torch's."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import dvm


def compiled_equals_eager(function, *calls):
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="dvm", dynamic=True)
    with torch.inference_mode():
        for inputs in calls:
            torch.testing.assert_close(compiled(*inputs), function(*inputs), rtol=1e-4, atol=1e-5)
        return dvm.explain(function, *calls[-1])


def heads(batch, heads, queries, keys, depth=16):
    return (
        torch.randn(batch, heads, queries, depth),
        torch.randn(batch, heads, keys, depth),
        torch.randn(batch, heads, keys, depth),
    )


@pytest.mark.parametrize("causal", [False, True])
def test_any_lengths(causal):
    explained = compiled_equals_eager(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
        heads(2, 3, 5, 5), heads(1, 3, 40, 40), heads(2, 3, 130, 130),
    )  # fmt: skip
    assert not explained.fallbacks


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_masks(kind):
    def attend(q, k, v, mask):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def mask(batch, keys):
        lengths = torch.arange(1, batch + 1)[:, None] * keys // batch
        seen = (torch.arange(keys)[None] < lengths)[:, None, None, :]
        return seen if kind is torch.bool else torch.where(seen, 0.0, -1e9)

    explained = compiled_equals_eager(
        attend, (*heads(2, 3, 7, 9), mask(2, 9)), (*heads(3, 3, 20, 33), mask(3, 33))
    )
    assert not explained.fallbacks


def test_a_scale_of_its_own():
    compiled_equals_eager(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.5), heads(2, 3, 5, 9)
    )


def test_shared_keys():
    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    q, k, v = torch.randn(2, 8, 5, 16), torch.randn(2, 2, 9, 16), torch.randn(2, 2, 9, 16)
    compiled_equals_eager(attend, (q, k, v))  # the number of heads is a size like others: torch's
    for tensor in (q, k, v):
        torch._dynamo.mark_static(tensor, 1)
    torch._dynamo.reset()
    with torch.inference_mode():
        report = dvm.explain(attend, q, k, v)
        came = torch.compile(attend, backend="dvm")(q, k, v)
    torch.testing.assert_close(came, attend(q, k, v), rtol=1e-4, atol=1e-5)
    assert not report.fallbacks


def test_a_transformer_layer_calls_nothing_of_torch():
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu").eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        explained = compiled_equals_eager(
            layer, (torch.randn(2, 5, 32),), (torch.randn(1, 70, 32),), (torch.randn(3, 2, 32),)
        )
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert not explained.fallbacks
    assert len(explained["graphs"]) == 1


def test_training_goes_through_torchs_own():
    def loss(q, k, v):
        return F.scaled_dot_product_attention(q, k, v).square().sum()

    q, k, v = (tensor.requires_grad_() for tensor in heads(2, 3, 5, 9))
    torch.compile(loss, backend="dvm", dynamic=True)(q, k, v).backward()
    came = [tensor.grad.clone() for tensor in (q, k, v)]
    for tensor in (q, k, v):
        tensor.grad = None
    loss(q, k, v).backward()
    for mine, tensor in zip(came, (q, k, v), strict=True):
        torch.testing.assert_close(mine, tensor.grad, rtol=1e-4, atol=1e-5)


def test_a_saved_transformer_layer_runs_on_numpy(tmp_path):
    class Attend(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.project = torch.nn.Linear(32, 96)

        def forward(self, x):
            q, k, v = self.project(x).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    model, x = Attend().eval(), torch.randn(2, 9, 32)
    length = torch.export.Dim("length", min=1, max=512)
    with torch.no_grad():
        dvm.compile(model, (x,), dynamic_shapes={"x": {1: length}}).save(tmp_path / "model.dvm")
        wanted = model(x).numpy()
    loaded = dvm.load(tmp_path / "model.dvm", framework="numpy")
    torch.testing.assert_close(
        torch.from_numpy(loaded(x.numpy())), torch.from_numpy(wanted), rtol=1e-4, atol=1e-5
    )
