"""Moves nodes of the core to later segments than the first that has their operands (clock.py): what nobody needs yet
can wait, and is then made where it is read.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Set

import torch
from torch import fx

from dvm.torch.clock import Before
from dvm.torch.operations import operation
from dvm.torch.roles import Role

Times = dict[fx.Node, int]


def sink(
    graph: fx.Graph,
    roles: Mapping[fx.Node, Role],
    times: Times,
    reducing: Set[fx.Node],
    bound: Set[fx.Node],
    before: Before,
) -> None:
    """Changes `times`. `reducing` are reductions and products, `bound` what reads memory before it changes."""
    if len({times[node] for node, role in roles.items() if role is Role.CORE}) < 2:
        return  # there is no later segment
    if any(operation(node.target).changes for node in graph.nodes if node not in before):
        return  # a later segment might read what was changed in between
    _postpone(graph, roles, times, bound)
    _sink_into_readers(graph, roles, times, reducing, bound)


def _postpone(
    graph: fx.Graph, roles: Mapping[fx.Node, Role], times: Times, bound: Set[fx.Node]
) -> None:
    """Lets all that is made from arguments alone wait for the first segment that reads it, products and reductions too:
    nothing is kept alive by it, and what lies between them moves along."""
    free: set[fx.Node] = set()
    for node in graph.nodes:
        waits = roles.get(node) in (Role.CORE, Role.VIEW) and node not in bound
        known = (Role.INPUT, Role.CREATED)
        if waits and all(o in free or roles[o] in known for o in node.all_input_nodes):
            free.add(node)
    while True:
        latest = _latest(graph, roles, times, free)
        moved = {node: time for node, time in latest.items() if time > times[node]}
        # What would move away from an operand that stays had better stay with it.
        torn = {
            node
            for node, time in moved.items()
            if any(latest.get(operand, time) < time for operand in node.all_input_nodes)
        }
        if not torn:
            break
        free -= torn
    for node in graph.nodes:
        if node in free and roles[node] is Role.VIEW:
            times[node] = max(times[operand] for operand in node.all_input_nodes)
        elif node in moved:
            times[node] = moved[node]


def _latest(
    graph: fx.Graph, roles: Mapping[fx.Node, Role], times: Times, free: Set[fx.Node]
) -> Times:
    """For each of `free` the time of the segment that reads it first, or its own where something else does."""
    latest: Times = {}
    for node in reversed(graph.nodes):
        if node not in free:
            continue
        in_core = all(roles.get(user) in (Role.CORE, Role.VIEW) for user in node.users)
        readers = [latest.get(user, times.get(user, 0)) for user in node.users]
        latest[node] = max(times[node], min(readers)) if in_core and readers else times[node]
    return latest


def _sink_into_readers(
    graph: fx.Graph,
    roles: Mapping[fx.Node, Role],
    times: Times,
    reducing: Set[fx.Node],
    bound: Set[fx.Node],
) -> None:
    """Moves what only one later segment needs into that segment, where it need not be written and read again.

    Not reductions, whose results are smaller than what they read; nor what would keep alive more than it frees.
    """
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
            or node in reducing
            or node in bound
            or node.target is operator.getitem  # it is made with the other results
            or not isinstance(node.meta["val"], torch.Tensor)
        ):
            continue
        users = all_readers(node)
        if not users or any(roles.get(user) is not Role.CORE for user in users):
            continue
        later = {times[user] for user in users}
        if later == {times[node]}:
            continue
        if len(later) == 1 and not any(costs(node, operand) for operand in node.all_input_nodes):
            times[node] = max(times[node], *later)
