"""dvm.quantize: which layers change, how far results move, and that packed weights run in the core."""

import copy

import pytest
import torch
from torch import nn

import dvm
import dvm.torch

KINDS = [
    {"weights": "int8"},
    {"weights": "int8", "group": 32},
    {"weights": "int4"},
    {"weights": "bf16"},
    {"weights": "f16"},
    {"weights": "bf16", "activations": "bf16"},
    {"weights": "int8", "activations": "int8"},
]
# Relative errors of a layer with normal weights and inputs; docs/quantize.md has measured ones.
BOUNDS = {"int8": 0.02, "int4": 0.15, "bf16": 0.01, "f16": 0.001}


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(96, 160), nn.GELU(), nn.Linear(160, 64, bias=False)).eval()


def off(came, wanted):
    return float((came - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_compile_of_packed_weights_serves_all_lengths_without_a_fallback(kind):
    plain = model()
    small = dvm.quantize(copy.deepcopy(plain), **kind)
    rows = torch.export.Dim("rows", min=1, max=1024)
    with torch.inference_mode():
        compiled = dvm.compile(small, (torch.randn(1, 7, 96),), dynamic_shapes=({1: rows},))
        assert not compiled.explain().fallbacks
        for length in (1, 2, 5, 13, 40, 120):
            x = torch.randn(1, length, 96)
            came = compiled(x)
            # bf16 and bytes round where sums of another order may fall on the other side.
            bound = 1e-5 if "activations" not in kind else 5e-3
            assert off(came, small(x)) < bound
            assert off(came, plain(x)) < BOUNDS[kind["weights"]]


@pytest.mark.parametrize("weights", ["int8", "int4", "bf16"])
def test_a_saved_model_keeps_its_packed_weights_and_runs_on_numpy(weights, tmp_path):
    small = dvm.quantize(model(), weights)
    rows = torch.export.Dim("rows", min=1, max=64)
    x = torch.randn(9, 96)
    with torch.inference_mode():
        compiled = dvm.compile(small, (torch.randn(5, 96),), dynamic_shapes=({0: rows},))
        wanted = compiled(x)
    path = tmp_path / "small.dvm"
    compiled.save(path)
    assert path.stat().st_size < sum(t.nbytes for t in small.state_dict().values()) + 12_000
    came = dvm.load(path, framework="numpy")(x.numpy())
    assert (came == wanted.numpy()).all()


def test_through_torch_compile():
    small = dvm.quantize(model(), "int4")
    compiled = torch.compile(small, backend="dvm", dynamic=True)
    with torch.inference_mode():
        for length in (3, 9):
            x = torch.randn(length, 96)
            assert off(compiled(x), small(x)) < 1e-5


def test_a_layer_takes_the_bytes_it_says():
    plain = model()
    before = plain[0].weight.nbytes
    for weights, share in (("int8", 4), ("int4", 8), ("bf16", 2)):
        small = dvm.quantize(copy.deepcopy(plain), weights)
        assert small[0].weight.nbytes == before // share


def test_products_read_packed_weights_and_their_epilogue_stays():
    small = dvm.quantize(model(), "int8")
    with torch.inference_mode():
        explained = dvm.compile(small, (torch.randn(5, 96),)).explain()
    assert [matmul["operands"][1]["type"] for matmul in explained.matmuls] == ["i8", "i8"]
    assert explained.matmuls[0]["epilogue"] is not None


def test_skipped_modules_stay():
    small = dvm.quantize(model(), "int8", skip=["2"])
    assert isinstance(small[2], nn.Linear)
    assert not isinstance(small[0], nn.Linear)


def test_a_bare_layer_is_replaced():
    layer = nn.Linear(64, 8)
    small = dvm.quantize(layer, "int8")
    x = torch.randn(3, 64)
    with torch.inference_mode():
        assert off(small(x), layer(x)) < 0.02


def test_rows_of_zeros_and_inputs_of_zeros():
    plain = model()
    with torch.no_grad():
        plain[0].weight[3] = 0
    for kind in KINDS:
        small = dvm.quantize(copy.deepcopy(plain), **kind)
        with torch.inference_mode():
            compiled = dvm.compile(small, (torch.zeros(5, 96),))
            x = torch.zeros(5, 96)
            assert off(compiled(x), small(x)) < 5e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "int3"}, "weights='int3' came, wanted one of bf16, f16, int8, int4"),
        ({"weights": "int4", "activations": "int8"}, "wanted weights='int8' with them"),
        ({"weights": "bf16", "group": 32}, "groups are of weights='int8' or 'int4'"),
        ({"weights": "int4", "group": 36}, "0 has rows of 96 elements, which do not part"),
        ({"weights": "int8", "skip": ["head"]}, "no module 'head' to skip"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(ValueError, match=rf"\[quantize\] .*{message}"):
        dvm.quantize(model(), **arguments)


def test_conversions_of_weights_are_not_made_in_memory():
    """As a user's own module may say it, without dvm.quantize."""
    weight = torch.randint(-127, 127, (40, 64), dtype=torch.int8)

    class Own(nn.Module):
        def forward(self, x):
            return nn.functional.linear(x, weight.to(x.dtype)) * 0.01

    with torch.inference_mode():
        compiled = dvm.compile(Own(), (torch.randn(5, 64),))
        explained = compiled.explain()
        x = torch.randn(5, 64)
        torch.testing.assert_close(compiled(x), Own()(x), rtol=1e-4, atol=1e-4)
    assert [matmul["operands"][1]["type"] for matmul in explained.matmuls] == ["i8"]
    assert len(explained.kernels) == 1
