"""Convolutions, pools and resizing run in the core: networks of them call nothing of torch's, at any size of images."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import dvm
from dvm.bench.zoo import ENTRIES


def compiled_equals_eager(function, *calls, tolerance=1e-4):
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="dvm", dynamic=True)
    with torch.inference_mode():
        for inputs in calls:
            came, wanted = compiled(*inputs), function(*inputs)
            torch.testing.assert_close(came, wanted, rtol=tolerance, atol=tolerance)
            if isinstance(came, torch.Tensor):
                assert came.stride() == wanted.stride()
        return dvm.explain(function, *calls[-1])


def images(*sizes, channels=6):
    return [(torch.randn(n, channels, h, w),) for n, h, w in sizes]


SIZES = ((2, 17, 23), (3, 33, 20), (2, 8, 40))

LAYERS = {
    "3x3": nn.Conv2d(6, 8, 3, padding=1),
    "1x1 by 2": nn.Conv2d(6, 8, 1, stride=2, bias=False),
    "same": nn.Conv2d(6, 8, (3, 4), padding="same", dilation=2),
    "reflected": nn.Conv2d(6, 8, 3, padding=1, padding_mode="circular"),
    "groups": nn.Conv2d(6, 9, 5, padding=2, groups=3),
    "depthwise": nn.Conv2d(6, 12, 3, stride=2, padding=1, groups=6),
    "transposed": nn.ConvTranspose2d(6, 5, 3, stride=2, padding=1, output_padding=1),
    "transposed, side by side": nn.ConvTranspose2d(6, 5, (2, 3), stride=(2, 3)),
    "transposed in groups": nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1, groups=2),
    "max": nn.MaxPool2d(3, 2, 1),
    "max, rounded up": nn.MaxPool2d(3, 2, ceil_mode=True),
    "max, dilated": nn.MaxPool2d((2, 3), 1, dilation=2),
    "mean": nn.AvgPool2d(3, 2, 1),
    "mean, without padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "mean of all": nn.AdaptiveAvgPool2d(1),
    "nearest": nn.Upsample(scale_factor=2.0, mode="nearest"),
    "nearest to a size": nn.Upsample(size=(13, 50), mode="nearest"),
    "bilinear": nn.Upsample(scale_factor=2.0, mode="bilinear"),
    "bilinear to a size": nn.Upsample(size=(30, 11), mode="bilinear"),
    "bilinear, corners": nn.Upsample(scale_factor=3.0, mode="bilinear", align_corners=True),
}


FAST = {"3x3", "depthwise", "max", "mean, without padding", "nearest to a size", "bilinear"}


@pytest.mark.parametrize(
    "name",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in LAYERS],
)
def test_layers(name):
    explained = compiled_equals_eager(LAYERS[name], *images(*SIZES))
    assert not explained.fallbacks


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(6, 8, 3, 2, 1), nn.ConvTranspose1d(6, 8, 3, 2, 1), nn.MaxPool1d(2),
        nn.AvgPool1d(3, 2, 1), nn.AdaptiveAvgPool1d(1), nn.Upsample(scale_factor=2.0),
    ],
    ids=str,
)  # fmt: skip
def test_layers_over_one_axis(layer):
    explained = compiled_equals_eager(layer, (torch.randn(2, 6, 33),), (torch.randn(3, 6, 50),))
    assert not explained.fallbacks


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer", [nn.Conv3d(3, 4, 3, 2, 1), nn.MaxPool3d(2), nn.AvgPool3d(2)], ids=str
)
def test_layers_over_three_axes(layer):
    calls = [(torch.randn(2, 3, *size),) for size in ((5, 9, 12), (8, 11, 7))]
    assert not compiled_equals_eager(layer, *calls).fallbacks


def test_channels_last_stays_channels_last():
    layer = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    calls = [(x.to(memory_format=torch.channels_last),) for (x,) in images(*SIZES)]
    assert not compiled_equals_eager(layer, *calls).fallbacks


def test_what_follows_a_convolution_joins_it():
    layer, norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6).eval()
    nn.init.normal_(norm.running_mean)

    def block(x):
        return torch.relu(norm(layer(x)) + x)

    explained = compiled_equals_eager(block, *images(*SIZES))
    assert len(explained.convolutions) == 1
    assert explained.convolutions[0]["epilogue"] is not None
    assert not explained.fallbacks


def test_where_the_largest_are_is_torchs_to_tell():
    explained = compiled_equals_eager(
        lambda x: F.max_pool2d(x, 2, return_indices=True), *images(*SIZES)
    )
    assert [fallback["reason"] for fallback in explained.fallbacks] == [
        "it tells where the largest elements are"
    ]


@pytest.mark.parametrize(
    "name",
    ["text-detector", *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet", "unet"))],
)
def test_networks_are_compiled_once_for_all_images(name):
    entry = ENTRIES[name]
    model = entry.build()
    generator = torch.Generator().manual_seed(0)
    sizes = [
        entry.first(),
        {"batch": 2, "rows": 12, "columns": 6},
        {"batch": 4, "rows": 6, "columns": 9},
    ]
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="dvm", dynamic=True)
    with torch.inference_mode():
        for choice in sizes:
            inputs = entry.inputs(choice, generator)
            torch.testing.assert_close(compiled(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)
        explained = dvm.explain(model, *entry.inputs(sizes[0], generator))
    assert not explained.fallbacks
    (graph,) = explained["graphs"]
    assert len(graph["graphs"]) == 1  # one Executable
    assert explained["compiles"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "unet", "text-detector"])
def test_networks_are_exported(name):
    entry = ENTRIES[name]
    model, generator = entry.build(), torch.Generator().manual_seed(0)
    dims = dict.fromkeys(entry.axes[0], torch.export.Dim.AUTO)
    first = entry.inputs(entry.first(), generator)
    compiled = dvm.compile(model, first, dynamic_shapes=(dims,))
    with torch.inference_mode():
        for choice in (entry.first(), {"batch": 2, "rows": 12, "columns": 6}):
            inputs = entry.inputs(choice, generator)
            torch.testing.assert_close(compiled(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)
