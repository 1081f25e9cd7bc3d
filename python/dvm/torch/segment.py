"""A segment as the core runs it: a Graph of its own, and what to call it with."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import torch
from torch import fx

from dvm import _core
from dvm.torch.checks import combined
from dvm.torch.partition import Partition, Segment
from dvm.torch.symbols import Size, names
from dvm.torch.value import Value

Known = dict[str, _core.Executable]
"""Executables by the texts of their Graphs."""


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
    known: Known | None,
    weights: Set[fx.Node],
) -> Compiled:
    """Makes the segment's Graph and its Executable, or takes that of an equal Graph from `known`, where there is more
    than one: the layers of a model then share their plans. Products may read `weights` packed."""
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
    return _Assembly(part, name, given, roots, weights).compile(wanted, checks, known)


class _Assembly:
    """The Graph of one segment while it is put together."""

    def __init__(
        self,
        part: Partition,
        name: str,
        given: dict[int, fx.Node],
        roots: list[int],
        weights: Set[fx.Node],
    ) -> None:
        self.builder = part.builder
        self.whole = part.builder.graph
        self.given = given
        self.weights = weights
        # The operands of values that have others here: a rounding to a narrow float is left out where it is widened
        # again on the spot.
        self.unrounded = {
            wide: self.whole.operands(narrow)
            for wide, narrow in self.builder.widened.items()
            if narrow not in given
        }
        self.needed = self._needed(roots)
        self.made = set(self.needed).difference(given)
        self.graph = _core.Graph(name)
        self.mine: dict[int, int] = {}  # value in the whole Graph -> in this one
        self.bound: set[Size] = set()  # the sizes that inputs have

    def compile(
        self,
        wanted: list[tuple[fx.Node, int]],
        checks: list[tuple[int, str]],
        known: Known | None,
    ) -> Compiled:
        tensors = self._inputs()
        sizes = self._sizes()
        numbers = self._numbers()
        made = self.graph.copy(self.whole, self.needed, self.mine, self.unrounded)
        self.mine = dict(zip(self.needed, made, strict=True))
        for condition, message in checks:
            self.graph.check(self.mine[condition], message)
        copied = self._outputs(wanted)
        executable = self._executable(known)
        outputs = [node for node, _ in wanted]
        return Compiled(executable, self.graph, tensors, numbers, sizes, outputs, copied)

    def _executable(self, known: Known | None) -> _core.Executable:
        if known is None:
            return _core.Executable(self.graph, like=torch.Tensor)
        text = str(self.graph)
        if text not in known:
            known[text] = _core.Executable(self.graph, like=torch.Tensor)
        return known[text]

    def _needed(self, roots: list[int]) -> list[int]:
        """The values that make `roots` from what is given, operands first. An input that is met on the way is given."""
        needed = self.whole.needed(roots, set(self.given), self.unrounded)
        for value in self.builder.inputs.keys() & needed:
            self.given.setdefault(value, self.builder.inputs[value])
        return needed

    def _inputs(self) -> list[fx.Node]:
        tensors: list[fx.Node] = []
        for value in sorted(self.given.keys() & self.needed):
            node = self.given[value]
            shape, kind = self.whole.shape(value), self.whole.type(value)
            self.mine[value] = self.graph.input(
                f"x{len(tensors)}", kind, shape, weight=node in self.weights
            )
            tensors.append(node)
            self.bound.update(shape)
        return tensors

    def _sizes(self) -> list[str]:
        """Declares the symbols that the Graph uses and no input has as a dimension of its own."""
        bound, sizes = self.bound, self.builder.sizes
        stated = {size for value in sizes.keys() & self.made for size in sizes[value]}
        joins = self.builder.joins & self.made
        joined = {size for value in joins for size in self.whole.shape(value)}
        used = names(*stated, *(joined - bound))
        missing = sorted(used - bound)
        known = used | names(*bound)
        for kind, symbol, *numbers in self.builder.symbols.facts():
            if symbol in known:
                self.graph.fact(kind, symbol, *numbers, source="torch")
        for kind, dim, *values in self.builder.symbols.hints:
            if names(dim, *(values if kind == "equal" else ())) <= known:
                self.graph.fact(kind, dim, *values, source="user")
        for name in missing:
            self.graph.scalar(name, "i64")
        return missing

    def _numbers(self) -> list[fx.Node]:
        numbers: list[fx.Node] = []
        for value in sorted(self.builder.scalars.keys() & self.made):
            kind = self.whole.type(value)
            self.mine[value] = self.graph.scalar(f"number{len(numbers)}", kind)
            numbers.append(self.builder.scalars[value])
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
            order = self.builder.symbols.order_of(tensor)
            if order is None:
                copied.append(node)
            self.graph.output(value, _unless_sorted(order))
        return copied

    def _computes_nothing(self, value: int) -> bool:
        while value not in self.given:
            kind = self.whole.kind(value)
            if kind not in ("reshape", "expand", "permute"):
                return kind in ("constant", "scalar", "size")
            (value,) = self.whole.operands(value)
        return True


def _unless_sorted(order: tuple[int, ...] | None) -> list[int]:
    """Contiguous is said by no order at all."""
    if order is None or list(order) == sorted(order):
        return []
    return list(order)
