"""What a kernel function computes with while it is traced: `Handle`, a value of the Graph, and `Dim`, a size.

Both are recordings and not numbers. Operators on them add nodes to the Graph of their `Trace`; whatever would need
their values now (an `if`, `float()`, a NumPy function) raises an error that says what to write instead.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from dvm import element_types
from dvm.element_types import Kind

if TYPE_CHECKING:
    from dvm.trace import Trace

Number: TypeAlias = builtins.bool | int | float
Size: TypeAlias = "int | Dim"
Operand: TypeAlias = "Handle | Dim | Number"


class Dim:
    """A size that is known only when the kernel is called: an expression over the sizes of its inputs."""

    __slots__ = ("_trace", "text")

    def __init__(self, trace: Trace, text: str) -> None:
        self._trace = trace
        self.text = text

    def _combine(self, operator: str, left: object, right: object) -> Any:
        if isinstance(left, (int, Dim)) and isinstance(right, (int, Dim)):
            return self._trace.dim(f"({_text(left)}{operator}{_text(right)})")
        return NotImplemented

    def _value(self) -> Handle:
        return Handle(
            self._trace, self._trace.graph.size(self.text, "i64"), weak=True, materialise=self._size
        )

    def _size(self, dtype: str) -> int:
        return self._trace.graph.size(self.text, dtype)

    def __add__(self, other: Any) -> Any:
        return (
            self._combine("+", self, other)
            if isinstance(other, (int, Dim))
            else self._value() + other
        )

    def __radd__(self, other: Any) -> Any:
        return self._combine("+", other, self) if isinstance(other, int) else other + self._value()

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, (int, Dim)):
            return self + (-1 * other)
        return self._value() - other

    def __rsub__(self, other: Any) -> Any:
        return other + (-1 * self) if isinstance(other, int) else other - self._value()

    def __mul__(self, other: Any) -> Any:
        return (
            self._combine("*", self, other)
            if isinstance(other, (int, Dim))
            else self._value() * other
        )

    def __rmul__(self, other: Any) -> Any:
        return self._combine("*", other, self) if isinstance(other, int) else other * self._value()

    def __floordiv__(self, other: Any) -> Any:
        return (
            self._combine("//", self, other)
            if isinstance(other, (int, Dim))
            else self._value() // other
        )

    def __mod__(self, other: Any) -> Any:
        return (
            self._combine("%", self, other)
            if isinstance(other, (int, Dim))
            else self._value() % other
        )

    def __rfloordiv__(self, other: Any) -> Any:
        return (
            self._combine("//", other, self) if isinstance(other, int) else other // self._value()
        )

    def __rmod__(self, other: Any) -> Any:
        return self._combine("%", other, self) if isinstance(other, int) else other % self._value()

    def __truediv__(self, other: Any) -> Any:
        return self._value() / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self._value()

    def __pow__(self, other: Any) -> Any:
        return self._value() ** other

    def __eq__(self, other: object) -> builtins.bool:
        if isinstance(other, Dim) and other.text == self.text:
            return True
        if isinstance(other, (int, Dim)):
            raise self._unknown(f"comparing it with {other}")
        return False

    def __ne__(self, other: object) -> builtins.bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.text)

    def _unknown(self, what: str) -> ValueError:
        return ValueError(
            f"[{self._trace.name}] {what}: the size {self.text} is known only when the kernel is called, one trace "
            "serves all sizes. Use it in arithmetic or shapes, or pass a keyword-only constant to the kernel"
        )

    def __bool__(self) -> builtins.bool:
        raise self._unknown("a size as a condition")

    def __index__(self) -> int:
        raise self._unknown("a size as a Python integer")

    def __int__(self) -> int:
        raise self._unknown("int() of a size")

    def __float__(self) -> float:
        raise self._unknown("float() of a size")

    def __lt__(self, other: object) -> builtins.bool:
        raise self._unknown(f"comparing it with {other}")

    __le__ = __gt__ = __ge__ = __lt__

    def __repr__(self) -> str:
        return self.text


def _text(dim: int | Dim) -> str:
    return dim.text if isinstance(dim, Dim) else str(dim)


def _binary(row: str) -> Callable[[Handle, Any], Handle]:
    def operator(self: Handle, other: Any) -> Handle:
        return self._trace.elementwise(row, (self, other))

    return operator


def _reflected(row: str) -> Callable[[Handle, Any], Handle]:
    def operator(self: Handle, other: Any) -> Handle:
        return self._trace.elementwise(row, (other, self))

    return operator


def _unary(row: str) -> Callable[[Handle], Handle]:
    def operator(self: Handle) -> Handle:
        return self._trace.elementwise(row, (self,))

    return operator


class Handle:
    """A tensor inside a kernel: its element type and shape are known, its elements are not.

    A *weak* handle (a scalar argument, a size) is typed like a Python number: it takes the type of what it meets.
    """

    __slots__ = ("_materialise", "_node", "_trace", "weak")
    __array_ufunc__ = None  # NumPy's operators then leave `array * handle` to us, who can explain

    def __init__(
        self,
        trace: Trace,
        node: int,
        weak: builtins.bool = False,
        materialise: Callable[[str], int] | None = None,
    ) -> None:
        self._trace = trace
        self._node = node
        self.weak = weak
        self._materialise = materialise

    def node(self) -> int:
        """The Graph value that this handle stands for."""
        return self._node

    def node_as(self, dtype: str) -> int:
        """The Graph value of this handle in the element type `dtype`."""
        if self.dtype == dtype:
            return self.node()
        if self.weak and self._materialise is not None:
            return self._materialise(dtype)
        return self._trace.graph.cast(self.node(), dtype)

    @property
    def dtype(self) -> str:
        """The element type, such as "f32"."""
        return self._trace.graph.type(self.node())

    @property
    def kind(self) -> Kind:
        """Whether the elements are bools, integers or floats."""
        return element_types.kind(self.dtype)

    @property
    def shape(self) -> tuple[Size, ...]:
        """The sizes: an int where the trace knows it, else a `Dim`."""
        return tuple(
            self._trace.dim(dim) if isinstance(dim, str) else dim
            for dim in self._trace.graph.shape(self.node())
        )

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._trace.graph.shape(self.node()))

    @property
    def T(self) -> Handle:  # noqa: N802 (NumPy's and torch's name)
        """The axes in reverse order."""
        return self._trace.builder.permute(self, tuple(range(self.ndim))[::-1])

    def astype(self, dtype: Any) -> Handle:
        """The same values as `dtype`."""
        return self._trace.builder.cast(self, dtype)

    def reshape(self, *shape: Any) -> Handle:
        """The same elements in another shape; one size may be -1."""
        return self._trace.builder.reshape(self, *shape)

    def __getitem__(self, index: Any) -> Handle:
        return self._trace.builder.index(self, index)

    __add__, __radd__ = _binary("add"), _reflected("add")
    __sub__, __rsub__ = _binary("sub"), _reflected("sub")
    __mul__, __rmul__ = _binary("mul"), _reflected("mul")
    __truediv__, __rtruediv__ = _binary("div"), _reflected("div")
    __floordiv__, __rfloordiv__ = _binary("floor_div"), _reflected("floor_div")
    __mod__, __rmod__ = _binary("remainder"), _reflected("remainder")
    __rpow__ = _reflected("pow")
    __and__, __rand__ = _binary("bitwise_and"), _reflected("bitwise_and")
    __or__, __ror__ = _binary("bitwise_or"), _reflected("bitwise_or")
    __xor__, __rxor__ = _binary("bitwise_xor"), _reflected("bitwise_xor")
    __lshift__, __rlshift__ = _binary("shift_left"), _reflected("shift_left")
    __rshift__, __rrshift__ = _binary("shift_right"), _reflected("shift_right")
    __lt__, __le__ = _binary("lt"), _binary("le")
    __gt__, __ge__ = _binary("gt"), _binary("ge")
    __eq__ = _binary("eq")  # type: ignore[assignment]
    __ne__ = _binary("ne")  # type: ignore[assignment]
    __neg__, __abs__, __invert__ = _unary("neg"), _unary("abs"), _unary("bitwise_not")
    __round__, __floor__, __ceil__, __trunc__ = (
        _unary("round"),
        _unary("floor"),
        _unary("ceil"),
        _unary("trunc"),
    )
    __hash__ = object.__hash__

    def __pos__(self) -> Handle:
        return self

    def __pow__(self, exponent: Any) -> Handle:
        # The common exponents have instructions of their own, which are faster and as exact.
        row = None
        if isinstance(exponent, int) and exponent == 2:
            row = "square"
        elif isinstance(exponent, (int, float)) and self.kind is Kind.FLOAT:
            row = {2: "square", -1: "reciprocal", 0.5: "sqrt", -0.5: "rsqrt"}.get(exponent)
        if row is not None and not isinstance(exponent, bool):
            return self._trace.elementwise(row, (self,))
        return self._trace.elementwise("pow", (self, exponent))

    def _impossible(self, what: str, instead: str) -> TypeError:
        return TypeError(
            f"[{self._trace.name}] {what} inside a kernel: its values are not there yet. {instead}"
        )

    def __matmul__(self, other: Operand) -> Handle:
        return self._trace.builder.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Handle:
        return self._trace.builder.matmul(other, self)

    def __bool__(self) -> builtins.bool:
        raise TypeError(
            f"[{self._trace.name}] a handle came as the condition of an if, while, and, or, not; control flow on "
            "values is not possible inside a kernel. Use k.where(condition, a, b), or & | ~ on bools"
        )

    def __float__(self) -> float:
        raise self._impossible("float() of a handle is not possible", "Use k.cast(x, 'f32')")

    def __int__(self) -> int:
        raise self._impossible("int() of a handle is not possible", "Use k.cast(x, 'i64')")

    def __index__(self) -> int:
        raise self._impossible(
            "a handle as an index is not possible",
            "Keyword-only parameters of a kernel are Python values",
        )

    def __len__(self) -> int:
        size = self.shape[0] if self.ndim else None
        if isinstance(size, int):
            return size
        raise self._impossible("len() of a handle is not possible", "x.shape[0] is its first size")

    def __iter__(self) -> NoReturn:
        raise self._impossible(
            "a loop over a handle is not possible", "Instructions work on whole tensors"
        )

    def __contains__(self, item: object) -> NoReturn:
        raise self._impossible("`in` with a handle is not possible", "Use k.any(x == item)")

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise self._impossible(
            "a NumPy function on a handle is not possible", "Use the function of the same name on k"
        )

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise self._impossible(
            "assignment to elements is not possible", "Use k.where(condition, value, x)"
        )

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        return f"<{'weak ' if self.weak else ''}handle %{self.node()}: {self.dtype}[{shape}]>"


class Stored:
    """What `k.store` returns: the mark that a value is an output. Return it from the kernel function."""

    __slots__ = ("handle",)
    __array_ufunc__ = None

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"[store] .{name} of a stored value: k.store only marks outputs, compute with what went in"
        )
