"""`dvm.explain(model, *args)`: what of a torch program is fused into which kernels, and why the rest is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch

from dvm.kernel_line import kernel_line
from dvm.torch.report import Compilation, record


class Explanation(dict[str, Any]):
    """An account of plain values, so that it can be written as JSON; printing it gives a readable one."""

    @property
    def kernels(self) -> list[dict[str, Any]]:
        """The kernels of all graphs."""
        return [kernel for graph in self["graphs"] for kernel in graph["kernels"]]

    @property
    def fallbacks(self) -> list[dict[str, Any]]:
        """The operations that torch runs, each with `name`, `reason`, `line` and `count`."""
        return [fallback for graph in self["graphs"] for fallback in graph["fallbacks"]]

    def json(self) -> str:
        return json.dumps(self, indent=2, default=str)

    def __str__(self) -> str:
        graphs = self["graphs"]
        kernels, calls = len(self.kernels), sum(f["count"] for f in self.fallbacks)
        lines = [
            f"{self['name']}: {_plural(len(graphs), 'graph')}, {_plural(kernels, 'kernel')}, "
            f"{_plural(calls, 'operation')} in torch, {_plural(self['compiles'], 'compilation')}"
        ]
        for number, graph in enumerate(graphs):
            lines += ["", f"graph {number} ({graph['kind']}, compiled in {graph['ms']:.1f} ms)"]
            lines += [f"  kernel {kernel_line(kernel)}" for kernel in graph["kernels"]]
            for fallback in graph["fallbacks"]:
                times = f" x{fallback['count']}" if fallback["count"] > 1 else ""
                lines.append(f"  torch  {fallback['name']}{times}: {fallback['reason']}")
                lines.append(f"         {fallback['line']}")
            lines += [f"  note   {note}" for note in graph["notes"]]
        return "\n".join(lines)


def explain(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Compiles `target` afresh with dynamic shapes, runs it once on the arguments, and tells what became of it.

    When the result needs gradients the backward pass is run too, so that its graph is in the account.
    """
    from dvm.torch.backend import dvm

    torch._dynamo.reset()
    with record() as report:
        compiled = torch.compile(target, backend=dvm, dynamic=True)
        result = compiled(*args, **kwargs)
        _run_backward(result)
    torch._dynamo.reset()
    name = getattr(target, "__name__", type(target).__name__)
    graphs = [_graph(compilation) for compilation in report.compilations]
    return Explanation(name=name, compiles=len(graphs), graphs=graphs)


def _run_backward(result: Any) -> None:
    tensors = [leaf for leaf in torch.utils._pytree.tree_leaves(result) if _needs_gradient(leaf)]
    if tensors:
        leaves = [torch.ones_like(tensor) for tensor in tensors]
        inputs = _graph_leaves(tensors)
        if inputs:
            torch.autograd.grad(tensors, inputs, leaves, allow_unused=True)


def _needs_gradient(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_floating_point()


def _graph_leaves(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """The parameters that the tensors depend on, without touching their `.grad`."""
    leaves: list[torch.Tensor] = []
    seen: set[Any] = set()
    pending = [tensor.grad_fn for tensor in tensors]
    while pending:
        step = pending.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        leaf = getattr(step, "variable", None)
        if leaf is not None:
            leaves.append(leaf)
        pending.extend(following for following, _ in step.next_functions)
    return leaves


def _graph(compilation: Compilation) -> dict[str, Any]:
    fallbacks: dict[tuple[str, str, str], int] = {}
    for fallback in compilation.fallbacks:
        key = (fallback.name, fallback.reason, fallback.line)
        fallbacks[key] = fallbacks.get(key, 0) + 1
    return {
        "kind": compilation.kind,
        "ms": compilation.seconds * 1e3,
        "kernels": compilation.kernels,
        "fallbacks": [
            {"name": name, "reason": reason, "line": line, "count": count}
            for (name, reason, line), count in fallbacks.items()
        ],
        "notes": compilation.notes,
        "graphs": [str(segment.graph) for segment in compilation.segments],
        "source": compilation.source,
    }


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
