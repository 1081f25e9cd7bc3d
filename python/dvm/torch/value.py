"""A value of a Graph under construction, with Python's operators: what the functions in aten/ take and return. The
Builder makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvm.torch.symbols import Size

if TYPE_CHECKING:
    from dvm.torch.builder import Builder

Number = bool | int | float


class Declined(Exception):  # noqa: N818 - not an error: the operation runs in torch instead
    """Raised by a builder function for arguments that the core does not cover; its text is the reason."""


class Value:
    """A value of the Graph under construction. Operators compute in its type."""

    __slots__ = ("builder", "id")

    def __init__(self, builder: Builder, id: int) -> None:  # noqa: A002 - the Graph's own word
        self.builder = builder
        self.id = id

    @property
    def type(self) -> str:
        return self.builder.graph.type(self.id)

    @property
    def shape(self) -> list[Size]:
        return self.builder.graph.shape(self.id)

    @property
    def rank(self) -> int:
        return self.builder.graph.rank(self.id)

    @property
    def kind(self) -> str:
        """What made it, see Graph.kind."""
        return self.builder.graph.kind(self.id)

    @property
    def operands(self) -> list[Value]:
        """What it was made of."""
        return [Value(self.builder, operand) for operand in self.builder.graph.operands(self.id)]

    def __add__(self, other: Value | Number) -> Value:
        return self.builder.op("add", self, other)

    def __radd__(self, other: Number) -> Value:
        return self.builder.op("add", self, other)

    def __sub__(self, other: Value | Number) -> Value:
        return self.builder.op("sub", self, other)

    def __rsub__(self, other: Number) -> Value:
        return self.builder.op("sub", self.builder.constant(other, self.type), self)

    def __mul__(self, other: Value | Number) -> Value:
        return self.builder.op("mul", self, other)

    def __rmul__(self, other: Number) -> Value:
        return self.builder.op("mul", self, other)

    def __truediv__(self, other: Value | Number) -> Value:
        return self.builder.op("div", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return self.builder.op("div", self.builder.constant(other, self.type), self)

    def __neg__(self) -> Value:
        return self.builder.op("neg", self)


@dataclass
class Check:
    """What must hold of every element, and what IndexError tells if it does not."""

    holds: Value
    message: str
