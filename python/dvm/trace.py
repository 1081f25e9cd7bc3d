"""Tracing: one run of a kernel function that records its operations as a Graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dvm import _core, element_types
from dvm.element_types import DEFAULT, WIDEST, Kind
from dvm.handles import Dim, Handle, Number, Stored
from dvm.instructions import TABLE, Row

if TYPE_CHECKING:
    from dvm.builder import Builder


@dataclass(frozen=True)
class TensorClass:
    """What a trace assumes of a tensor argument: its element type, its rank, and which sizes are 1 (they broadcast)."""

    dtype: str
    ones: tuple[bool, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join('1' if one else '*' for one in self.ones)}]"


@dataclass(frozen=True)
class ScalarClass:
    """What a trace assumes of a number given as argument: only its kind."""

    kind: Kind

    def __str__(self) -> str:
        return {Kind.BOOL: "bool", Kind.INTEGER: "int", Kind.FLOAT: "float"}[self.kind]


ArgumentClass = TensorClass | ScalarClass | None
"""None: not known before the trace, as in `program(*shapes)`, which has shapes for loaded parameters only."""


class Parameter(Handle):
    """A parameter of the kernel function: a tensor, or a number that may change at every call."""

    __slots__ = ("argument", "index", "name")

    def __init__(self, trace: Trace, index: int, name: str, argument: ArgumentClass) -> None:
        self._trace = trace
        self.index = index
        self.name = name
        self.argument = argument

    @property
    def weak(self) -> bool:  # type: ignore[override]
        """Numbers are weak, tensors are not."""
        return not isinstance(self.argument, TensorClass)

    @property
    def scalar_kind(self) -> Kind:
        """The kind of the number; one that nobody described is taken for a float."""
        return self.argument.kind if isinstance(self.argument, ScalarClass) else Kind.FLOAT

    def node(self) -> int:
        """The input's value, or that of the number in the widest type of its kind."""
        if isinstance(self.argument, TensorClass):
            return self._trace.input(self)
        return self._trace.scalar(self, WIDEST[self.scalar_kind])

    def node_as(self, dtype: str) -> int:
        """As for every handle; a number is passed in the type wanted, without a conversion in the kernel."""
        if not self.weak:
            return super().node_as(dtype)
        return self._trace.scalar(self, dtype)

    @property
    def dtype(self) -> str:
        """The element type; for a number the widest of its kind."""
        return (
            self.argument.dtype
            if isinstance(self.argument, TensorClass)
            else WIDEST[self.scalar_kind]
        )

    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes of a tensor; a number has none."""
        return () if self.weak else super().shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return 0 if self.weak else super().ndim


class Trace:
    """One recording: the Graph, the parameters, and what was stored."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[str],
        arguments: Sequence[ArgumentClass],
        next_tensor: Callable[[Parameter], TensorClass] | None = None,
    ) -> None:
        from dvm.builder import Builder  # builder.py speaks of traces too

        self.name = name
        self.graph = _core.Graph(name)
        self.open = True
        self.stored: list[Stored] = []
        self.builder: Builder = Builder(self)
        self.parameters = [
            Parameter(self, i, n, a)
            for i, (n, a) in enumerate(zip(parameters, arguments, strict=True))
        ]
        self.order: list[
            int
        ] = []  # the parameter behind every input and scalar of the Graph, as declared
        self._inputs: dict[int, int] = {}
        self._scalars: dict[tuple[int, str], int] = {}
        self._next_tensor = next_tensor
        for parameter in self.parameters:
            if isinstance(parameter.argument, TensorClass):
                self.input(parameter)

    def dim(self, text: str) -> Dim:
        """The size that `text` spells."""
        return Dim(self, text)

    def input(self, parameter: Parameter) -> int:
        """The Graph input of a tensor parameter."""
        if parameter.index not in self._inputs:
            argument = parameter.argument
            assert isinstance(argument, TensorClass)
            shape: list[int | str] = [
                1 if one else f"{parameter.name}_{i}" for i, one in enumerate(argument.ones)
            ]
            self._inputs[parameter.index] = self.graph.input(parameter.name, argument.dtype, shape)
            self.order.append(parameter.index)
        return self._inputs[parameter.index]

    def scalar(self, parameter: Parameter, dtype: str) -> int:
        """The Graph scalar of a parameter that is a number, one for every type in which it is used."""
        key = parameter.index, dtype
        if key not in self._scalars:
            first = all(index != parameter.index for index, _ in self._scalars)
            name = parameter.name if first else f"{parameter.name}_{dtype}"
            self._scalars[key] = self.graph.scalar(name, dtype)
            self.order.append(parameter.index)
        return self._scalars[key]

    def size(self, value: Any) -> Any:
        """An int argument as a size, which is then part of the shapes of a call; other things as they are."""
        if isinstance(value, Parameter) and value.weak and value.scalar_kind is Kind.INTEGER:
            self.scalar(value, "i64")
            return Dim(self, self.graph.node(self._scalars[value.index, "i64"])["name"])
        return value

    def load(self, value: Any) -> Handle:
        """The tensor behind a parameter."""
        handle = self.handle(value, "load")
        if not isinstance(handle, Parameter):
            return handle  # a kernel called inside another one gets values that are loaded already
        if handle.argument is None:
            assert self._next_tensor is not None
            handle.argument = self._next_tensor(handle)
        if isinstance(handle.argument, ScalarClass):
            raise TypeError(
                f"[load] {self.name} was called with the {handle.argument} {handle.name}; k.load wants an array. "
                "A number is used without k.load"
            )
        return Handle(self, self.input(handle))

    def handle(self, value: Any, where: str) -> Handle:
        """`value` as a handle of this trace, with an error that explains for everything that cannot be one."""
        if isinstance(value, Handle):
            if value._trace is not self:
                other = (
                    "an earlier trace"
                    if value._trace.name == self.name
                    else f"the kernel {value._trace.name}"
                )
                raise ValueError(
                    f"[{where}] a handle of {other} came into {self.name}; handles live in one trace only"
                )
            if not self.open:
                raise ValueError(
                    f"[{where}] a handle came after the trace of {self.name} had ended"
                )
            return value
        if isinstance(value, Dim):
            return self.handle(value._value(), where)
        if isinstance(value, Stored):
            raise TypeError(
                f"[{where}] a stored value came; k.store only marks outputs, compute with what went in"
            )
        if isinstance(value, (bool, int, float)):
            dtype = WIDEST[_kind(value)]
            return Handle(
                self, self.constant(value, dtype), True, lambda dtype: self.constant(value, dtype)
            )
        if isinstance(value, np.generic):
            return self.handle(value.item(), where)
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            raise TypeError(
                f"[{where}] an array came into {self.name}; make it a parameter of the kernel"
            )
        raise TypeError(
            f"[{where}] {type(value).__name__} came; a handle or a Python number is wanted"
        )

    def constant(self, value: Number, dtype: str) -> int:
        """The Graph constant of a Python number in the element type `dtype`."""
        if element_types.kind(dtype) is Kind.INTEGER:
            bits = 8 * element_types.size(dtype)
            low = 0 if dtype.startswith("u") else -(1 << (bits - 1))
            if not low <= value < low + (1 << bits):
                raise ValueError(
                    f"[constant] {value} came; {dtype} holds {low} to {low + (1 << bits) - 1}"
                )
        if element_types.kind(dtype) is Kind.FLOAT:
            value = float(value)
        return self.graph.constant(value, dtype)

    def common_type(self, handles: Sequence[Handle], row: Row) -> tuple[str, bool]:
        """The element type in which `handles` meet in the instruction `row`, and whether all of them are weak."""
        strong: str | None = None
        weak = Kind.BOOL
        for handle in handles:
            if handle.weak:
                weak = max(weak, handle.kind)
            else:
                strong = (
                    handle.dtype if strong is None else element_types.promote(strong, handle.dtype)
                )
        if strong is None:
            return self.fit(
                WIDEST[weak], row, DEFAULT[Kind.FLOAT] if row.result == "bool" else "f64"
            ), True
        return self.fit(element_types.promote_weak(strong, weak), row), False

    def fit(self, dtype: str, row: Row, floating: str = "f32") -> str:
        """The type in which `row` takes values of `dtype`: bools become numbers and integers floats where they must."""
        if element_types.compute(dtype) in row.types:
            return dtype
        if element_types.kind(dtype) is Kind.BOOL and "i64" in row.types:
            return "i64"
        if element_types.kind(dtype) is not Kind.FLOAT and floating in row.types:
            return floating
        raise TypeError(
            f"[{row.name}] {dtype} came; one of {', '.join(sorted(row.types))} is wanted"
        )

    def elementwise(self, name: str, operands: Sequence[Any]) -> Handle:
        """Records the elementwise instruction `name`, after its operands have met in one type."""
        row = TABLE[name]
        if len(operands) != row.arity:
            raise TypeError(f"[{name}] {len(operands)} operands came, {row.arity} are wanted")
        handles = [self.handle(operand, name) for operand in operands]
        if row.result != "same" and row.name.startswith("to_"):
            return self.cast(handles[0], row.name.removeprefix("to_"))
        first = 1 if row.has_condition else 0
        dtype, weak = self.common_type(handles[first:], row)
        nodes = [self.truth(handle) for handle in handles[:first]]
        nodes += [handle.node_as(dtype) for handle in handles[first:]]
        return Handle(
            self, self.graph.elementwise(name, nodes), weak and all(h.weak for h in handles)
        )

    def truth(self, handle: Handle) -> int:
        """The value as bool: what is not 0 is true."""
        return (
            handle.node_as("bool")
            if handle.kind is Kind.BOOL
            else self.elementwise("ne", (handle, 0)).node()
        )

    def cast(self, handle: Handle, dtype: str) -> Handle:
        """The value as `dtype`, no longer weak."""
        return Handle(self, handle.node_as(dtype))

    def strong(self, handle: Handle) -> Handle:
        """The value with a type of its own: weak ones take the default of their kind."""
        return self.cast(handle, DEFAULT[handle.kind]) if handle.weak else handle


def _kind(value: Number) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOL
    return Kind.INTEGER if isinstance(value, int) else Kind.FLOAT
