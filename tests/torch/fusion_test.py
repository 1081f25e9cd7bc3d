"""What must be one kernel is one kernel, as explain() tells it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.nn import functional  # noqa: E402

from dvm import compile as compile_model  # noqa: E402
from dvm.torch import dvm, explain  # noqa: E402
from dvm.torch.report import record  # noqa: E402


def rms_norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight


def residual_norm(x, residual, weight, bias):
    return functional.layer_norm(x + residual, (x.shape[-1],), weight, bias)


def masked_softmax(x, mask):
    return torch.softmax(x.masked_fill(mask, float("-inf")) * 0.125, -1)


def rotate_half(x):
    a, b = x.chunk(2, -1)
    return torch.cat([-b, a], -1)


def rope(x, cosine, sine):
    return x * cosine + rotate_half(x) * sine


def interleaved_rope(x, cosine, sine):
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1).flatten(-2)


def group_norm_silu(x, weight, bias, residual):
    return functional.silu(functional.group_norm(x, 4, weight, bias)) + residual


def swiglu(gate, up):
    return functional.silu(gate) * up


def cross_entropy_forward(x):
    return x - x.logsumexp(-1, keepdim=True)


X = torch.randn(6, 24)
WEIGHT, BIAS = torch.randn(24), torch.randn(24)

ONE_KERNEL = {
    "softmax": (lambda x: torch.softmax(x, -1), X),
    "softmax over columns": (lambda x: torch.softmax(x, 0), X),
    "log_softmax": (lambda x: torch.log_softmax(x, -1), X),
    "masked softmax": (masked_softmax, X, X > 0),
    "layer_norm": (lambda x, w, b: functional.layer_norm(x, (24,), w, b), X, WEIGHT, BIAS),
    "layer_norm over two axes": (
        lambda x: functional.layer_norm(x, x.shape[1:]),
        torch.randn(3, 4, 5),
    ),
    "rms_norm": (rms_norm, X, WEIGHT),
    "torch's rms_norm": (lambda x, w: functional.rms_norm(x, (24,), w, 1e-6), X, WEIGHT),
    "residual and norm": (residual_norm, X, X + 1, WEIGHT, BIAS),
    "group_norm": (
        lambda x: functional.group_norm(x, 4, torch.ones(8), torch.zeros(8)),
        torch.randn(2, 8, 5),
    ),
    "group_norm, silu, residual": (
        group_norm_silu,
        torch.randn(2, 8, 5),
        torch.randn(8),
        torch.randn(8),
        torch.randn(2, 8, 5),
    ),
    "rope of interleaved pairs": (
        interleaved_rope,
        torch.randn(2, 6, 8),
        torch.randn(6, 4),
        torch.randn(6, 4),
    ),
    "cross entropy of every row": (
        lambda x, t: functional.cross_entropy(x, t, reduction="none"),
        X,
        torch.randint(24, (6,)),
    ),
    "batch_norm": (
        lambda x: functional.batch_norm(x, torch.zeros(8), torch.ones(8)),
        torch.randn(2, 8, 5),
    ),
    "var": (lambda x: x.var(-1), X),
    "std": (lambda x: x.std(0), X),
    "var_mean": (lambda x: torch.var_mean(x, -1), X),
    "logsumexp": (lambda x: x.logsumexp(-1), X),
    "cross entropy": (cross_entropy_forward, X),
    "normalize": (lambda x: functional.normalize(x, dim=-1), X),
    "argmax": (lambda x: x.argmax(-1), X),
    "max with index": (lambda x: x.max(-1), X),
    "gelu": (lambda x, b: functional.gelu(x + b), X, BIAS),
    "swiglu": (swiglu, X, X + 1),
    "chain": (lambda x: ((x * 2 + 1).sigmoid() - 0.5).tanh().abs(), X),
    "two outputs": (lambda x: (x + 1, x * 2), X),
}


ONLY_F32 = {
    "batch_norm": "its statistics are f32 here",
    "rope of interleaved pairs": "computing each pair twice, conversions included, is dearer than a second kernel",
}


@pytest.mark.parametrize("name", ONE_KERNEL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_is_one_kernel(name, dtype):
    function, *arguments = ONE_KERNEL[name]
    if dtype != torch.float32 and name in ONLY_F32:
        pytest.skip(ONLY_F32[name])
    arguments = [a.to(dtype) if a.is_floating_point() else a for a in arguments]
    with torch.no_grad():
        account = explain(function, *arguments)
    assert account.fallbacks == []
    # The check that indices are in range reduces over other axes than what reads them.
    kernels = [kernel for kernel in account.kernels if "all" not in kernel["ops"]]
    assert len(kernels) == 1, str(account)


def test_rope_of_halves_is_one_kernel_where_the_width_is_known():
    x, cosine, sine = torch.randn(2, 3, 6, 8), torch.randn(6, 8), torch.randn(6, 8)
    with torch.no_grad(), record() as report:
        for tensor in (x, cosine, sine):
            torch._dynamo.mark_static(tensor, -1)
            torch._dynamo.mark_dynamic(tensor, -2)
        result = torch.compile(rope, backend=dvm)(x, cosine, sine)
    torch.testing.assert_close(result, rope(x, cosine, sine))
    (compilation,) = report.compilations
    assert compilation.fallbacks == []
    assert len(compilation.kernels) == 1


def test_parts_that_are_only_joined_are_joined_by_torch():
    with torch.no_grad():
        account = explain(lambda x: torch.cat([x, x], 1), X)
    assert account.kernels == []
    assert account.fallbacks == []


def test_a_segment_that_reads_no_tensor_is_run_by_torch():
    account = explain(lambda x: torch.arange(x.shape[0]) * 2 + 1, X)
    assert account.kernels == []


def test_an_encoder_layer_is_matrix_products_and_one_kernel_between_them():
    layer = torch.nn.TransformerEncoderLayer(
        16, 2, 32, batch_first=True, activation="gelu", dropout=0.0
    )

    def run(x):
        # Through the parts, as the module itself would call a fused inference kernel.
        x = layer.norm1(x + layer.self_attn(x, x, x, need_weights=False)[0])
        return layer.norm2(x + layer.linear2(functional.gelu(layer.linear1(x))))

    with torch.no_grad():
        account = explain(run, torch.randn(2, 5, 16))
    assert account.fallbacks == []
    assert (len(account.matmuls), len(account.attentions)) == (4, 1)
    gelu = [kernel for kernel in account.kernels if "gelu" in kernel["ops"]]
    norms = [kernel for kernel in account.kernels if "rsqrt" in kernel["ops"]]
    assert len(gelu) == 1
    assert len(norms) == 2
    assert all(sum(op.startswith("sum") for op in kernel["ops"]) == 2 for kernel in norms)


def test_kernels_know_what_torch_knows_of_sizes():
    """Maxima and differences of sizes are the core's to compute, and its Graph has the divisor that torch guards."""

    def f(x, y):
        n, m = x.shape[0], y.shape[0]
        torch._check(n % 8 == 0)
        rows = torch.exp(x).reshape(n // 8, 8) + torch.sym_max(n, m)
        return torch.softmax(rows, -1).reshape(n), y.exp().sum() * (m - n)

    with record() as report:
        compiled = torch.compile(f, backend=dvm, dynamic=True)
        compiled(torch.randn(16), torch.randn(5))
    texts = str([compilation.account() for compilation in report.compilations])
    assert "fact multiple(" in texts
    assert "max(" in texts
    for n, m in ((16, 5), (24, 7), (64, 100)):
        x, y = torch.randn(n), torch.randn(m)
        torch.testing.assert_close(compiled(x, y), f(x, y))


def test_the_layers_of_gpt2_have_their_epilogues():
    """transformers' Conv1D: addmm of x seen as rows, seen as sequences again."""

    class Conv1D(torch.nn.Module):
        def __init__(self, depth, columns):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(depth, columns))
            self.bias = torch.nn.Parameter(torch.randn(columns))

        def forward(self, x):
            rows = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
            return rows.view(*x.shape[:-1], -1)

    class Feed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = Conv1D(16, 40), Conv1D(40, 16)

        def forward(self, x):
            return x + self.down(functional.gelu(self.up(x)))

    model = Feed().eval()
    sizes = {0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("length", max=64)}
    with torch.inference_mode():
        example = (torch.randn(2, 7, 16),)
        compiled = compile_model(model, example, dynamic_shapes=(sizes,))
        ends = [matmul["epilogue"] for matmul in compiled.explain().matmuls]
        assert len(ends) == 2
        assert None not in ends
        x = torch.randn(3, 9, 16)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)
