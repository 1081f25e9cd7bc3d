"""Sizes between torch and the core: sympy expressions over torch's symbols become the text of a Dim.

Nothing here may ask torch for the value of a size, or even whether two sizes are equal: both would add a guard, and
with it a recompilation. Expressions are compared by their structure alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import sympy
import torch
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Max, Min, Mod, PythonMod
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.printers import PythonPrinter

Size = int | str
IntLike = int | torch.SymInt

Fact = tuple[str, str, int] | tuple[str, str, int, int | None]  # as Graph.fact takes them

_PRINTER = PythonPrinter()
_NAME = re.compile(r"[A-Za-z_]\w*")
# Torch assumes as much of every size that changes, but a program may do for 0 and 1 as well.
_DEFAULT_LOW = 2

_integer = functools.lru_cache(maxsize=4096)(sympy.Integer)


def expression(size: IntLike) -> sympy.Expr:
    """The sympy expression of a size."""
    if isinstance(size, torch.SymInt):
        return size.node.expr
    return _integer(size)


def same_size(a: IntLike, b: IntLike) -> bool:
    """Whether two sizes are one expression."""
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if isinstance(a, torch.SymInt) and isinstance(b, torch.SymInt) and a.node is b.node:
        return True
    return bool(expression(a) == expression(b))


def same_sizes(first: Sequence[IntLike], second: Sequence[IntLike]) -> bool:
    """Whether two shapes are one."""
    return len(first) == len(second) and all(map(same_size, first, second))


def names(*sizes: Size) -> set[str]:
    """The symbols in sizes as the core reads them."""
    return {name for size in sizes for name in _NAME.findall(str(size))} - {"min", "max"}


class Symbols:
    """The symbols of one graph: names every size, and remembers how Python computes those that are not plain."""

    def __init__(self) -> None:
        self.opaque: dict[str, sympy.Expr] = {}  # name -> what it stands for
        self._names: dict[sympy.Expr, str] = {}
        self._texts: dict[sympy.Expr, Size] = {}
        self._sizes: dict[Any, Size] = {}  # by what torch has inside a size, which tensors share
        self._shapes: dict[int, tuple[torch.Tensor, list[Size]]] = {}  # by id of the tensor
        self._orders: dict[tuple[Size, ...], tuple[int, ...] | None] = {}  # by sizes and strides
        self.hints: Sequence[tuple[Any, ...]] = ()  # what the user states, as Graph.fact takes it
        self._environment: Any = None  # torch's, which holds what it knows of its symbols

    def size(self, size: IntLike) -> Size:
        """The size as the core reads it."""
        if not isinstance(size, torch.SymInt):
            return int(size)
        known = self._sizes.get(size.node)
        if known is None:
            known = self._sizes[size.node] = self._new(size)
        return known

    def _new(self, size: torch.SymInt) -> Size:
        expr = size.node.expr
        if self._environment is None:
            self._environment = size.node.shape_env
            self._texts.update(_fixed(self._environment))
        text = self._texts.get(expr)
        if text is None:
            # A size such as -n follows from a number that the program was given, which is no size itself.
            text = self._opaque(expr) if _is_negated(expr) else self._text(expr)
            self._texts[expr] = text
        return text

    def shape(self, sizes: Sequence[IntLike]) -> list[Size]:
        return [size if size.__class__ is int else self.size(size) for size in sizes]

    def shape_of(self, tensor: torch.Tensor) -> list[Size]:
        """The sizes of a tensor that is being traced, not to be changed."""
        known = self._shapes.get(id(tensor))
        if known is None:
            known = self._shapes[id(tensor)] = tensor, self.shape(tensor.shape)
        return known[1]

    def order_of(self, tensor: torch.Tensor) -> tuple[int, ...] | None:
        """Its axes from outermost to innermost in memory when it is dense, else None."""
        strides = tensor.stride()
        key = (*self.shape_of(tensor), *self.shape(strides))
        if key not in self._orders:
            self._orders[key] = memory_order(tensor.shape, strides)
        return self._orders[key]

    def facts(self) -> Iterator[Fact]:
        """What torch holds every call to, by the guards and ranges that it has by now: ("multiple", symbol, k) and
        ("range", symbol, low, high or None)."""
        if self._environment is None:
            return
        for symbol, limits in self._environment.var_to_range.items():
            low, high = _whole(limits.lower) or 0, _whole(limits.upper)
            if low <= _DEFAULT_LOW:
                low = 0
            if low or high is not None:
                yield "range", str(symbol), low, high
        for guard in self._environment.guards:
            match guard.expr:
                case sympy.Eq(lhs=Mod(args=(divided, by)), rhs=sympy.S.Zero):
                    if divided.is_Symbol and by.is_Integer and by > 0:
                        yield "multiple", str(divided), int(by)

    def _text(self, expr: sympy.Expr) -> Size:
        if expr.is_Integer:
            return int(expr)
        if expr.is_Symbol:
            return str(expr.name)
        if expr.is_Add or expr.is_Mul:
            terms = [self._text(term) for term in expr.args]
            sign = "+" if expr.is_Add else "*"
            return f"({sign.join(str(term) for term in terms)})"
        if expr.is_Pow and expr.exp.is_Integer and 2 <= int(expr.exp) <= 4:
            base = text = str(self._text(expr.base))
            for _ in range(int(expr.exp) - 1):
                text = f"({text}*{base})"
            return text
        if isinstance(expr, FloorDiv | CleanDiv):
            return f"({self._text(expr.args[0])}//{self._text(expr.args[1])})"
        if isinstance(expr, Mod | PythonMod):
            return f"({self._text(expr.args[0])}%{self._text(expr.args[1])})"
        if isinstance(expr, Max | Min):
            extreme = "max" if isinstance(expr, Max) else "min"
            return f"{extreme}({','.join(str(self._text(argument)) for argument in expr.args)})"
        return self._opaque(expr)

    def _opaque(self, expr: sympy.Expr) -> str:
        name = self._names.get(expr)
        if name is None:
            name = self._names[expr] = f"d{len(self._names)}"
            self.opaque[name] = expr
        return name


def _fixed(environment: Any) -> dict[sympy.Expr, Size]:
    """The sizes that torch took to be numbers, as by broadcasting one that can only be 1."""
    found: dict[sympy.Expr, Size] = {}
    for guard in environment.guards:
        match guard.expr:
            case sympy.Eq(lhs=lhs, rhs=sympy.Integer() as number) if lhs.free_symbols:
                found[lhs] = int(number)
    return found


def _is_negated(expr: sympy.Expr) -> bool:
    return bool(expr.is_Mul and expr.args[0].is_number and expr.args[0] < 0)


def _whole(limit: Any) -> int | None:
    if limit in (int_oo, -int_oo) or not getattr(limit, "is_Integer", False):
        return None
    # Torch's own largest number stands for no limit as well.
    return int(limit) if abs(int(limit)) < 2**62 else None


def python_text(expr: sympy.Expr) -> str:
    """Python code that computes `expr` from variables with the names of its symbols."""
    return str(_PRINTER.doprint(expr))


def memory_order(shape: Sequence[IntLike], strides: Sequence[IntLike]) -> tuple[int, ...] | None:
    """The axes from outermost to innermost in memory when the tensor is dense, else None.

    An axis of size 1 may stand anywhere, so it stays beside the neighbour it is indexed after.
    """
    return _memory_order(tuple(map(expression, shape)), tuple(map(expression, strides)))


@functools.lru_cache(maxsize=4096)
def _memory_order(
    sizes: tuple[sympy.Expr, ...], strides: tuple[sympy.Expr, ...]
) -> tuple[int, ...] | None:
    left = [axis for axis in range(len(sizes)) if sizes[axis] != 1]
    order: list[int] = []
    expected: sympy.Expr = sympy.Integer(1)
    while left:
        # From the right: of axes that could both come next (an axis may be empty), indexing order wins.
        axis = next((axis for axis in reversed(left) if _equal(strides[axis], expected)), None)
        if axis is None:
            return None
        left.remove(axis)
        order.append(axis)
        expected = expected * (sizes[axis] if sizes[axis] != 0 else 1)
    order.reverse()
    for axis in range(len(sizes)):
        if sizes[axis] == 1:
            order.insert(order.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(order)


def is_contiguous(tensor: torch.Tensor) -> bool:
    """Whether the tensor is known to be dense in the order of its axes."""
    order = memory_order(tensor.shape, tensor.stride())
    return order is not None and list(order) == sorted(order)


def equal_strides(a: IntLike, b: IntLike) -> bool:
    """Whether two strides are equal in every tensor that has elements."""
    return same_size(a, b) or _equal(expression(a), expression(b))


def _equal(a: sympy.Expr, b: sympy.Expr) -> bool:
    if a == b:
        return True
    if a.is_Integer and b.is_Integer:
        return False
    return bool(sympy.expand(_plain(a)) == sympy.expand(_plain(b)))


def _plain(stride: sympy.Expr) -> sympy.Expr:
    """Torch writes the strides of sizes that may be 0 as Max(1, n)."""
    return stride.xreplace({node: node.args[1] for node in stride.atoms(Max) if node.args[0] == 1})
