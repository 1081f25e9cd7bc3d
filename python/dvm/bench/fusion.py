"""How many kernels a layer becomes and how many bytes they move, beside Inductor: nothing is timed here.

Each layer (layers.py) is compiled with symbolic batch and length, by us and by Inductor, and called once. What counts
as a kernel or a byte is said in launches.py.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch._inductor.compile_fx import compile_fx
from torch._inductor.graph import GraphLowering

from dvm.bench.launches import Launch, Watched, of_executable, of_scheduled
from dvm.bench.layers import BLOCKS, LAYERS, Layer
from dvm.bench.zoo import ENTRIES, Entry
from dvm.flow.steps import Run
from dvm.torch import report
from dvm.torch.backend import dvm

ENGINES: dict[str, Callable[..., Any]] = {"dvm": dvm, "inductor": compile_fx}
CATALOGUE: dict[str, Layer] = {layer.name: layer for layer in [*LAYERS, *BLOCKS]}


# A line of Inductor's program that calls a function of C++, which may hold several kernels.
_FUNCTION = re.compile(r"^\s+cpp_fused_\w+\(", re.MULTILINE)


@dataclass
class Counts:
    """What one call of a layer launches with one engine."""

    launches: list[Launch] = field(default_factory=list)
    native_calls: int = 0
    """Calls of compiled code: several kernels may be in one."""

    @property
    def kernels(self) -> int:
        """Operations of torch's that move memory count as kernels of the engine that leaves them to torch."""
        return len(self.launches)

    @property
    def left_to_torch(self) -> int:
        return sum(launch.by == "torch" for launch in self.launches)

    @property
    def bytes(self) -> int:
        return sum(launch.bytes for launch in self.launches)


@dataclass
class Fusion:
    """What became of one layer, by engine."""

    layer: str
    shapes: list[list[int]]
    engines: dict[str, Counts] = field(default_factory=dict)


def find(name: str) -> Layer:
    """A layer, a block, or a model of the zoo. Raises KeyError."""
    return CATALOGUE[name] if name in CATALOGUE else _whole(ENTRIES[name])


def _whole(entry: Entry) -> Layer:
    def inputs() -> tuple[torch.Tensor, ...]:
        return entry.inputs(entry.first(), torch.Generator().manual_seed(0))

    axes = tuple(tuple(named) for named in entry.axes)
    return Layer(entry.name, entry.build, inputs, axes, entry.packages)


def count(layer: Layer, engines: Sequence[str]) -> Fusion:
    """Compiles and calls `layer` with each of `engines`, keys of ENGINES. Inductor compiles C++: seconds each."""
    inputs = layer.inputs()
    result = Fusion(layer.name, [list(tensor.shape) for tensor in inputs])
    for tensor, axes in zip(inputs, layer.axes, strict=True):
        for axis in set(range(tensor.dim())).difference(axes):
            torch._dynamo.mark_static(tensor, axis)
    function = layer.build()
    for engine in engines:
        result.engines[engine] = _counts(function, inputs, engine)
    return result


def _counts(function: Callable[..., Any], inputs: tuple[torch.Tensor, ...], engine: str) -> Counts:
    counts = Counts()
    programs: list[str] = []

    def scheduled(nodes: list[Any]) -> list[Any]:
        counts.launches.extend(of_scheduled(nodes))
        return nodes

    def backend(module: Any, examples: Sequence[Any]) -> Callable[..., Any]:
        compiled = ENGINES[engine](module, examples)

        def watched(*args: Any) -> Any:
            with Watched() as seen:
                result = compiled(*args)
            counts.launches.extend(seen.launches)
            return result

        return watched

    torch._dynamo.reset()
    with (
        report.record() as recorded,
        torch.inference_mode(),
        torch._inductor.config.patch(force_disable_caches=True, _post_fusion_custom_pass=scheduled),
        mock.patch.object(GraphLowering, "save_output_code", programs.append),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="dynamo_pgo")
        torch.compile(function, backend=backend, dynamic=True)(*inputs)
    torch._dynamo.reset()
    for compilation in recorded.compilations:
        emitted = compilation.emitted
        for step in emitted.flow.steps:
            if isinstance(step, Run):
                counts.native_calls += 1
                counts.launches += of_executable(emitted.executables[step.graph], emitted.sizes())
    counts.native_calls += sum(len(_FUNCTION.findall(program)) for program in programs)
    return counts


def as_json(results: Sequence[Fusion]) -> dict[str, Any]:
    """By layer the shapes, and by engine the counts and every launch."""
    return {
        result.layer: {
            "shapes": result.shapes,
            **{
                engine: {
                    "kernels": counts.kernels,
                    "left_to_torch": counts.left_to_torch,
                    "native_calls": counts.native_calls,
                    "bytes": counts.bytes,
                    "launches": [vars(launch) for launch in counts.launches],
                }
                for engine, counts in result.engines.items()
            },
        }
        for result in results
    }
