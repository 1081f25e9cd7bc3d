"""Leaves out copies of whole tensors. `target.copy_(source)` has become `copy(target, source)`: what was in the target
is overwritten, so where it has the target's shape this is the source, and whatever made the target may be dead. A
clone is its operand where nobody tells them apart. Parts of tensors and arguments are reinplace.py's, which writes
into them.
"""

from __future__ import annotations

import torch
from torch import fx

from dvm.torch.aliases import attends, is_new, lies_as, root
from dvm.torch.operations import calls, operation
from dvm.torch.rewrite import call
from dvm.torch.symbols import is_contiguous, same_size, same_sizes

aten = torch.ops.aten


def leave_out_copies(graph: fx.Graph) -> None:
    (output,) = graph.find_nodes(op="output")
    returned = {root(result) for result in output.all_input_nodes}
    changed = {node.args[0] for node in calls(graph, (aten.copy_.default,))}
    for node in calls(graph, (aten.copy.default, aten.clone.default)):
        clones = node.target is aten.clone.default
        if not clones and any(_assigns(node, user) for user in node.users):
            continue
        source = node.args[0 if clones else 1]
        assert isinstance(source, fx.Node)
        memory = root(source)
        if node in returned:  # results are tensors apart
            shared = not is_new(memory) or memory in returned
        else:
            shared = memory in changed or any(_changes(node, user) for user in node.users)
        if not clones:
            result = _read_source(graph, node, source, shared)
        elif not shared and (lies_as(source, node) or _is_attended(node, source)):
            node.replace_all_uses_with(source)
            result = source
        else:
            continue
        if node in returned:
            returned.add(root(result))


def _is_attended(node: fx.Node, source: fx.Node) -> bool:
    """Whether only attention reads it, which takes rows of heads from wherever they lie."""
    strides = source.meta["val"].stride()
    return bool(strides) and same_size(strides[-1], 1) and all(map(attends, node.users))


def _assigns(node: fx.Node, user: fx.Node) -> bool:
    """Whether `node` is what a part of a tensor, or an argument, is changed to."""
    return _is_change(user) and node in user.args[1:]


def _changes(node: fx.Node, user: fx.Node) -> bool:
    """Whether a part of `node` is changed by `user`, for which it is best memory of its own."""
    return _is_change(user) and node is user.args[0]


def _is_change(node: fx.Node) -> bool:
    name = operation(node.target).packet
    return name in ("copy_", "index_put", "index_copy") or name.endswith("_scatter")


def _read_source(graph: fx.Graph, node: fx.Node, source: fx.Node, shared: bool) -> fx.Node:
    """Has the readers of a copy read what it is a copy of, or a clone where they need memory of their own."""
    wanted, given = node.meta["val"], source.meta["val"]
    if wanted.device != given.device or wanted.layout != given.layout:
        return node
    if not same_sizes(wanted.shape, given.shape):
        return node
    with graph.inserting_before(node):
        result = source
        if wanted.dtype != given.dtype:
            result = call(graph, aten._to_copy.default, result, dtype=wanted.dtype)
        apart = result is not source and is_new(result)
        if not lies_as(result, node) or (shared and not apart):
            if not is_contiguous(wanted):
                return node
            result = call(graph, aten.clone.default, result, memory_format=torch.contiguous_format)
            result.meta = dict(node.meta)
    node.replace_all_uses_with(result)
    return result
