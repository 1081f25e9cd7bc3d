"""Networks of convolutions, whose images change in height and width: a residual net, a U-shaped one as in diffusion and
segmentation, and a detector of text with a pyramid of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from dvm.bench.zoo.build import seeded
from dvm.bench.zoo.entry import Entry, Inputs, Sizes


def _normalised(
    inputs: int, outputs: int, taps: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without a bias and its batch norm, whose statistics are not those of new ones."""
    norm = nn.BatchNorm2d(outputs)
    nn.init.uniform_(norm.weight, 0.5, 1.0)
    nn.init.normal_(norm.bias, std=0.1)
    norm.running_mean = 0.1 * torch.randn(outputs)
    norm.running_var = 0.5 + torch.rand(outputs)
    return [nn.Conv2d(inputs, outputs, taps, stride, taps // 2, groups=groups, bias=False), norm]


class Bottleneck(nn.Module):
    """Three convolutions, the middle one 3 x 3, and what goes past them (He et al. 2015)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            *_normalised(inputs, width, 1), nn.ReLU(),
            *_normalised(width, width, 3, stride), nn.ReLU(),
            *_normalised(width, outputs, 1),
        )  # fmt: skip
        plain = inputs == outputs and stride == 1
        self.past = (
            nn.Identity() if plain else nn.Sequential(*_normalised(inputs, outputs, 1, stride))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.past(x))


class ResNet(nn.Module):
    """Images [n, 3, h, w] to scores of classes."""

    def __init__(self, depths: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_normalised(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        inputs = width
        for stage, depth in enumerate(depths):
            for block in range(depth):
                stride = 2 if block == 0 and stage > 0 else 1
                layers.append(Bottleneck(inputs, width << stage, stride))
                inputs = 4 * (width << stage)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classes = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.features(x))  # type: ignore[no-any-return]


def resnet50() -> nn.Module:
    """ResNet-50 with random weights, in eval mode."""
    return seeded(lambda: ResNet((3, 4, 6, 3), 64, 1000))


class _UBlock(nn.Module):
    """Two convolutions behind group norms, as the blocks of diffusion models are."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(4, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1),
        )  # fmt: skip
        self.past = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.past(x)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Down by strides, up by repeating the nearest, with what was there on the way down beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(width << i, width << (i + 1), 3, 2, 1) for i in range(2)
        )
        self.inner = nn.ModuleList(_UBlock(width << (i + 1), width << (i + 1)) for i in range(2))
        self.up = nn.ModuleList(_UBlock(3 * (width << i), width << i) for i in range(2))
        self.last = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        before = []
        for down, inner in zip(self.down, self.inner, strict=True):
            before.append(x)
            x = inner(down(x))
        for up in reversed(self.up):
            wide = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = up(torch.cat([wide, before.pop()], 1))
        return self.last(x)  # type: ignore[no-any-return]


class TextDetector(nn.Module):
    """Depthwise convolutions, a pyramid of features joined by bilinear resizing, and a map of where text is, drawn at
    full size by transposed convolutions (after Liao et al. 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_normalised(3, width, 3, 2), nn.Hardswish())
        self.stages = nn.ModuleList(
            nn.Sequential(
                *_normalised(width << i, width << i, 3, 2, groups=width << i), nn.Hardswish(),
                *_normalised(width << i, width << (i + 1), 1), nn.Hardswish(),
            )
            for i in range(3)
        )  # fmt: skip
        self.lateral = nn.ModuleList(nn.Conv2d(width << (i + 1), width, 1) for i in range(3))
        self.head = nn.Sequential(
            *_normalised(width, width, 3), nn.ReLU(),
            nn.ConvTranspose2d(width, width, 2, 2), nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 2, 2), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        levels = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        joined = levels[0]
        for level in levels[1:]:
            joined = joined + functional.interpolate(
                level, size=joined.shape[2:], mode="bilinear", align_corners=False
            )
        return self.head(joined)  # type: ignore[no-any-return]


def _images(channels: int, multiple: int) -> object:
    def inputs(sizes: Sizes, generator: torch.Generator) -> Inputs:
        shape = sizes["batch"], channels, multiple * sizes["rows"], multiple * sizes["columns"]
        return (torch.randn(shape, generator=generator),)

    return inputs


def _entry(name: str, build: object, channels: int, multiple: int, least: int) -> Entry:
    sizes = {"batch": range(2, 7), "rows": range(least, 14), "columns": range(least, 14)}
    axes = ({0: "batch", 2: "height", 3: "width"},)
    return Entry(name, build, _images(channels, multiple), sizes, axes)  # type: ignore[arg-type]


ENTRIES = [
    _entry("resnet", lambda: seeded(lambda: ResNet((1, 1, 1, 1), 16, 10)), 3, 7, 5),
    _entry("unet", lambda: seeded(lambda: UNet(16)), 4, 4, 2),
    _entry("text-detector", lambda: seeded(lambda: TextDetector(16)), 3, 16, 2),
]
