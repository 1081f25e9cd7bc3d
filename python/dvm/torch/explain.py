"""`dvm.explain(model, *args)`: what of a torch program is fused into which kernels, and why the rest is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dvm.compiled.explanation import Explanation
from dvm.torch.report import record


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
    graphs = [compilation.account() for compilation in report.compilations]
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


__all__ = ["Explanation", "explain"]
