"""When each node of an FX graph runs, as partition.py counts time: a node of the core at the first even time at which
all its operands are there, one of torch's at the first odd one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from torch import fx

from dvm.torch.operations import operation
from dvm.torch.roles import Role, has_tensor

Before = Mapping[fx.Node, Set[fx.Node]]
"""For nodes that change memory in place, what has to come earlier (see reinplace.py)."""


class Clock:
    """Gives nodes, taken in the order of the graph, their times."""

    BEGIN = -1
    """The time of what is there before anything runs."""

    def __init__(self, before: Before) -> None:
        self.before = before
        self.times: dict[fx.Node, int] = {}
        self._latest = self.BEGIN  # of all nodes so far
        self._floor = self.BEGIN  # of the last one that changed something in place
        self._random = self.BEGIN  # of the last one that drew random numbers

    def in_core(self, node: fx.Node) -> int:
        """The time that a node gets if the core computes it."""
        time = self._after(node.all_input_nodes, self._floor)
        return time + time % 2

    def add(self, node: fx.Node, role: Role, in_core: int) -> int:
        """Notes the time of a node, which is `in_core` if the core computes it, and returns it."""
        time = in_core if role is Role.CORE else self._in_torch(node, role)
        self.times[node] = time
        if time > self._latest:
            self._latest = time
        return time

    def _in_torch(self, node: fx.Node, role: Role) -> int:
        if role is Role.INPUT:
            return self.BEGIN
        operands = node.all_input_nodes
        if role is Role.CREATED:  # reads no tensor: of those like another it needs the shape alone
            operands = [node for node in operands if not has_tensor(node.meta.get("val"))]
        time = self._after(operands, -1)
        if node in self.before:  # what its change may matter to is known
            time = self._after(self.before[node], max(time, self._floor))
            time += 1 - time % 2
        elif role in (Role.TORCH, Role.NUMBER):
            known = operation(node.target)
            time = max(
                time,
                self._floor,
                self._latest if known.changes else -1,
                self._random if known.draws else -1,
            )
            time += 1 - time % 2
            self._floor = time if known.changes else self._floor
            self._random = time if known.draws else self._random
        return time

    def _after(self, nodes: Iterable[fx.Node], time: int) -> int:
        """The latest of `time` and the times of nodes."""
        times = self.times
        for node in nodes:
            if times[node] > time:
                time = times[node]
        return time


def times_of(graph: fx.Graph, roles: Mapping[fx.Node, Role], before: Before) -> dict[fx.Node, int]:
    """The times of all nodes."""
    clock = Clock(before)
    for node in graph.nodes:
        if node.op != "output":
            clock.add(node, roles[node], clock.in_core(node))
    return clock.times
