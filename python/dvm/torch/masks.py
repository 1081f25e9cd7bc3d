"""Makes masks no larger than they are: a condition that always holds is left out of them, or the mask out of attention;
and a mask that attention reads is computed before it is broadcast over queries, not after.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from dvm.torch.aliases import attends, is_returned
from dvm.torch.aten.ranges import bounds
from dvm.torch.aten.table import COPIES, VIEWS, overloads
from dvm.torch.operations import calls, operation
from dvm.torch.rewrite import call
from dvm.torch.symbols import same_sizes

aten = torch.ops.aten

_ANDS = (aten.bitwise_and.Tensor, aten.logical_and.default)
_ATTENTION = (
    aten.scaled_dot_product_attention.default,
    *overloads("_scaled_dot_product_flash_attention_for_cpu", "default"),
)
_ONES = ("ones", "ones_like", "new_ones")
_COMPARED: dict[Any, Any] = {
    aten.ge.Scalar: lambda low, high, number: low >= number,
    aten.gt.Scalar: lambda low, high, number: low > number,
    aten.le.Scalar: lambda low, high, number: high <= number,
    aten.lt.Scalar: lambda low, high, number: high < number,
}


def simplify_masks(graph: fx.Graph) -> None:
    for node in calls(graph, _ANDS):
        _leave_out_true(graph, node)
    empty: dict[Any, bool] = {None: False}  # masks that let everything through
    for node in calls(graph, _ATTENTION):
        mask = node.kwargs.get("attn_mask")
        if mask not in empty:
            empty[mask] = _adds_nothing(mask)
        if empty[mask]:
            node.update_kwarg("attn_mask", None)
    for node in calls(graph, (aten.where.self,)):
        if node.users and all(map(attends, node.users)):
            _broadcast_late(graph, node)


def _leave_out_true(graph: fx.Graph, node: fx.Node) -> None:
    """`x & true` is x, in the shape that both have together."""
    if node.meta["val"].dtype != torch.bool or is_returned(node):
        return
    for number in (0, 1):
        kept, other = node.args[number], node.args[1 - number]
        assert isinstance(kept, fx.Node)
        if _is_true(other) and kept.meta["val"].dtype == torch.bool and not _is_true(kept):
            node.replace_all_uses_with(_in_shape_of(graph, kept, node))
            return


def _in_shape_of(graph: fx.Graph, node: fx.Node, other: fx.Node) -> fx.Node:
    shape = other.meta["val"].shape
    if same_sizes(node.meta["val"].shape, shape):
        return node
    with graph.inserting_before(other):
        return call(graph, aten.expand.default, node, list(shape))


def _is_true(node: Any) -> bool:
    """Whether a tensor is known to hold True alone."""
    if not isinstance(node, fx.Node):
        return False
    if node.target in _ANDS:
        return all(map(_is_true, node.args))
    if node.target in VIEWS or node.target in COPIES:
        return _is_true(node.args[0])
    compared = _COMPARED.get(node.target)
    if compared is not None:
        known = bounds(node.args[0])
        number = node.args[1]
        known = known if isinstance(number, int | torch.SymInt) else None
        return known is not None and statically_known_true(compared(*known, number))
    return operation(node.target).packet in _ONES and node.meta["val"].dtype == torch.bool


def _adds_nothing(mask: Any) -> bool:
    """Whether a mask lets everything through: True everywhere, or 0 where something always holds."""
    if not isinstance(mask, fx.Node):
        return False
    while mask.target in VIEWS or mask.target in COPIES:
        mask = mask.all_input_nodes[0]
    if mask.target is not aten.where.self:
        return _is_true(mask)
    condition, value, _ = mask.args
    if isinstance(value, fx.Node) and value.target in (
        aten.scalar_tensor.default,
        aten.full.default,
    ):
        value = value.args[0 if value.target is aten.scalar_tensor.default else 1]
    return _is_true(condition) and isinstance(value, int | float) and value == 0


def _broadcast_late(graph: fx.Graph, node: fx.Node) -> None:
    """where(expand(condition), number, number) is expand(where(condition, number, number))."""
    condition, *numbers = node.args
    assert isinstance(condition, fx.Node)
    if condition.target is not aten.expand.default:
        return
    if any(isinstance(one, fx.Node) and one.meta["val"].dim() for one in numbers):
        return
    with graph.inserting_before(node):
        mask = call(graph, aten.where.self, condition.args[0], *numbers)
        mask.meta = {**node.meta, "val": mask.meta["val"]}
        node.replace_all_uses_with(
            call(graph, aten.expand.default, mask, list(node.meta["val"].shape))
        )
