"""How far from the reference an engine may be: bounds on rounding errors, carried through a graph value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dvm import _core, graph_reference

EPSILON = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}
UNROUNDED = ("neg", "abs", "relu", "copy", "maximum", "minimum", "select", "clamp")


def error_bounds(evaluation: graph_reference.Evaluation) -> list[float]:
    """For every value of the graph, a bound on the error that rounding may leave in its elements."""
    graph = evaluation.graph
    errors: list[float] = []
    for value in range(len(graph)):
        node = graph.node(value)
        dtype = node["type"]
        operands = node["operands"]
        came = [errors[v] for v in operands]
        sizes = [_magnitude(evaluation.values[v]) for v in operands]
        mine = _magnitude(evaluation.values[value])
        # How many elements of the (first) operand meet in one of the result.
        total = max((evaluation.values[v].size for v in operands[:1]), default=0) / max(
            1, evaluation.values[value].size
        )
        error = _propagated(node, came, sizes, max(1.0, total))
        rounds = node["kind"] in ("elementwise", "reduce", "cast") and dtype in EPSILON
        exact = node["kind"] == "elementwise" and node["op"] in UNROUNDED
        if rounds and (error or not exact):
            error += 8 * EPSILON[dtype] * mine
        if dtype == "f16" and mine > 60_000:
            error = (
                math.inf
            )  # infinite where an engine rounds it to memory, and finite where it does not
        errors.append(error if dtype in EPSILON else 0.0)
    return errors


def _magnitude(array: np.ndarray) -> float:
    if array.dtype.kind != "f":
        return float(np.abs(array.astype(np.float64)).max(initial=0.0))
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def _propagated(node: dict[str, Any], came: list[float], sizes: list[float], total: float) -> float:
    if node["kind"] == "reduce":
        if node["op"] in ("max", "min"):
            return came[0]
        # Equal terms are all rounded the same way, so that what sequential sums lose does not cancel.
        epsilon = EPSILON.get(node["type"], 0.0) * math.sqrt(total)
        if node["op"] == "sum_squares":
            return total * (2 * sizes[0] * came[0] + came[0] ** 2 + epsilon * sizes[0] ** 2)
        return total * (came[0] + epsilon * sizes[0])
    if node["kind"] != "elementwise":
        return max(came, default=0.0)
    epsilon = EPSILON.get(node["type"], 0.0)
    match node["op"]:
        case "mul":
            return came[0] * sizes[1] + came[1] * sizes[0] + came[0] * came[1]
        case "square_diff":
            spread = sizes[0] + sizes[1]
            return 2 * spread * (came[0] + came[1] + epsilon * spread) + (came[0] + came[1]) ** 2
        case "multiply_add":
            product = came[0] * sizes[1] + came[1] * sizes[0] + came[0] * came[1]
            return product + came[2] + epsilon * (sizes[0] * sizes[1] + sizes[2])
        case "sub_mul":
            spread = sizes[0] + sizes[1]
            return (came[0] + came[1] + epsilon * spread) * (sizes[2] + came[2]) + came[2] * spread
        case "gelu" | "gelu_tanh" | "silu" | "erf":
            return 1.2 * came[0] + 4 * epsilon * sizes[0]
        case "add" | "sub":
            return sum(came)
        case "sin" | "cos":
            return came[0] + epsilon * (1 + sizes[0])
        case _:
            return sum(came) + epsilon


def check(came: Sequence[np.ndarray], graph: _core.Graph, arguments: Sequence[Any]) -> None:
    """Fails where results differ from the reference by more than rounding explains."""
    evaluation = graph_reference.Evaluation(graph, arguments)
    errors = error_bounds(evaluation)
    for i, (result, wanted, value) in enumerate(
        zip(came, evaluation.outputs(), graph.outputs, strict=True)
    ):
        where = f"output {i}, %{value} of\n{graph}"
        assert result.dtype == wanted.dtype, where
        assert result.shape == wanted.shape, f"{result.shape} != {wanted.shape}: {where}"
        if errors[value] == math.inf or math.isnan(errors[value]):
            continue
        if wanted.dtype.kind in "iub":
            np.testing.assert_array_equal(result, wanted, err_msg=where)
            continue
        x, y = result.astype(np.float64), wanted.astype(np.float64)
        dtype = graph.type(value)
        bound = 2 * errors[value] + EPSILON[dtype] * np.abs(y) + (1e-7 if dtype == "f16" else 1e-37)
        with np.errstate(invalid="ignore"):
            same = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= bound)
        # A value that leaves the range of its type does so a little earlier or later.
        if dtype in ("f16", "f32"):
            edge = 0.99 * float(np.finfo(np.float16 if dtype == "f16" else np.float32).max)
            same |= (np.abs(x) >= edge) & (np.abs(y) >= edge)
        if not same.all():
            at = tuple(int(index[0]) for index in np.nonzero(~same))
            raise AssertionError(
                f"{x[at]} came at {at}, {y[at]} is wanted, bound {np.broadcast_to(bound, y.shape)[at]}: {where}"
            )
