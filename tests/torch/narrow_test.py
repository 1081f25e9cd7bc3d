"""Models of bf16 and f16: products, attention and what stands around them run in the core."""

import pytest
import torch
from torch import nn

import dvm
import dvm.torch


class Layer(nn.Module):
    """Attention of 4 heads over a width of 64, and a gated layer."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(64)
        self.qkv = nn.Linear(64, 192)
        self.out = nn.Linear(64, 64)
        self.gate, self.up, self.down = nn.Linear(64, 96), nn.Linear(64, 96), nn.Linear(96, 64)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(self.norm(x)).view(batch, length, 3, 4, 16).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(nn.functional.silu(self.gate(x)) * self.up(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_layer_in_half_the_bytes_has_no_fallback_and_the_error_of_eager(dtype):
    torch.manual_seed(0)
    exact = Layer().eval().double()
    layer = Layer().eval()
    layer.load_state_dict(exact.state_dict())
    layer = layer.to(dtype)
    exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    length = torch.export.Dim("length", min=1, max=512)
    with torch.inference_mode():
        example = torch.randn(2, 7, 64, dtype=dtype)
        compiled = dvm.compile(layer, (example,), dynamic_shapes=({1: length},))
        assert not compiled.explain().fallbacks
        for size in (1, 3, 20, 150):
            x = torch.randn(2, size, 64, dtype=dtype)
            came, eager, wanted = compiled(x), layer(x), exact(x.double())
            assert came.dtype == dtype
            error = (came.double() - wanted).norm()
            assert error <= 1.1 * (eager.double() - wanted).norm() + 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("call", ["mm", "bmm", "addmm", "baddbmm", "mv", "linear"])
def test_every_spelling_of_a_product(dtype, call):
    def of(*shape):
        return torch.randn(*shape).to(dtype)

    arguments = {
        "mm": (of(5, 9), of(9, 40)),
        "bmm": (of(3, 5, 9), of(3, 9, 40)),
        "addmm": (of(40), of(5, 9), of(9, 40)),
        "baddbmm": (of(3, 5, 40), of(3, 5, 9), of(3, 9, 40)),
        "mv": (of(5, 9), of(9)),
        "linear": (of(2, 5, 9), of(40, 9), of(40)),
    }[call]
    function = torch.nn.functional.linear if call == "linear" else getattr(torch, call)
    compiled = torch.compile(lambda *a: function(*a), backend="dvm")
    torch.testing.assert_close(compiled(*arguments), function(*arguments), rtol=2e-2, atol=2e-2)


def test_bytes_are_multiplied_as_integers():
    x = torch.randint(-128, 128, (7, 65), dtype=torch.int8)
    y = torch.randint(-128, 128, (33, 65), dtype=torch.int8)
    came = torch.compile(lambda a, b: torch._int_mm(a, b.t()), backend="dvm")(x, y)
    assert came.dtype == torch.int32
    assert torch.equal(came, x.int() @ y.int().t())


def test_products_are_as_exact_as_those_of_torch():
    from dvm.bench import product_types

    for error in product_types.errors().values():
        assert error["dvm"] <= 1.001 * error["torch"]
