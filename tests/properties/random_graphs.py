"""Random graphs with random inputs.

A graph is made by a `Chooser`, so that hypothesis can draw (and shrink) it and a plain seed can too. Operations that
jump (comparisons, rounding, argmax, casts to integers) are only given values that every engine has exactly; on all
others a bound on the rounding error is carried along, so that a comparison is neither lax nor flaky.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from choosing import Chooser
from rounding import check

from dvm import _core, element_types, graph_reference
from dvm.element_types import Kind
from dvm.instructions import TABLE

FLOATS = ("f32", "f64", "f16", "bf16")
INTEGERS = ("i32", "i64", "i8", "u8", "i16")
COMPUTE = ("f32", "f64", "i32", "i64", "bool")

# Smooth operations have a slope of about 1 at most (see rounding.py), so that errors do not grow.
SMOOTH = (
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "atan",
    "erf",
    "softplus",
    "asinh",
    "gelu",
    "gelu_tanh",
    "silu",
)
EXACT = ("neg", "abs", "relu", "copy")
JUMPING = ("floor", "ceil", "trunc", "round", "sign", "signbit")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
LOGICAL = ("logical_and", "logical_or", "logical_xor")
BITS = ("bitwise_and", "bitwise_or", "bitwise_xor")
DIVISIONS = ("floor_div", "trunc_div", "remainder", "fmod")
EXTREMES = ("maximum", "minimum")
OPERATORS = {
    Kind.BOOL: (*BITS, *LOGICAL, *EXTREMES, "eq"),
    Kind.INTEGER: ("add", "sub", "mul", *EXTREMES, *BITS, *DIVISIONS, *COMPARISONS),
    Kind.FLOAT: ("add", "sub", "mul", "add", "sub", "mul", *EXTREMES, "square_diff"),
}
SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 130)


@dataclass
class Known:
    """A value of the graph under construction."""

    value: int
    exact: bool  # every engine has the same bits


class RandomGraph:
    """A random graph over symbols d0, d1, ..., and inputs for any sizes of them."""

    def __init__(self, choose: Chooser, operations: int = 10, largest: int = 20_000) -> None:
        self.choose = choose
        self.largest = largest
        self.graph = _core.Graph("random")
        self.values: list[Known] = []
        self.not_empty = False
        self.symbols = [f"d{i}" for i in range(choose.integer(0, 4))]
        self.types: list[str] = []
        self.numbers: dict[int, float | int] = {}
        self.merged: dict[
            int | str, tuple[int | str, int | str]
        ] = {}  # what a dimension was made of
        for i in range(choose.integer(1, 3)):
            self._input(f"x{i}")
        given = {dim for known in self.values for dim in self._shape(known)}
        self.symbols = [symbol for symbol in self.symbols if symbol in given]
        for _ in range(choose.integer(1, operations)):
            self._operation()
        outputs = [self.values[-1].value]
        outputs += [choose.pick(self.values).value for _ in range(choose.integer(0, 2))]
        for value in outputs:
            self.graph.output(value)

    # ---- construction

    def _input(self, name: str) -> None:
        c = self.choose
        dtype = c.pick(("f32", *FLOATS, *INTEGERS, "bool") if c.chance(50) else ("f32",))
        shape = [1 if c.chance(15) else dim for dim in self.symbols]
        if c.chance(20):
            shape = shape[c.integer(0, len(shape)) :]
        self.types.append(dtype)
        self._keep(self.graph.input(name, dtype, shape), True)

    def _keep(self, value: int, exact: bool) -> None:
        self.values.append(Known(value, exact))

    def _type(self, known: Known) -> str:
        return self.graph.type(known.value)

    def _kind(self, known: Known) -> Kind:
        return element_types.kind(self._type(known))

    def _shape(self, known: Known) -> list[int | str]:
        return self.graph.shape(known.value)

    def _recent(self, exact: bool = False) -> Known:
        known = [k for k in self.values if k.exact or not exact]
        return known[max(0, len(known) - 1 - self.choose.integer(0, 3))]

    def _cast(self, known: Known, dtype: str) -> Known:
        if self._type(known) == dtype:
            return known
        # Half floats may or may not be rounded between two operations of a kernel.
        exact = known.exact and dtype not in ("f16", "bf16")
        assert exact or element_types.kind(dtype) is Kind.FLOAT
        return Known(self.graph.cast(known.value, dtype), exact)

    def _like(self, known: Known) -> Known | None:
        """Some value whose shape broadcasts with that of `known` whatever the sizes are."""
        mine = self._shape(known)[::-1]
        fitting = [
            other
            for other in self.values
            if all(
                a == b or 1 in (a, b) for a, b in zip(mine, self._shape(other)[::-1], strict=False)
            )
        ]
        return self.choose.pick(fitting) if fitting else None

    def _operation(self) -> None:
        kinds = (
            self._unary,
            self._binary,
            self._binary,
            self._constant,
            self._reduce,
            self._reduce,
        )
        more = (
            self._convert,
            self._view,
            self._select,
            self._multiply_add,
            self._jump,
            self._compare,
            self._position,
            self._concat,
            self._meet,
            self._scalar,
        )
        self.choose.pick(kinds + more)()

    def _name(self, names: Sequence[str], known: Known) -> str:
        """One of the instructions `names` that takes the type of `known`."""
        compute = element_types.compute(self._type(known))
        return self.choose.pick([name for name in names if compute in TABLE[name].types])

    def _float_type(self, known: Known) -> str:
        return (
            self._type(known)
            if self._kind(known) is Kind.FLOAT
            else self.choose.pick(("f32", "f32", "f64"))
        )

    def _unary(self) -> None:
        known = self._recent()
        name = self.choose.pick(SMOOTH + EXACT)
        if name in EXACT and self._kind(known) is not Kind.BOOL:
            self._keep(self.graph.elementwise(name, [known.value]), known.exact)
        else:
            operand = self._cast(known, self._float_type(known))
            self._keep(
                self.graph.elementwise(name, [operand.value]), name in EXACT and operand.exact
            )

    def _pair(self, exact: bool = False) -> tuple[Known, Known]:
        left = self._recent(exact)
        right = self._like(left)
        if right is None or (exact and not right.exact):
            right = left
        if self._kind(left) < self._kind(right):
            left = self._cast(left, self._type(right))
        return left, self._cast(right, self._type(left))

    def _binary(self) -> None:
        left, right = self._pair()
        kind = self._kind(left)
        name = self._name(OPERATORS[kind], left)
        unrounded = kind is not Kind.FLOAT or name in ("maximum", "minimum")
        exact = left.exact and right.exact and unrounded
        self._keep(self.graph.elementwise(name, [left.value, right.value]), exact)

    def _constant(self) -> None:
        known = self._recent()
        dtype = self._type(known)
        if self._kind(known) is Kind.FLOAT:
            number = self.choose.pick((0.0, 1.0, -1.5, 0.25, 3.0))
        else:
            number = self.choose.pick((0, 1, 3, 100)) if self._kind(known) is Kind.INTEGER else True
        constant = self.graph.constant(number, dtype)
        name = (
            "logical_xor" if dtype == "bool" else self.choose.pick(("add", "mul", "sub", "maximum"))
        )
        exact = known.exact and (name == "maximum" or self._kind(known) is not Kind.FLOAT)
        self._keep(self.graph.elementwise(name, [known.value, constant]), exact)

    def _scalar(self) -> None:
        known = self._recent()
        if self._kind(known) is Kind.BOOL:
            return
        dtype = self._type(known)
        number = self.choose.integer(-5, 5)
        scalar = self.graph.scalar(f"s{len(self.numbers)}", dtype)
        if self._kind(known) is Kind.INTEGER:
            self.numbers[scalar] = abs(number)
            self._keep(self.graph.elementwise("add", [known.value, scalar]), known.exact)
        else:
            self.numbers[scalar] = number / 4
            self._keep(self.graph.elementwise("mul", [known.value, scalar]), False)

    def _reduce(self) -> None:
        known = self._recent()
        rank = len(self._shape(known))
        axes = [axis for axis in range(rank) if self.choose.chance(60)]
        kind = self._kind(known)
        if kind is Kind.BOOL:
            name = self.choose.pick(("any", "all", "max", "min"))
        elif kind is Kind.INTEGER:
            name = self.choose.pick(("sum", "prod", "max", "min"))
        else:
            name = self.choose.pick(("sum", "sum", "sum_squares", "max", "min"))
        if name in ("max", "min"):
            self.not_empty = True
        exact = known.exact and (kind is not Kind.FLOAT or name in ("max", "min"))
        self._keep(self.graph.reduce(name, known.value, axes), exact)

    def _convert(self) -> None:
        known = self._recent()
        options = (*FLOATS, *INTEGERS, "bool") if known.exact else FLOATS
        converted = self._cast(known, self.choose.pick(options))
        self._keep(converted.value, converted.exact)

    def _view(self) -> None:
        known = self._recent()
        shape = self._shape(known)
        c = self.choose
        name = c.pick(("permute", "merge", "unmerge", "unsqueeze", "expand", "flatten"))
        merged = [i for i, dim in enumerate(shape) if dim in self.merged]
        if name == "permute":
            axes = list(range(len(shape)))
            for i in range(len(axes) - 1):
                j = c.integer(i, len(axes) - 1)
                axes[i], axes[j] = axes[j], axes[i]
            value = self.graph.permute(known.value, axes)
        elif name == "merge" and len(shape) >= 2:
            i = c.integer(0, len(shape) - 2)
            product = f"({shape[i]}*{shape[i + 1]})"
            value = self.graph.reshape(known.value, [*shape[:i], product, *shape[i + 2 :]])
            self.merged[self.graph.shape(value)[i]] = (shape[i], shape[i + 1])
        elif name == "unmerge" and merged:
            i = c.pick(merged)
            value = self.graph.reshape(
                known.value, [*shape[:i], *self.merged[shape[i]], *shape[i + 1 :]]
            )
        elif name == "unsqueeze" and len(shape) < 6:
            i = c.integer(0, len(shape))
            value = self.graph.reshape(known.value, [*shape[:i], 1, *shape[i:]])
        elif name == "expand" and len(shape) <= len(self.symbols):
            full: list[int | str] = list(self.symbols)
            keep = all(a in (1, b) for a, b in zip(shape[::-1], full[::-1], strict=False))
            value = self.graph.expand(known.value, full if keep else shape)
        else:
            value = self.graph.reshape(known.value, ["*".join(map(str, [1, *shape]))])
        self._keep(value, known.exact)

    def _meet(self) -> None:
        """A reduction over one size that meets a tensor of another: whether they share loops is the call's to say."""
        known = self._recent()
        shape = self._shape(known)
        if self._kind(known) is not Kind.FLOAT or len(shape) < 1 or len(self.symbols) < 2:
            return
        axis = self.choose.integer(0, len(shape) - 1)
        if any(dim not in (1, *self.symbols) for dim in shape):
            return
        total = self.graph.reduce("max", known.value, [axis])
        self.not_empty = True
        other = [*shape[:axis], self.choose.pick(self.symbols), *shape[axis + 1 :]]
        self.types.append(self._type(known))
        new = self.graph.input(f"x{len(self.types)}", self._type(known), other)
        self._keep(new, True)
        self._keep(self.graph.elementwise("maximum", [new, total]), known.exact)

    def _concat(self) -> None:
        """Values that differ along one axis at most, sometimes the same twice."""
        known = self._recent()
        shape = self._shape(known)
        if not shape:
            return
        axis = self.choose.integer(0, len(shape) - 1)
        fitting = [
            other
            for other in self.values
            if self._type(other) == self._type(known)
            and len(self._shape(other)) == len(shape)
            and all(
                a == b
                for k, (a, b) in enumerate(zip(self._shape(other), shape, strict=True))
                if k != axis
            )
        ]
        parts = [known, *(self.choose.pick(fitting) for _ in range(self.choose.integer(1, 2)))]
        value = self.graph.concat([part.value for part in parts], axis)
        self._keep(value, all(part.exact for part in parts))

    def _select(self) -> None:
        left, right = self._pair()
        flags = [k for k in self.values if self._type(k) == "bool" and k.exact]
        shape = self._shape(left)
        fitting = [k for k in flags if self._shape(k) == shape]
        if fitting:
            operands = [self.choose.pick(fitting).value, left.value, right.value]
            self._keep(self.graph.elementwise("select", operands), left.exact and right.exact)
        elif self._kind(left) is Kind.FLOAT:
            operands = [left.value, self.graph.constant(-0.5, self._type(left)), right.value]
            self._keep(self.graph.elementwise("clamp", operands), left.exact and right.exact)

    def _multiply_add(self) -> None:
        left, right = self._pair()
        if self._kind(left) is Kind.BOOL:
            return
        name = self._name(("multiply_add", "sub_mul"), left)
        operands = [left.value, right.value, left.value]
        self._keep(
            self.graph.elementwise(name, operands),
            left.exact and right.exact and self._kind(left) is not Kind.FLOAT,
        )

    def _jump(self) -> None:
        known = self._recent(exact=True)
        if self._kind(known) is Kind.BOOL:
            self._keep(self.graph.elementwise("logical_not", [known.value]), True)
        elif self.choose.chance(70) or not self._shape(known):
            value, name = known.value, self.choose.pick(JUMPING)
            if name == "signbit" and self._kind(known) is Kind.FLOAT:
                # Of 0 and -0 the larger is either: what is left has no -0.
                value = self.graph.elementwise(
                    "add", [value, self.graph.constant(0.0, self._type(known))]
                )
            self._keep(self.graph.elementwise(name, [value]), True)
        else:
            self.not_empty = True
            axis = self.choose.integer(0, len(self._shape(known)) - 1)
            self._keep(
                self.graph.reduce(self.choose.pick(("argmax", "argmin")), known.value, [axis]), True
            )

    def _compare(self) -> None:
        left, right = self._pair(exact=True)
        if left.exact and right.exact:
            name = self.choose.pick(COMPARISONS + LOGICAL)
            self._keep(self.graph.elementwise(name, [left.value, right.value]), True)

    def _position(self) -> None:
        if self.symbols and self.choose.chance(60):
            value = self.graph.iota(self.symbols, self.choose.integer(0, len(self.symbols) - 1))
            self._keep(value, True)
        elif self.symbols:
            self._keep(
                self.graph.size(self.choose.pick(self.symbols), self.choose.pick(COMPUTE[:-1])),
                True,
            )

    # ---- inputs

    def sizes(self) -> dict[str, int]:
        """Sizes for the symbols, within the limit on elements."""
        sizes: dict[str, int] = {}
        left = self.largest
        for symbol in self.symbols:
            size = self.choose.pick(SIZES)
            if self.choose.chance(15):
                size = self.choose.pick((257, 1009, 4096, 10_007))
            size = min(size, max(left, 1))
            if self.not_empty:
                size = max(size, 1)
            sizes[symbol] = size
            left //= max(size, 1)
        # Values broadcast against their own transpose may still be far larger.
        while self._most_elements(sizes) > 4 * self.largest:
            symbol = max(sizes, key=lambda name: sizes[name])
            sizes[symbol] //= 2
        return sizes

    def _most_elements(self, sizes: dict[str, int]) -> int:
        shapes = (self.graph.shape(value) for value in range(len(self.graph)))
        return max(
            math.prod(graph_reference.size_of(str(d), sizes) for d in shape) for shape in shapes
        )

    def arguments(self, sizes: dict[str, int]) -> list[Any]:
        """Numbers for the scalars; arrays of all sorts of layouts for the inputs, now and then special values."""
        generator = np.random.default_rng(self.choose.integer(0, 2**32 - 1))
        special = self.choose.chance(20)
        arrays = []
        for value, dtype in zip(self.graph.inputs, self.types, strict=True):
            shape = tuple(
                graph_reference.size_of(str(dim), sizes) for dim in self.graph.shape(value)
            )
            arrays.append(
                self._layout(shape, lambda s, d=dtype: _elements(generator, s, d, special))
            )
        order = sorted([*self.graph.inputs, *self.graph.scalars])
        named = dict(zip(self.graph.inputs, arrays, strict=True)) | self.numbers
        return [named[value] for value in order]

    def _layout(self, shape: tuple[int, ...], make: Any) -> np.ndarray:
        if not shape or self.choose.chance(50):
            return make(shape)
        sort = self.choose.integer(0, 4)
        if sort == 0:
            return make(shape[::-1]).T
        if sort == 1:
            return make((*shape[:-1], 2 * shape[-1]))[..., ::2]
        if sort == 2:
            return make(shape)[::-1]
        if sort == 3:
            return make(tuple(size + 3 for size in shape))[
                tuple(slice(1, 1 + size) for size in shape)
            ]
        axis = self.choose.integer(0, len(shape) - 1)
        return np.broadcast_to(make((*shape[:axis], 1, *shape[axis + 1 :])), shape)


def _elements(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: str, special: bool
) -> np.ndarray:
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    numpy_dtype = np.dtype(element_types.numpy_name(dtype)) if dtype != "bf16" else _bfloat16()
    if element_types.kind(dtype) is Kind.INTEGER:
        low = 0 if dtype == "u8" else -100
        array = generator.integers(low, 100, shape)
        if special:
            bounds = np.iinfo(numpy_dtype)
            array = np.where(generator.random(shape) < 0.05, bounds.max, array)
            array = np.where(generator.random(shape) < 0.05, bounds.min, array)
        return array.astype(numpy_dtype)
    array = generator.uniform(-2, 2, shape)
    if special:
        for number in (np.nan, np.inf, -np.inf, 0.0, -0.0):
            array = np.where(generator.random(shape) < 0.02, number, array)
    return array.astype(numpy_dtype)


def _bfloat16() -> np.dtype[Any]:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def run_and_check(
    random_graph: RandomGraph, executable: _core.Executable, sizes: dict[str, int] | None = None
) -> list[np.ndarray]:
    """One call of an engine on fresh inputs, of fresh sizes by default, held against the reference."""
    arguments = random_graph.arguments(random_graph.sizes() if sizes is None else sizes)
    came = executable(*arguments)
    came = list(came) if isinstance(came, tuple) else [came]
    check(came, random_graph.graph, arguments)
    return came


assert set(SMOOTH + EXACT + JUMPING + COMPARISONS + LOGICAL + BITS + DIVISIONS) <= set(TABLE)
