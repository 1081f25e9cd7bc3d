"""What a compiled model takes: for every leaf of its arguments a tensor, a number or a fixed value, and how the sizes
hang together. Plain data; call.py makes code of it that checks in nanoseconds, refusal.py says what is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dvm.compiled.structure import Structure
from dvm.flow.arithmetic import parse
from dvm.flow.json_form import WORDS, Json, argument_from_json, argument_to_json, variable


@dataclass(frozen=True)
class Tensor:
    """A tensor. A size is a number or arithmetic on symbols."""

    dtype: str  # as torch calls it: "float32"
    device: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Number:
    """A number that may be another at every call."""

    kind: str  # "int", "float" or "bool"


@dataclass(frozen=True)
class Fixed:
    """A value that the program was made for: None, a bool, an int, a float or a text."""

    value: Any


Leaf = Tensor | Number | Fixed


@dataclass(frozen=True)
class Symbol:
    """A size that may differ from call to call, and where its value is found: a dimension of the leaf is
    `multiplier * symbol + offset`, or the leaf is an int (`axis` is None)."""

    name: str
    label: str  # what the user calls it, empty for nothing
    low: int
    high: int | None  # None is no limit
    multiple: int  # it is divisible by this
    leaf: int
    axis: int | None
    multiplier: int = 1
    offset: int = 0

    @property
    def title(self) -> str:
        """What it is called, be it by torch."""
        return self.label or self.name

    @property
    def range(self) -> str:
        """`1..512`, with what else is asked of it."""
        text = f"{self.low}.." + ("" if self.high is None else str(self.high))
        return text + (f", a multiple of {self.multiple}" if self.multiple != 1 else "")


REQUIRED: Any = object()
"""The default of an argument that has to be given."""


@dataclass(frozen=True)
class Parameter:
    """An argument of the model."""

    name: str
    structure: Structure
    default: Any = REQUIRED


@dataclass(frozen=True)
class Signature:
    """All that a call has to be, and what it returns."""

    parameters: tuple[Parameter, ...]
    positional: int  # so many of them may be given by position
    leaves: tuple[Leaf, ...]
    symbols: tuple[Symbol, ...]
    conditions: tuple[str, ...]  # arithmetic on symbols that must hold besides
    returns: Structure
    changed: tuple[int, ...] = ()  # leaves that the model writes into

    @property
    def paths(self) -> list[str]:
        """The names of the leaves."""
        return [path for p in self.parameters for path in p.structure.paths(p.name)]

    @property
    def apart(self) -> list[tuple[int, int]]:
        """Pairs of leaves that may share no memory: one is changed, and the other is read."""
        tensors = [at for at, leaf in enumerate(self.leaves) if isinstance(leaf, Tensor)]
        return [
            (leaf, other)
            for leaf in self.changed
            for other in tensors
            if other != leaf and (other > leaf or other not in self.changed)
        ]

    def sizes_of(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
        """The symbols for shapes of all tensors, none without any. Raises ValueError where the ranks do not fit."""
        if not shapes:
            return {}
        tensors = [at for at, leaf in enumerate(self.leaves) if isinstance(leaf, Tensor)]
        wanted = [len(leaf.shape) for leaf in self.leaves if isinstance(leaf, Tensor)]
        if [len(shape) for shape in shapes] != wanted:
            names = ", ".join(
                f"{self.paths[at]} of rank {n}" for at, n in zip(tensors, wanted, strict=True)
            )
            raise ValueError(f"[explain] shapes {[*shapes]} came, wanted {names}")
        given = dict(zip(tensors, shapes, strict=True))
        return {
            symbol.name: (given[symbol.leaf][symbol.axis] - symbol.offset) // symbol.multiplier
            for symbol in self.symbols
            if symbol.axis is not None
        }

    def to_json(self) -> Json:
        """Raises NotSaveableError for a container that only this process knows."""
        return {
            "parameters": [[p.name, p.structure.to_json()] for p in self.parameters],
            "positional": self.positional,
            "leaves": [_leaf_to_json(leaf) for leaf in self.leaves],
            "symbols": [dataclasses.asdict(symbol) for symbol in self.symbols],
            "conditions": list(self.conditions),
            "returns": self.returns.to_json(),
            "changed": list(self.changed),
        }

    @staticmethod
    def from_json(data: Mapping[str, Json]) -> Signature:
        """Raises ValueError, KeyError or TypeError for what is no signature."""
        signature = Signature(
            tuple(
                Parameter(str(name), Structure.from_json(structure))
                for name, structure in data["parameters"]
            ),
            int(data["positional"]),
            tuple(_leaf_from_json(leaf) for leaf in data["leaves"]),
            tuple(Symbol(**symbol) for symbol in data["symbols"]),
            tuple(str(condition) for condition in data["conditions"]),
            Structure.from_json(data["returns"]),
            tuple(int(leaf) for leaf in data["changed"]),
        ).with_defaults()
        signature.check()
        return signature

    def with_defaults(self) -> Signature:
        """Arguments that can only have one value need not be given."""
        parameters, at = [], 0
        for parameter in self.parameters:
            leaf = self.leaves[at] if parameter.structure.kind == "leaf" else None
            if isinstance(leaf, Fixed):
                parameter = dataclasses.replace(parameter, default=leaf.value)
            parameters.append(parameter)
            at += parameter.structure.leaves
        return dataclasses.replace(self, parameters=tuple(parameters))

    def check(self) -> None:
        """Raises ValueError unless all sizes are said in terms of symbols that some leaf tells."""
        if len(self.leaves) != sum(p.structure.leaves for p in self.parameters):
            raise ValueError("[load] the arguments do not have as many leaves as are described")
        if not all(0 <= leaf < len(self.leaves) for leaf in self.changed):
            raise ValueError("[load] an argument is changed that there is not")
        known: set[str] = set()
        for symbol in self.symbols:
            leaf = self.leaves[symbol.leaf]
            rank = len(leaf.shape) if isinstance(leaf, Tensor) else 0
            if symbol.axis is not None and not 0 <= symbol.axis < rank:
                raise ValueError(f"[load] leaf {symbol.leaf} has no dimension {symbol.axis}")
            if symbol.axis is None and leaf != Number("int"):
                raise ValueError(f"[load] leaf {symbol.leaf} is no size")
            numbers = (symbol.low, symbol.high or 0, symbol.multiplier, symbol.offset)
            if any(type(number) is not int for number in (*numbers, symbol.multiple, symbol.leaf)):
                raise TypeError(f"[load] the limits of {symbol.name!r} are no integers")
            if symbol.multiplier < 1 or symbol.multiple < 1 or symbol.leaf < 0:
                raise ValueError(f"[load] the limits of {symbol.name!r} make no sense")
            known.add(variable(symbol.name))
        texts = [size for leaf in self.leaves if isinstance(leaf, Tensor) for size in leaf.shape]
        for text in (*texts, *self.conditions):
            unknown = parse(text).names - known if isinstance(text, str) else ()
            if unknown:
                raise ValueError(f"[compile] no argument tells the size {', '.join(unknown)}")


def _leaf_to_json(leaf: Leaf) -> Json:
    match leaf:
        case Tensor(dtype=dtype, device=device, shape=shape):
            return {"tensor": [dtype, device, list(shape)]}
        case Number(kind=kind):
            return {"number": kind}
        case Fixed(value=value):
            return {"fixed": argument_to_json(value)}


def _leaf_from_json(data: Json) -> Leaf:
    match data:
        case {"tensor": [str() as dtype, str() as device, list() as shape]} if WORDS[
            "dtype"
        ].fullmatch(dtype) and WORDS["device"].fullmatch(device):
            if any(type(size) not in (int, str) for size in shape):
                raise TypeError(f"[load] {shape!r} is no shape")
            return Tensor(dtype, device, tuple(shape))
        case {"number": ("int" | "float" | "bool") as kind}:
            return Number(kind)
        case {"fixed": value}:
            return Fixed(argument_from_json(value))
        case _:
            raise ValueError(f"[load] {data!r} is no description of an argument")
