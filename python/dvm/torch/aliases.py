"""Which nodes of an ATen graph share memory, and who reads it: what a change in place must not be seen by."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import sympy
import torch
from torch import fx

from dvm.torch.aten import COMPUTED, COPIES, CREATED
from dvm.torch.operations import operation
from dvm.torch.symbols import equal_strides, expression, same_size

aten = torch.ops.aten

MOVES = (
    aten.cat.default,
    aten.stack.default,
    aten.copy.default,
    aten.embedding.default,
    aten.index_select.default,
    aten.gather.default,
    aten.index.Tensor,
)
"""Operations that only move elements: kernels do them again wherever their results are read."""

CONVERSIONS = (aten._to_copy.default, torch.ops.prims.convert_element_type.default)
"""Done again in every kernel that reads their results."""

MOST_STEPS = 16
"""Numbers that so many operations make from others are computed again in every kernel that reads them."""

REGROUPING = (aten.view.default, aten._unsafe_view.default)
"""Views that regroup axes."""

_AGAIN = {*MOVES, *CONVERSIONS, *COPIES}
_UNTOLD = (aten._unsafe_view.default,)  # views, though their schemas do not say so
_SHAPES = frozenset(
    {"sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "empty_like", "new_empty"}
)


def after(tensor: Any, change: Any, whole: Any) -> Any:
    """The tensor once `change`, a node that changed its memory, has run: the same tensor, as a value of its own.
    `whole` is its root, at whose first element it begins."""
    del change, whole
    return tensor


def is_view(node: fx.Node) -> bool:
    """Whether the result lies in the memory of the first operand."""
    if node.target is after or node.target in _UNTOLD:
        return True
    return node.op == "call_function" and operation(node.target).is_view


def is_new(node: fx.Node) -> bool:
    """Whether it is the result of an operation, in memory of its own."""
    return operation(node.target).is_overload and not is_view(node)


def is_returned(node: fx.Node) -> bool:
    """Whether it is returned, be it as what views of it look at: results are tensors apart."""
    return any(user.op == "output" or (is_view(user) and is_returned(user)) for user in node.users)


def is_number(node: fx.Node) -> bool:
    """Whether it is computed from numbers alone, tensors without axes, in a few steps."""
    return _steps(node, MOST_STEPS) <= MOST_STEPS


def _steps(node: fx.Node, most: int) -> int:
    """How many operations between numbers make it, at least as far as `most`; more than that if there are others."""
    tensor = node.meta.get("val")
    if not isinstance(tensor, torch.Tensor) or tensor.dim() or node.target not in COMPUTED:
        return most + 1
    steps = 1
    for operand in node.all_input_nodes:
        known = operand.meta.get("val")
        if steps > most or (isinstance(known, torch.Tensor) and known.dim()):
            return most + 1
        if operand.target in COMPUTED:
            steps += min(_steps(operand, most - steps), most + 1)
    return steps


def changes_in_place(node: fx.Node) -> bool:
    known = operation(node.target)
    return known.is_overload and known.changes


def packet_name(node: fx.Node) -> str:
    """The name of an ATen operation without its overload: `add` for aten.add.Tensor."""
    known = operation(node.target)
    assert known.is_overload
    return known.packet


def attends(node: fx.Node) -> bool:
    """Whether it is attention to keys and values, of torch's or a kernel's."""
    return "attention" in operation(node.target).packet


def fx_nodes(arguments: Any) -> list[fx.Node]:
    """The nodes among arguments, those in lists too."""
    found: list[fx.Node] = []
    fx.map_arg(arguments, found.append)
    return found


def is_opaque(node: fx.Node) -> bool:
    """Whether nothing tells what the result of a function shares with its operands."""
    if node.target is operator.getitem:
        return is_opaque(node.all_input_nodes[0])
    return node.op not in ("placeholder", "get_attr") and not operation(node.target).is_overload


def root(node: fx.Node) -> fx.Node:
    """The node that made the memory of a tensor."""
    while is_view(node) or _is_part(node):
        if node.target is after:
            return node.args[2]  # type: ignore[return-value]
        node = node.all_input_nodes[0]
    return node


def offset(node: fx.Node) -> sympy.Expr:
    """Where a view begins in the memory that its root has."""
    distance = sympy.Integer(0)
    while (is_view(node) and node.target is not after) or _is_part(node):
        parts = node.all_input_nodes[0] if _is_part(node) else node
        operand = parts.all_input_nodes[0]
        distance += _begin(node) - _begin(operand)
        node = operand
    return distance


def regroups(node: fx.Node) -> bool:
    """Whether a view may only be one for the strides that its root was traced with."""
    while (is_view(node) and node.target is not after) or _is_part(node):
        if node.target in REGROUPING or node.target is aten.as_strided.default:
            return True
        node = node.all_input_nodes[0]
    return False


def lies_as(node: fx.Node, other: fx.Node) -> bool:
    """Whether both have one type and device, and their elements the same places from where each begins."""
    a, b = node.meta["val"], other.meta["val"]
    if a.dtype != b.dtype or a.device != b.device or a.dim() != b.dim():
        return False
    return all(
        same_size(size, other) and (equal_strides(stride, step) or same_size(size, 1))
        for size, other, stride, step in zip(a.shape, b.shape, a.stride(), b.stride(), strict=True)
    )


def readers(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes that read the elements of a tensor, be it through views, or once more where what they made of them is
    read. What reads a later state of the memory, by `after`, is not among them."""
    pending, seen = [(node, False)], set()
    while pending:
        tensor, again = pending.pop()
        for user in tensor.users:
            if user in seen or user.target is after or _reads_shape(user):
                continue
            if again and user.op == "output":
                continue  # what is returned was made, and is not made again
            changes = changes_in_place(user)
            if changes and tensor not in fx_nodes(user.args[1:]):
                continue  # it writes
            seen.add(user)
            if not changes and (is_view(user) or _is_part(user)):
                pending.append((user, again))
                continue
            yield user
            if user.target in _AGAIN or is_number(user):
                pending.append((user, True))


def updated(graph: fx.Graph) -> set[fx.Node]:
    """The arguments that a graph copies results into at its end."""
    copies = graph.find_nodes(op="call_function", target=aten.copy_.default)
    return {copy.args[0] for copy in copies if isinstance(copy.args[0], fx.Node)}


def _is_part(node: fx.Node) -> bool:
    """Whether it is one of several views."""
    return node.target is operator.getitem and is_view(node.all_input_nodes[0])


def _reads_shape(node: fx.Node) -> bool:
    return node.target in CREATED or operation(node.target).packet in _SHAPES


def _begin(node: fx.Node) -> sympy.Expr:
    value = node.meta["val"]
    return expression(value.storage_offset()) if isinstance(value, torch.Tensor) else sympy.nan
