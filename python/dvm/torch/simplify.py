"""Makes an ATen graph smaller before it is cut: equal nodes become one, views of views become one, and a matrix
product with the bias and the views around it becomes the `linear` that the program was written with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._functorch.compile_utils import fx_graph_cse

from dvm.torch.symbols import is_contiguous

aten = torch.ops.aten

_RESHAPES = (aten.view.default, aten._unsafe_view.default)
_MAYBE_NOTHING = (*_RESHAPES, aten.expand.default, aten.alias.default, aten.detach.default)


def simplify(graph: fx.Graph) -> fx.Graph:
    """An equivalent graph. The given one is not changed."""
    graph = fx_graph_cse(graph)
    for node in graph.nodes:
        if node.target is aten.addmm.default:
            _restore_linear(graph, node)
    for node in graph.nodes:
        if node.target in _RESHAPES:
            _join_views(node)
        if node.target in _MAYBE_NOTHING:
            _skip_if_nothing(node)
    for node in reversed(graph.nodes):
        if node.op == "call_function" and not node.users and not node.is_impure():
            graph.erase_node(node)
    return graph


def _join_views(node: fx.Node) -> None:
    """view(view(x)) is view(x), when x is contiguous."""
    inner = node.args[0]
    assert isinstance(inner, fx.Node)
    if inner.target not in _RESHAPES:
        return
    base = inner.args[0]
    if isinstance(base, fx.Node) and "val" in base.meta and is_contiguous(base.meta["val"]):
        node.update_arg(0, base)


def _skip_if_nothing(node: fx.Node) -> None:
    """A view that has the shape of its operand is its operand, unless it is returned: results are tensors apart."""
    operand = node.args[0]
    assert isinstance(operand, fx.Node)
    if "val" not in operand.meta or any(user.op == "output" for user in node.users):
        return
    mine, its = node.meta["val"].shape, operand.meta["val"].shape
    if len(mine) == len(its) and all(_same(a, b) for a, b in zip(mine, its, strict=True)):
        node.replace_all_uses_with(operand)


def _restore_linear(graph: fx.Graph, node: fx.Node) -> None:
    """addmm(bias, x, w.t()) is linear(x, w, bias); so is view(addmm(bias, view(x), w.t())) for x of higher rank."""
    bias, x, transposed = node.args
    if node.kwargs or not (isinstance(transposed, fx.Node) and isinstance(x, fx.Node)):
        return
    if transposed.target is not aten.t.default or not isinstance(bias, fx.Node):
        return
    if bias.meta["val"].dim() != 1:
        return
    weight = transposed.args[0]
    wide = _around(x, node)
    with graph.inserting_before(node):
        if wide is None:
            linear = graph.call_function(aten.linear.default, (x, weight, bias))
            _take_place(linear, node)
            return
        source, result = wide
        linear = graph.call_function(aten.linear.default, (source, weight, bias))
        _take_place(linear, result)


def _around(x: fx.Node, product: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The tensor of which `x` is a flat view and the only use of `product`, if that is the view back."""
    if x.target not in _RESHAPES or len(product.users) != 1:
        return None
    source, result = x.args[0], next(iter(product.users))
    if result.target not in _RESHAPES or not isinstance(source, fx.Node):
        return None
    before, after = source.meta["val"], result.meta["val"]
    flat = x.meta["val"]
    if before.dim() != 3 or after.dim() != 3 or not is_contiguous(before):
        return None
    same = all(_same(before.shape[axis], after.shape[axis]) for axis in (0, 1))
    return (source, result) if same and _same(before.shape[2], flat.shape[1]) else None


def _same(a: Any, b: Any) -> bool:
    a = a.node.expr if isinstance(a, torch.SymInt) else a
    b = b.node.expr if isinstance(b, torch.SymInt) else b
    return bool(a == b)


def _take_place(new: fx.Node, old: fx.Node) -> None:
    new.meta = dict(old.meta)
    old.replace_all_uses_with(new)
