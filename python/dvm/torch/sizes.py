"""Asks arguments for sizes, not what is computed from them: a size of the latter follows from those of the former, and
is known before anything runs. Else an operation that needs the size would begin a segment of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch import fx
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Mod, PythonMod

from dvm.torch.operations import calls
from dvm.torch.symbols import expression

aten = torch.ops.aten


def ask_arguments(graph: fx.Graph) -> None:
    """Replaces the sizes of computed tensors by arithmetic on sizes of arguments, where these are all it takes."""
    asked = [
        node
        for node in calls(graph, (aten.sym_size.int,))
        if node.all_input_nodes[0].op != "placeholder"
        and isinstance(node.meta["val"], torch.SymInt)
    ]
    if not asked:
        return
    arithmetic = _Arithmetic(graph)
    for node in asked:
        known = arithmetic.write(expression(node.meta["val"]))
        if isinstance(known, fx.Node):
            node.replace_all_uses_with(known)


class _Arithmetic:
    """Nodes behind the arguments that compute sizes, one for each expression."""

    def __init__(self, graph: fx.Graph) -> None:
        self.graph = graph
        self.first = next(node for node in graph.nodes if node.op != "placeholder")
        self.known: dict[sympy.Expr, fx.Node | int | None] = {}
        self.places: dict[sympy.Expr, tuple[fx.Node, int]] = {}
        for node in graph.nodes:
            value = node.meta.get("val")
            if node.op == "placeholder" and isinstance(value, torch.SymInt):
                self.known.setdefault(expression(value), node)
            elif node.op == "placeholder" and isinstance(value, torch.Tensor):
                for axis, size in enumerate(value.shape):
                    self.places.setdefault(expression(size), (node, axis))

    def write(self, expr: sympy.Expr) -> fx.Node | int | None:
        """The node that computes it, or the number that it is; None if it is no such arithmetic."""
        if expr not in self.known:
            self.known[expr] = self._write(expr)
        return self.known[expr]

    def _write(self, expr: sympy.Expr) -> fx.Node | int | None:
        if expr.is_Integer:
            return int(expr)
        if expr.is_Symbol:
            return (
                self._call(aten.sym_size.int, *self.places[expr]) if expr in self.places else None
            )
        target: Callable[..., Any]
        if expr.is_Add or expr.is_Mul:
            target = operator.add if expr.is_Add else operator.mul
        elif isinstance(expr, FloorDiv | CleanDiv):
            target = operator.floordiv
        elif isinstance(expr, Mod | PythonMod):
            target = operator.mod
        else:
            return None
        result, *others = map(self.write, expr.args)
        for other in others:
            if result is None or other is None:
                return None
            result = self._call(target, result, other)
        return result

    def _call(self, target: Callable[..., Any], *operands: Any) -> fx.Node:
        with self.graph.inserting_before(self.first):
            node = self.graph.call_function(target, operands)
        known = fx.map_arg(operands, lambda operand: operand.meta["val"])
        node.meta["val"] = (
            known[0].shape[known[1]] if target is aten.sym_size.int else target(*known)
        )
        return node
