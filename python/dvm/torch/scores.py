"""Reads the scores of an attention that a program spells out: the product of queries and keys, and what is done to it
before its softmax. What is read must be read by nothing else, and mean what the core's attention does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx

from dvm.torch.aliases import CONVERSIONS
from dvm.torch.axes import Axes, Part, Unknown, is_one, viewed
from dvm.torch.operations import operation
from dvm.torch.origins import OVER, TIMES, product_axes, source
from dvm.torch.rewrite import call
from dvm.torch.symbols import expression

aten = torch.ops.aten

_PRODUCTS = (aten.bmm.default, aten.mm.default, aten.baddbmm.default)
_FILLS = (aten.masked_fill.Scalar, aten.masked_fill.Tensor)
_WHERES = (aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf)
_NOTS = (aten.bitwise_not.default, aten.logical_not.default)
_FULL = (aten.scalar_tensor.default, aten.full.default)

# What is added to a score that is less than this is all that is left of it.
_NOTHING_ELSE = -1e30


class Refused(Exception):  # noqa: N818 - not an error: attention stays in parts
    """Raised for what is no attention, or none that the core computes; its text is the reason."""


@dataclass(frozen=True)
class Mask:
    """Something that meets scores: `node` is added to them, or, where it is bool, `hidden` takes their place where it
    is false. Its axes are theirs."""

    axes: Axes
    hidden: float | None = None  # of a bool
    seen: bool = True  # what of a bool leaves scores as they are
    factor: float = 1.0  # of what is added


@dataclass
class Scores:
    """What was read: the product, and the axes of the scores that a softmax reads."""

    product: fx.Node
    row: Part
    column: Part
    axes: Axes
    scale: float = 1.0
    masks: list[Mask] = field(default_factory=list)
    scalings: list[fx.Node] = field(default_factory=list)  # by numbers that a call brings

    def scaled(self, q: fx.Node) -> fx.Node:
        """Queries times what scores are multiplied by, as far as it is no constant."""
        for node in self.scalings:
            q = call(q.graph, node.target, q, node.args[1])
        return q

    def mask(self, laid: Sequence[fx.Node]) -> tuple[fx.Node | None, float]:
        """The one mask that `masks`, laid out alike, are together, and what a bool one puts in place of scores."""
        hiding = [
            (mask, node)
            for mask, node in zip(self.masks, laid, strict=True)
            if mask.hidden is not None
        ]
        adding = [
            (mask, node) for mask, node in zip(self.masks, laid, strict=True) if mask.hidden is None
        ]
        hidden = hiding[0][0].hidden if hiding else -math.inf
        assert hidden is not None
        seen = None
        for mask, node in hiding:
            one = node if mask.seen else call(node.graph, aten.logical_not.default, node)
            seen = one if seen is None else call(node.graph, aten.logical_and.default, seen, one)
        added = None
        for mask, node in adding:
            one = node if mask.factor == 1 else call(node.graph, aten.mul.Tensor, node, mask.factor)
            added = one if added is None else call(node.graph, aten.add.Tensor, added, one)
        if seen is None or added is None:
            return seen if added is None else added, hidden
        number = call(
            seen.graph,
            aten.masked_fill.Scalar,
            _as_large(added, seen),
            call(seen.graph, aten.logical_not.default, seen),
            hidden,
        )
        return number, -math.inf

    def check_masks(self) -> None:
        hiding = [mask.hidden for mask in self.masks if mask.hidden is not None]
        if len(set(hiding)) > 1:
            raise Refused("several masks put different numbers in place of its scores")
        if hiding and len(hiding) < len(self.masks) and not hiding[0] < _NOTHING_ELSE:
            raise Refused(f"a mask puts {hiding[0]} in place of scores, and another is added")


def _as_large(added: fx.Node, seen: fx.Node) -> fx.Node:
    shapes = [node.meta["val"].shape for node in (added, seen)]
    shape = [b if is_one(a) else a for a, b in zip(*shapes, strict=True)]
    if [*map(expression, shape)] == [*map(expression, shapes[0])]:
        return added
    return call(added.graph, aten.expand.default, added, shape)


def the_user(node: fx.Node, what: str) -> fx.Node:
    """The only node that reads another."""
    if len(node.users) != 1:
        raise Refused(f"{what} read elsewhere too")
    return next(iter(node.users))


def read(softmax: fx.Node) -> Scores:
    """The scores that a softmax reads. Raises Refused."""
    x, dim = softmax.args[:2]
    assert isinstance(x, fx.Node)
    if dim not in (-1, x.meta["val"].dim() - 1):
        raise Refused("its softmax is not over the last axis")
    scores = _read(x)
    last = scores.axes.axes[-1] if scores.axes.axes else None
    if last != (() if is_one(scores.column.size) else (scores.column,)):
        raise Refused("its softmax is not over the keys")
    scores.check_masks()
    return scores


def _read(x: fx.Node) -> Scores:
    """What is known of the scores `x`, from the product on."""
    the_user(x, "its scores are")
    target, operand = x.target, x.args[0] if x.args else None
    if target in _PRODUCTS:
        return _product(x)
    if not isinstance(operand, fx.Node):
        raise Refused(f"its scores come from {x.name}")
    if target in CONVERSIONS:
        return _moved(_read(operand), x)
    if viewed(x) is not None:
        scores = _read(operand)
        try:
            return replace(scores, axes=scores.axes.forth(x))
        except Unknown:
            raise Refused("its scores are rearranged") from None
    if target in (*TIMES, *OVER):
        return _times(_read(operand), x)
    if target is aten.add.Tensor and not x.kwargs:
        return _plus(x)
    if target in _FILLS:
        mask, number = x.args[1:3]
        return _hides(_read(operand), x, mask, number, seen=False)
    if target in _WHERES:
        return _where(x)
    raise Refused(f"its scores go through {operation(target).packet or x.name}")


def _product(x: fx.Node) -> Scores:
    left, right = x.args[-2:]
    assert isinstance(left, fx.Node)
    assert isinstance(right, fx.Node)
    row, column = Part(left.meta["val"].shape[-2]), Part(right.meta["val"].shape[-1])
    scores = Scores(x, row, column, product_axes(x, None, row, column))
    if x.target is aten.baddbmm.default:
        beta, alpha = (x.kwargs.get(name, 1) for name in ("beta", "alpha"))
        if not all(isinstance(number, int | float) for number in (beta, alpha)):
            raise Refused("its scale is not a constant")
        scores.scale = float(alpha)  # type: ignore[arg-type]
        if beta != 0:
            scores.masks.append(_meets(scores, x.args[0], x, factor=float(beta)))  # type: ignore[arg-type]
    return scores


def _moved(scores: Scores, x: fx.Node) -> Scores:
    if not x.meta["val"].dtype.is_floating_point:
        raise Refused(f"its scores become {x.meta['val'].dtype}")
    return replace(scores, axes=Axes(x, scores.axes.parts, scores.axes.axes))


def _times(scores: Scores, x: fx.Node) -> Scores:
    scores = _moved(scores, x)
    number = x.args[1]
    if isinstance(number, int | float):
        factor = float(number) if x.target in TIMES else 1 / float(number) if number else math.inf
        if not math.isfinite(factor):
            raise Refused("its scale is not finite")
        masks = [
            replace(mask, factor=mask.factor * factor)
            if mask.hidden is None
            else replace(mask, hidden=mask.hidden * factor)
            for mask in scores.masks
        ]
        return replace(scores, scale=scores.scale * factor, masks=masks)
    known = number.meta["val"] if isinstance(number, fx.Node) else None
    if isinstance(known, torch.Tensor) and known.dim():
        raise Refused("its scale is a tensor")
    if scores.masks:
        raise Refused("its mask is scaled by no constant")
    return replace(scores, scalings=[*scores.scalings, x])


def _plus(x: fx.Node) -> Scores:
    reasons: list[Refused] = []
    for operand, other in (x.args[:2], x.args[1::-1]):
        if not isinstance(operand, fx.Node) or not isinstance(other, fx.Node):
            continue
        if (
            not isinstance(operand.meta["val"], torch.Tensor)
            or operand.meta["val"].dim() < x.meta["val"].dim()
        ):
            continue
        try:
            scores = _read(operand)
        except Refused as refused:
            reasons.append(refused)
            continue
        return _met(scores, _meets(scores, other, x), x)
    raise reasons[0] if reasons else Refused("a number is added to its scores")


def _where(x: fx.Node) -> Scores:
    condition, kept, other = x.args[:3]
    reasons: list[Refused] = []
    for operand, number, seen in ((kept, other, True), (other, kept, False)):
        if (
            isinstance(operand, fx.Node)
            and operand.meta["val"].dim()
            and _number(number) is not None
        ):
            try:
                return _hides(_read(operand), x, condition, number, seen=seen)
            except Refused as refused:
                reasons.append(refused)
    raise reasons[0] if reasons else Refused("a mask replaces its scores by no constant")


def _hides(scores: Scores, x: fx.Node, mask: Any, number: Any, *, seen: bool) -> Scores:
    hidden = _number(number)
    if hidden is None:
        raise Refused("a mask replaces its scores by no constant")
    met = _meets(scores, mask, x)
    return _met(scores, _positive(replace(met, hidden=hidden, seen=seen)), x)


def _met(scores: Scores, mask: Mask, x: fx.Node) -> Scores:
    if (mask.hidden is None) == (mask.axes.node.meta["val"].dtype == torch.bool):
        raise Refused("its mask is of a type that is not added")
    return replace(_moved(scores, x), masks=[*scores.masks, mask])


def _number(value: Any) -> float | None:
    """The number that an argument is, as a constant tensor too."""
    if isinstance(value, fx.Node) and value.target in _FULL:
        value = value.args[0 if value.target is aten.scalar_tensor.default else 1]
    return float(value) if isinstance(value, int | float) else None


def _meets(scores: Scores, mask: Any, x: fx.Node, factor: float = 1.0) -> Mask:
    """A mask with the axes of the scores that it meets in `x`."""
    if not isinstance(mask, fx.Node) or [*map(expression, scores.axes.shape)] != [
        *map(expression, x.meta["val"].shape)
    ]:
        raise Refused("its mask is larger than its scores")
    shape = mask.meta["val"].shape
    theirs = scores.axes.axes[len(scores.axes.axes) - len(shape) :]
    axes = Axes(
        mask,
        scores.axes.parts,
        [() if is_one(size) else axis for size, axis in zip(shape, theirs, strict=True)],
    )
    axes = source(axes)
    hides = _adds_all_or_nothing(axes.node)
    if hides is None:
        return Mask(axes, factor=factor)
    condition, hidden, seen = hides
    return _positive(Mask(source(Axes(condition, axes.parts, axes.axes)), hidden * factor, seen))


def _positive(mask: Mask) -> Mask:
    """The same, of what a bool mask is the negation of."""
    while mask.hidden is not None and mask.axes.node.target in _NOTS:
        operand = mask.axes.node.args[0]
        assert isinstance(operand, fx.Node)
        axes = source(Axes(operand, mask.axes.parts, mask.axes.axes))
        if operand.meta["val"].dtype != torch.bool:
            break
        mask = replace(mask, axes=axes, seen=not mask.seen)
    return mask


def _adds_all_or_nothing(node: fx.Node) -> tuple[fx.Node, float, bool] | None:
    """The condition of where(condition, 0, hidden), or the other way round, where `hidden` is so low that nothing else
    of a score is left; and for which value of it a score stays."""
    if node.target is not aten.where.self:
        return None
    condition, first, second = node.args
    numbers = (_number(first), _number(second))
    assert isinstance(condition, fx.Node)
    if condition.meta["val"].dim() != node.meta["val"].dim():
        return None
    for kept, hidden, seen in ((*numbers, True), (*numbers[::-1], False)):
        if kept == 0 and hidden is not None and hidden < _NOTHING_ELSE:
            return condition, hidden, bool(seen)
    return None
