"""dvm.compile: a whole model, captured by torch.export and lowered once. What the backend of torch.compile leaves to
Dynamo is done here: the arguments' structure, weights, what is changed in place, and which sizes a call may have.
"""

from __future__ import annotations

import inspect
import warnings
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    SymBoolArgument,
    SymFloatArgument,
    SymIntArgument,
    TensorArgument,
)

from dvm import _core
from dvm.compiled.model import CompiledModel
from dvm.compiled.parts import Parts
from dvm.compiled.signature import Fixed, Leaf, Number, Parameter, Signature, Tensor
from dvm.compiled.structure import LEAF, Custom, Structure
from dvm.torch.aliases import updated
from dvm.torch.constraints import Constraints
from dvm.torch.decompositions import decompositions, kept_whole
from dvm.torch.hints import Hints
from dvm.torch.lower import lower
from dvm.torch.options import Options
from dvm.torch.symbols import expression, python_text

_CHANGES = (
    OutputKind.BUFFER_MUTATION,
    OutputKind.PARAMETER_MUTATION,
    OutputKind.USER_INPUT_MUTATION,
)
_NUMBERS = {SymIntArgument: "int", SymFloatArgument: "float", SymBoolArgument: "bool"}


def compile_model(
    model: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    facts: Sequence[Sequence[Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> CompiledModel:
    """See dvm.compile."""
    parsed = Options.parse(None, options)
    module = model if isinstance(model, torch.nn.Module) else _module(model)
    with torch.no_grad(), warnings.catch_warnings(), kept_whole():
        # torch.export warns of its own use of its own classes.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        exported = torch.export.export(
            module, tuple(args), dict(kwargs or {}), dynamic_shapes=dynamic_shapes, strict=False
        )
        program = exported.run_decompositions(_decompositions())
    constraints = Constraints(program)
    names = _parameter_names(module, args, kwargs or {})
    constraints.name_symbols(program, names, dynamic_shapes)
    signature = _signature(program, names, constraints)
    hints = Hints(facts, signature)
    signature = hints.checked(signature)
    name = getattr(model, "__name__", type(model).__name__)
    _leave_out_checks(program.graph)
    _copy_back(program)
    lifted = _lifted(program)
    lowered = lower(
        program.graph_module,
        "inference",
        parsed,
        lifted=lifted,
        weights=_weights(program.graph, lifted),
        hints=hints.stated,
    )
    compilation, emitted = lowered.compilation, lowered.emitted
    hints.check_example(emitted.sizes())
    parts = Parts(
        name,
        signature,
        emitted.flow,
        emitted.executables,
        emitted.constants,
        compilation.counted_fallbacks(),
        compilation.updates,
        compilation.seconds * 1e3,
        emitted.types(),
        emitted.sizes(),
        _stated(hints, emitted.executables),
    )
    return CompiledModel(parts, "torch")


def _stated(hints: Hints, executables: Sequence[_core.Executable]) -> list[dict[str, Any]]:
    """The facts that the user and torch stated, each once."""
    graphs = (fact for executable in executables for fact in executable.graph.facts)
    given = [*hints.facts, *(fact for fact in graphs if fact["given"])]
    return list({fact["text"]: fact for fact in reversed(given)}.values())[::-1]


def _module(function: Any) -> torch.nn.Module:
    """torch.export takes modules only."""
    if not callable(function):
        came = type(function).__name__
        raise TypeError(f"[compile] a {came} came, wanted a module or function of torch's")
    module = torch.nn.Module()
    module.forward = function
    return module


def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Ours, and those that AOTAutograd always makes: operations that are only names for others. But not for
    linear, which simplify.py would put together again."""
    implicit = torch._C.DispatchKey.CompositeImplicitAutograd
    table = {
        overload: function
        for overload, function in torch.export.default_decompositions().materialize().items()
        if isinstance(overload, torch._ops.OpOverload)
        and overload.has_kernel_for_dispatch_key(implicit)
        and overload is not torch.ops.aten.linear.default
    }
    return table | decompositions()


def _leave_out_checks(graph: fx.Graph) -> None:
    """Tracing notes that a conversion met the type and device it did. These follow from the arguments', which are
    checked."""
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)


def _placeholders(program: ExportedProgram) -> dict[str, fx.Node]:
    return {node.name: node for node in program.graph.nodes if node.op == "placeholder"}


def _lifted(program: ExportedProgram) -> dict[fx.Node, Any]:
    """The tensors that the graph takes and a call does not give: weights, buffers, constants."""
    nodes, lifted = _placeholders(program), {}
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            continue
        value = program.state_dict.get(spec.target)
        if value is None:
            value = program.constants.get(spec.target)
        if not isinstance(value, torch.Tensor):
            came = type(value).__name__
            raise NotImplementedError(f"[compile] the model holds {spec.target}, a {came}")
        lifted[nodes[spec.arg.name]] = value.detach()
    return lifted


def _weights(graph: fx.Graph, lifted: Mapping[fx.Node, Any]) -> list[fx.Node]:
    """What the model holds, but for memory that it changes itself."""
    changed = {_memory(lifted[node]) for node in updated(graph) if node in lifted}
    return [node for node, tensor in lifted.items() if _memory(tensor) not in changed]


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _copy_back(program: ExportedProgram) -> None:
    """Results that arguments or buffers are to be changed to are no results but copies at the end of the graph, as
    torch.compile has them."""
    graph, signature = program.graph, program.graph_signature
    nodes = _placeholders(program)
    by_target = {spec.target: spec.arg.name for spec in signature.input_specs if spec.target}
    output = next(node for node in graph.nodes if node.op == "output")
    returned: list[Any] = []
    changed: list[tuple[fx.Node, fx.Node]] = []
    for spec, result in zip(signature.output_specs, output.args[0], strict=True):
        if spec.kind is OutputKind.USER_OUTPUT:
            returned.append(result)
        elif spec.kind in _CHANGES:
            given = spec.kind is OutputKind.USER_INPUT_MUTATION
            changed.append((nodes[spec.target if given else by_target[spec.target]], result))
        else:
            raise NotImplementedError(f"[compile] the graph has a result of {spec.kind}")
    output.args = (tuple(returned),)
    with graph.inserting_before(output):
        # What looks at an argument is copied before another change may reach it.
        values = [_apart(graph, value) for _, value in changed]
        for (target, _), value in zip(changed, values, strict=True):
            copy = graph.call_function(torch.ops.aten.copy_.default, (target, value))
            copy.meta["val"] = target.meta["val"]


def _apart(graph: fx.Graph, node: fx.Node) -> fx.Node:
    if not _looks_at_argument(node):
        return node
    copy = graph.call_function(torch.ops.aten.clone.default, (node,))
    copy.meta["val"] = node.meta["val"]
    return copy


def _looks_at_argument(node: fx.Node) -> bool:
    """Whether a tensor is an argument of the graph or a view of one."""
    while node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
        if not any(returned.alias_info for returned in node.target._schema.returns):
            return False
        node = node.all_input_nodes[0]
    return node.op == "placeholder"


def _parameter_names(
    module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[str]:
    """What the arguments given by position are called."""
    names: list[str] = []
    for parameter in inspect.signature(module.forward).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{n}" for n in range(len(args) - len(names))]
    return names[: len(args)]


def _signature(
    program: ExportedProgram, names: Sequence[str], constraints: Constraints
) -> Signature:
    tree = program.call_spec.in_spec
    positional, named = tree.children()
    specs = [*positional.children(), *named.children()]
    parameters = [
        Parameter(name, structure(spec))
        for name, spec in zip([*names, *(named.context or ())], specs, strict=True)
    ]
    nodes = _placeholders(program)
    inputs = [s.arg for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    symbols = constraints.symbols([_value(nodes, argument) for argument in inputs])
    signature = Signature(
        tuple(parameters),
        len(names),
        tuple(_leaf(nodes, argument) for argument in inputs),
        symbols,
        constraints.conditions(symbols),
        structure(program.call_spec.out_spec),
        _changed(program, inputs),
    ).with_defaults()
    signature.check()
    return signature


def _changed(program: ExportedProgram, inputs: Sequence[Any]) -> tuple[int, ...]:
    """The arguments that the model writes into."""
    targets = {
        spec.target
        for spec in program.graph_signature.output_specs
        if spec.kind is OutputKind.USER_INPUT_MUTATION
    }
    return tuple(at for at, one in enumerate(inputs) if getattr(one, "name", "") in targets)


def _value(nodes: Mapping[str, fx.Node], argument: Any) -> Any:
    node = nodes.get(getattr(argument, "name", ""))
    return None if node is None or isinstance(argument, ConstantArgument) else node.meta["val"]


def _leaf(nodes: Mapping[str, fx.Node], argument: Any) -> Leaf:
    match argument:
        case TensorArgument(name=name):
            tensor = nodes[name].meta["val"]
            sizes = (expression(size) for size in tensor.shape)
            shape = tuple(int(n) if n.is_Integer else python_text(n) for n in sizes)
            dtype = str(tensor.dtype).removeprefix("torch.")
            return Tensor(dtype, str(tensor.device), shape)
        case ConstantArgument(value=value):
            return Fixed(value)
        case SymIntArgument() | SymFloatArgument() | SymBoolArgument():
            return Number(_NUMBERS[type(argument)])
        case _:
            raise NotImplementedError(f"[compile] an argument is a {type(argument).__name__}")


def structure(spec: Any) -> Structure:
    """The Structure that one of torch's TreeSpecs describes."""
    if spec.is_leaf():
        return LEAF
    children = tuple(structure(child) for child in spec.children())
    kind, context = spec.type, spec.context
    if kind in (tuple, list):
        return Structure(kind.__name__, children)
    if kind is dict:
        return Structure("dict", children, tuple(context))
    if kind is namedtuple:
        return Structure("namedtuple", children, context._fields, context.__name__, context)
    node = torch.utils._pytree.SUPPORTED_NODES[kind]
    custom = Custom(
        kind,
        node.flatten_fn,
        lambda parts: node.unflatten_fn(list(parts), context),
        context,
    )
    keys = _keys(context, len(children)) if issubclass(kind, dict) else ()
    return Structure("custom", children, keys, custom=custom)


def _keys(context: Any, count: int) -> tuple[str, ...]:
    """The keys of a registered mapping, where its context tells them."""
    for candidate in (context, *(context if isinstance(context, tuple | list) else ())):
        names = candidate if isinstance(candidate, list | tuple) else ()
        if len(names) == count and all(isinstance(name, str) for name in names):
            return tuple(map(str, names))
    return ()
