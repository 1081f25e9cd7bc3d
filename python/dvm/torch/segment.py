"""A segment as the core runs it: a Graph of its own, and what to call it with."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import torch
from torch import fx

from dvm import _core
from dvm.torch.builder import Builder, Value
from dvm.torch.checks import combined
from dvm.torch.partition import Partition, Segment
from dvm.torch.recipes import make
from dvm.torch.symbols import memory_order, names


@dataclass
class Compiled:
    """An Executable with the nodes that it reads and writes, in the order of its arguments."""

    executable: _core.Executable
    graph: _core.Graph
    tensors: list[fx.Node]
    numbers: list[fx.Node]  # floats that are computed from sizes
    sizes: list[str]  # symbols that follow from no tensor
    outputs: list[fx.Node]
    copied: list[fx.Node]  # outputs whose strides the core cannot make: they are copied afterwards


def compile_segment(
    part: Partition,
    segment: Segment,
    name: str,
    known: dict[str, _core.Executable],
    weights: Set[fx.Node],
) -> Compiled:
    """Makes the segment's Graph and its Executable, or takes that of an equal Graph from `known`: the layers of a
    model then share their plans. Products may read `weights` packed."""
    builder = part.builder
    given: dict[int, fx.Node] = {}  # value in the whole Graph -> the tensor that brings it
    for outside in segment.reads:
        value = builder.values[outside]
        assert isinstance(value, Value)
        given.setdefault(value.id, outside)
    wanted: list[tuple[fx.Node, int]] = []
    for node in segment.outputs:
        value = builder.values[node]
        if isinstance(value, Value):
            wanted.append((node, value.id))
    checks = combined([c for node in segment.nodes for c in builder.checks.get(node, ())])
    roots = [value for _, value in wanted] + [condition for condition, _ in checks]
    needed = _needed(roots, given, builder)
    return _Assembly(part, name, given, needed, weights).compile(wanted, checks, known)


def _needed(roots: list[int], given: dict[int, fx.Node], builder: Builder) -> list[int]:
    """The values that make `roots` from what is given, operands first. An input that is met on the way is given."""
    needed: set[int] = set()
    pending = list(roots)
    while pending:
        value = pending.pop()
        if value in needed:
            continue
        needed.add(value)
        if value in builder.inputs:
            given.setdefault(value, builder.inputs[value])
        if value not in given:
            pending.extend(_operands(value, given, builder))
    return sorted(needed)  # a value is made after its operands


def _operands(value: int, given: dict[int, fx.Node], builder: Builder) -> tuple[int, ...]:
    """The operands of a value, without a rounding to a narrow float that is widened again on the spot."""
    recipe = builder.recipes[value]
    if recipe.method == "cast" and recipe.arguments == ("f32",):
        (narrow,) = recipe.operands
        if narrow in builder.roundings and narrow not in given:
            return builder.recipes[narrow].operands
    return recipe.operands


class _Assembly:
    """The Graph of one segment while it is put together."""

    def __init__(
        self,
        part: Partition,
        name: str,
        given: dict[int, fx.Node],
        needed: list[int],
        weights: Set[fx.Node],
    ) -> None:
        self.part = part
        self.recipes = part.builder.recipes
        self.given = given
        self.needed = needed
        self.weights = weights
        self.graph = _core.Graph(name)
        self.mine: dict[int, int] = {}  # value in the whole Graph -> in this one

    def compile(
        self,
        wanted: list[tuple[fx.Node, int]],
        checks: list[tuple[int, str]],
        known: dict[str, _core.Executable],
    ) -> Compiled:
        tensors = self._inputs()
        sizes = self._sizes()
        numbers = self._numbers()
        for value in self.needed:
            if value not in self.mine:
                recipe = self.recipes[value]
                operands = [
                    self.mine[operand]
                    for operand in _operands(value, self.given, self.part.builder)
                ]
                self.mine[value] = make(self.graph, recipe.method, operands, recipe.arguments)
        for condition, message in checks:
            self.graph.check(self.mine[condition], message)
        copied = self._outputs(wanted)
        text = str(self.graph)
        executable = known.get(text)
        if executable is None:
            executable = known[text] = _core.Executable(self.graph, like=torch.Tensor)
        outputs = [node for node, _ in wanted]
        return Compiled(executable, self.graph, tensors, numbers, sizes, outputs, copied)

    def _inputs(self) -> list[fx.Node]:
        tensors: list[fx.Node] = []
        for value in self.needed:
            node = self.given.get(value)
            if node is None:
                continue
            graph = self.part.builder.graph
            shape, kind = graph.shape(value), graph.type(value)
            self.mine[value] = self.graph.input(
                f"x{len(tensors)}", kind, shape, weight=node in self.weights
            )
            tensors.append(node)
        return tensors

    def _sizes(self) -> list[str]:
        """Declares the symbols that the Graph uses and no input has as a dimension of its own."""
        bound = {size for value in self.needed if value in self.given
                 for size in self.part.builder.graph.shape(value)}  # fmt: skip
        used: set[str] = set()
        for value in self.needed:
            recipe = self.recipes[value]
            if value in self.given:
                continue
            if recipe.method == "size":
                used |= names(recipe.arguments[0])
            elif recipe.method in ("reshape", "expand", "iota"):
                used |= names(*recipe.arguments[0])
            elif recipe.method == "slice":
                used |= names(recipe.arguments[1], recipe.arguments[2])
            elif recipe.method == "concat":
                used |= names(*{*self.part.builder.graph.shape(value)} - bound)
        missing = sorted(used - bound)
        known = used | names(*bound)
        for kind, symbol, *numbers in self.part.builder.symbols.facts():
            if symbol in known:
                self.graph.fact(kind, symbol, *numbers, source="torch")
        for kind, dim, *values in self.part.builder.symbols.hints:
            if names(dim, *(values if kind == "equal" else ())) <= known:
                self.graph.fact(kind, dim, *values, source="user")
        for name in missing:
            self.graph.scalar(name, "i64")
        return missing

    def _numbers(self) -> list[fx.Node]:
        numbers: list[fx.Node] = []
        for value in self.needed:
            recipe = self.recipes[value]
            if recipe.method == "scalar" and value not in self.given:
                self.mine[value] = self.graph.scalar(f"number{len(numbers)}", recipe.arguments[1])
                numbers.append(self.part.builder.scalars[value])
        return numbers

    def _outputs(self, wanted: list[tuple[fx.Node, int]]) -> list[fx.Node]:
        copied: list[fx.Node] = []
        written: set[int] = set()
        for node, whole in wanted:
            value = self.mine[whole]
            # An output is memory of its own, so what would be another output or an input is copied.
            if value in written or self._computes_nothing(whole):
                value = self.graph.elementwise("copy", [value])
            written.add(value)
            tensor = node.meta["val"]
            order = memory_order(tensor.shape, tensor.stride())
            if order is None:
                copied.append(node)
            self.graph.output(value, _unless_sorted(order))
        return copied

    def _computes_nothing(self, value: int) -> bool:
        while value not in self.given:
            recipe = self.recipes[value]
            if recipe.method not in ("reshape", "expand", "permute"):
                return recipe.method in ("constant", "scalar", "size")
            value = recipe.operands[0]
        return True


def _unless_sorted(order: tuple[int, ...] | None) -> list[int]:
    """Contiguous is said by no order at all."""
    if order is None or list(order) == sorted(order):
        return []
    return list(order)
