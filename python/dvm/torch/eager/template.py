"""Makes a template: what one call computes, as a Graph over symbols, by the rules that torch.compile uses too. The call
is traced with its own arguments, of which only types, sizes and strides are looked at.
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.utils import _pytree as pytree

from dvm import _core
from dvm.torch.aliases import is_view
from dvm.torch.aten import VIEWS
from dvm.torch.decompositions import decompositions, kept_whole
from dvm.torch.operations import operation
from dvm.torch.partition import partition
from dvm.torch.simplify import simplify
from dvm.torch.value import Value

Made = tuple[str, _core.Graph, list[int], list[int], Any]


_decompositions = functools.cache(decompositions)


class NotRecorded(Exception):  # noqa: N818 - not an error: torch runs the call
    """Why a call has no template."""


class ComputesNothing(Exception):  # noqa: N818
    """The call makes a view, or gives back what it was given."""


def template(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    numbers: bool,
    sizes: bool,
) -> tuple[Made, bool]:
    """Name, Graph, the operand that each result is written to, the number that each scalar is, and what packs
    results; and whether they hold for these sizes alone. With `numbers` the call's numbers become scalars of the
    Graph, with `sizes` its sizes are constants.

    Raises NotRecorded or ComputesNothing.
    """
    leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
    places = [
        i
        for i, leaf in enumerate(leaves)
        if isinstance(leaf, torch.Tensor) or (numbers and type(leaf) in (int, float))
    ]
    if not any(isinstance(leaf, torch.Tensor) for leaf in leaves):
        raise NotRecorded("it takes no tensor")
    packing: list[Any] = []

    def called(*given: Any) -> list[torch.Tensor]:
        filled = list(leaves)
        for place, value in zip(places, given, strict=True):
            filled[place] = value
        inner, named = pytree.tree_unflatten(filled, spec)
        made = function(*inner, **named)
        results, shape = pytree.tree_flatten(made)
        if not results or not all(isinstance(result, torch.Tensor) for result in results):
            raise NotRecorded("its results are not tensors")
        packing.append(shape if not isinstance(made, torch.Tensor) else None)
        return results

    _refuse_unsigned(leaves)
    changes = is_change(function, kwargs)
    _probe(called, [leaves[place] for place in places], changes)
    traced = torch.func.functionalize(called, remove="mutations") if changes else called
    environment = ShapeEnv()
    try:
        fake = _Fake(environment, static=sizes)
        given = [fake(leaves[place]) for place in places]
        with torch.no_grad(), kept_whole(), fake.mode:
            gm = make_fx(traced, decomposition_table=_decompositions(), tracing_mode="real")(*given)
    except NotRecorded:
        raise
    except Exception as error:
        raise NotRecorded(
            f"it cannot be traced: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    if any(
        not fake.numbers.isdisjoint(map(str, guard.expr.free_symbols))
        for guard in environment.guards
    ):
        raise NotRecorded("it depends on its numbers")
    name = getattr(function, "__name__", str(function))
    try:
        return _lowered(name, gm, packing[0], changes), _is_guarded(environment)
    except (NotRecorded, ComputesNothing):
        raise
    except Exception as error:
        # Whatever fails, the program goes on: torch runs the call, and explain() tells why.
        raise NotRecorded(f"it cannot be lowered: {type(error).__name__}: {error}") from error


# Calls on so many elements are tried as they are.
_FEW = 1 << 14
# How torch says that an operation is not for such types, when it is tried on fewer.
_TYPES = (
    "not implemented for",
    "not support",
    "can't be cast",
    "must not be",
    "integral input",
)


def _refuse_unsigned(leaves: Sequence[Any]) -> None:
    """Torch takes numbers and other types for unsigned ones before it computes, negative ones too."""
    types = {leaf.dtype for leaf in leaves if isinstance(leaf, torch.Tensor)}
    if torch.uint8 in types:
        others = len(types) > 1 or any(type(leaf) in (int, float) for leaf in leaves)
        if others:
            raise NotRecorded("it mixes unsigned bytes with other numbers")


def _probe(called: Callable[..., Any], given: Sequence[Any], changes: bool) -> None:
    """Runs a call on a few elements: torch has not every operation for every type, which tracing does not tell."""
    sizes: dict[int, int] = {}
    is_exact = all(value.numel() <= _FEW for value in given if isinstance(value, torch.Tensor))

    def small(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if is_exact:
            return torch.ones_like(value)
        shape = [sizes.setdefault(size, 1 if size == 1 else len(sizes) + 2) for size in value.shape]
        return torch.ones(shape, dtype=value.dtype)

    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=()),
            warnings.catch_warnings(action="ignore"),
        ):
            called(*map(small, given))
    except NotImplementedError as error:
        raise NotRecorded(str(error)) from None
    except Exception as error:  # other sizes may not do
        if is_exact or changes or any(told in str(error) for told in _TYPES):
            raise NotRecorded(str(error)) from None


class _Fake:
    """Stands for arguments while they are traced: tensors without elements, and numbers and sizes without values."""

    def __init__(self, environment: ShapeEnv, *, static: bool) -> None:
        self.mode = FakeTensorMode(
            shape_env=environment, allow_non_fake_inputs=True, static_shapes=static
        )
        self.numbers: set[str] = set()
        self._environment = environment
        self._count = 0

    def __call__(self, value: Any) -> Any:
        self._count += 1
        source = ConstantSource(f"argument{self._count}")
        if isinstance(value, torch.Tensor):
            return self.mode.from_tensor(value.detach(), source=source)
        symbol = self._environment.create_unspecified_symbol(value, source, DimDynamic.DYNAMIC)
        self.numbers.add(str(symbol))
        if isinstance(value, float):
            return self._environment.create_symfloatnode(symbol, hint=value, source=source)
        return self._environment.create_symintnode(symbol, hint=value, source=source)


def _is_guarded(environment: ShapeEnv) -> bool:
    """Whether tracing took more of sizes for granted than their pattern. What it took of strides follows from how axes
    lie, which is part of the pattern."""
    strides = {
        symbol
        for symbol, sources in environment.var_to_sources.items()
        if all(".stride()" in _told(source) for source in sources)
    }
    return any(strides.isdisjoint(guard.expr.free_symbols) for guard in environment.guards)


def _told(source: Any) -> str:
    name = source.name
    return str(name() if callable(name) else name)


def is_change(function: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call changes an argument."""
    if isinstance(function, torch._ops.OpOverload):
        return bool(function._schema.is_mutable)
    name = str(getattr(function, "__name__", ""))
    if name.startswith("__"):
        return name.startswith("__i") and name not in ("__index__", "__invert__", "__int__")
    return name.endswith("_") or "out" in kwargs or bool(kwargs.get("inplace"))


def _lowered(name: str, gm: fx.GraphModule, packing: Any, changes: bool) -> Made:
    graph = gm.graph
    arguments = graph.find_nodes(op="placeholder")
    numbers = [node for node in arguments if not isinstance(node.meta["val"], torch.Tensor)]
    placeholders = [node for node in arguments if isinstance(node.meta["val"], torch.Tensor)]
    written = {}
    if changes:
        for node in graph.nodes:
            if node.target is torch.ops.aten.copy_.default and node.args[0] in placeholders:
                written[placeholders.index(node.args[0])] = node.args[1]
        for node in reversed(graph.nodes):
            if node.target is torch.ops.aten.copy_.default:
                node.replace_all_uses_with(node.args[1])
                graph.erase_node(node)
        if not written:
            raise NotRecorded("it changes what is no argument")
    (output,) = graph.find_nodes(op="output")
    results = list(output.args[0])
    if changes:
        if len(results) != 1 or len(written) != 1:
            raise NotRecorded("it changes several tensors")
        results = list(written.values())
        packing = None
    else:
        for result in results:
            if _is_given(result):
                raise ComputesNothing
    if any(_may_divide_by_zero(node) for node in graph.nodes):
        raise NotRecorded("torch refuses to divide by a zero")
    output.args = (results,)
    simplify(graph)
    results = list(output.args[0])
    part = partition(graph, "eager", {})
    builder = part.builder
    if part.fallbacks:
        fallback = part.fallbacks[0]
        raise NotRecorded(f"{fallback.name}: {fallback.reason}")
    if builder.checks or builder.symbols.opaque:
        raise NotRecorded("it checks its operands")
    scalars = list(builder.scalars.values())
    if any(node not in numbers for node in scalars):
        raise NotRecorded("it computes with its numbers")
    if any(node not in placeholders for node in builder.inputs.values()):
        raise NotRecorded("torch would run a part of it")
    values = [builder.values.get(result) for result in results]
    orders = []
    for result, value in zip(results, values, strict=True):
        if not isinstance(value, Value):
            raise NotRecorded("a result is not in the core")
        order = builder.symbols.order_of(result.meta["val"])
        if order is None and not changes:
            raise NotRecorded("a result has gaps")
        orders.append([] if order is None or list(order) == sorted(order) else list(order))
    if list(builder.inputs.values()) != placeholders:
        raise NotRecorded("it has operands of types that the core lacks")
    whole = builder.graph
    for value, axes in zip(values, orders, strict=True):
        assert isinstance(value, Value)
        made = value.id
        if whole.kind(made) in ("input", "constant"):
            made = whole.elementwise("copy", [made])
        whole.output(made, axes)
    writes = list(written) if changes else [-1] * len(results)
    pack = None if packing is None else functools.partial(_pack, packing)
    return name, whole, writes, [numbers.index(node) for node in scalars], pack


_DIVISIONS = ("floor_divide", "remainder", "fmod", "div", "__rfloordiv__")


def _may_divide_by_zero(node: fx.Node) -> bool:
    if node.op != "call_function" or operation(node.target).packet not in _DIVISIONS:
        return False
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and not value.is_floating_point()


def _pack(spec: Any, results: list[torch.Tensor]) -> Any:
    return pytree.tree_unflatten(results, spec)


def _is_given(node: Any) -> bool:
    """Whether a result lies in the memory of an argument."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        if node.target is operator.getitem:
            node = node.args[0]
        elif is_view(node) or node.target in VIEWS:
            node = node.args[0] if node.args else None
            if isinstance(node, list | tuple):
                return False
        else:
            return False
    return isinstance(node, fx.Node) and node.op == "placeholder"
