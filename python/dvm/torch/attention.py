"""Finds attention that a program spells out, softmax(scale * q k^T + mask) v, and makes it the one operation that the
core computes without its scores in memory. scores.py reads what is between the two products; this finds both, and
writes the one node in their place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from dvm.torch.aliases import CONVERSIONS, is_view
from dvm.torch.axes import Axes, Part, Unknown, align, is_one, viewed
from dvm.torch.operations import calls
from dvm.torch.origins import origin, product_axes
from dvm.torch.rewrite import call
from dvm.torch.roles import Fallback
from dvm.torch.scores import Refused, Scores, read, the_user
from dvm.torch.symbols import IntLike, expression

aten = torch.ops.aten

_SOFTMAX = (aten._softmax.default, aten._safe_softmax.default)
_PRODUCTS = (aten.bmm.default, aten.mm.default)
_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def restore_attention(graph: fx.Graph, numerics: str) -> list[str]:
    """Rewrites what is attention, and says for what looks like it why it stays as it is."""
    notes: list[str] = []
    for softmax in calls(graph, _SOFTMAX):
        product = _weighs(softmax)
        if product is None:
            continue
        try:
            _restore(graph, softmax, product, numerics)
        except Refused as refused:
            place = Fallback(softmax, "").line
            notes.append(f"attention stays in parts: {refused}, at {place}")
    return notes


def _weighs(softmax: fx.Node) -> fx.Node | None:
    """The product that the shares are the left operand of, perhaps among others that read them."""
    pending = [softmax]
    while pending:
        node = pending.pop()
        for user in node.users:
            if user.target in _PRODUCTS and user.args[0] is node:
                return user
            if user.target in CONVERSIONS or viewed(user) is node:
                pending.append(user)
    return None


def _restore(graph: fx.Graph, softmax: fx.Node, product: fx.Node, numerics: str) -> None:
    scores = read(softmax)
    _check_types(scores, product, numerics)
    shares = Axes(softmax, scores.axes.parts, scores.axes.axes)
    while (user := the_user(shares.node, "its shares are")) is not product:
        try:
            converts = user.target in CONVERSIONS
            shares = Axes(user, shares.parts, shares.axes) if converts else shares.forth(user)
        except Unknown:
            raise Refused("its shares are rearranged before they weigh values") from None
    wanted = product_axes(shares.node, shares.parts, scores.row, scores.column)
    if shares.axes != wanted.axes:
        raise Refused("its shares are rearranged before they weigh values")
    _Writer(graph, scores, product, safe=softmax.target is not aten._softmax.default).write()


def _check_types(scores: Scores, product: fx.Node, numerics: str) -> None:
    operands = [*scores.product.args[-2:], product.args[1]]
    types = {node.meta["val"].dtype for node in operands if isinstance(node, fx.Node)}
    for dtype in types - set(_TYPES):
        raise Refused(f"the core attends to no {dtype}")
    if numerics == "eager" and types != {torch.float32}:
        raise Refused("numerics are eager's, which rounds scores to a narrow type")


class _Writer:
    """Writes the one node for scores and the product that weighs values with their shares."""

    def __init__(self, graph: fx.Graph, scores: Scores, product: fx.Node, *, safe: bool) -> None:
        self.graph, self.scores, self.product, self.safe = graph, scores, product, safe
        self.row, self.column = scores.row, scores.column
        q, k = (node for node in scores.product.args[-2:] if isinstance(node, fx.Node))
        v = product.args[1]
        assert isinstance(v, fx.Node)
        depth, width = Part(q.meta["val"].shape[-1]), Part(v.meta["val"].shape[-1])
        self.depth, self.width = depth, width
        self.q = origin(product_axes(q, None, self.row, depth), depth)
        self.k = origin(product_axes(k, None, depth, self.column), depth)
        self.v = origin(product_axes(v, None, self.column, width), width)
        self.masks = scores.masks

    def write(self) -> None:
        for name, operand in (("keys", self.k), ("values", self.v)):
            if not operand.in_rows:
                raise Refused(f"its {name} lie with their elements apart")
        operands = [self.q.axes, self.k.axes, self.v.axes]
        masks = [mask.axes for mask in self.masks]
        heads = _common([*operands, *masks])
        result, order, back = self._result(heads)
        with self.graph.inserting_before(result):
            q = self._everywhere(self._laid(self.q.axes, heads, self.row, self.depth), heads)
            k = self._laid(self.k.axes, heads, self.column, self.depth)
            v = self._laid(self.v.axes, heads, self.column, self.width)
            q = self.scores.scaled(q)
            mask, hidden = self.scores.mask(
                [self._laid(axes, heads, self.row, self.column) for axes in masks]
            )
            scale = self.scores.scale * self.q.factor * self.k.factor
            made = call(
                self.graph, torch.ops.dvm.attention.default, q, k, v,
                attn_mask=mask, scale=scale, hidden=hidden, safe=self.safe, order=order,
            )  # fmt: skip
            made.meta = {**self.product.meta, "val": made.meta["val"]}
            if back != list(range(len(back))):
                made = call(self.graph, aten.permute.default, made, back)
            shape = result.meta["val"].shape
            if [*map(expression, shape)] != [*map(expression, made.meta["val"].shape)]:
                made = call(self.graph, aten.view.default, made, list(shape))
        result.replace_all_uses_with(made)

    def _laid(self, axes: Axes, heads: Sequence[IntLike], row: Part, column: Part) -> fx.Node:
        """A tensor with an axis for each part of heads, of size 1 where it repeats itself, then rows and columns."""
        groups = align([part.size for part in axes.parts], heads)
        places = _places(axes, groups)
        of_heads = sorted((at for at in places if places[at]), key=lambda at: places[at][0])
        tail = [axes.axes.index((part,)) for part in (row, column) if (part,) in axes.axes]
        kept = [*of_heads, *tail]
        rest = [at for at in range(len(axes.axes)) if at not in kept]
        order = [*rest, *kept] if kept != sorted(kept) else sorted([*rest, *kept])
        shape: list[IntLike] = [1] * (len(heads) + 2)
        for at in of_heads:
            for place in places[at]:
                shape[place] = heads[place]
        for at, part in ((-2, row), (-1, column)):
            if (part,) in axes.axes:
                shape[at] = part.size
        node = axes.node
        if order != list(range(len(order))):
            node = call(self.graph, aten.permute.default, node, order)
        if [*map(expression, shape)] != [*map(expression, node.meta["val"].shape)]:
            node = call(self.graph, aten.view.default, node, shape)
        return node

    def _everywhere(self, q: fx.Node, heads: Sequence[IntLike]) -> fx.Node:
        shape = [*heads, *q.meta["val"].shape[-2:]]
        if [*map(expression, shape)] == [*map(expression, q.meta["val"].shape)]:
            return q
        return call(self.graph, aten.expand.default, q, shape)

    def _result(self, heads: Sequence[IntLike]) -> tuple[fx.Node, list[int], list[int]]:
        """The node to replace, the order in memory of the axes of attention, and the permutation of them which gives
        that node but for its shape. Heads that are joined behind it are made side by side."""
        axes = product_axes(self.product, None, self.row, self.width)
        natural = list(range(len(heads) + 2))
        best: tuple[fx.Node, list[int], list[int]] = (self.product, [], natural)
        while len(axes.node.users) == 1:
            try:
                axes = axes.forth(next(iter(axes.node.users)))
                order = self._order(axes, heads)
            except Unknown:
                break
            if axes.node.target is aten.clone.default:
                break
            if order is not None and not any(map(_sees_strides, axes.node.users)):
                best = (axes.node, order, order)
        return best if best[1] != natural else (best[0], [], natural)

    def _order(self, axes: Axes, heads: Sequence[IntLike]) -> list[int] | None:
        """The axes of attention in the order in which a view of its result has them, if rows end it."""
        places = _places(axes, align([part.size for part in axes.parts], heads))
        order: list[int] = []
        for at, axis in enumerate(axes.axes):
            if axis == (self.row,):
                order.append(len(heads))
            elif axis == (self.width,):
                order.append(len(heads) + 1)
            else:
                order += places[at]
        missing = [at for at in range(len(heads) + 2) if at not in order]
        if missing and all(at >= len(heads) for at in missing):
            sizes = (self.row.size, self.width.size)
            if not all(is_one(sizes[at - len(heads)]) for at in missing):
                return None
            order = [at for at in order if at != len(heads) + 1]
            order = [at for at in [len(heads)] if at in missing] + order + [len(heads) + 1]
        return order if len(order) == len(heads) + 2 and order[-1] == len(heads) + 1 else None


def _sees_strides(user: fx.Node) -> bool:
    return user.op == "output" or is_view(user)


def _places(axes: Axes, groups: Sequence[tuple[range, range]]) -> dict[int, list[int]]:
    """For each axis the heads' axes that run along it."""
    of_part: dict[Part, list[int]] = {}
    for first, second in groups:
        if len(first) > 1:
            raise Unknown
        of_part[axes.parts[first[0]]] = list(second)
    return {
        at: [place for part in axis for place in of_part.get(part, [])]
        for at, axis in enumerate(axes.axes)
    }


def _common(all_axes: Sequence[Axes]) -> list[IntLike]:
    """The sizes of the finest parts that heads are divided into."""
    heads: list[IntLike] = [part.size for part in all_axes[0].parts]
    try:
        for axes in all_axes[1:]:
            sizes = [part.size for part in axes.parts]
            finer: list[IntLike] = []
            for first, second in align(heads, sizes):
                finer += (
                    [heads[at] for at in first] if len(first) > 1 else [sizes[at] for at in second]
                )
            heads = finer
    except Unknown:
        raise Refused("its heads are divided in ways that do not fit together") from None
    return heads
