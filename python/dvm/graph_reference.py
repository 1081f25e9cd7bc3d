"""A Graph evaluated node by node in NumPy, through the reference of each instruction: the oracle for all engines.

Slow and plain. Values are kept in the compute type of their element type, so that half floats round only where an
output is stored, and narrow integers wrap after every operation that can leave their range.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvm import _core, element_types, reference
from dvm.instructions import TABLE

Array = NDArray[Any]


def run(graph: _core.Graph, arguments: Sequence[Any]) -> tuple[Array, ...]:
    """The outputs of `graph` for `arguments`: its inputs and scalars in the order in which they were declared."""
    return Evaluation(graph, arguments).outputs()


class Evaluation:
    """One run: the values of the symbols, and of the nodes so far."""

    def __init__(self, graph: _core.Graph, arguments: Sequence[Any]) -> None:
        self.graph = graph
        self.sizes: dict[str, int] = {}
        self.values: dict[int, Array] = {}
        names = sorted([*graph.inputs, *graph.scalars])
        if len(names) != len(arguments):
            raise ValueError(
                f"[{graph.name}] {len(arguments)} arguments came, {len(names)} are wanted"
            )
        for value, argument in zip(names, arguments, strict=True):
            self.values[value] = self._argument(value, argument)
        for value in range(len(graph)):
            if value not in self.values:
                self.values[value] = self._compute(value)

    def outputs(self) -> tuple[Array, ...]:
        """The outputs, each in its element type."""
        return tuple(_stored(self.values[v], self.graph.type(v)) for v in self.graph.outputs)

    def size(self, dim: int | str) -> int:
        """The value of a dimension."""
        return dim if isinstance(dim, int) else size_of(dim, self.sizes)

    def _argument(self, value: int, argument: Any) -> Array:
        node = self.graph.node(value)
        array = np.asarray(argument)
        shape = node["shape"]
        if array.ndim != len(shape):
            raise ValueError(
                f"[{node['name']}] an array of rank {array.ndim} came, {len(shape)} is wanted"
            )
        for dim, size in zip(shape, array.shape, strict=True):
            known = self.sizes.setdefault(dim, size) if isinstance(dim, str) else dim
            if known != size:
                raise ValueError(f"[{node['name']}] the size {size} came where {dim} is {known}")
        return _loaded(array, node["type"])

    def _compute(self, value: int) -> Array:
        node = self.graph.node(value)
        operands = [self.values[v] for v in node["operands"]]
        shape = tuple(self.size(dim) for dim in node["shape"])
        dtype = _compute_dtype(node["type"])
        match node["kind"]:
            case "constant":
                return np.array(node["value"], dtype)
            case "size":
                return np.array(self.size(node["dim"]), dtype)
            case "iota":
                axis = node["axes"][0]
                positions = np.arange(shape[axis], dtype=dtype)
                return np.broadcast_to(
                    positions.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape
                )
            case "elementwise":
                came = reference.evaluate(node["op"], *operands)
                return (
                    _wrapped(came, node["type"])
                    if "wraps" in TABLE[node["op"]].properties
                    else came
                )
            case "cast":
                return _loaded(_stored(operands[0], node["type"]), node["type"])
            case "reduce":
                return _reduce(node["op"], operands[0], node.get("axes", []), node["type"])
            case "permute":
                return operands[0].transpose(node.get("axes", []))
            case "expand":
                return np.broadcast_to(operands[0], shape)
            case "reshape":
                return operands[0].reshape(shape)
            case "slice":
                axis, step = node["axes"]
                start = self.size(node["dim"])
                picked = slice(start, start + shape[axis] * step, step)
                sliced: Array = operands[0][(slice(None),) * axis + (picked,)]
                return sliced
            case "matmul" if "axes" in node:
                a, b, scales = (operand.astype(np.float64) for operand in operands)
                product: Array = np.matmul(a, _unpacked(b, scales, node["axes"][0]))
                return product.astype(dtype)
            case "matmul" if len(operands) == 3:
                return _grouped(*operands).astype(dtype)
            case "matmul":
                exact = np.float64 if np.issubdtype(dtype, np.floating) else np.int64
                wide = [operand.astype(exact) for operand in operands]
                return np.matmul(*wide).astype(dtype)
            case "convolve":
                return _convolve(node, operands, shape).astype(dtype)
            case "pool":
                return _pool(node, operands[0], shape)
            case "scan":
                return _scan(node, operands[0])
            case "attention":
                return _attention(node, operands).astype(dtype)
            case "concat":
                return np.concatenate(operands, node["axes"][0])
            case "gather":
                return _gather(operands[0], operands[1], node["axes"][0])
            case kind:
                raise ValueError(
                    f"[{self.graph.name}] %{value} is a {kind}, which NumPy cannot evaluate"
                )


_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda a, b: a // b if b else 0,
    ast.Mod: lambda a, b: a % b if b else 0,
}


def size_of(text: str, sizes: Mapping[str, int]) -> int:
    """The value of a dimension's expression, `((n+1)//2)` or `min(a,b)`, for these values of symbols."""

    def evaluate(tree: ast.expr) -> int:
        match tree:
            case ast.Constant(value=int(value)):
                return value
            case ast.Name(id=name):
                return sizes[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -evaluate(operand)
            case ast.Call(func=ast.Name(id="min" | "max" as name), args=arguments):
                return (min if name == "min" else max)(map(evaluate, arguments))
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATIONS[type(op)](evaluate(left), evaluate(right))
        raise ValueError(f"[dim] cannot read {text!r}")

    return evaluate(ast.parse(text, mode="eval").body)


def _compute_dtype(dtype: str) -> np.dtype[Any]:
    return np.dtype(element_types.numpy_name(element_types.compute(dtype)))


def _loaded(array: Array, dtype: str) -> Array:
    return array.astype(_compute_dtype(dtype))


def _stored(array: Array, dtype: str) -> Array:
    converted: Array = reference.convert(array, dtype)
    return converted


def _wrapped(array: Array, dtype: str) -> Array:
    narrow = (
        dtype != element_types.compute(dtype)
        and element_types.kind(dtype) is element_types.Kind.INTEGER
    )
    return _loaded(_stored(array, dtype), dtype) if narrow else array


def _unpacked(b: Array, scales: Array, bits: int) -> Array:
    """The weights that integers of 8 or 4 bits stand for, [..., k, n]."""
    if bits == 4:
        low, high = b % 16, b // 16
        pairs = np.stack([low, high], -2) - 8  # [..., k / 2, 2, n]
        b = pairs.reshape(*b.shape[:-2], 2 * b.shape[-2], b.shape[-1])
    groups = max(scales.shape[-2], 1)
    weights: Array = b * np.repeat(scales, b.shape[-2] // groups, -2)
    return weights


def _grouped(a: Array, b: Array, ends: Array) -> Array:
    """In float64, or integers: the rows of each group by its matrix, and zeros behind the last."""
    exact = np.float64 if np.issubdtype(a.dtype, np.floating) else np.int64
    result = np.zeros([a.shape[0], b.shape[2]], exact)
    begin = 0
    for matrix, last in zip(b, ends, strict=True):
        end = min(max(int(last), begin), a.shape[0])
        result[begin:end] = a[begin:end].astype(exact) @ matrix.astype(exact)
        begin = end
    return result


def _attention(node: Mapping[str, Any], operands: Sequence[Array]) -> Array:
    """In float64, with zeros or NaN for rows whose scores are all -inf."""
    q, k, v, *mask = (operand.astype(np.float64) for operand in operands)
    scores = node["scale"] * np.matmul(q, np.swapaxes(k, -1, -2))
    if mask and operands[3].dtype == np.bool_:
        scores = np.where(operands[3], scores, node["hidden"])
    elif mask:
        scores = scores + mask[0]
    if node["causal"]:
        seen = np.tri(scores.shape[-2], scores.shape[-1], dtype=bool)
        scores = np.where(seen, scores, -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isneginf(largest), 0, largest))
    total = powers.sum(-1, keepdims=True)
    blind = np.nan if node["nan_if_blind"] and v.shape[-2] else 0
    shares: Array = np.matmul(
        np.where(total == 0, blind, powers / np.where(total == 0, 1, total)), v
    )
    return shares


def _convolve(node: Mapping[str, Any], operands: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """In float64, tap by tap: what a tap reads, or transposed writes, is a slice of the padded operand or result."""
    x, weight = (operand.astype(np.float64) for operand in operands)
    axes = range(len(shape) - 2)
    stride, before, dilation = node["stride"], node["before"], node["dilation"]
    groups, taps = node["groups"], weight.shape[2:]
    # Moved is what the windows move over, still is what has an element for each place of a window.
    still, moved = (x.shape[2:], shape[2:]) if node["transposed"] else (shape[2:], x.shape[2:])
    reach = [(still[i] - 1) * stride[i] + (taps[i] - 1) * dilation[i] + 1 for i in axes]
    wide = [max(reach[i], before[i] + moved[i], 0) for i in axes]
    middle: Any = (..., *(slice(before[i], before[i] + moved[i]) for i in axes))
    first = [[tap[i] * dilation[i] for i in axes] for tap in np.ndindex(*taps)]
    places: list[Any] = [
        (..., *(slice(at[i], at[i] + still[i] * stride[i], stride[i]) for i in axes))
        for at in first
    ]
    parts = x.reshape([x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]])
    by = weight.reshape([groups, weight.shape[0] // groups, weight.shape[1], math.prod(taps)])
    if node["transposed"]:
        padded = np.zeros([x.shape[0], groups, weight.shape[1], *wide])
        for tap, place in enumerate(places):
            piece = np.einsum("ngc...,gco->ngo...", parts, by[..., tap])
            padded[place] += piece
        cut: Array = padded[middle]
        return cut.reshape(shape)
    padded = np.zeros([*parts.shape[:3], *wide])
    padded[middle] = parts
    result = np.zeros([x.shape[0], groups, by.shape[1], *shape[2:]])
    for tap, place in enumerate(places):
        result += np.einsum("ngc...,goc->ngo...", padded[place], by[..., tap])
    return result.reshape(shape)


def _pool(node: Mapping[str, Any], x: Array, shape: tuple[int, ...]) -> Array:
    """Tap by tap, over an operand that has nothing beyond its ends."""
    nothing = -np.inf if node["op"] == "max" else 0.0
    ends = zip(node["before"], node["after"], strict=True)
    wide = np.pad(x, [(0, 0), (0, 0), *ends], constant_values=nothing)
    result = np.full(shape, nothing, np.float64)
    for tap in np.ndindex(*node["taps"]):
        steps = zip(tap, node["dilation"], node["stride"], shape[2:], strict=True)
        place: Any = (
            ...,
            *(
                slice(t * apart, t * apart + size * stride, stride)
                for t, apart, stride, size in steps
            ),
        )
        there = wide[place][tuple(map(slice, shape))]
        result = np.maximum(result, there) if node["op"] == "max" else result + there
    return result.astype(x.dtype)


def _scan(node: Mapping[str, Any], x: Array) -> Array:
    """One element after the other; floats are gathered in float64."""
    wide = np.float64 if np.issubdtype(x.dtype, np.floating) else x.dtype
    join = np.add if node["op"] == "sum" else np.multiply
    with np.errstate(all="ignore"):
        gathered: Array = join.accumulate(x, node["axes"][0], dtype=wide).astype(x.dtype)
    return gathered


def _gather(array: Array, index: Array, axis: int) -> Array:
    """Picks along `axis`, the nearest element for an index beyond the ends; all other axes are broadcast."""
    index = np.clip(index, 0, array.shape[axis] - 1)
    rest = [
        (max(a, i) if 0 not in (a, i) else 0) if k != axis else None
        for k, (a, i) in enumerate(zip(array.shape, index.shape, strict=True))
    ]
    wide = np.broadcast_to(array, [array.shape[axis] if n is None else n for n in rest])
    spread = np.broadcast_to(index, [index.shape[axis] if n is None else n for n in rest])
    taken: Array = np.take_along_axis(wide, spread, axis)
    return taken


def _reduce(name: str, array: Array, axes: Sequence[int], dtype: str) -> Array:
    axes = list(axes) or list(range(array.ndim))
    kept = [i for i in range(array.ndim) if i not in axes]
    count = math.prod(array.shape[i] for i in axes)
    flat = array.transpose(kept + axes).reshape([*(array.shape[i] for i in kept), count])
    came = reference.evaluate(name, flat, axis=-1)
    result = came.reshape([1 if i in axes else size for i, size in enumerate(array.shape)])
    return _wrapped(result, dtype)
