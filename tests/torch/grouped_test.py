"""A mixture of experts without loops: rows sorted by expert meet the matrices of theirs in one product. While it
traces, torch lets grouped_mm have bf16 only; transformers has an operation of its own for other types.
"""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import dvm

EXPERTS, TAKEN = 8, 2


class Experts(torch.nn.Module):
    def __init__(self, width=32, inner=48):
        super().__init__()
        self.router = torch.nn.Linear(width, EXPERTS, bias=False)
        self.up = torch.nn.Parameter(torch.randn(EXPERTS, 2 * inner, width) * 0.1)
        self.down = torch.nn.Parameter(torch.randn(EXPERTS, width, inner) * 0.1)

    def forward(self, x):
        weights, chosen = self.router(x).softmax(-1).topk(TAKEN)
        expert, order = chosen.flatten().sort(stable=True)
        rows = x[order // TAKEN]
        ends = torch.searchsorted(expert, torch.arange(EXPERTS) + 1).to(torch.int32)
        gate, up = F.grouped_mm(rows, self.up.mT, offs=ends).chunk(2, -1)
        made = F.grouped_mm(F.silu(gate) * up, self.down.mT, offs=ends)
        made = made * weights.flatten()[order, None]
        return torch.zeros_like(x).index_add(0, order // TAKEN, made)


def chosen_clearly(model, x):
    """Rows whose experts do not hang on how shares are rounded."""
    shares = model.router(x).float().softmax(-1).sort(descending=True).values
    return shares[:, TAKEN - 1] - shares[:, TAKEN] > 0.02 * shares[:, TAKEN]


def test_experts_of_any_number_of_tokens_are_one_compile():
    torch.manual_seed(0)
    model = Experts().bfloat16()
    torch._dynamo.reset()
    with torch.no_grad(), dvm.torch.report.record() as report:
        compiled = torch.compile(model, backend="dvm", dynamic=True)
        for tokens in (5, 40, 2, 301):
            x = torch.randn(tokens, 32).bfloat16()
            clear = chosen_clearly(model, x)
            assert clear.sum() > tokens // 2
            torch.testing.assert_close(compiled(x)[clear], model(x)[clear], rtol=0.05, atol=0.01)
    (compilation,) = report.compilations
    graph = compilation.account()
    assert len([matmul for matmul in graph["matmuls"] if len(matmul["operands"]) == 3]) == 2
    assert not [one for one in graph["fallbacks"] if "grouped_mm" in one["name"]]


def test_rows_of_no_group_give_zeros():
    x, weights = torch.randn(9, 16).bfloat16(), torch.randn(3, 16, 8).bfloat16()
    ends = torch.tensor([4, 4, 7], dtype=torch.int32)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *a: F.grouped_mm(a[0], a[1], offs=a[2]), backend="dvm")
    came = compiled(x, weights, ends)
    assert came.dtype == torch.bfloat16
    torch.testing.assert_close(came[:7], F.grouped_mm(x, weights, offs=ends)[:7])
    assert (came[7:] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["grouped_mm", "batched_mm"])
def test_experts_of_transformers(how):
    library = pytest.importorskip("transformers")
    config = library.Qwen3MoeConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, moe_intermediate_size=24, num_experts=8,
        num_experts_per_tok=2, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, use_cache=False,
    )  # fmt: skip
    model = library.Qwen3MoeForCausalLM(config).eval()
    model.set_experts_implementation(how)
    torch._dynamo.reset()
    with torch.no_grad(), dvm.torch.report.record() as report:
        compiled = torch.compile(model, backend="dvm", dynamic=True)
        for tokens in (7, 30):
            ids = torch.randint(64, (1, tokens))
            torch.testing.assert_close(
                compiled(ids).logits, model(ids).logits, rtol=1e-3, atol=1e-4
            )
    named = [one["name"] for each in report.compilations for one in each.account()["fallbacks"]]
    assert not [name for name in named if "grouped_mm" in name or "bmm" in name]
