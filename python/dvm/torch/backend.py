"""The torch.compile backend: Dynamo hands over a graph, AOTAutograd makes it a functional ATen graph (two when it
needs gradients), and each of these becomes one Python function around the core's Executables.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import fx
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters

from dvm import _core
from dvm.torch import report
from dvm.torch.decompositions import decompositions
from dvm.torch.emit import Emitter, Run
from dvm.torch.options import Options
from dvm.torch.partition import Fallback, partition
from dvm.torch.segment import compile_segment
from dvm.torch.simplify import simplify

log = logging.getLogger("dvm.torch")


def dvm(
    gm: fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compiles for the DVM: `torch.compile(model, backend="dvm", dynamic=True)`.

    `options` are the fields of `dvm.torch.options.Options`.
    """
    parsed = Options.parse(mode, options)
    compiled: Callable[..., Any] = _aot(parsed)(gm, example_inputs)
    return compiled


@functools.cache
def _aot(options: Options) -> Callable[..., Any]:
    def compiler(kind: str) -> Callable[[fx.GraphModule, Sequence[Any]], Run]:
        return functools.partial(compile_graph, kind=kind, options=options)

    backend: Callable[..., Any] = aot_autograd(
        fw_compiler=compiler("forward"),
        bw_compiler=compiler("backward"),
        inference_compiler=compiler("inference"),
        decompositions=decompositions(),
    )
    return backend


def compile_graph(
    gm: fx.GraphModule, example_inputs: Sequence[Any], *, kind: str, options: Options
) -> Run:
    """Compiles one functional ATen graph into a function that takes its arguments in a list and empties it."""
    start = time.perf_counter()
    graph = gm.graph
    simplify(graph)
    part = partition(graph, options.numerics)
    if options.strict and part.fallbacks:
        raise RuntimeError(_refusal(part.fallbacks))
    known: dict[str, _core.Executable] = {}
    segments = {
        at: compile_segment(part, segment, kind, known)
        for at, segment in sorted(part.segments.items())
        if segment.outputs
    }
    run, source = Emitter(gm, graph, part, segments).function()
    seconds = time.perf_counter() - start
    compiled = list(segments.values())
    report.add(report.Compilation(kind, compiled, part.fallbacks, source, seconds))
    _count(kind, len(compiled), part.fallbacks)
    log.info(
        "compiled a %s graph of %d nodes in %.1f ms: %d segments, %d operations in torch",
        kind, len(graph.nodes), seconds * 1e3, len(compiled), len(part.fallbacks),
    )  # fmt: skip
    log.debug("%s", source)
    return run


def _refusal(fallbacks: Sequence[Fallback]) -> str:
    lines = [f"  {fallback.name}: {fallback.reason}, at {fallback.line}" for fallback in fallbacks]
    return "\n".join(["[dvm] strict, but these operations would run in torch:", *lines])


def _count(kind: str, segments: int, fallbacks: Sequence[Fallback]) -> None:
    counters["dvm"]["graphs"] += 1
    counters["dvm"][f"graphs {kind}"] += 1
    counters["dvm"]["segments"] += segments
    for fallback in fallbacks:
        counters["dvm"]["fallbacks"] += 1
        counters["dvm"][f"fallback {fallback.name}"] += 1


def reset() -> None:
    """Called by torch._dynamo.reset()."""
    _aot.cache_clear()


dvm.reset = reset  # type: ignore[attr-defined]

__all__ = ["compile_graph", "dvm"]
