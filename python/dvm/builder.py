"""`k`, the first parameter of every kernel function: all that a kernel can say.

Instructions come from the table by name (`k.exp` is the row `exp`), so a new row is part of the language at once.
What is written out here are loads and stores, views, reductions' arguments and, in composites.py, compositions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dvm import _core, element_types
from dvm.composites import Composites
from dvm.element_types import Kind
from dvm.handles import Dim, Handle, Operand, Stored
from dvm.indexing import Indexing
from dvm.instructions import TABLE, Row, suggestion

if TYPE_CHECKING:
    from dvm.trace import Trace

Axes = int | Sequence[int] | None

_WIDENED = {"sum", "prod"}  # of integers and bools they are i64, as in PyTorch
_INDEX_REDUCTIONS = {
    name for name, row in TABLE.items() if row.family == "reduce" and row.result != "same"
}


class Builder(Composites, Indexing):
    """Records the operations of one kernel. Every method takes handles and Python numbers and returns handles."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    # ---- instructions of the table

    def __getattr__(self, name: str) -> Callable[..., Handle]:
        row = TABLE.get(name)
        if row is None or (row.family == "reduce" and row.arity > 1):  # fusion makes those
            known = [word for word in dir(self) if not word.startswith("_")]
            raise AttributeError(
                f"[{self._trace.name}] k.{name} is not in the kernel language{suggestion(name, known)}"
            )
        function = _reduction(self, row) if row.family == "reduce" else _elementwise(self, row)
        function.__name__ = function.__qualname__ = name
        function.__doc__ = row.doc
        setattr(self, name, function)
        return function

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *TABLE})

    def _reduce(self, row: Row, value: Operand, axis: Axes, keepdims: bool) -> Handle:
        handle = self._trace.strong(self._trace.handle(value, row.name))
        if row.name in _WIDENED and handle.kind is not Kind.FLOAT:
            handle = self.cast(handle, "i64")
        if row.types == {"bool"}:
            handle = Handle(self._trace, self._trace.truth(handle))
        handle = self.cast(handle, self._trace.fit(handle.dtype, row))
        axes = self._axes(row.name, handle, axis)
        if not axes and axis is not None:
            if row.name in _INDEX_REDUCTIONS:
                raise ValueError(f"[{row.name}] axis=() came; an axis is wanted")
            return handle
        if row.name in _INDEX_REDUCTIONS and len(axes) != 1 and handle.ndim:
            return self._flat_index(row, handle, axis, keepdims)
        reduced = Handle(self._trace, self._trace.graph.reduce(row.name, handle.node(), axes))
        return reduced if keepdims else self._without(reduced, axes)

    def _flat_index(self, row: Row, handle: Handle, axis: Axes, keepdims: bool) -> Handle:
        if axis is not None:
            raise ValueError(
                f"[{row.name}] axis={axis!r} came; one axis is wanted, or None for the flat index"
            )
        flat = self.reshape(handle, -1)
        index = Handle(self._trace, self._trace.graph.reduce(row.name, flat.node(), (0,)))
        return self.reshape(index, *(1,) * (handle.ndim if keepdims else 0))

    def _axes(self, where: str, handle: Handle, axis: Axes) -> tuple[int, ...]:
        rank = handle.ndim
        if axis is None:
            return tuple(range(rank))
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        for one in axes:
            if not isinstance(one, int) or isinstance(one, bool):
                raise TypeError(f"[{where}] axis {one!r} came; an integer is wanted")
            if not -rank <= one < rank:
                raise ValueError(f"[{where}] axis {one} came for a tensor of rank {rank}")
        axes = tuple(sorted(one % rank for one in axes))
        if len(set(axes)) != len(axes):
            raise ValueError(f"[{where}] axis={axis!r} names an axis twice")
        return axes

    def _without(self, handle: Handle, axes: Sequence[int]) -> Handle:
        shape = handle.shape
        return self._reshaped(handle, [dim for i, dim in enumerate(shape) if i not in axes])

    # ---- memory

    def load(self, parameter: Any) -> Handle:
        """The elements of a tensor parameter."""
        return self._trace.load(parameter)

    def store(self, value: Operand, dtype: Any = None) -> Stored:
        """Marks `value` as an output, converted to `dtype` if given. The function returns what comes back."""
        handle = self._trace.strong(self._trace.handle(value, "store"))
        stored = Stored(handle if dtype is None else self.cast(handle, dtype))
        self._trace.stored.append(stored)
        return stored

    def scalar(self, parameter: Any, dtype: Any = None) -> Handle:
        """A parameter that is a number, with a type of its own: `dtype`, or f32 for a float and i64 for an int."""
        handle = self._trace.handle(parameter, "scalar")
        if handle.ndim:
            raise TypeError(
                f"[scalar] an array of rank {handle.ndim} came; a number is wanted. Arrays go through k.load"
            )
        return self._trace.strong(handle) if dtype is None else self.cast(handle, dtype)

    # ---- values without inputs

    def iota(self, *shape: Any, axis: int = 0) -> Handle:
        """The position along `axis` for every element of `shape`, i64."""
        sizes = self._shape("iota", _flat(shape))
        return Handle(self._trace, self._trace.graph.iota(_spelled(sizes), axis))

    def arange(self, start: Any, stop: Any = None, step: int = 1, dtype: Any = None) -> Handle:
        """start, start + step, ... below `stop`, from 0 by default. Sizes such as `x.shape[0]` may take part."""
        if stop is None:
            start, stop = 0, start
        start, stop = self._trace.size(start), self._trace.size(stop)
        for value in (start, stop):
            if not isinstance(value, (int, Dim)) or isinstance(value, bool):
                raise TypeError(
                    f"[arange] {value!r} came; integers and sizes are wanted. Scale the result for other steps"
                )
        if type(step) is not int or step == 0:
            raise ValueError(f"[arange] step={step!r} came; an integer other than 0 is wanted")
        span = stop - start if step > 0 else start - stop
        count = (span + (abs(step) - 1)) // abs(step)
        values = self.iota(count if isinstance(count, Dim) else max(count, 0))
        if step != 1:
            values = values * step
        if isinstance(start, Dim) or start != 0:
            values = values + start
        return values if dtype is None else self.cast(values, dtype)

    def full(self, shape: Any, value: Operand, dtype: Any = None) -> Handle:
        """A tensor of one value."""
        handle = self._trace.handle(value, "full")
        handle = self._trace.strong(handle) if dtype is None else self.cast(handle, dtype)
        return self.expand(handle, *(shape if isinstance(shape, (tuple, list)) else (shape,)))

    # ---- types

    def cast(self, value: Operand, dtype: Any) -> Handle:
        """The same values as `dtype`: a name such as "f16", or a type of NumPy or torch."""
        return self._trace.cast(
            self._trace.handle(value, "cast"), element_types.name_of(dtype, "cast")
        )

    astype = cast

    # ---- views

    def permute(self, value: Operand, *axes: Any) -> Handle:
        """The axes in another order: axis i of the result is axis `axes[i]` of the value."""
        handle = self._handle("permute", value)
        return Handle(self._trace, self._trace.graph.permute(handle.node(), _flat(axes)))

    def transpose(self, value: Operand, first: int = -2, second: int = -1) -> Handle:
        """Two axes swapped."""
        handle = self._handle("transpose", value)
        order = list(range(handle.ndim))
        (a,), (b,) = self._axes("transpose", handle, first), self._axes("transpose", handle, second)
        order[a], order[b] = b, a
        return self.permute(handle, order)

    def reshape(self, value: Operand, *shape: Any) -> Handle:
        """The same elements in another shape; one size may be -1, for what is left."""
        handle = self._handle("reshape", value)
        sizes = self._shape("reshape", _flat(shape), wildcard=True)
        holes = [i for i, size in enumerate(sizes) if isinstance(size, int) and size == -1]
        if len(holes) > 1:
            raise ValueError(f"[reshape] {tuple(sizes)} came; one size may be -1, not {len(holes)}")
        if holes:
            sizes[holes[0]] = self._left_over(
                handle.shape, [size for i, size in enumerate(sizes) if i != holes[0]]
            )
        return self._reshaped(handle, sizes)

    def _reshaped(self, handle: Handle, sizes: Sequence[int | Dim]) -> Handle:
        return Handle(self._trace, self._trace.graph.reshape(handle.node(), _spelled(sizes)))

    def _left_over(self, have: Sequence[int | Dim], taken: Sequence[int | Dim]) -> int | Dim:
        # What both sides share cancels, so that [n, 64] -> [n, 4, -1] leaves the plain number 16.
        rest = [dim.text for dim in have if isinstance(dim, Dim)]
        used = []
        for dim in taken:
            if isinstance(dim, Dim):
                rest.remove(dim.text) if dim.text in rest else used.append(dim.text)
        number, divisor = _product(have), _product(taken)
        if divisor and number % divisor == 0:
            number, divisor = number // divisor, 1
        if not rest and not used:
            if divisor != 1:
                raise ValueError(f"[reshape] {tuple(have)} does not divide into {tuple(taken)}")
            return number
        above = _spelled_product(rest, number)
        below = _spelled_product(used, divisor)
        return self._trace.dim(above if below == "1" else f"({above}//{below})")

    def expand(self, value: Operand, *shape: Any) -> Handle:
        """The value repeated along its axes of size 1 and along new axes on the left; -1 keeps a size."""
        handle = self._handle("expand", value)
        sizes = self._shape("expand", _flat(shape), wildcard=True)
        have = handle.shape
        for i, size in enumerate(sizes):
            if isinstance(size, int) and size == -1:
                if i < len(sizes) - len(have):
                    raise ValueError("[expand] -1 came for a new axis; a size is wanted")
                sizes[i] = have[i - len(sizes)]
        return Handle(self._trace, self._trace.graph.expand(handle.node(), _spelled(sizes)))

    def unsqueeze(self, value: Operand, axis: int) -> Handle:
        """With a new axis of size 1 at `axis`."""
        handle = self._handle("unsqueeze", value)
        sizes: list[int | Dim] = list(handle.shape)
        if not -len(sizes) - 1 <= axis <= len(sizes):
            raise ValueError(f"[unsqueeze] axis {axis} came for a tensor of rank {len(sizes)}")
        sizes.insert(axis % (len(sizes) + 1), 1)
        return self._reshaped(handle, sizes)

    def squeeze(self, value: Operand, axis: Axes) -> Handle:
        """Without the axes `axis`, whose sizes are 1."""
        handle = self._handle("squeeze", value)
        axes = self._axes("squeeze", handle, axis)
        shape = handle.shape
        for one in axes:
            if not isinstance(shape[one], int) or shape[one] != 1:
                raise ValueError(f"[squeeze] axis {one} has the size {shape[one]}; 1 is wanted")
        return self._without(handle, axes)

    def matmul(self, a: Operand, b: Operand) -> Handle:
        """The matrix product of the last two axes of each, those before them broadcast. Types are f32, f64, bf16,
        f16, or i8, with f32 sums of the narrow floats and i32 sums of bytes; f32 with bf16, f16 or i8 on the right
        reads those as they lie. What is computed of it element by element is computed tile by tile, before the
        product is ever in memory."""
        first, second = self._handle("matmul", a), self._handle("matmul", b)
        if not any((first.dtype, second.dtype) == row[:2] for row in _core.products()):
            dtype = element_types.promote(first.dtype, second.dtype)
            if dtype not in ("f32", "f64"):
                raise TypeError(
                    f"[matmul] {first.dtype} and {second.dtype} came; both of f32, f64, f16, bf16 or i8, "
                    "or f32 with one of the last three is wanted"
                )
            first, second = self.cast(first, dtype), self.cast(second, dtype)
        return Handle(self._trace, self._trace.graph.matmul(first.node(), second.node()))

    def concat(self, values: Sequence[Operand], axis: int = 0) -> Handle:
        """The values one behind the other along `axis`, in their common type. Each is computed where it lies in the
        result."""
        handles = [self._handle("concat", value) for value in values]
        if not handles:
            raise ValueError("[concat] no values came; one or more are wanted")
        (along,) = self._axes("concat", handles[0], axis)
        dtype = functools.reduce(element_types.promote, (handle.dtype for handle in handles))
        nodes = [self.cast(handle, dtype).node() for handle in handles]
        return Handle(self._trace, self._trace.graph.concat(nodes, along))

    # ---- shared by the above

    def _handle(self, where: str, value: Operand) -> Handle:
        return self._trace.strong(self._trace.handle(value, where))

    def _shape(self, where: str, sizes: Sequence[Any], wildcard: bool = False) -> list[int | Dim]:
        found = [self._trace.size(size) for size in sizes]
        for size in found:
            if isinstance(size, bool) or not isinstance(size, (int, Dim)):
                raise TypeError(
                    f"[{where}] the size {size!r} came; an integer, an int argument or an element of x.shape is wanted"
                )
            if isinstance(size, int) and size < (-1 if wildcard else 0):
                raise ValueError(f"[{where}] the size {size} came")
        return found


def _elementwise(builder: Builder, row: Row) -> Callable[..., Handle]:
    def instruction(*operands: Operand) -> Handle:
        return builder._trace.elementwise(row.name, operands)

    return instruction


def _reduction(builder: Builder, row: Row) -> Callable[..., Handle]:
    def reduction(value: Operand, axis: Axes = None, keepdims: bool = False) -> Handle:
        return builder._reduce(row, value, axis, keepdims)

    return reduction


def _flat(items: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments of `f(1, 2)` and of `f((1, 2))` alike."""
    return (
        tuple(items[0]) if len(items) == 1 and isinstance(items[0], (tuple, list)) else tuple(items)
    )


def _spelled(sizes: Sequence[int | Dim]) -> list[int | str]:
    return [size.text if isinstance(size, Dim) else size for size in sizes]


def _product(sizes: Sequence[int | Dim]) -> int:
    number = 1
    for size in sizes:
        number *= size if isinstance(size, int) else 1
    return number


def _spelled_product(texts: Sequence[str], number: int) -> str:
    words = [*texts, *([str(number)] if number != 1 or not texts else [])]
    text = words[0]
    for word in words[1:]:
        text = f"({text}*{word})"
    return text
