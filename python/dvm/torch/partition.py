"""Cuts an FX graph into segments that the core runs and the operations between them that torch runs.

Every node gets a *time*. Segment number k stands at the even time 2k, what torch runs after it at 2k + 1: a node of
the core goes to the first even time at which all its operands are there, one of torch's to the first odd one. So all
that does not depend on an operation of torch's is in one segment with its neighbours, wherever it stood in the
program, and the core decides how many kernels that takes.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from dvm.torch.aliases import CONVERSIONS, MOVES, REGROUPING, after, is_number, packet_name
from dvm.torch.aten import COMPUTED, COPIES, CREATED, VIEWS
from dvm.torch.builder import Builder, Declined, Value


class Role(enum.Enum):
    """What becomes of a node."""

    INPUT = "placeholder"
    CORE = "computed by the core"
    VIEW = "another way to look at its operand"
    COPY = "its operand once more"
    CREATED = "made from numbers alone"
    NUMBER = "arithmetic on sizes, done in Python"
    RESULT = "one of the results of an operation"
    TORCH = "computed by torch"


@dataclass
class Fallback:
    """An operation that the core does not compute."""

    node: fx.Node
    reason: str

    @property
    def name(self) -> str:
        return str(self.node.target)

    @property
    def line(self) -> str:
        """The innermost line of the user's program that asked for it, or else the module."""
        lines = [line.strip() for line in (self.node.meta.get("stack_trace") or "").splitlines()]
        places = [i for i, line in enumerate(lines) if line.startswith("File ")]
        if not places:
            return self._module
        place = places[-1]
        code = lines[place + 1] if place + 1 < len(lines) else ""
        return lines[place] + (f": {code}" if code else "")

    @property
    def _module(self) -> str:
        meta = self.node.meta
        modules = meta.get("nn_module_stack") or meta.get("fwd_nn_module_stack") or {}
        functions = meta.get("source_fn_stack") or meta.get("fwd_source_fn_stack") or []
        words = [getattr(kind, "__name__", str(kind)) for _, kind in functions[-1:]]
        words += [path for path, _ in list(modules.values())[-1:]]
        return " in ".join(words) or "an unknown line"


@dataclass
class Segment:
    """Nodes that the core computes together."""

    nodes: list[fx.Node] = field(default_factory=list)
    outputs: list[fx.Node] = field(default_factory=list)


@dataclass
class Partition:
    builder: Builder
    roles: dict[fx.Node, Role]
    times: dict[fx.Node, int]
    segments: dict[int, Segment]  # by time
    materialized: set[fx.Node]  # nodes that exist as tensors outside of kernels
    fallbacks: list[Fallback]

    def outside(self, node: fx.Node, time: int) -> list[fx.Node]:
        """The tensors that the segment at `time` has to be given so that it can use `node`.

        Views of such a tensor are taken inside the kernel, where they are free, except those that regroup its
        dimensions: torch does these at once on a tensor, and in a kernel they would have to be proved harmless.
        """
        role = self.roles[node]
        if not isinstance(node.meta.get("val"), torch.Tensor) or role is Role.CREATED:
            return []
        if role in (Role.CORE, Role.COPY) and self.times[node] == time:
            return []
        if role is Role.CORE and (node.target in CONVERSIONS or is_number(node)):
            # Made again in every segment that reads it: cheaper than writing it, and reading it back.
            return [one for operand in node.all_input_nodes for one in self.outside(operand, time)]
        if role in (Role.CORE, Role.COPY) and self.times[node] % 2 == 0:
            return [node]
        if role is Role.COPY:
            return self.outside(node.all_input_nodes[0], time)
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

_TABLES = ((COMPUTED, Role.CORE), (VIEWS, Role.VIEW), (CREATED, Role.CREATED), (COPIES, Role.COPY))

Before = Mapping[fx.Node, Set[fx.Node]]
"""For nodes that change memory in place, what has to come earlier (see reinplace.py)."""


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
        if node.op == "output":
            continue
        reductions, builder.now = builder.reductions, clock.in_core(node)
        builder.again.clear()
        role, reason = _assign(builder, roles, node)
        roles[node] = role
        if builder.reductions != reductions:
            reducing.add(node)
        if role is Role.CORE:
            again[node] = [makers[value] for value in builder.again if value in makers]
        if reason:
            fallbacks.append(Fallback(node, reason))
        if role in (Role.INPUT, Role.TORCH, Role.RESULT) and node not in builder.values:
            _from_outside(builder, node)
        time, value = clock.add(node, role), builder.values.get(node)
        if isinstance(value, Value):
            builder.times.setdefault(value.id, time)
            makers.setdefault(value.id, node)
    kept = reducing | _bound(before, again)
    while True:
        times = _times(graph, roles, before)
        _sink(graph, roles, times, kept, before)
        part = Partition(builder, roles, times, {}, set(), fallbacks)
        for node in graph.nodes:
            if roles.get(node) in (Role.CORE, Role.COPY) and part.times[node] % 2 == 0:
                part.segments.setdefault(part.times[node], Segment()).nodes.append(node)
        alone = [segment for segment in part.segments.values() if not _worthwhile(part, segment)]
        if not alone:
            break
        for segment in alone:
            for node in segment.nodes:
                roles[node] = Role.TORCH  # whose tensor brings the value to what reads it
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
    made = [node for node in segment.nodes if not (is_number(node) and _is_for_core(part, node))]
    if not made:
        return True  # it is made with what reads it
    moves = all(node.target in MOVES or part.roles[node] is Role.COPY for node in made)
    return not moves and any(
        part.outside(operand, part.times[node])
        for node in segment.nodes
        for operand in node.all_input_nodes
    )


def _is_for_core(part: Partition, node: fx.Node) -> bool:
    """Whether only the core reads a node: a number is then made again where it is read, and nowhere else."""
    return all(part.roles.get(user) is Role.CORE for user in node.users)


def _assign(b: Builder, roles: dict[fx.Node, Role], node: fx.Node) -> tuple[Role, str]:
    """The role of a node, and why torch has to run it if it does."""
    if node.op in ("placeholder", "get_attr"):
        return Role.INPUT, ""
    value = node.meta.get("val")
    if node.op != "call_function":
        return Role.TORCH, f"a {node.op} is not an ATen operation"
    if node.target is operator.getitem:
        return _item(b, roles, node)
    if node.target is after:
        return Role.RESULT, ""
    overload = isinstance(node.target, torch._ops.OpOverload)
    if not overload and not _has_tensor(value):
        return Role.NUMBER, ""
    for table, role in _TABLES:
        build = table.get(node.target)
        if build is None:
            continue
        try:
            b.values[node] = _finish(b, build(b, node, *node.args, **node.kwargs), value)
        except Declined as declined:
            reason = str(declined)
        except (ValueError, TypeError) as error:
            reason = f"the core refused it: {error}"
        else:
            return role, ""
        # Nothing is lost when torch makes a view or a copy.
        return Role.TORCH, reason if role is Role.CORE else ""
    if not overload:
        return Role.TORCH, "it is not an ATen operation"
    if packet_name(node) in _UNCOUNTED:
        return Role.TORCH, ""
    return Role.TORCH, "the core has no such operation"


def _has_tensor(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_has_tensor(item) for item in value)
    return isinstance(value, torch.Tensor)


def _item(b: Builder, roles: dict[fx.Node, Role], node: fx.Node) -> tuple[Role, str]:
    source, index = node.args
    if not isinstance(source, fx.Node) or not isinstance(index, int):
        return Role.RESULT, ""
    results = b.values.get(source)
    if roles[source] is Role.CORE and isinstance(results, tuple):
        b.values[node] = results[index]
        return Role.CORE, ""
    return Role.RESULT, ""


def _finish(b: Builder, built: Any, wanted: Any) -> Value | tuple[Value, ...]:
    if isinstance(built, tuple):  # the last results are left out where nobody needs them
        return tuple(b.finish(value, tensor) for value, tensor in zip(built, wanted, strict=False))
    return b.finish(built, wanted)


def _from_outside(b: Builder, node: fx.Node) -> None:
    """Makes a tensor of torch's a possible operand of what the core computes."""
    tensor = node.meta.get("val")
    if isinstance(tensor, torch.Tensor):
        try:
            b.values[node] = b.input(node)
        except Declined:
            return  # whatever reads it will be declined in turn


class Clock:
    """Gives nodes, taken in the order of the graph, their times."""

    def __init__(self, before: Before) -> None:
        self.before = before
        self.times: dict[fx.Node, int] = {}
        self._latest = -1  # of all nodes so far
        self._floor = -1  # of the last one that changed something in place
        self._random = -1  # of the last one that drew random numbers

    def in_core(self, node: fx.Node) -> int:
        """The time that a node gets if the core computes it."""
        time = max((self.times[operand] for operand in node.all_input_nodes), default=-1)
        time = max(time, self._floor)
        return time + time % 2

    def add(self, node: fx.Node, role: Role) -> int:
        operands = node.all_input_nodes
        if role is Role.CREATED:  # reads no tensor: of those like another it needs the shape alone
            operands = [node for node in operands if not _has_tensor(node.meta.get("val"))]
        time = max((self.times[operand] for operand in operands), default=-1)
        if role is Role.CORE:
            time = self.in_core(node)
        elif node in self.before:  # what its change may matter to is known
            earlier = (self.times[other] for other in self.before[node])
            time = max(time, self._floor, *earlier)
            time += 1 - time % 2
        elif role in (Role.TORCH, Role.NUMBER):
            changes, draws = _effects(node)
            time = max(
                time, self._floor, self._latest if changes else -1, self._random if draws else -1
            )
            time += 1 - time % 2
            self._floor = time if changes else self._floor
            self._random = time if draws else self._random
        self.times[node] = time
        self._latest = max(self._latest, time)
        return time


def _times(graph: fx.Graph, roles: dict[fx.Node, Role], before: Before) -> dict[fx.Node, int]:
    clock = Clock(before)
    for node in graph.nodes:
        if node.op != "output":
            clock.add(node, roles[node])
    return clock.times


def _sink(
    graph: fx.Graph,
    roles: dict[fx.Node, Role],
    times: dict[fx.Node, int],
    kept: set[fx.Node],
    before: Before,
) -> None:
    """Moves what only one later segment needs into that segment, where it need not be written and read again.

    Not `kept`: reductions, whose results are smaller than what they read, and what reads memory before it changes.
    Nor what would keep alive more than it frees.
    """
    if any(_effects(node)[0] for node in graph.nodes if node not in before):
        return  # a later segment might read what was changed in between
    readers: dict[fx.Node, set[fx.Node]] = {}  # the nodes that read a tensor, be it through views

    def all_readers(node: fx.Node) -> set[fx.Node]:
        if node not in readers:
            readers[node] = set()
            for user in node.users:
                readers[node] |= all_readers(user) if roles.get(user) is Role.VIEW else {user}
        return readers[node]

    def costs(node: fx.Node, operand: fx.Node) -> bool:
        """Whether `operand` would have to be written because `node` moves away from it."""
        while roles[operand] is Role.VIEW:
            operand = operand.all_input_nodes[0]
        if roles[operand] is not Role.CORE or times[operand] < times[node]:
            return False
        others = all_readers(operand) - {node}
        return any(
            times.get(other) == times[operand] and roles[other] is Role.CORE for other in others
        )

    for node in reversed(graph.nodes):
        if (
            roles.get(node) is not Role.CORE
            or node in kept
            or node.target is operator.getitem  # it is made with the other results
            or not isinstance(node.meta["val"], torch.Tensor)
        ):
            continue
        users = all_readers(node)
        if not users or any(roles.get(user) is not Role.CORE for user in users):
            continue
        later = {times[user] for user in users}
        if len(later) == 1 and not any(costs(node, operand) for operand in node.all_input_nodes):
            times[node] = max(times[node], *later)


def _effects(node: fx.Node) -> tuple[bool, bool]:
    """Whether a node changes something in place, and whether it draws random numbers."""
    if isinstance(node.target, torch._ops.OpOverload):
        draws = torch.Tag.nondeterministic_seeded in node.target.tags
        return node.target._schema.is_mutable, draws
    # Higher-order operations may do anything.
    return isinstance(node.target, torch._ops.HigherOrderOperator), False


def _materialize(graph: fx.Graph, part: Partition) -> None:
    """Finds the nodes that must exist as tensors outside of kernels, and so the outputs of segments."""
    pending: list[fx.Node] = []
    for node in graph.nodes:
        role = part.roles.get(node)  # the output has none
        if role in (None, Role.TORCH, Role.NUMBER, Role.RESULT):
            pending.extend(node.all_input_nodes)
        elif role is Role.CORE or (role is Role.COPY and part.times[node] % 2 == 0):
            for operand in node.all_input_nodes:
                pending.extend(part.outside(operand, part.times[node]))
    while pending:
        node = pending.pop()
        if node in part.materialized or not _has_tensor(node.meta.get("val")):
            continue
        part.materialized.add(node)
        role = part.roles[node]
        if role is Role.VIEW or (role is Role.COPY and part.times[node] % 2 != 0):
            pending.extend(node.all_input_nodes)
    for segment in part.segments.values():
        segment.outputs = [node for node in segment.nodes if node in part.materialized]
