"""Which kernels write what they make straight into a tensor that is changed in place, so that nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import fx

from dvm.torch.aliases import root
from dvm.torch.clock import Before
from dvm.torch.partition import Partition
from dvm.torch.segment import Compiled
from dvm.torch.symbols import same_sizes

# All other results of the segment have to be allocated for it, which costs as much as a small copy.
MAX_OTHERS = 3


def direct(
    part: Partition, segments: Mapping[int, Compiled], before: Before
) -> dict[fx.Node, fx.Node]:
    """For changes `copy_(view, result)`, by result: the change whose view the kernel writes into.

    The kernel runs earlier than the copy would have. By then the view has to be there, and all that reads what was
    in the memory has to be done, which what the same kernel reads is not.
    """
    found: dict[fx.Node, fx.Node] = {}
    for time, compiled in segments.items():
        changes = {}
        for result in compiled.outputs:
            change = _change(result, before)
            if change is not None and _is_early(part, change, time, before) and _fits(change):
                changes[result] = change
        others = [result for result in compiled.outputs if result not in changes]
        restrided = set(others).intersection(compiled.copied)
        if len(others) <= MAX_OTHERS and not restrided and not _reads_changed(compiled, changes):
            found |= changes
    return found


def _change(result: fx.Node, before: Before) -> fx.Node | None:
    """The change that alone reads a result."""
    users = list(result.users)
    if len(users) != 1 or users[0] not in before:
        return None
    copies = users[0].target is torch.ops.aten.copy_.default and users[0].args[1] is result
    return users[0] if copies else None


def _is_early(part: Partition, change: fx.Node, time: int, before: Before) -> bool:
    view = change.args[0]
    assert isinstance(view, fx.Node)
    done = part.times[view] | 1  # torch makes views at odd times
    return done < time and all(part.times[reader] < time for reader in before[change])


def _fits(change: fx.Node) -> bool:
    view, result = (node.meta["val"] for node in change.all_input_nodes[:2])
    alike = view.dtype == result.dtype and view.device.type == "cpu"
    return alike and same_sizes(view.shape, result.shape)


def _reads_changed(compiled: Compiled, changes: Mapping[fx.Node, fx.Node]) -> bool:
    """Whether the kernel would read memory that it writes."""
    changed = {root(change) for change in changes.values()}
    return any(root(tensor) in changed for tensor in compiled.tensors)
