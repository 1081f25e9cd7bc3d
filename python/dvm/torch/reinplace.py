"""Does updates in place again. A captured graph is functional: `cache[:, :, at] = k` has become a new tensor, equal to
the cache but for a part, which is copied into the cache at the end. Where nobody can tell the difference the part is
written where it belongs, and nothing else is moved.

An update in place is two nodes: one that changes memory, `copy_(slice(base, ...), part)` or `index_put_(base, ...)`,
and `after(base, change)`, the changed tensor, so that whatever reads it comes later. That what reads the tensor as it
was comes earlier is said by `Changes.before`. Nothing is changed while anybody reads the old value afterwards, be it
through a view or a result, nor in memory that the program does not own or that lies otherwise than the new tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from dvm.torch.aliases import (
    after,
    changes_in_place,
    is_opaque,
    lies_as,
    offset,
    packet_name,
    readers,
    regroups,
    root,
)
from dvm.torch.aten import COMPUTED, COPIES, CREATED
from dvm.torch.operations import calls, operation, targets
from dvm.torch.roles import Fallback
from dvm.torch.simplify import leave_out_unused
from dvm.torch.symbols import same_size, same_sizes

aten = torch.ops.aten

# Operations that replace a part of their first operand, and the view that this part is.
_PARTS = {
    aten.slice_scatter.default: aten.slice.Tensor,
    aten.select_scatter.default: aten.select.int,
    aten.diagonal_scatter.default: aten.diagonal.default,
}

_IN_PLACE_NAMES = """
index_put.default _unsafe_index_put.default index_copy.default index_add.default index_fill.int_Scalar
index_fill.int_Tensor index_reduce.default scatter.src scatter.value scatter.reduce scatter.value_reduce
scatter_add.default scatter_reduce.two masked_scatter.default
"""


def _in_place() -> dict[Any, Any]:
    """Operations that change elements of their first operand, and the same in place."""
    pairs: dict[Any, Any] = {}
    for name in _IN_PLACE_NAMES.split():
        packet, _, overload = name.partition(".")
        changing = f"{packet.removeprefix('_unsafe_')}_"
        pairs[getattr(getattr(aten, packet), overload)] = getattr(getattr(aten, changing), overload)
    return pairs


_IN_PLACE = _in_place()
_UPDATES = frozenset({*_PARTS, *(target for target in _IN_PLACE if target not in COMPUTED)})
_UNFILLED = frozenset({"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"})


@dataclass
class Change:
    """One update of a tensor, for explain()."""

    name: str  # of the operation
    tensor: str  # what it changes
    node: fx.Node | None  # that changes it in place
    reason: str  # why nothing does
    line: str  # of the program

    def told(self, direct: Mapping[fx.Node, fx.Node]) -> dict[str, Any]:
        """As plain values; `direct` has the changes that kernels make by themselves."""
        how = self.reason
        if self.node is not None:
            how = "a kernel writes it" if self.node in direct.values() else str(self.node.target)
        in_place = self.node is not None
        return {
            "name": self.name,
            "tensor": self.tensor,
            "in_place": in_place,
            "how": how,
            "line": self.line,
        }


@dataclass
class Changes:
    """What a graph changes in place."""

    before: dict[fx.Node, set[fx.Node]] = field(default_factory=dict)
    """For each node that changes memory those that read it as it was, or wrote it: they come first."""

    account: list[Change] = field(default_factory=list)


def reinplace(
    graph: fx.Graph, views: Set[int] = frozenset(), laid_out: Set[fx.Node] | None = None
) -> Changes:
    """Changes the graph. Its mutable operations are those that copy into placeholders at its end. `views` are the
    numbers of the results that the caller replaces by views of arguments, `laid_out` the placeholders whose strides
    are those that were traced, None for all."""
    work = _Reinplacing(graph, views, laid_out)
    if work.applies():
        work.run()
    return work.changes


class _Reinplacing:
    def __init__(self, graph: fx.Graph, views: Set[int], laid_out: Set[fx.Node] | None) -> None:
        self.graph = graph
        self.views = views
        self.laid_out = laid_out
        (self.output,) = graph.find_nodes(op="output")
        self.changes = Changes()
        self.states: dict[fx.Node, fx.Node] = {}  # the latest of the memory that a root made
        self.writers: dict[fx.Node, fx.Node] = {}  # what made it
        self.last = {
            node.all_input_nodes[0]: node
            for node in calls(graph, (aten.copy_.default,))
            if node.all_input_nodes[0].op == "placeholder"
        }

    def applies(self) -> bool:
        known = set(self.last.values())
        called = {target: operation(target) for target in targets(self.graph)}
        changing = [target for target, of in called.items() if of.is_overload and of.changes]
        return all(node in known for node in calls(self.graph, changing))

    def run(self) -> None:
        updates = calls(self.graph, _UPDATES)
        if not updates and not self.last:
            return
        for node in updates:
            if not self._is_inner(node):
                self._update(node)
        for tensor in self.last:
            if self.writers.get(tensor):
                self._return_copies(tensor, self.output)
        for tensor, copy in self.last.items():
            self._copy_back(tensor, copy)
        leave_out_unused(self.graph)
        alive = set(self.graph.nodes)
        for node, earlier in self.changes.before.items():
            self.changes.before[node] = earlier & alive

    # One update.

    def _update(self, node: fx.Node) -> None:
        base, steps, inner = self._unwind(node)
        replaced = {node, *inner}
        reason = self._refusal(node, base, replaced)
        if reason and _is_created(base):
            base, reason = self._twin(node, base), ""  # one of its own
        if reason:
            self._tell(node, base, None, reason)
            for part in inner[:1]:
                self._update(part)
            return
        whole = root(base)
        if whole.op == "placeholder":
            self._return_copies(whole, node)
        earlier = self._readers(whole) - replaced - {self.output}
        innermost = inner[-1] if inner else node
        with self.graph.inserting_before(node):
            view = base
            for target, arguments in steps:
                view = self._view(target, view, arguments)
            change = self._change(innermost, view, whole)
            result = self.graph.call_function(after, (base, change, whole))
        change.meta = {**node.meta, "val": view.meta["val"]}
        result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        for old in (node, *inner):
            self.graph.erase_node(old)
        self.changes.before[change] = earlier
        self.states[whole] = result
        self.writers[whole] = change
        self._tell(node, base, change, "")

    def _is_inner(self, node: fx.Node) -> bool:
        """Whether it is done with an update of what it is a part of."""
        return any(user.target in _PARTS and node in self._unwind(user)[2] for user in node.users)

    def _unwind(self, node: fx.Node) -> tuple[fx.Node, list[Any], list[fx.Node]]:
        """The tensor that is changed, the views that lead to the changed part, and the updates of parts of parts on
        the way: slice_scatter(x, select_scatter(slice(x), y)) changes select(slice(x))."""
        base: fx.Node = node.args[0]  # type: ignore[assignment]
        steps: list[Any] = []
        inner: list[fx.Node] = []
        whole = base
        while node.target in _PARTS:
            view = _PARTS[node.target]
            arguments = _defaults(view, (node.args[0], *node.args[2:]), node.kwargs)[1:]
            steps.append((view, arguments))
            part = node.args[1]
            if not isinstance(part, fx.Node) or len(part.users) != 1:
                break
            if not _is_update(part):
                break
            looked_at = part.args[0]
            assert isinstance(looked_at, fx.Node)
            if looked_at.target is not view or _defaults(view, looked_at.args, looked_at.kwargs) != (
                whole, *arguments,
            ):  # fmt: skip
                break
            inner.append(part)
            node, whole = part, looked_at
        return base, steps, inner

    def _refusal(self, node: fx.Node, base: fx.Node, replaced: set[fx.Node]) -> str:
        """Why a tensor cannot be changed where it lies; nothing if it can."""
        whole = root(base)
        if whole.op == "placeholder" and whole not in self.last:
            return f"{whole.name} is not the program's to change"
        if whole.op == "get_attr" or is_opaque(whole):
            return f"nothing tells who else has {whole.name}"
        if not lies_as(node, base) or _overlaps_itself(base):
            return "its result lies otherwise in memory"
        if regroups(base) and not self._is_laid_out(whole):
            return f"{base.name} may be a copy of {whole.name}, whose strides are known at run time"
        if offset(base) != 0:
            return f"{base.name} is a part of {whole.name}, not all of it"
        for reader in self._readers(whole):
            if reader in replaced or reader < node:
                continue
            if reader is not self.output:
                return f"{reader.name} reads {whole.name} as it was before"
            returned = [r for r in self._results().values() if root(r) is whole]
            if not returned:
                continue
            late = any(result > node for result in returned)
            if late or whole.op != "placeholder":
                return f"{whole.name} is returned as it was before"
        return ""

    def _is_laid_out(self, whole: fx.Node) -> bool:
        """Whether memory is certainly laid out as torch's tracing has it, so that reshapes which were views are."""
        if whole.op == "placeholder":
            return self.laid_out is None or whole in self.laid_out
        return whole.target in COMPUTED or whole.target in COPIES or _is_created(whole)

    def _results(self) -> dict[int, fx.Node]:
        """Those that are returned as they are."""
        results: Any = self.output.args[0]
        return {
            number: result
            for number, result in enumerate(results)
            if isinstance(result, fx.Node) and number not in self.views
        }

    def _readers(self, whole: fx.Node) -> set[fx.Node]:
        """Of the latest state of its memory. Those of earlier ones come before the change that ended them."""
        return set(readers(self.states.get(whole, whole)))

    def _twin(self, node: fx.Node, base: fx.Node) -> fx.Node:
        with self.graph.inserting_before(node):
            return self.graph.node_copy(base)

    def _view(self, target: Any, base: fx.Node, arguments: tuple[Any, ...]) -> fx.Node:
        view = self.graph.call_function(target, (base, *arguments))
        for other in base.users:  # most parts have been looked at before
            alike = other is not view and other.target is target
            if alike and _defaults(target, other.args, other.kwargs)[1:] == arguments:
                view.meta["val"] = other.meta["val"]
                return view
        value = base.meta["val"]
        known = fx.map_arg(arguments, lambda node: node.meta["val"])
        environment = value.fake_mode.shape_env
        with value.fake_mode:
            if environment is None:
                view.meta["val"] = target(value, *known)
            else:
                with environment.suppress_guards():  # tracing looked at the part before
                    view.meta["val"] = target(value, *known)
        return view

    def _change(self, node: fx.Node, view: fx.Node, whole: fx.Node) -> fx.Node:
        """The node that changes `view` as `node` would have changed its first operand."""
        if node.target in _PARTS:
            source = node.args[1]
            assert isinstance(source, fx.Node)
            return self._write(view, self._apart(self._without_copy(source, whole), whole))
        arguments = fx.map_arg(node.args[1:], lambda operand: self._apart(operand, whole))
        named = fx.map_arg(node.kwargs, lambda operand: self._apart(operand, whole))
        return self.graph.call_function(_IN_PLACE[node.target], (view, *arguments), named)

    def _without_copy(self, source: fx.Node, whole: fx.Node) -> fx.Node:
        """What an assigned part is a copy of, where that is to be written: a kernel's result in the type and shape of
        the part, so that the kernel can write it there; or what no kernel makes, since torch converts as it copies."""
        if source.target is not aten.copy.default:
            return source
        inner = source.args[1]
        assert isinstance(inner, fx.Node)
        memory = root(inner)
        if memory is whole or memory in self.last or self.writers.get(memory):
            return source  # the copy has what was there then
        a, b = inner.meta["val"], source.meta["val"]
        if a.device != b.device:
            return source
        same = a.dtype == b.dtype and same_sizes(a.shape, b.shape)
        return inner if same or memory.target not in COMPUTED else source

    def _write(self, view: fx.Node, source: fx.Node) -> fx.Node:
        number = _filling(source, view.meta["val"].dtype)
        if number is not None:
            return self.graph.call_function(aten.fill_.Scalar, (view, number))
        return self.graph.call_function(aten.copy_.default, (view, source))

    def _apart(self, operand: fx.Node, whole: fx.Node) -> fx.Node:
        """An operand that shares no memory with what is being changed."""
        if not isinstance(operand.meta.get("val"), torch.Tensor) or root(operand) is not whole:
            return operand
        copy = self.graph.call_function(aten.clone.default, (operand,))
        copy.meta = dict(operand.meta)
        return copy

    # Results, and what is copied back at the end.

    def _return_copies(self, whole: fx.Node, end: fx.Node) -> None:
        """Results are tensors apart from arguments: those that lie in an argument are copied before `end`."""
        results: Any = list(self.output.args[0])
        copies: dict[fx.Node, fx.Node] = {}
        for number, result in self._results().items():
            if result in copies:
                results[number] = copies[result]
            elif root(result) is whole and result < end and not changes_in_place(result):
                with self.graph.inserting_after(result):
                    copy = self.graph.call_function(aten.clone.default, (result,))
                copy.meta = dict(result.meta)
                copies[result] = results[number] = copy
        if copies:
            self.output.args = (tuple(results),)

    def _copy_back(self, tensor: fx.Node, copy: fx.Node) -> None:
        value = copy.args[1]
        assert isinstance(value, fx.Node)
        if root(value) is tensor and lies_as(value, tensor) and offset(value) == 0:
            copy.replace_all_uses_with(tensor)
            self.graph.erase_node(copy)  # onto itself
            return
        with self.graph.inserting_before(copy):
            value = self._apart(self._without_copy(value, tensor), tensor)
        number = _filling(value, tensor.meta["val"].dtype)
        if number is not None:
            copy.target, value = aten.fill_.Scalar, number
        copy.args = (tensor, value)
        earlier = self._readers(tensor)
        if tensor in self.writers:
            earlier.add(self.writers[tensor])
        self.changes.before[copy] = {node for node in earlier if node < copy}

    def _tell(self, node: fx.Node, base: fx.Node, change: fx.Node | None, reason: str) -> None:
        line = Fallback(node, reason).line
        told = Change(str(node.target), root(base).name, change, reason, line)
        self.changes.account.append(told)


def _is_update(node: fx.Node) -> bool:
    return node.target in _UPDATES


def _is_created(node: fx.Node) -> bool:
    """Whether it is made from numbers, and may as well be made twice."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    return node.target in CREATED or packet_name(node) in _UNFILLED


def _defaults(target: Any, arguments: Any, named: Any) -> tuple[Any, ...]:
    """All arguments of an operation, by position."""
    parameters = target._schema.arguments
    given = dict(named)
    return tuple(
        arguments[number]
        if number < len(arguments)
        else given.get(parameter.name, parameter.default_value)
        for number, parameter in enumerate(parameters)
    )


def _overlaps_itself(node: fx.Node) -> bool:
    value = node.meta["val"]
    return any(
        same_size(stride, 0) and not same_size(size, 1)
        for size, stride in zip(value.shape, value.stride(), strict=True)
    )


def _filling(node: fx.Node, dtype: torch.dtype) -> Any:
    """The number that is everywhere in a created tensor of the type, or None."""
    if node.target is aten.copy.default and isinstance(node.args[1], fx.Node):
        node = node.args[1]
    if node.target not in CREATED or node.meta["val"].dtype != dtype:
        return None
    if node.target in (aten.full.default, aten.full_like.default, aten.fill.Scalar):
        return node.args[1]
    if "zero" in packet_name(node):
        return 0
    return 1 if "ones" in packet_name(node) else None
