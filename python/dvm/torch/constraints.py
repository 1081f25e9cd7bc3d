"""What torch.export found out about the sizes of a model's arguments: which there are, what the user calls them,
their ranges, and the conditions that its tracing relied on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils._sympy.functions import Mod, PythonMod
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from dvm.compiled.signature import Symbol
from dvm.torch.symbols import expression, python_text


class Constraints:
    """Of one exported program."""

    def __init__(self, program: ExportedProgram) -> None:
        self.ranges: dict[sympy.Symbol, ValueRanges[Any]] = {
            symbol: limits
            for symbol, limits in program.range_constraints.items()
            if isinstance(symbol, sympy.Symbol)
        }
        self.labels: dict[str, str] = {}
        self.guards = _guards(program)
        self.multiples: dict[sympy.Symbol, int] = {}
        for guard in self.guards:
            self._learn_multiple(guard)

    def name_symbols(
        self, program: ExportedProgram, names: Sequence[str], dynamic_shapes: Any
    ) -> None:
        """Takes from the user's `dynamic_shapes` what the dimensions are called."""
        args, kwargs = program.example_inputs
        given = {**dict(zip(names, args, strict=True)), **kwargs}
        if isinstance(dynamic_shapes, tuple | list):
            dynamic_shapes = dict(zip(given, _spread(dynamic_shapes, args), strict=False))
        shapes = iter(_user_values(program))
        for name, value in given.items():
            wanted = dynamic_shapes.get(name) if isinstance(dynamic_shapes, Mapping) else None
            for dims in _dims(wanted, value):
                self._name(dims, next(shapes, None))

    def _name(self, dims: Any, value: Any) -> None:
        if not isinstance(value, torch.Tensor) or not dims:
            return
        items = dims.items() if isinstance(dims, Mapping) else enumerate(dims)
        for axis, dim in items:
            symbols = expression(value.shape[axis]).free_symbols
            name = getattr(getattr(dim, "root", dim), "__name__", "")  # 2 * dim has a root
            if name and len(symbols) == 1:
                self.labels.setdefault(str(next(iter(symbols))), name)

    def symbols(self, values: Sequence[Any]) -> tuple[Symbol, ...]:
        """Where the value of each symbol is found, plain dimensions before multiples of a symbol."""
        found: dict[str, Symbol] = {}
        for plain in (True, False):
            for leaf, value in enumerate(values):
                for axis, size in _sizes(value):
                    self._solve(found, leaf, axis, size, plain)
        return tuple(found.values())

    def _solve(
        self, found: dict[str, Symbol], leaf: int, axis: int | None, size: sympy.Expr, plain: bool
    ) -> None:
        free = list(size.free_symbols)
        if size.is_Symbol != plain or len(free) != 1 or str(free[0]) in found:
            return
        (symbol,) = free
        polynomial = sympy.Poly(size, symbol) if size.is_polynomial(symbol) else None
        if polynomial is None or polynomial.degree() != 1:
            return
        multiplier, offset = map(int, polynomial.all_coeffs())
        if multiplier < 1:
            return
        limits = self.ranges.get(symbol)
        low = 0 if limits is None or limits.lower == -int_oo else int(limits.lower)
        high = None if limits is None or limits.upper == int_oo else int(limits.upper)
        name = str(symbol)
        found[name] = Symbol(
            name,
            self.labels.get(name, ""),
            low,
            high,
            self.multiples.get(symbol, 1),
            leaf,
            axis,
            multiplier,
            offset,
        )

    def conditions(self, symbols: Sequence[Symbol]) -> tuple[str, ...]:
        """The guards that say more than the ranges and multiples of the symbols."""
        known = {symbol.name for symbol in symbols}
        texts: dict[str, None] = {}
        for guard in self.guards:
            inside = {str(symbol) for symbol in guard.free_symbols}
            if inside <= known and not self._holds(guard):
                texts[python_text(guard)] = None
        return tuple(texts)

    def _learn_multiple(self, guard: sympy.Basic) -> None:
        """From `(c * s) % m == 0` that s is a multiple of m / gcd(c, m)."""
        if not isinstance(guard, sympy.Eq) or guard.rhs != 0:
            return
        if not isinstance(guard.lhs, Mod | PythonMod):
            return
        product, modulus = guard.lhs.args
        factor, symbol = product.as_coeff_Mul()
        if symbol.is_Symbol and modulus.is_Integer and factor.is_Integer:
            multiple = int(modulus) // math.gcd(int(factor), int(modulus))
            self.multiples[symbol] = math.lcm(multiple, self.multiples.get(symbol, 1))

    def _holds(self, guard: Any) -> bool:
        """Whether a guard follows from ranges and multiples. With s = 8 * t most that speak of s // 8 do."""
        quotients, ranges = {}, {}
        for symbol in guard.free_symbols:
            multiple = self.multiples.get(symbol, 1)
            limits = self.ranges.get(symbol, ValueRanges(0, int_oo))
            low = -(-limits.lower // multiple) if limits.lower != -int_oo else limits.lower
            high = limits.upper // multiple if limits.upper != int_oo else int_oo
            quotient = sympy.Symbol(f"{symbol}_quotient", integer=True, positive=bool(low > 0))
            quotients[symbol] = quotient * multiple
            ranges[quotient] = ValueRanges(low, high)
        changed = guard.subs(quotients)
        if changed in (sympy.true, sympy.false):
            return bool(changed)
        bounds = bound_sympy(changed, ranges)
        return bool(bounds.is_singleton() and bounds.lower)


def _spread(shapes: Sequence[Any], args: Sequence[Any]) -> Sequence[Any]:
    """`shapes` with one entry for each argument: those of a *rest come as one tuple."""
    last = shapes[-1] if shapes else None
    if not isinstance(last, tuple | list) or not isinstance(args[len(shapes) - 1], torch.Tensor):
        return shapes
    one_tensor = not any(isinstance(dims, Mapping | tuple | list) for dims in last)
    return shapes if one_tensor else [*shapes[:-1], *last]


def _guards(program: ExportedProgram) -> list[Any]:
    """What tracing assumed of sizes."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and hasattr(value, "fake_mode"):
            environment = value.fake_mode.shape_env
            if environment is None:
                return []
            return list(dict.fromkeys(guard.expr for guard in environment.guards))
    return []


def _user_values(program: ExportedProgram) -> Iterator[Any]:
    """What stands for each leaf of the arguments."""
    inputs = program.graph_signature.input_specs
    wanted = [spec.arg for spec in inputs if spec.kind is InputKind.USER_INPUT]
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for argument in wanted:
        node = nodes.get(getattr(argument, "name", ""))
        yield None if node is None else node.meta.get("val")


def _dims(wanted: Any, value: Any) -> Iterator[Any]:
    """What `dynamic_shapes` says of each leaf of one argument."""
    leaves, spec = torch.utils._pytree.tree_flatten(value)
    if spec.is_leaf():
        yield wanted
        return
    children = list(_children(value))
    for key, child in children:
        inner = None
        if isinstance(wanted, Mapping):
            inner = wanted.get(key)
        elif isinstance(wanted, tuple | list) and isinstance(key, int) and key < len(wanted):
            inner = wanted[key]
        yield from _dims(inner, child)
    if not children:
        yield from (None for _ in leaves)


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple | list):
        yield from enumerate(value)


def _sizes(value: Any) -> Iterator[tuple[int | None, sympy.Expr]]:
    if isinstance(value, torch.Tensor):
        for axis, size in enumerate(value.shape):
            yield axis, expression(size)
    elif isinstance(value, torch.SymInt):
        yield None, expression(value)
