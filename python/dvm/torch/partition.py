"""Cuts an FX graph into segments that the core runs and the operations between them that torch runs.

Every node gets a *time*. Segment number k stands at the even time 2k, what torch runs after it at 2k + 1: a node of
the core goes to the first even time at which all its operands are there, one of torch's to the first odd one. So all
that does not depend on an operation of torch's is in one segment with its neighbours, wherever it stood in the
program, and the core decides how many kernels that takes.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from dvm.torch.aliases import CONVERSIONS, MOVES, REGROUPING, after, is_number, packet_name
from dvm.torch.aten import COMPUTED, COPIES, CREATED, NAMED, VIEWS
from dvm.torch.builder import Builder
from dvm.torch.clock import Before, Clock, times_of
from dvm.torch.operations import operation
from dvm.torch.roles import Fallback, Role, has_tensor
from dvm.torch.sinking import sink
from dvm.torch.value import Declined, Value


@dataclass
class Segment:
    """Nodes that the core computes together."""

    nodes: list[fx.Node] = field(default_factory=list)
    reads: dict[fx.Node, None] = field(default_factory=dict)  # tensors that it has to be given
    outputs: list[fx.Node] = field(default_factory=list)


@dataclass
class Partition:
    builder: Builder
    roles: dict[fx.Node, Role]
    times: dict[fx.Node, int]
    segments: dict[int, Segment]  # by time
    materialized: set[fx.Node]  # nodes that exist as tensors outside of kernels
    fallbacks: list[Fallback]
    bound: Set[fx.Node]  # nodes that read what is changed afterwards

    def outside(self, node: fx.Node, time: int) -> list[fx.Node]:
        """The tensors that the segment at `time` has to be given so that it can use `node`.

        Views of such a tensor are taken inside the kernel, where they are free, except those that regroup its
        dimensions: torch does these at once on a tensor, and in a kernel they would have to be proved harmless.
        """
        role = self.roles[node]
        if role is Role.INPUT:
            return [node] if node in self.builder.values else []
        if role in (Role.CORE, Role.COPY) and self.times[node] == time:
            return []
        if not isinstance(node.meta.get("val"), torch.Tensor) or role is Role.CREATED:
            return []
        if role is Role.CORE and (node.target in CONVERSIONS or is_number(node)):
            # Made again in every segment that reads it: cheaper than writing it, and reading it back.
            return [one for operand in node.all_input_nodes for one in self.outside(operand, time)]
        if role in (Role.CORE, Role.COPY) and self.times[node] % 2 == 0:
            return [node]
        if role is Role.COPY:
            return [node] if node in self.bound else self.outside(node.all_input_nodes[0], time)
        if role is Role.VIEW:
            base = self.outside(node.all_input_nodes[0], time)
            return [node] if base and node.target in REGROUPING else base
        return [node]


# Nodes that torch runs though nothing is lost by it: they hold no arithmetic on tensors.
_UNCOUNTED_NAMES = """
slice select as_strided diagonal unfold split split_with_sizes chunk unbind view copy_ empty empty_like
empty_strided empty_permuted new_empty new_empty_strided sym_size sym_stride sym_numel sym_storage_offset
sym_constrain_range sym_constrain_range_for_size _assert_scalar _assert_async _assert_tensor_metadata
_local_scalar_dense
"""
_UNCOUNTED = frozenset(_UNCOUNTED_NAMES.split())

_TABLES = ((COPIES, Role.COPY), (CREATED, Role.CREATED), (VIEWS, Role.VIEW), (COMPUTED, Role.CORE))
_BUILT = {target: (build, role) for table, role in _TABLES for target, build in table.items()}


def partition(graph: fx.Graph, numerics: str, before: Before) -> Partition:
    """Builds all that the core covers into one Graph, and says what runs when."""
    builder = Builder(numerics)
    roles: dict[fx.Node, Role] = {}
    fallbacks: list[Fallback] = []
    reducing: set[fx.Node] = set()
    makers: dict[int, fx.Node] = {}  # of values
    again: dict[fx.Node, list[fx.Node]] = {}  # what a node computes once more from its operands
    clock = Clock(before)
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            roles[node], clock.times[node] = Role.INPUT, Clock.BEGIN
            _from_outside(builder, node)
            continue
        if node.op == "output":
            continue
        reductions, builder.now = builder.reductions, clock.in_core(node)
        role, reason = _assign(builder, roles, node)
        roles[node] = role
        if builder.reductions != reductions:
            reducing.add(node)
        if builder.again:
            if role is Role.CORE:
                again[node] = [makers[value] for value in builder.again if value in makers]
            builder.again.clear()
        if reason:
            fallbacks.append(Fallback(node, reason))
        if role in (Role.TORCH, Role.RESULT) and node not in builder.values:
            _from_outside(builder, node)
        time, value = clock.add(node, role, builder.now), builder.values.get(node)
        if isinstance(value, Value):
            builder.times.setdefault(value.id, time)
            makers.setdefault(value.id, node)
    bound = _bound(before, again)
    times = clock.times
    while True:
        sink(graph, roles, times, reducing, bound, before)
        part = Partition(builder, roles, times, {}, set(), fallbacks, bound)
        for node in graph.nodes:
            if roles.get(node) in (Role.CORE, Role.COPY) and part.times[node] % 2 == 0:
                part.segments.setdefault(part.times[node], Segment()).nodes.append(node)
        alone = [segment for segment in part.segments.values() if not _worthwhile(part, segment)]
        if not alone:
            break
        for segment in alone:
            for node in segment.nodes:
                roles[node] = Role.TORCH  # whose tensor brings the value to what reads it
        times = times_of(graph, roles, before)
    _materialize(graph, part)
    return part


def _bound(before: Before, again: Mapping[fx.Node, list[fx.Node]]) -> set[fx.Node]:
    """Nodes that read what is changed afterwards, be it by doing again what their operands did."""
    bound = {node for earlier in before.values() for node in earlier}
    for node, operands in again.items():  # operands first
        if not bound.isdisjoint(operands):
            bound.add(node)
    return bound


def _worthwhile(part: Partition, segment: Segment) -> bool:
    """A segment that only moves elements is torch's: its copies are faster. One that reads no tensor is, too: the
    core would not know whose tensors to return."""
    moves = False
    for node in segment.nodes:
        if is_number(node) and _is_for_core(part, node):
            continue  # it is made with what reads it
        if node.target not in MOVES and part.roles[node] is not Role.COPY:
            return _reads(part, segment)
        moves = True
    return not moves


def _reads(part: Partition, segment: Segment) -> bool:
    return any(
        part.outside(operand, part.times[node])
        for node in segment.nodes
        for operand in node.all_input_nodes
    )


def _is_for_core(part: Partition, node: fx.Node) -> bool:
    """Whether only the core reads a node: a number is then made again where it is read, and nowhere else."""
    return all(part.roles.get(user) is Role.CORE for user in node.users)


def _assign(b: Builder, roles: dict[fx.Node, Role], node: fx.Node) -> tuple[Role, str]:
    """The role of a node, and why torch has to run it if it does."""
    if node.op != "call_function":
        return Role.TORCH, f"a {node.op} is not an ATen operation"
    if node.target is operator.getitem:
        return _item(b, roles, node)
    if node.target is after:
        return Role.RESULT, ""
    build, role = _BUILT.get(node.target, (None, Role.TORCH))
    if build is None and operation(node.target).is_overload:
        build, role = NAMED.get(packet_name(node)), Role.CORE
    if build is not None:
        try:
            b.values[node] = _finish(b, node, build(b, node, *node.args, **node.kwargs))
        except Declined as declined:
            reason = str(declined)
        except (ValueError, TypeError) as error:
            reason = f"the core refused it: {error}"
        else:
            return role, ""
        # Nothing is lost when torch makes a view or a copy.
        return Role.TORCH, reason if role is Role.CORE else ""
    if not operation(node.target).is_overload:
        if not has_tensor(node.meta.get("val")):
            return Role.NUMBER, ""
        return Role.TORCH, "it is not an ATen operation"
    if packet_name(node) in _UNCOUNTED:
        return Role.TORCH, ""
    return Role.TORCH, "the core has no such operation"


def _item(b: Builder, roles: dict[fx.Node, Role], node: fx.Node) -> tuple[Role, str]:
    source, index = node.args
    if not isinstance(source, fx.Node) or not isinstance(index, int):
        return Role.RESULT, ""
    results = b.values.get(source)
    if roles[source] is Role.CORE and isinstance(results, tuple):
        b.values[node] = results[index]
        return Role.CORE, ""
    return Role.RESULT, ""


def _finish(b: Builder, node: fx.Node, built: Any) -> Value | tuple[Value, ...]:
    wanted = node.meta["val"]
    if not isinstance(built, tuple):
        return b.finish(built, wanted)
    read = {user.args[1] for user in node.users if user.target is operator.getitem}
    return tuple(
        b.finish(value, wanted[number]) if number in read else value
        for number, value in enumerate(built)
    )


def _from_outside(b: Builder, node: fx.Node) -> None:
    """Makes a tensor of torch's a possible operand of what the core computes."""
    tensor = node.meta.get("val")
    if isinstance(tensor, torch.Tensor):
        try:
            b.values[node] = b.input(node)
        except Declined:
            return  # whatever reads it will be declined in turn


def _materialize(graph: fx.Graph, part: Partition) -> None:
    """Finds the nodes that must exist as tensors outside of kernels, and so the outputs of segments."""
    pending: list[fx.Node] = []
    for node in graph.nodes:
        role = part.roles.get(node)  # the output has none
        if role in (None, Role.TORCH, Role.NUMBER, Role.RESULT):
            pending.extend(node.all_input_nodes)
        elif role is Role.CORE or (role is Role.COPY and part.times[node] % 2 == 0):
            time = part.times[node]
            reads = part.segments[time].reads
            for operand in node.all_input_nodes:
                if part.times[operand] != time or part.roles[operand] is not Role.CORE:
                    for tensor in part.outside(operand, time):
                        reads[tensor] = None
    for segment in part.segments.values():
        pending.extend(segment.reads)
    while pending:
        node = pending.pop()
        if node in part.materialized:
            continue
        role = part.roles[node]
        if role is not Role.INPUT and not has_tensor(node.meta.get("val")):
            continue
        part.materialized.add(node)
        if role is Role.VIEW or (role is Role.COPY and part.times[node] % 2 != 0):
            pending.extend(node.all_input_nodes)
    for segment in part.segments.values():
        segment.outputs = [node for node in segment.nodes if node in part.materialized]
