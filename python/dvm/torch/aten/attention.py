"""Scaled dot-product attention, as torch's CPU kernels and torch.export name it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

import dvm.torch.operators  # noqa: F401 - defines torch.ops.dvm
from dvm.torch.aten.table import COMPUTED, lowers, overloads
from dvm.torch.builder import Builder
from dvm.torch.moves import Scoring
from dvm.torch.value import Declined, Value

aten = torch.ops.aten


@dataclass(frozen=True)
class _Call:
    """The arguments of either spelling."""

    q: fx.Node
    k: fx.Node
    v: fx.Node
    mask: Any
    dropout: float
    causal: bool
    scale: Any


@lowers(COMPUTED, *overloads("_scaled_dot_product_flash_attention_for_cpu", "default"))
def flash_attention(
    b: Builder,
    node: fx.Node,
    q: fx.Node,
    k: fx.Node,
    v: fx.Node,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Any = None,
    scale: Any = None,
) -> tuple[Value, ...]:
    """The attention alone; its log-sum-exp is for a backward pass, which is torch's."""
    if any(user.args[1] != 0 for user in node.users):
        raise Declined("its log-sum-exp is needed, for a backward pass")
    call = _Call(q, k, v, attn_mask, dropout_p, is_causal, scale)
    return (_any_heads(b, node.meta["val"][0], call),)


@lowers(COMPUTED, aten.scaled_dot_product_attention.default)
def attention(
    b: Builder,
    node: fx.Node,
    q: fx.Node,
    k: fx.Node,
    v: fx.Node,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Value:
    call = _Call(q, k, v, attn_mask, dropout_p, is_causal, scale)
    return _any_heads(b, node.meta["val"], call)


@lowers(COMPUTED, torch.ops.dvm.attention.default)
def spelled_attention(
    b: Builder,
    node: fx.Node,
    q: fx.Node,
    k: fx.Node,
    v: fx.Node,
    attn_mask: fx.Node | None = None,
    *,
    scale: float,
    hidden: float,
    safe: bool,
    order: Sequence[int],
) -> Value:
    """What a program spelled out, see dvm.torch.attention."""
    added = None if attn_mask is None else _mask(b, attn_mask)
    operands = [b.cast(_operand(b, q), "f32"), _operand(b, k), _operand(b, v)]
    return b.attention(operands, added, Scoring(scale, False, hidden, not safe), order)


def _any_heads(b: Builder, result: torch.Tensor, call: _Call) -> Value:
    """With as many heads of keys as of queries, or fewer."""
    if b.value(call.q).shape[-3:-2] != b.value(call.k).shape[-3:-2]:
        shapes = [tensor.meta["val"].shape for tensor in (call.q, call.k)]
        if all(len(shape) > 2 for shape in shapes) and not statically_known_true(
            shapes[0][-3] == shapes[1][-3]
        ):
            return _grouped(b, result, call)
    order = b.symbols.order_of(result) or ()
    if order and order[-1] != len(order) - 1:
        order = ()
    added = None if call.mask is None else _mask(b, call.mask)
    query, factor = _scaled(b, call)
    operands = [query, _operand(b, call.k), _operand(b, call.v)]
    return b.attention(operands, added, Scoring(factor, call.causal), order)


def _grouped(b: Builder, result: torch.Tensor, call: _Call) -> Value:
    """Queries of several heads share the keys of one: an axis of their own for these heads."""
    heads, groups = (tensor.meta["val"].shape[-3] for tensor in (call.q, call.k))
    if not isinstance(heads, int) or not isinstance(groups, int):
        raise Declined("how many heads share a key is not known")
    query, factor = _scaled(b, call)
    key, value = _operand(b, call.k), _operand(b, call.v)
    shape = query.shape
    query = b.reshape(query, [*shape[:-3], groups, heads // groups, *shape[-2:]])
    key, value = (b.reshape(one, [*one.shape[:-2], 1, *one.shape[-2:]]) for one in (key, value))
    added = None if call.mask is None else _mask(b, call.mask)
    if added is not None and added.rank > 2:
        at = added.rank - 2
        split = [1, 1] if added.shape[at - 1] == 1 else [groups, heads // groups]
        added = b.reshape(added, [*added.shape[: at - 1], *split, *added.shape[at:]])
    made = b.attention([query, key, value], added, Scoring(factor, call.causal), ())
    return b.reshape(made, b.symbols.shape_of(result))


_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def _operand(b: Builder, node: fx.Node) -> Value:
    """Keys and values are read as they lie, converted on the way."""
    if node.meta["val"].dtype not in _TYPES:
        raise Declined(f"the core attends to no {node.meta['val'].dtype}")
    return b.value(node)


def _mask(b: Builder, node: fx.Node) -> Value:
    """What is added to scores, or hides those where it is false."""
    value = b.value(node)
    return value if value.type == "bool" else b.cast(_operand(b, node), "f32")


def _scaled(b: Builder, call: _Call) -> tuple[Value, float]:
    """The queries, and the number that the scores are multiplied by. Where that follows from a size that changes, the
    queries are multiplied."""
    if call.dropout != 0:
        raise Declined("it draws random numbers for dropout")
    query = b.cast(_operand(b, call.q), "f32")
    if isinstance(call.scale, int | float):
        return query, float(call.scale)
    if call.scale is not None:
        raise Declined("its scale is not a constant")
    depth = call.q.meta["val"].shape[-1]
    if isinstance(depth, int):
        return query, 1 / math.sqrt(depth) if depth else 1.0
    return query * b.op("rsqrt", b.cast(b.size(depth), "f32")), 1.0
