"""Convolutions of ResNet-50, MobileNet, a UNet and an autoencoder beside torch's, whose library is oneDNN, and
ResNet-50 as a whole: `python -m dvm.bench.convolution` prints microseconds, rates and how many times faster ours are,
for 1 and 2 threads (or those that are named).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from dvm import _core
from dvm.bench import timer
from dvm.bench.zoo.images import resnet50


@dataclass
class Layer:
    """A convolution with a bias and a ReLU over one image. Seconds by engine."""

    name: str
    inputs: int
    outputs: int
    taps: int
    size: int  # height and width of the image
    stride: int = 1
    groups: int = 1
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        places = (-(-self.size // self.stride)) ** 2
        return 2 * places * self.outputs * self.inputs // self.groups * self.taps**2

    def rate(self, engine: str) -> float:
        """Floating-point operations per second."""
        return self.flops / self.seconds[engine]

    @property
    def ratio(self) -> float:
        """How many times faster than torch."""
        return self.seconds["torch"] / self.seconds["dvm"]


def layers() -> list[Layer]:
    return [
        Layer("resnet", 3, 64, 7, 224, 2),
        Layer("resnet", 64, 64, 3, 56),
        Layer("resnet", 64, 256, 1, 56),
        Layer("resnet", 256, 64, 1, 56),
        Layer("resnet", 128, 128, 3, 56, 2),
        Layer("resnet", 128, 128, 3, 28),
        Layer("resnet", 512, 128, 1, 28),
        Layer("resnet", 256, 512, 1, 56, 2),
        Layer("resnet", 256, 256, 3, 14),
        Layer("resnet", 256, 1024, 1, 14),
        Layer("resnet", 512, 512, 3, 7),
        Layer("resnet", 512, 2048, 1, 7),
        Layer("mobilenet", 144, 144, 3, 56, 1, 144),
        Layer("mobilenet", 144, 144, 3, 56, 2, 144),
        Layer("mobilenet", 576, 576, 3, 14, 1, 576),
        Layer("mobilenet", 96, 24, 1, 56),
        Layer("unet", 320, 320, 3, 32),
        Layer("unet", 640, 640, 3, 16),
        Layer("autoencoder", 128, 128, 3, 128),
    ]


def executable(layer: Layer) -> _core.Executable:
    """relu(convolution + bias), for any images."""
    graph = _core.Graph("layer")
    x = graph.input("x", "f32", ["n", layer.inputs, "h", "w"])
    shape = [layer.outputs, layer.inputs // layer.groups, layer.taps, layer.taps]
    weight, bias = graph.input("w", "f32", shape), graph.input("b", "f32", [layer.outputs, 1, 1])
    around = [layer.taps // 2] * 2
    y = graph.convolve(x, weight, stride=[layer.stride] * 2, padding=around, groups=layer.groups)
    graph.output(graph.elementwise("relu", [graph.elementwise("add", [y, bias])]))
    return _core.Executable(graph, like=torch.Tensor)


def measure(threads: int, seconds: float = 0.4) -> list[Layer]:
    """Every layer, engines in turns."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = layers()
        for layer in found:
            _measure(layer, seconds)
        return found
    finally:
        torch.set_num_threads(before)


def _measure(layer: Layer, seconds: float) -> None:
    x = torch.randn(1, layer.inputs, layer.size, layer.size)
    w = torch.randn(layer.outputs, layer.inputs // layer.groups, layer.taps, layer.taps)
    b = torch.randn(layer.outputs)
    run, wide = executable(layer), b.reshape(-1, 1, 1)
    engines = {
        "dvm": lambda: run(x, w, wide),
        "torch": lambda: torch.relu(
            F.conv2d(x, w, b, layer.stride, layer.taps // 2, 1, layer.groups)
        ),
    }
    with torch.inference_mode():
        timings = timer.interleave(engines, seconds=seconds)
    layer.seconds = {name: timing.median for name, timing in timings.items()}


def whole(threads: int, sizes: list[tuple[int, int, int]], seconds: float = 3.0) -> list[str]:
    """ResNet-50 for images of these batches, heights and widths: a line for each."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = resnet50()
    lines = []
    try:
        with torch.inference_mode():
            compiled = torch.compile(model, backend="dvm", dynamic=True)
            compiled(torch.randn(2, 3, 96, 160))
            for n, h, w in sizes:
                x = torch.randn(n, 3, h, w)
                engines = {"dvm": lambda x=x: compiled(x), "torch": lambda x=x: model(x)}
                times = timer.interleave(engines, seconds=seconds)
                ours, theirs = times["dvm"].median, times["torch"].median
                lines.append(
                    f"resnet50 {n} x {h} x {w}: {ours * 1e3:.1f} ms, torch {theirs * 1e3:.1f} ms, "
                    f"{theirs / ours:.2f}"
                )
    finally:
        torch.set_num_threads(before)
    return lines


if __name__ == "__main__":
    for count in map(int, sys.argv[1:] or ["1", "2"]):
        print(f"{count} threads | us | torch | GFLOP/s | torch | ratio")
        for one in measure(count):
            print(
                f"| {one.name} {one.taps} x {one.taps}, {one.inputs} to {one.outputs}, "
                f"{one.size} by {one.stride} | {one.seconds['dvm'] * 1e6:.0f} "
                f"| {one.seconds['torch'] * 1e6:.0f} | {one.rate('dvm') / 1e9:.0f} "
                f"| {one.rate('torch') / 1e9:.0f} | {one.ratio:.2f} |"
            )
        print("\n".join(whole(count, [(1, 224, 224), (1, 160, 288), (4, 224, 224)])))
