"""Matrix products of ATen. What is added, scaled or activated behind one is elementwise and joins it in the core."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

import dvm.torch.operators  # noqa: F401 - defines torch.ops.dvm
from dvm.torch.aten.table import COMPUTED, lowers, names, overloads
from dvm.torch.builder import Builder
from dvm.torch.value import Declined, Value

aten = torch.ops.aten

_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def _operands(b: Builder, *nodes: fx.Node) -> list[Value]:
    for node in nodes:
        if node.meta["val"].dtype not in _TYPES:
            raise Declined(f"the core multiplies no matrices of {node.meta['val'].dtype}")
    return [b.value(node) for node in nodes]


def _plus(b: Builder, result: Value, term: fx.Node, factor: Any = 1) -> Value:
    """The sum is in the type of the product, which is wider than that of its operands."""
    added = b.cast(b.value(term), result.type)
    return result + (added if factor == 1 else added * factor)


@lowers(COMPUTED, aten.mm.default, aten.bmm.default)
def product(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
    return b.matmul(*_operands(b, x, y))


@lowers(COMPUTED, aten.linear.default)
def linear(b: Builder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: Any = None) -> Value:
    rows, columns = _operands(b, x, weight)
    if rows.rank == 1:
        result = b.matmul(b.reshape(rows, [1, *rows.shape]), b.permute(columns, [1, 0]))
        result = b.reshape(result, result.shape[1:])
    else:
        result = b.matmul(rows, b.permute(columns, [1, 0]))
    return result if bias is None else _plus(b, result, bias)


@lowers(COMPUTED, aten.addmm.default, aten.baddbmm.default)
def product_added_to(
    b: Builder,
    node: fx.Node,
    added: fx.Node,
    x: fx.Node,
    y: fx.Node,
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Value:
    """`beta` 0 leaves out what is added, NaN included."""
    result = b.matmul(*_operands(b, x, y))
    if alpha != 1:
        result = result * alpha
    if beta == 0:
        return result
    return _plus(b, result, added, beta)


@lowers(COMPUTED, aten._int_mm.default)
def product_of_bytes(b: Builder, node: fx.Node, x: fx.Node, y: fx.Node) -> Value:
    types = [operand.meta["val"].dtype for operand in (x, y)]
    if types[0] not in (torch.int8, torch.uint8) or types[1] != torch.int8:
        raise Declined(f"the core multiplies no {types[0]} with {types[1]}")
    return b.matmul(b.value(x), b.value(y))


@lowers(COMPUTED, torch.ops.dvm.linear_by_groups.default)
def linear_by_groups(
    b: Builder, node: fx.Node, x: fx.Node, weight: fx.Node, scales: fx.Node, bits: int
) -> Value:
    integers, factors = (b.permute(b.value(operand), [1, 0]) for operand in (weight, scales))
    return b.matmul_scaled(b.value(x), integers, factors, bits)


@names("transformers::grouped_mm_fallback")
@lowers(COMPUTED, *overloads("_grouped_mm", "default"))
def product_of_groups(
    b: Builder,
    node: fx.Node,
    x: fx.Node,
    y: fx.Node,
    offs: fx.Node | None = None,
    bias: Any = None,
    out_dtype: Any = None,
) -> Value:
    """Of rows by the matrix of their group, or of as many matrices of both. Rows behind the last group give zeros."""
    ranks = tuple(operand.meta["val"].dim() for operand in (x, y))
    if bias is not None or out_dtype not in (None, x.meta["val"].dtype):
        raise Declined("the core adds nothing to products of groups, and leaves their type")
    rows, matrices = _operands(b, x, y)
    if ranks == (3, 3) and offs is None:
        return b.matmul(rows, matrices)
    if ranks != (2, 3) or offs is None:
        raise Declined("the core groups the rows of the left operand only")
    return b.matmul_grouped(rows, matrices, b.value(offs))


@lowers(COMPUTED, aten.mv.default)
def product_with_vector(b: Builder, node: fx.Node, x: fx.Node, vector: fx.Node) -> Value:
    rows, column = _operands(b, x, vector)
    return b.reshape(b.matmul(rows, b.reshape(column, [*column.shape, 1])), rows.shape[:1])
