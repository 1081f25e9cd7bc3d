"""The torch.compile backend: Dynamo hands over a graph, AOTAutograd makes it a functional ATen graph (two when it
needs gradients), and each of these becomes one Python function around the core's Executables.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import fx
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters
from torch._functorch._aot_autograd.schemas import OutputType
from torch._guards import TracingContext

from dvm.flow.function import Function
from dvm.torch.aliases import updated
from dvm.torch.decompositions import decompositions, kept_whole
from dvm.torch.lower import lower
from dvm.torch.options import Options
from dvm.torch.roles import Fallback
from dvm.torch.settled import settled_floats


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
    with kept_whole(), settled_floats(gm, example_inputs) as inputs:
        compiled: Callable[..., Any] = _aot(parsed)(gm, inputs)
    return compiled


@functools.cache
def _aot(options: Options) -> Callable[..., Any]:
    def compiler(kind: str) -> Callable[[fx.GraphModule, Sequence[Any]], Function]:
        return functools.partial(compile_graph, kind=kind, options=options)

    backend: Callable[..., Any] = aot_autograd(
        fw_compiler=compiler("forward"),
        bw_compiler=compiler("backward"),
        inference_compiler=compiler("inference"),
        decompositions=decompositions(),
        keep_inference_input_mutations=True,  # as copies at the end of the graph
    )
    return backend


def compile_graph(
    gm: fx.GraphModule, example_inputs: Sequence[Any], *, kind: str, options: Options
) -> Function:
    """Compiles one functional ATen graph into a function that takes its arguments in a list and empties it."""
    if kind == "inference":
        lowered = lower(gm, kind, options, weights=_weights(gm), views=_views())
    else:
        lowered = lower(gm, kind, options)
    compilation = lowered.compilation
    _count(kind, len(compilation.segments), compilation.fallbacks)
    lowered.run._boxed_call = True  # type: ignore[attr-defined]
    return lowered.run


def _views() -> frozenset[int]:
    """The results that AOTAutograd, whatever the graph returns, makes again as views of arguments."""
    context = TracingContext.try_get()
    known = context.fw_metadata if context is not None else None
    if known is None or known.tokens:
        return frozenset()
    first = known.num_mutated_inp_runtime_indices
    kinds = (OutputType.alias_of_input, OutputType.is_input)
    return frozenset(
        first + number for number, info in enumerate(known.output_info) if info.output_type in kinds
    )


def _weights(gm: fx.GraphModule) -> list[fx.Node]:
    """The arguments that are the same tensors at every call, a module's own, but for those that the graph changes."""
    context = TracingContext.try_get()
    known = context.fw_metadata if context is not None else None
    if known is None:
        return []
    placeholders = gm.graph.find_nodes(op="placeholder")
    static = [placeholders[number] for number in known.static_input_indices]
    changed = updated(gm.graph)
    return [node for node in static if node not in changed]


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
