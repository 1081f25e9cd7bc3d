"""Makes an ATen graph smaller before it is cut, in place: equal nodes become one, views of views become one, the parts
that a tensor is split into become slices of it, what is joined with nothing stays as it is, and a matrix product with
the bias and the views around it becomes the `linear` that the program was written with.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from dvm.torch.aliases import is_new, is_returned, root
from dvm.torch.attention import restore_attention
from dvm.torch.copies import leave_out_copies
from dvm.torch.masks import simplify_masks
from dvm.torch.operations import calls, operation, targets
from dvm.torch.sizes import ask_arguments
from dvm.torch.symbols import equal_strides, is_contiguous, same_sizes

aten = torch.ops.aten

_RESHAPES = (aten.view.default, aten._unsafe_view.default)
_SPLITS = (
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.unsafe_split.Tensor,
    aten.unsafe_split_with_sizes.default,
)
_MAYBE_NOTHING = (
    *_RESHAPES,
    aten.expand.default,
    aten.alias.default,
    aten.detach.default,
    aten.slice.Tensor,
)
_SUMS = (aten.add.Tensor, aten.sub.Tensor)


def simplify(graph: fx.Graph, numerics: str = "fast") -> list[str]:
    """Says what it left as it is though it looks like something better."""
    ask_arguments(graph)
    for node in calls(graph, _SPLITS):
        _slice_parts(graph, node)
    for node in calls(graph, (aten.cat.default,)):
        _leave_out_nothing(node)
    _merge_equal(graph)
    for node in calls(graph, (aten.addmm.default, aten.mm.default)):
        _restore_linear(node)
    for node in calls(graph, (*_MAYBE_NOTHING, *_SUMS, aten.slice_scatter.default)):
        if node.target in _RESHAPES:
            _join_views(node)
        if node.target in _SUMS:
            _skip_if_zero(node)
        elif node.target is aten.slice_scatter.default:
            _skip_if_all(node)
        else:
            _skip_if_nothing(node)
    leave_out_unused(graph)  # attention reads scores alone
    notes = restore_attention(graph, numerics)
    leave_out_copies(graph)
    simplify_masks(graph)
    leave_out_unused(graph)
    return notes


def leave_out_unused(graph: fx.Graph) -> None:
    for node in reversed(graph.nodes):
        if not node.users and (operation(node.target).is_pure or node.target is operator.getitem):
            graph.erase_node(node)


def _slice_parts(graph: fx.Graph, node: fx.Node) -> None:
    """Reads the parts of a split tensor as slices of it, which kernels take for nothing."""
    operand, dim = node.args[0], node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    sizes = [part.shape[dim] for part in node.meta["val"]]
    if not all(isinstance(size, int) for size in sizes):
        return
    for part in list(node.users):
        number = part.args[1]
        assert isinstance(number, int)
        begin = sum(sizes[:number])
        with graph.inserting_before(part):
            arguments = (operand, dim, begin, begin + sizes[number])
            cut = graph.call_function(aten.slice.Tensor, arguments)
        cut.meta = dict(part.meta)
        part.replace_all_uses_with(cut)
        graph.erase_node(part)


def _leave_out_nothing(node: fx.Node) -> None:
    """cat([nothing, x]) is x: a cache that is filled for the first time begins as a tensor of shape [0]."""
    parts = node.args[0]
    assert isinstance(parts, list | tuple)
    left: list[Any] = [part for part in parts if not _is_nothing(part)]
    if 0 < len(left) < len(parts) and all(_same_type(part, node) for part in left):
        node.update_arg(0, left)
    returned = any(user.op == "output" for user in node.users)  # results are tensors apart
    alone = len(left) == 1 and _same_type(left[0], node) and is_contiguous(left[0].meta["val"])
    if alone and not returned:
        node.replace_all_uses_with(left[0])


def _is_nothing(node: Any) -> bool:
    shape = node.meta["val"].shape
    return len(shape) == 1 and isinstance(shape[0], int) and shape[0] == 0


def _same_type(first: Any, second: fx.Node) -> bool:
    return bool(first.meta["val"].dtype == second.meta["val"].dtype)


def _merge_equal(graph: fx.Graph) -> None:
    """Does what is written several times once. Tensors that are returned, be it through views, stay apart."""
    results = [node for output in graph.find_nodes(op="output") for node in output.all_input_nodes]
    returned = {*results, *map(root, results)}
    alike: dict[Any, fx.Node] = {}  # the first of each operation on the same nodes
    exact: dict[Any, fx.Node] = {}  # by all arguments, for those that have others like them
    keyed: set[fx.Node] = set()
    pure = {id(target) for target in targets(graph) if operation(target).is_pure}
    for node in graph.nodes:
        if id(node.target) not in pure:
            continue
        other = alike.setdefault((id(node.target), *node.all_input_nodes), node)
        if other is node:
            continue
        if other not in keyed:
            keyed.add(other)
            exact.setdefault(_call(other), other)
        first = exact.setdefault(_call(node), node)
        if first is not node and not (node in returned and first in returned):
            node.replace_all_uses_with(first)
            graph.erase_node(node)
            if node in returned:
                returned.add(first)


def _call(node: fx.Node) -> Any:
    """What calls have in common that give the same."""
    return (node.target, _key(node.args), _key(tuple(node.kwargs.items())))


def _key(value: Any) -> Any:
    """Something that is equal for equal arguments, and tells 1, 1.0 and True apart."""
    if isinstance(value, fx.Node):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return _key(tuple(value.items()))
    if isinstance(value, (bool, int, float)):
        return (value.__class__, repr(value))
    return value


def _join_views(node: fx.Node) -> None:
    """view(view(x)) is view(x), when x is contiguous."""
    inner = node.args[0]
    assert isinstance(inner, fx.Node)
    if inner.target not in _RESHAPES:
        return
    base = inner.args[0]
    if isinstance(base, fx.Node) and "val" in base.meta and is_contiguous(base.meta["val"]):
        node.update_arg(0, base)


def _skip_if_nothing(node: fx.Node) -> None:
    """A view that has the shape of its operand is its operand, unless it is returned: results are tensors apart."""
    operand = node.args[0]
    assert isinstance(operand, fx.Node)
    mine, its = node.meta["val"], operand.meta.get("val")
    if its is None or mine.dim() != its.dim() or not same_sizes(mine.shape, its.shape):
        return
    if not any(user.op == "output" for user in node.users):
        node.replace_all_uses_with(operand)


def _skip_if_zero(node: fx.Node) -> None:
    """What nothing is added to stays as it is; but -0.0 + 0 is 0.0."""
    operand, number = node.args[:2]
    if not isinstance(operand, fx.Node) or isinstance(number, fx.Node) or number != 0:
        return
    floats = operand.meta["val"].dtype.is_floating_point or isinstance(number, float)
    if not floats and _same_type(operand, node) and not is_returned(node):
        node.replace_all_uses_with(operand)


def _skip_if_all(node: fx.Node) -> None:
    """A tensor of which every part is replaced is what replaces it."""
    whole, part = node.all_input_nodes[:2]
    before, after = whole.meta["val"], part.meta["val"]
    if (before.dtype, before.device) != (after.dtype, after.device):
        return
    apart = len(part.users) == 1 and is_new(part)  # results are tensors apart
    if any(user.op == "output" for user in node.users) and not apart:
        return
    strides = map(equal_strides, before.stride(), after.stride())
    if same_sizes(before.shape, after.shape) and all(strides):
        node.replace_all_uses_with(part)


def _restore_linear(node: fx.Node) -> None:
    """addmm(bias, x, w.t()) is linear(x, w, bias), and mm(x, w.t()) is linear(x, w); so is the same between a view
    that flattens x and one that restores its rank."""
    *biases, x, transposed = node.args
    if node.kwargs or not (isinstance(transposed, fx.Node) and isinstance(x, fx.Node)):
        return
    if transposed.target is not aten.t.default:
        return
    if any(bias.meta["val"].dim() != 1 for bias in biases if isinstance(bias, fx.Node)):
        return
    source, result = _around(x, node) or (x, node)
    result.target = aten.linear.default
    result.args = (source, transposed.args[0], *biases)


def _around(x: fx.Node, product: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The tensor of which `x` is a flat view and the only use of `product`, if that is the view back."""
    if x.target not in _RESHAPES or len(product.users) != 1:
        return None
    source, result = x.args[0], next(iter(product.users))
    if result.target not in _RESHAPES or not isinstance(source, fx.Node):
        return None
    before, after = source.meta["val"], result.meta["val"]
    flat = x.meta["val"]
    if before.dim() != 3 or after.dim() != 3 or not is_contiguous(before):
        return None
    rows, columns = before.shape[:2], before.shape[2:]
    same = same_sizes(rows, after.shape[:2]) and same_sizes(columns, flat.shape[1:])
    return (source, result) if same else None
