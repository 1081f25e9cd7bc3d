"""Follows the axes of a tensor through views and copies: which axes of one node are which of another, where heads were
joined, split or repeated on the way. symbols.py tells where the elements of one tensor lie; this, what they mean.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch import fx

from dvm.torch.symbols import IntLike, expression

aten = torch.ops.aten

_SAME = (
    aten.clone.default,
    aten.alias.default,
    aten.detach.default,
    aten.lift_fresh_copy.default,
)
_SHAPED = (
    aten.view.default,
    aten._unsafe_view.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.expand.default,
)


class Part:
    """A part of what counts heads: an axis, or what is left of one that was split. Rows and columns are one each."""

    __slots__ = ("size",)

    def __init__(self, size: IntLike) -> None:
        self.size = size


Axis = tuple[Part, ...]
"""The parts that run along one axis of a tensor, the slowest first; none where its elements are all the same."""


class Unknown(Exception):  # noqa: N818 - not an error: the axes are not followed any further
    """Raised where views do more than join, split, repeat and permute heads."""


class Axes:
    """What the axes of `node` are. `parts` are all parts that count heads, in order, those too that `node` repeats."""

    def __init__(self, node: fx.Node, parts: Sequence[Part], axes: Sequence[Axis]) -> None:
        self.node = node
        self.parts = tuple(parts)
        self.axes = tuple(axes)

    @property
    def shape(self) -> Sequence[IntLike]:
        shape: Sequence[IntLike] = self.node.meta["val"].shape
        return shape

    def back(self) -> Axes | None:
        """Those of the operand that `node` is a view or a copy of, if it is one that can be followed."""
        operand = viewed(self.node)
        if operand is None:
            return None
        order = permutation(self.node)
        if order is not None:
            return self.permuted(operand, [order.index(axis) for axis in range(len(order))])
        try:
            return self._reshaped(operand, repeats=self.node.target is aten.expand.default)
        except Unknown:
            return None

    def forth(self, view: fx.Node) -> Axes:
        """Those of a view or a copy of `node`. Raises Unknown where it cannot be followed."""
        if viewed(view) is not self.node:
            raise Unknown
        order = permutation(view)
        if order is not None:
            return self.permuted(view, order)
        return self._reshaped(view, repeats=view.target is aten.expand.default)

    def permuted(self, node: fx.Node, order: Sequence[int]) -> Axes:
        return Axes(node, self.parts, [self.axes[place] for place in order])

    def _reshaped(self, node: fx.Node, *, repeats: bool) -> Axes:
        shape: Sequence[IntLike] = node.meta["val"].shape
        if repeats:
            return Axes(node, self.parts, self._repeated(shape))
        before = [axis for axis, size in enumerate(self.shape) if not is_one(size)]
        after = [axis for axis, size in enumerate(shape) if not is_one(size)]
        axes: list[Axis] = [()] * len(shape)
        parts = list(self.parts)
        groups = align([self.shape[axis] for axis in before], [shape[axis] for axis in after])
        for first, second in groups:
            runs = [self.axes[before[at]] for at in first]
            if len(second) == 1:
                axes[after[second[0]]] = _joined(parts, runs)
                continue
            pieces = _cut(parts, runs[0], [shape[after[at]] for at in second])
            for at, piece in zip(second, pieces, strict=True):
                axes[after[at]] = piece
        return Axes(node, parts, axes)

    def _repeated(self, shape: Sequence[IntLike]) -> list[Axis]:
        """Through an expand, between an axis of size 1 and one that repeats it."""
        more = len(shape) - len(self.shape)
        axes = [()] * more + list(self.axes[max(-more, 0) :])
        sizes = [1] * more + list(self.shape[max(-more, 0) :])
        return [
            axis if expression(size) == expression(now) else ()
            for axis, size, now in zip(axes, sizes, shape, strict=True)
        ]


def _joined(parts: Sequence[Part], runs: Sequence[Axis]) -> Axis:
    """What several axes are as one."""
    run = tuple(part for axis in runs for part in axis)
    if len(runs) > 1 and run and not (all(runs) and _follow(parts, run)):
        raise Unknown
    return run


def _cut(parts: list[Part], run: Axis, sizes: Sequence[IntLike]) -> list[Axis]:
    """What one axis is as several, for which some of `parts` may have to be split."""
    pieces: list[Axis] = [()] * len(sizes)
    if not run:
        return pieces
    if not _follow(parts, run):
        raise Unknown
    for first, second in align([part.size for part in run], sizes):
        if len(second) == 1:
            pieces[second[0]] = tuple(run[at] for at in first)
            continue
        split = [Part(sizes[at]) for at in second]
        place = parts.index(run[first[0]])
        parts[place : place + 1] = split
        for at, part in zip(second, split, strict=True):
            pieces[at] = (part,)
    return pieces


def _follow(parts: Sequence[Part], run: Axis) -> bool:
    """Whether these count heads, and follow each other as they do among all."""
    if not all(part in parts for part in run):
        return False
    first = parts.index(run[0])
    return tuple(parts[first : first + len(run)]) == run


def viewed(node: fx.Node) -> fx.Node | None:
    """What a node is a view or a copy of, the elements of both alike."""
    known = node.op == "call_function" and (
        node.target in _SAME or node.target in _SHAPED or permutation(node) is not None
    )
    operand = node.args[0] if known else None
    return operand if isinstance(operand, fx.Node) and "val" in operand.meta else None


def permutation(node: fx.Node) -> list[int] | None:
    """The operand's axis that becomes each axis of a node which permutes them."""
    rank = node.meta["val"].dim() if isinstance(node.meta.get("val"), torch.Tensor) else 0
    order = list(range(rank))
    if node.target is aten.permute.default:
        axes: Any = node.args[1]
        return [axis % rank for axis in axes]
    if node.target is aten.transpose.int:
        a, b = (int(axis) % rank for axis in node.args[1:3])  # type: ignore[arg-type]
        order[a], order[b] = b, a
        return order
    return order[::-1] if node.target is aten.t.default else None


def align(a: Sequence[IntLike], b: Sequence[IntLike]) -> tuple[tuple[range, range], ...]:
    """Cuts two shapes of as many elements into runs of equal products, of which one is a single size each. Raises
    Unknown where that cannot be seen."""
    groups = _align(tuple(map(expression, a)), tuple(map(expression, b)))
    if groups is None:
        raise Unknown
    return groups


@functools.lru_cache(maxsize=4096)
def _align(
    a: tuple[sympy.Expr, ...], b: tuple[sympy.Expr, ...]
) -> tuple[tuple[range, range], ...] | None:
    groups: list[tuple[range, range]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        many = _run(a, i, b[j])
        if many:
            groups.append((range(i, i + many), range(j, j + 1)))
            i, j = i + many, j + 1
            continue
        many = _run(b, j, a[i])
        if not many:
            return None
        groups.append((range(i, i + 1), range(j, j + many)))
        i, j = i + 1, j + many
    return tuple(groups) if i == len(a) and j == len(b) else None


def _run(sizes: Sequence[sympy.Expr], begin: int, product: sympy.Expr) -> int:
    """How many sizes from `begin` on have this product, 0 for none."""
    wanted = sympy.expand(product)
    for count in range(1, len(sizes) - begin + 1):
        if sympy.expand(math.prod(sizes[begin : begin + count])) == wanted:
            return count
    return 0


def is_one(size: IntLike) -> bool:
    return bool(expression(size) == 1)
