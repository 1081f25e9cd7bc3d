"""Arithmetic on sizes as text: `(s0 * 2 + 1) // 8`. The text may come from a file, so it is parsed by the rules below,
and what is run later is written anew from the tree; nothing is ever evaluated as it came.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 20_000
MAX_EXPONENT = 8

_MATH = """
acos asin atan ceil cos cosh exp floor log log2 pow sin sinh sqrt tan tanh trunc
"""

# What may be called, under the name it has in the text.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{function.__name__: function for function in (min, max, abs, int, float, round)},
    **{f"math.{name}": getattr(math, name) for name in _MATH.split()},
}

_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Div, ast.Mod)
_UNARY = (ast.USub, ast.UAdd, ast.Not)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Parsed:
    """A checked expression."""

    tree: ast.expr
    names: frozenset[str]
    functions: frozenset[str]

    def python(
        self, functions: Mapping[str, str], variables: Mapping[str, str] | None = None
    ) -> str:
        """Its Python code. The mappings say under which names the code finds the functions that it calls, and the
        variables where they are called otherwise."""
        return ast.unparse(_Renamed(functions, variables or {}).visit(self._copy()))

    def _copy(self) -> ast.expr:
        return ast.parse(ast.unparse(self.tree), mode="eval").body


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Parsed:
    """Reads an expression over integers, floats, names, + - * // / % **, comparisons, and/or/not, `a if c else b`, and
    the functions above. Raises ValueError for anything else."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"[flow] an expression of {len(text)} characters, wanted {MAX_LENGTH}")
    try:
        tree = ast.parse(text, mode="eval").body
        names: set[str] = set()
        functions: set[str] = set()
        _check(tree, names, functions)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"[flow] {text[:80]!r} is no arithmetic on sizes: {error}") from None
    return Parsed(tree, frozenset(names), frozenset(functions))


def evaluate(text: str, values: Mapping[str, int]) -> Any:
    """The value of an expression."""
    parsed = parse(text)
    called = {name: f"_{number}" for number, name in enumerate(sorted(parsed.functions))}
    scope = {alias: FUNCTIONS[name] for name, alias in called.items()}
    code = compile(parsed.python(called), "<size>", "eval")
    return eval(code, {"__builtins__": {}, **scope}, dict(values))  # noqa: S307 - of the checked tree


def _check(node: ast.expr, names: set[str], functions: set[str]) -> None:
    inside: list[ast.expr]
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return
        case ast.Name(id=name):
            if name.startswith("__"):
                raise ValueError(f"the name {name}")
            names.add(name)
            return
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _BINARY):
            inside = [left, right]
        case ast.BinOp(
            left=base, op=ast.Pow(), right=ast.Constant(value=(int() | float()) as exponent)
        ):
            if not 0 <= exponent <= MAX_EXPONENT:
                raise ValueError(f"the exponent {exponent}")
            inside = [base]
        case ast.UnaryOp(op=op, operand=operand) if isinstance(op, _UNARY):
            inside = [operand]
        case ast.BoolOp(values=values):
            inside = values
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            isinstance(op, _COMPARISONS) for op in ops
        ):
            inside = [left, *others]
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            inside = [test, body, otherwise]
        case ast.Call(func=function, args=arguments, keywords=[]):
            name = _function(function)
            functions.add(name)
            inside = arguments
        case _:
            raise ValueError(f"a {type(node).__name__}")
    for part in inside:
        _check(part, names, functions)


def _function(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            pass
        case ast.Attribute(value=ast.Name(id="math"), attr=attribute):
            name = f"math.{attribute}"
        case _:
            raise ValueError("a call of something unnamed")
    if name not in FUNCTIONS:
        raise ValueError(f"a call of {name}")
    return name


class _Renamed(ast.NodeTransformer):
    """Gives functions and variables the names under which the code that is written finds them."""

    def __init__(self, functions: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self.functions = functions
        self.variables = variables

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self.variables.get(node.id, node.id), ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = self.functions[_function(node.func)]
        arguments = [self.visit(argument) for argument in node.args]
        return ast.Call(ast.Name(name, ast.Load()), arguments, [])
