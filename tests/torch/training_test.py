"""Gradients: forward and backward both run through the backend and match eager."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402
from torch._dynamo.utils import counters  # noqa: E402
from torch.nn import functional  # noqa: E402

from dvm.torch import dvm  # noqa: E402
from dvm.torch.report import record  # noqa: E402


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)


class Attention(nn.Module):
    """Softmax attention spelled out, so that its softmax is ours."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            self.qkv(x)
            .view(batch, length, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        scores = q @ k.mT / (width // self.heads) ** 0.5
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        weights = scores.masked_fill(~causal, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention, self.first, self.second = (
            Attention(width, heads),
            nn.LayerNorm(width),
            nn.LayerNorm(width),
        )
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x):
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class Language(nn.Module):
    """A tiny transformer that predicts the next token."""

    def __init__(self, tokens=50, width=16):
        super().__init__()
        self.embedding, self.block = nn.Embedding(tokens, width), Block(width, 2)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, ids):
        logits = self.head(self.norm(self.block(self.embedding(ids))))
        return functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def gradients_match(model, *batches, rtol=1e-4, atol=1e-5):
    """One backward pass per batch, compiled beside eager, without compiling again."""
    reference = copy.deepcopy(model)
    function = torch.compile(model, backend=dvm, dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for batch in batches:
            inputs = [batch.clone(), batch.clone()]
            if batch.is_floating_point():
                for tensor in inputs:
                    tensor.requires_grad_()
            actual, expected = function(inputs[0]), reference(inputs[1])
            torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)
            for loss in (actual, expected):
                loss.square().sum().backward()
            if batch.is_floating_point():
                torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=rtol, atol=atol)
            for (name, mine), theirs in zip(
                model.named_parameters(), reference.parameters(), strict=True
            ):
                torch.testing.assert_close(
                    mine.grad, theirs.grad, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
                )
    assert counters["dvm"]["graphs forward"] == 1
    assert counters["dvm"]["graphs backward"] == 1


@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.ELU, nn.Mish]
)
def test_mlp(activation):
    model = nn.Sequential(nn.Linear(12, 24), activation(), nn.Linear(24, 3))
    gradients_match(model, torch.randn(5, 12), torch.randn(9, 12))


def test_layer_norm():
    gradients_match(nn.LayerNorm(24), torch.randn(5, 24), torch.randn(8, 24))


def test_group_norm():
    gradients_match(nn.GroupNorm(2, 6), torch.randn(3, 6, 7), torch.randn(2, 6, 9))


def test_rms_norm():
    gradients_match(nn.RMSNorm(24), torch.randn(5, 24), torch.randn(8, 24))


def test_batch_norm_in_training_updates_its_statistics():
    model = nn.BatchNorm1d(6)
    reference = copy.deepcopy(model)
    function = torch.compile(model, backend=dvm, dynamic=True)
    for rows in (5, 9):
        x = torch.randn(rows, 6)
        torch.testing.assert_close(function(x), reference(x))
    torch.testing.assert_close(model.running_mean, reference.running_mean)
    torch.testing.assert_close(model.running_var, reference.running_var)
    assert model.num_batches_tracked == 2


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_softmax(function):
    class Model(nn.Module):
        def forward(self, x):
            return function(x * 2, -1)

    gradients_match(Model(), torch.randn(4, 9), torch.randn(3, 17))


def test_attention():
    gradients_match(Attention(16, 2), torch.randn(2, 5, 16), torch.randn(3, 11, 16))


def test_transformer_block():
    gradients_match(Block(16, 2), torch.randn(2, 5, 16), torch.randn(3, 11, 16))


def test_language_model():
    gradients_match(Language(), torch.randint(50, (2, 6)), torch.randint(50, (3, 13)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(reduction):
    function = torch.compile(functional.cross_entropy, backend=dvm, dynamic=True)
    for rows in (6, 9):
        x, target = torch.randn(rows, 11, requires_grad=True), torch.randint(11, (rows,))
        target[2] = -100
        mine, theirs = (
            f(x, target, reduction=reduction) for f in (function, functional.cross_entropy)
        )
        torch.testing.assert_close(mine, theirs)
        gradients = [torch.autograd.grad(loss.sum(), x) for loss in (mine, theirs)]
        torch.testing.assert_close(*gradients)
    assert counters["dvm"]["fallbacks"] == 0


def test_cross_entropy_of_a_class_that_there_is_not():
    loss = torch.compile(functional.cross_entropy, backend=dvm, dynamic=True)
    with pytest.raises(IndexError, match="a target is out of range of the classes"):
        loss(torch.randn(3, 5), torch.tensor([1, 5, 2]))


def test_training_step_with_an_optimizer():
    torch.manual_seed(1)
    model = Language()
    reference = copy.deepcopy(model)
    function = torch.compile(model, backend=dvm, dynamic=True)
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (model, reference)]
    for length in (6, 9, 7, 12):
        ids = torch.randint(50, (2, length))
        losses = []
        for run, optimizer in zip((function, reference), optimizers, strict=True):
            optimizer.zero_grad()
            loss = run(ids)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)


def test_backward_kernels_are_fused():
    model = nn.Sequential(nn.LayerNorm(24), nn.GELU(), nn.Softmax(-1))
    with record() as report:
        torch.compile(model, backend=dvm, dynamic=True)(
            torch.randn(5, 24, requires_grad=True)
        ).sum().backward()
    forward, backward = report.compilations
    assert (forward.kind, backward.kind) == ("forward", "backward")
    assert forward.fallbacks == []
    assert backward.fallbacks == []
    assert len(forward.kernels) == 1
    # What falls on the rows is one kernel; the gradients of weight and bias are sums over the other axis.
    assert len(backward.kernels) <= 3


def test_dropout_draws_torchs_random_numbers():
    model = nn.Sequential(nn.Dropout(0.5), nn.ReLU())
    function = torch.compile(model, backend=dvm, dynamic=True)
    x = torch.randn(100, 20)
    with torch._inductor.config.patch(fallback_random=True):
        result = function(x)
    kept = result != 0
    torch.testing.assert_close(result[kept], (x * 2).relu()[kept])


def test_gradients_of_views_and_mutated_inputs():
    def step(x, y):
        z = x.t() + y
        y.add_(1)
        return z.square().sum(), y * 2

    x, y = torch.randn(4, 3, requires_grad=True), torch.randn(3, 4)
    results, gradients = [], []
    for function in (torch.compile(step, backend=dvm, dynamic=True), step):
        mine = y.clone()
        loss, doubled = function(x, mine)
        results.append((loss.detach(), doubled, mine))
        gradients.append(torch.autograd.grad(loss, x))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(gradients[0], gradients[1])
