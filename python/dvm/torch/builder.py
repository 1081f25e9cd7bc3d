"""Builds a Graph from the nodes of an FX graph: what the functions in aten/ write their operations with."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from dvm import _core
from dvm.torch.element_types import COMPUTE, FLOATS, NAMES, promote
from dvm.torch.moves import Moves, Scoring
from dvm.torch.symbols import IntLike, Size, Symbols, expression
from dvm.torch.value import Check, Declined, Number, Value

MAX_RANK = 8

_STRIDED = torch.strided

_PRODUCTS = frozenset(_core.products())

# Conversions that lose nothing: a product may read what they were made of.
_EXACT = frozenset((narrow, "f32") for narrow in ("f16", "bf16", "i8"))


# Values that a kernel reads or knows, whoever made them.
_AT_HAND = frozenset(
    (
        "constant",
        "scalar",
        "size",
        "iota",
        "matmul",
        "attention",
        "convolve",
        "pool",
        "scan",
    )
)


class Builder:
    """One Graph for a whole FX graph, with a note of what it does not know of its values."""

    def __init__(self, numerics: str) -> None:
        self.graph = _core.Graph("torch")
        self.symbols = Symbols()
        self.numerics = numerics
        self.sizes: dict[int, Sequence[Size]] = {}  # that the making of a value states
        self.joins: set[int] = set()  # values of which an axis is the sum of others
        self.values: dict[fx.Node, Value | tuple[Value, ...]] = {}
        self.scalars: dict[int, fx.Node] = {}  # what computes each of the Graph's scalars
        self.inputs: dict[int, fx.Node] = {}  # what brings each of the Graph's inputs
        self.reductions = 0  # how many there are by now
        self.now = 0  # the time (see partition.py) of the node that is being built
        self.times: dict[int, int] = {}  # of the values of nodes
        self.again: set[int] = set()  # values that the node being built computes once more
        self._dims: set[str] = set()  # symbols that sizes of inputs are made of
        self.roundings: set[int] = (
            set()
        )  # conversions to a narrow float that a kernel may leave out
        self.widened: dict[int, int] = {}  # conversions to f32 of such, with what they convert
        self._widens = False  # whether there are conversions that lose nothing
        self._constants: dict[tuple[type, str, str], Value] = {}
        self.checks: dict[fx.Node, list[Check]] = {}  # what must hold where a node runs
        self.checked: dict[int, list[tuple[IntLike, bool]]] = {}  # indices, see aten/index.py

    # Operands.

    def value(self, node: fx.Node) -> Value:
        """The value of a tensor node."""
        value = self.values.get(node)
        if not isinstance(value, Value):
            raise Declined(f"its operand {node} is not a tensor of a type that the core has")
        return value

    def number(self, number: Number | fx.Node, type: str) -> Value:  # noqa: A002 - an element type
        """A number of the program, constant or computed from sizes, as a value without dimensions."""
        if not isinstance(number, fx.Node):
            return self.constant(number, type)
        known = number.meta["val"]
        if isinstance(known, torch.SymInt) and self.is_size(known):
            return self.cast(self.size(known), type)
        if isinstance(known, torch.SymInt | torch.SymFloat):
            return self.cast(self._scalar(number), type)
        raise Declined(f"its operand {number} is a {known.__class__.__name__}")

    def is_size(self, number: IntLike) -> bool:
        """Whether a number follows from the sizes of tensors. One that the program was given may be negative, and
        is no reason to make a new plan."""
        return all(str(symbol) in self._dims for symbol in expression(number).free_symbols)

    def _scalar(self, node: fx.Node) -> Value:
        for id, known in self.scalars.items():  # noqa: A001
            if known is node:
                return Value(self, id)
        type = "i64" if isinstance(node.meta["val"], torch.SymInt) else "f64"  # noqa: A001
        scalar = Value(self, self.graph.scalar(f"{node.name}_value", type))
        self.scalars[scalar.id] = node
        return scalar

    def operand(self, argument: Any, type: str) -> Value:  # noqa: A002
        """A tensor or a number, in `type`."""
        if isinstance(argument, fx.Node) and isinstance(argument.meta["val"], torch.Tensor):
            return self.cast(self.value(argument), type)
        return self.number(argument, type)

    def operands(self, *arguments: Any, to_float: bool = False) -> list[Value]:
        """Tensors and numbers promoted as torch does, in the compute type of the common type.

        With `to_float` integers and booleans become torch's default float type."""
        type = self.common_type(*arguments, to_float=to_float)  # noqa: A001
        return [self.operand(argument, type) for argument in arguments]

    def common_type(self, *arguments: Any, to_float: bool = False) -> str:
        return COMPUTE[NAMES[self.common_dtype(*arguments, to_float=to_float)]]

    def common_dtype(self, *arguments: Any, to_float: bool = False) -> torch.dtype:
        tensors: list[torch.Tensor] = []
        numbers: list[type] = []
        for argument in arguments:
            known = argument.meta["val"] if isinstance(argument, fx.Node) else argument
            if isinstance(known, torch.Tensor):
                tensors.append(known)
            elif isinstance(known, bool | torch.SymBool):
                numbers.append(bool)
            elif isinstance(known, int | torch.SymInt):
                numbers.append(int)
            elif isinstance(known, float | torch.SymFloat):
                numbers.append(float)
            else:
                raise Declined(f"its operand {argument} is a {known.__class__.__name__}")
        dtype = promote(tensors, numbers)
        if to_float and not dtype.is_floating_point:
            dtype = torch.get_default_dtype()
        if dtype not in NAMES:
            raise Declined(f"the core has no type {dtype}")
        return dtype

    # Operations.

    def op(self, name: str, *operands: Value | Number) -> Value:
        """The elementwise instruction `name`; Python numbers take the type of the last tensor."""
        values = [
            operand.id if isinstance(operand, Value) else self._beside(operand, operands)
            for operand in operands
        ]
        return Value(self, self.graph.elementwise(name, values))

    def _beside(self, number: Number, operands: Sequence[Value | Number]) -> int:
        """A number in the type of the last tensor among `operands`."""
        type = next(v.type for v in reversed(operands) if isinstance(v, Value))  # noqa: A001
        return self.constant(number, type).id

    def select(self, condition: Value, a: Value | Number, b: Value | Number) -> Value:
        """`a` where the boolean `condition` holds, else `b`. One of the two is a Value."""
        type = next(v.type for v in (a, b) if isinstance(v, Value))  # noqa: A001
        a = a if isinstance(a, Value) else self.constant(a, type)
        b = b if isinstance(b, Value) else self.constant(b, type)
        return self.op("select", condition, a, b)

    def constant(self, number: Number, type: str) -> Value:  # noqa: A002
        if type == "bool":
            number = bool(number)
        elif type in FLOATS:
            number = float(number)
        else:
            number = int(number)
        key = (number.__class__, repr(number), type)
        known = self._constants.get(key)
        if known is None:
            known = self._constants[key] = Value(self, self.graph.constant(number, type))
        return known

    def size(self, size: int | torch.SymInt) -> Value:
        """A size as an i64 number."""
        known = self.symbols.size(size)
        return self._made(self.graph.size(known, "i64"), [known])

    def count(self, sizes: Sequence[int | torch.SymInt], type: str) -> Value:  # noqa: A002
        """The product of sizes as a number: a constant when torch knows all of them."""
        known = 1
        product: Value | None = None
        for size in sizes:
            text = self.symbols.size(size)
            if isinstance(text, int):
                known *= text
            else:
                product = self.size(size) if product is None else product * self.size(size)
        if product is None:
            return self.constant(known, type)
        return self.cast(product if known == 1 else product * known, type)

    def iota(self, shape: Sequence[int | torch.SymInt], axis: int) -> Value:
        known = self.symbols.shape(shape)
        return self._made(self.graph.iota(known, axis), known)

    def cast(self, value: Value, type: str) -> Value:  # noqa: A002
        if self.graph.type(value.id) == type:
            return value
        made = self.graph.cast(value.id, type)
        self._widens |= (value.type, type) in _EXACT
        if type == "f32" and value.id in self.roundings:
            self.widened[made] = value.id
        return Value(self, made)

    def compute(self, node: fx.Node, *, to_float: bool = False) -> Value:
        """A tensor in the type it is computed with; see operands."""
        value = self.value(node)
        type = COMPUTE[value.type]  # noqa: A001
        if to_float and type not in FLOATS:
            type = self.common_type(node, to_float=True)  # noqa: A001
        return self.cast(value, type)

    def reduce(self, name: str, value: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
        """A reduction over some axes; the one element of a tensor without axes is reduced too."""
        if value.rank == 0:
            return self.reshape(self.reduce(name, self.reshape(value, [1]), [0]), [])
        assert axes, "a reduction over no axes"
        self.reductions += 1
        axes = sorted(axis % value.rank for axis in axes)
        reduced = Value(self, self.graph.reduce(name, value.id, axes))
        if keepdims:
            return reduced
        kept = [size for axis, size in enumerate(value.shape) if axis not in axes]
        return self.reshape(reduced, kept)

    def gather(self, value: Value, index: Value, axis: int) -> Value:
        """Elements of a tensor along `axis`, see Graph.gather. What is computed is picked from by aten.index.pick."""
        return Value(self, self.graph.gather(value.id, index.id, axis))

    def matmul(self, a: Value, b: Value) -> Value:
        """The matrix product of the last two axes of each, those before broadcast. What was only converted is
        multiplied as it was before, where the core has such products; and rows of several sequences as those of
        each."""
        self.reductions += 1
        a, b = self._as_stored(a, b)
        if a.kind == "reshape" and a.rank == b.rank == 2:
            (whole,) = a.operands
            if whole.rank > 2 and whole.shape[-1] == a.shape[-1]:
                made = Value(self, self.graph.matmul(whole.id, b.id))
                return self.reshape(made, [a.shape[0], b.shape[1]])
        return Value(self, self.graph.matmul(a.id, b.id))

    def matmul_scaled(self, a: Value, b: Value, scales: Value, bits: int) -> Value:
        """A product with weights of few bits, see Graph.matmul_scaled."""
        self.reductions += 1
        return Value(self, self.graph.matmul_scaled(a.id, b.id, scales.id, bits))

    def matmul_grouped(self, a: Value, b: Value, ends: Value) -> Value:
        """The products of groups of rows, see Graph.matmul_grouped."""
        self.reductions += 1
        a, b = self._as_stored(a, b)
        return Value(self, self.graph.matmul_grouped(a.id, b.id, ends.id))

    def _as_stored(self, a: Value, b: Value) -> tuple[Value, Value]:
        if not self._widens:
            return a, b
        before_a, before_b = self._before_cast(a), self._before_cast(b)
        if before_a is a and before_b is b:
            return a, b
        for pair in ((before_a, before_b), (a, before_b), (before_a, b)):
            if (pair[0].type, pair[1].type, a.type) in _PRODUCTS:
                return pair
        return a, b

    def _before_cast(self, value: Value) -> Value:
        """What a conversion to a wider type was made of, in the shape of its result."""
        kind = value.kind
        if kind in ("permute", "reshape"):
            (viewed,) = value.operands
            before = self._before_cast(viewed)
            return value if before is viewed else self.remake(value, before)
        if kind != "cast" or self.times.get(value.id, self.now) < self.now:
            return value
        (before,) = value.operands
        return before if (before.type, value.type) in _EXACT else value

    def remake(self, value: Value, *operands: Value) -> Value:
        """What made a value, done to other operands."""
        made = self.graph.remake(value.id, [operand.id for operand in operands])
        return self._made(made, self.sizes.get(value.id))

    def convolve(
        self, x: Value, weight: Value, moves: Moves, groups: int = 1, transposed: bool = False
    ) -> Value:
        """The convolution of x [n, c, ...] with a weight [o, c / groups, ...], see Graph.convolve."""
        self.reductions += 1
        windows = (moves.stride, moves.padding, moves.dilation)
        return Value(self, self.graph.convolve(x.id, weight.id, *windows, groups, transposed))

    def pool(self, name: str, x: Value, taps: Sequence[int], moves: Moves) -> Value:
        """The "max" or "sum" of each window of x [n, c, ...], see Graph.pool."""
        self.reductions += 1
        windows = (moves.stride, moves.padding, moves.dilation)
        return Value(self, self.graph.pool(name, x.id, taps, *windows))

    def scan(self, name: str, x: Value, axis: int) -> Value:
        """The "sum" or "prod" of the elements up to each one along `axis`, see Graph.scan."""
        self.reductions += 1
        return Value(self, self.graph.scan(name, x.id, axis))

    def attention(
        self,
        operands: Sequence[Value],
        mask: Value | None,
        scoring: Scoring,
        order: Sequence[int],
    ) -> Value:
        """softmax(scale * q k^T + mask) v of queries, keys and values; `order` is that of its axes in memory."""
        self.reductions += 1
        given = [value.id for value in (operands if mask is None else [*operands, mask])]
        return Value(self, self.graph.attention(*given, **vars(scoring), order=order))

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Values of one type, one behind the other. Each is made where it lies in the result."""
        joined = Value(self, self.graph.concat([value.id for value in values], axis))
        self.joins.add(joined.id)
        return joined

    def require(self, node: fx.Node, holds: Value, message: str) -> None:
        """States that all of `holds`, bools, must hold when `node` is run. Else IndexError tells the message."""
        self.checks.setdefault(node, []).append(Check(holds, message))

    def reshape(self, value: Value, shape: Sequence[Size]) -> Value:
        shape = list(shape)
        if value.shape == shape:
            return value
        kind = value.kind
        if kind == "reshape" and value.operands[0].shape == shape:
            return value.operands[0]
        if kind == "expand" and not value.operands[0].shape:
            return self.expand(value.operands[0], shape)  # one number everywhere
        return self._made(self.graph.reshape(value.id, shape), shape)

    def slice(
        self, value: Value, axis: int, start: IntLike, length: IntLike, step: int = 1
    ) -> Value:
        """`length` elements of `axis`, every `step`-th from `start` on."""
        axis %= value.rank
        begin, count = self.symbols.size(start), self.symbols.size(length)
        if (begin, step) == (0, 1) and self.same([value.shape[axis]], [count]):
            return value
        return self._made(self.graph.slice(value.id, axis, begin, count, step), [begin, count])

    def same(self, first: Sequence[Size], second: Sequence[Size]) -> bool:
        """Whether the Graph knows the sizes to be equal, be it that operations between tensors made them so."""
        if list(first) == list(second):
            return True
        zero = self.constant(0, "f32").id
        shapes = [
            self.graph.shape(self.graph.expand(zero, list(sizes))) for sizes in (first, second)
        ]
        return bool(shapes[0] == shapes[1])

    def is_tensor(self, value: Value) -> bool:
        """Whether the value comes to the present segment as a tensor: from outside or from a segment before."""
        return value.kind == "input" or self.times.get(value.id, self.now) < self.now

    def cost(self, value: Value, most: int) -> int | None:
        """How many instructions per element make a value from tensors; None if they are more than `most`, or not
        all of them elementwise."""
        pending, count = [value], 0
        while pending:
            current = pending.pop()
            kind = current.kind
            if self.is_tensor(current) or kind in _AT_HAND:
                continue
            if kind in ("reduce", "gather", "concat"):
                return None
            count += kind in ("elementwise", "cast")
            if count > most:
                return None
            pending.extend(current.operands)
        return count

    def looked_at(self, value: Value) -> Value:
        """The value that has the same elements, each at least once, and that views of made this one."""
        while value.kind in ("expand", "reshape", "permute"):
            (value,) = value.operands
        return value

    def expand(self, value: Value, shape: Sequence[Size]) -> Value:
        shape = list(shape)
        if value.shape == shape:
            return value
        return self._made(self.graph.expand(value.id, shape), shape)

    def permute(self, value: Value, axes: Sequence[int]) -> Value:
        rank = value.rank
        axes = [axis % rank for axis in axes]
        if axes == list(range(rank)):
            return value
        return Value(self, self.graph.permute(value.id, axes))

    def input(self, node: fx.Node) -> Value:
        """A tensor that comes from outside the Graph. Raises Declined when the core has no such tensor."""
        tensor = node.meta["val"]
        type, shape = self.described(tensor)  # noqa: A001
        if str in map(builtins.type, shape):
            for size in tensor.shape:
                self._dims.update(str(symbol) for symbol in expression(size).free_symbols)
        value = Value(self, self.graph.input(node.name, type, shape))
        self.inputs[value.id] = node
        return value

    def described(self, tensor: torch.Tensor) -> tuple[str, list[Size]]:
        """Element type and shape. Raises Declined unless the core has tensors like this one."""
        type, shape = self.type_of(tensor), self.symbols.shape_of(tensor)  # noqa: A001
        if len(shape) > MAX_RANK:
            raise Declined(f"the core has at most {MAX_RANK} dimensions, not {len(shape)}")
        return type, shape

    def type_of(self, tensor: torch.Tensor) -> str:
        """Raises Declined unless the core has tensors of this type, where and as they lie."""
        type = NAMES.get(tensor.dtype)  # noqa: A001
        if type is None:
            raise Declined(f"the core has no type {tensor.dtype}")
        if tensor.device.type != "cpu":
            raise Declined(f"the core has no device {tensor.device}")
        if tensor.layout is not _STRIDED:
            raise Declined(f"the core has no layout {tensor.layout}")
        return type

    def finish(self, value: Value, tensor: torch.Tensor) -> Value:
        """`value` with the type and shape that torch says the result has."""
        type = self.type_of(tensor)  # noqa: A001
        came = value.type
        if came != type:
            value = self.cast(value, type)
            if came == "f32" and type in ("f16", "bf16") and self.numerics == "fast":
                self.roundings.add(value.id)
        mine = value.shape
        if len(mine) == tensor.dim() and 1 not in mine:
            return value  # nothing of it could be broadcast: torch need not be asked for the sizes
        shape = self.described(tensor)[1]
        if mine == shape:
            return value
        broadcast = len(mine) != len(shape) or any(
            size == 1 and wanted != 1 for size, wanted in zip(mine, shape, strict=True)
        )
        return self.expand(value, shape) if broadcast else value

    def _made(self, value: int, sizes: Sequence[Size] | None = None) -> Value:
        """A value that was just made, with the sizes that this took."""
        if sizes is not None:
            self.sizes[value] = sizes
        return Value(self, value)
