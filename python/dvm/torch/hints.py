"""What the user states of sizes, `dvm.compile(..., facts=[...])`: in the vocabulary of Graph.fact, on the names of
`dynamic_shapes`. Fusion goes by it, so every call is held to it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dvm import _core
from dvm.compiled.signature import Signature, Symbol
from dvm.flow.arithmetic import evaluate, parse

_NAME = re.compile(r"[A-Za-z_]\w*")
_FUNCTIONS = {"min": "min", "max": "max"}


class Hints:
    """The facts of one call of dvm.compile, in terms of torch's symbols."""

    def __init__(self, facts: Sequence[Sequence[Any]], signature: Signature) -> None:
        """Raises ValueError for a fact without meaning, of a dimension that has no such name, or that contradicts
        others or the ranges of `dynamic_shapes`; TypeError for what is no fact at all."""
        self._names = {symbol.label: symbol.name for symbol in signature.symbols if symbol.label}
        self._labels = {symbol.name: symbol.title for symbol in signature.symbols}
        self.stated: list[tuple[Any, ...]] = []  # as Graph.fact takes them
        self._conditions: list[str] = []  # for each of them; empty for what is no demand
        known = _graph_of(signature)
        for fact in facts:
            if isinstance(fact, str) or not isinstance(fact, Sequence) or len(fact) < 3:
                wanted = '("multiple", "length", 8)'
                raise TypeError(f"[compile] facts has {fact!r}, wanted tuples such as {wanted}")
            try:
                stated = self._read(fact)
                known.fact(*stated, source="user")
                self.stated.append(stated)
                self._conditions.append(_condition(stated))
            except (ValueError, TypeError, OverflowError) as error:
                reason = self._told(str(error))
                raise ValueError(f"[compile] facts has {tuple(fact)}: {reason}") from None
        self.facts = [fact for fact in known.facts if fact["source"] == "user"]

    def checked(self, signature: Signature) -> Signature:
        """The signature of a model whose calls are held to the facts."""
        symbols = {symbol.name: symbol for symbol in signature.symbols}
        conditions = list(signature.conditions)
        for stated, condition in zip(self.stated, self._conditions, strict=True):
            dim = stated[1]
            if dim in symbols and stated[0] in ("multiple", "range"):
                symbols[dim] = _narrowed(symbols[dim], stated)
            elif condition:
                conditions.append(condition)
        return dataclasses.replace(
            signature, symbols=tuple(symbols.values()), conditions=tuple(conditions)
        )

    def check_example(self, sizes: Mapping[str, int]) -> None:
        """Raises ValueError where the example arguments break a fact."""
        for condition in filter(None, self._conditions):
            if parse(condition).names <= sizes.keys() and not evaluate(condition, sizes):
                came = ", ".join(f"{name} = {sizes[name]}" for name in parse(condition).names)
                raise ValueError(
                    f"[compile] the facts say {self._told(condition)}, "
                    f"the example arguments have {self._told(came)}"
                )

    def _read(self, fact: Sequence[Any]) -> tuple[Any, ...]:
        kind, dim, *values = fact
        if kind == "equal":
            values = [self._dim(value) for value in values]
        return (kind, self._dim(dim), *values)

    def _dim(self, text: Any) -> str:
        """A dimension, or arithmetic on several, in torch's symbols."""
        if isinstance(text, int) and not isinstance(text, bool):
            return str(text)
        if not isinstance(text, str):
            raise TypeError(f"a {type(text).__name__} came for a dimension, wanted its name")
        parsed = parse(text)
        unknown = sorted(parsed.names - self._names.keys())
        if unknown:
            known = ", ".join(sorted(self._names)) or "none"
            raise ValueError(
                f"dynamic_shapes has no dimension {unknown[0]}, its names are: {known}"
            )
        if not parsed.functions <= _FUNCTIONS.keys():
            raise ValueError(f"{text!r} has functions other than min and max")
        return parsed.python(_FUNCTIONS, self._names)

    def _told(self, text: str) -> str:
        """Text with the user's names in it."""
        return _NAME.sub(lambda match: self._labels.get(match[0], match[0]), text)


def _graph_of(signature: Signature) -> _core.Graph:
    """A Graph in which nothing is but the symbols, with what is known of them already."""
    graph = _core.Graph("facts")
    for symbol in signature.symbols:
        graph.input(f"of_{symbol.name}", "f32", [symbol.name])
        graph.fact("range", symbol.name, symbol.low, symbol.high, source="dynamic_shapes")
        if symbol.multiple != 1:
            graph.fact("multiple", symbol.name, symbol.multiple, source="torch")
    return graph


def _condition(stated: tuple[Any, ...]) -> str:
    """Arithmetic that holds where the fact does."""
    match stated:
        case "equal", a, b:
            return f"{a} == {b}"
        case "multiple", dim, number:
            return f"{dim if dim.isidentifier() else f'({dim})'} % {int(number)} == 0"
        case "range", dim, low, high:
            above = f"{int(low or 0)} <= {dim}"
            return above if high is None else f"{above} <= {int(high)}"
        case _:
            return ""


def _narrowed(symbol: Symbol, stated: tuple[Any, ...]) -> Symbol:
    match stated:
        case "multiple", _, number:
            return dataclasses.replace(symbol, multiple=math.lcm(symbol.multiple, int(number)))
        case _, _, low, high:
            highs = [int(limit) for limit in (symbol.high, high) if limit is not None]
            return dataclasses.replace(
                symbol, low=max(symbol.low, int(low or 0)), high=min(highs, default=None)
            )
        case _:
            return symbol
