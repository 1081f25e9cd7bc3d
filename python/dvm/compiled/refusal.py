"""Says what is wrong with the arguments of a call. Runs only after the quick check of call.py has failed, so it may
take its time: it goes through the Signature once more and names the first thing that does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from dvm.compiled.framework import Framework
from dvm.compiled.signature import REQUIRED, Fixed, Leaf, Number, Signature, Tensor
from dvm.compiled.structure import Structure
from dvm.flow.arithmetic import evaluate, parse

_KINDS = {"int": int, "float": float, "bool": bool}


class InputError(ValueError):
    """The arguments of a call are not what the model was compiled for."""


def bind(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the parameters. Raises InputError for too many, unknown and missing ones."""
    parameters = signature.parameters
    names = [parameter.name for parameter in parameters]
    wanted = f"wanted {', '.join(names)}" if names else "wanted none"
    if len(args) > signature.positional:
        count = f"{len(args)} arguments came by position"
        raise InputError(f"[compile] {count}, at most {signature.positional} may: {wanted}")
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise InputError(f"[compile] there is no argument {name!r}: {wanted}")
        if name in given:
            raise InputError(f"[compile] argument {name!r} came twice")
        given[name] = value
    for parameter in parameters:
        if parameter.name not in given and parameter.default is REQUIRED:
            raise InputError(f"[compile] argument {parameter.name!r} is missing: {wanted}")
    return tuple(given.get(parameter.name, parameter.default) for parameter in parameters)


def refuse(signature: Signature, framework: Framework, args: Sequence[Any]) -> NoReturn:
    """Raises InputError that names the argument and dimension which is wrong."""
    values: list[Any] = []
    for parameter, value in zip(signature.parameters, args, strict=True):
        _check_structure(parameter.structure, parameter.name, value)
        values.extend(parameter.structure.flatten(value))
    paths = signature.paths
    for path, leaf, value in zip(paths, signature.leaves, values, strict=True):
        _check_leaf(leaf, path, value, framework)
    symbols = _check_symbols(signature, paths, values)
    for path, leaf, value in zip(paths, signature.leaves, values, strict=True):
        if isinstance(leaf, Tensor):
            _check_sizes(signature, symbols, path, leaf, value)
    for changed, other in signature.apart:
        if framework.shares_memory(values[changed], values[other]):
            raise InputError(
                f"[compile] input {paths[changed]}, which the model changes, shares memory with {paths[other]}: "
                "pass a copy"
            )
    for condition in signature.conditions:
        if not evaluate(condition, symbols):
            titles = {symbol.name: symbol.title for symbol in signature.symbols}
            inside = parse(condition)
            wanted = f"[compile] the program needs {inside.python({f: f for f in inside.functions}, titles)}"
            sizes = ", ".join(
                f"{symbol.title} = {symbols[symbol.name]}{_origin(signature, symbol.name)}"
                for symbol in signature.symbols
                if symbol.name in inside.names
            )
            raise InputError(f"{wanted}, which fails for {sizes}")
    raise AssertionError("[compile] arguments were refused without a reason")


def _check_structure(structure: Structure, path: str, value: Any) -> None:
    if structure.kind == "leaf":
        return
    if not structure.accepts(value):
        came = type(value).__name__
        if isinstance(value, dict):
            came = f"dict with the keys {', '.join(map(repr, value))}"
        elif isinstance(value, tuple | list):
            came = f"{came} of {len(value)}"
        raise InputError(f"[compile] input {path}: a {came} came, wanted {structure}")
    for number, (child, part) in enumerate(
        zip(structure.children, structure.parts(value), strict=True)
    ):
        key = structure.keys[number] if structure.keys else number
        inner = f"{path}.{key}" if structure.kind == "namedtuple" else f"{path}[{key!r}]"
        _check_structure(child, inner, part)


def _check_leaf(leaf: Leaf, path: str, value: Any, framework: Framework) -> None:
    match leaf:
        case Tensor():
            reason = framework.refusal(leaf, value)
            if reason:
                raise InputError(f"[compile] input {path}: {reason}")
        case Number(kind=kind):
            if type(value) is not _KINDS[kind]:
                came = type(value).__name__
                raise InputError(f"[compile] input {path}: a {came} came, wanted a {kind}")
        case Fixed(value=wanted):
            if type(value) is not type(wanted) or value != wanted:
                plain = isinstance(value, bool | int | float | str)
                came = repr(value) if plain else f"a {type(value).__name__}"
                made = f"the program was made for {wanted!r}"
                raise InputError(f"[compile] input {path}: {came} came, {made}")


def _check_symbols(
    signature: Signature, paths: Sequence[str], values: Sequence[Any]
) -> dict[str, int]:
    """The values of the symbols, each within its range."""
    known: dict[str, int] = {}
    for symbol in signature.symbols:
        value = values[symbol.leaf]
        size = value if symbol.axis is None else value.shape[symbol.axis]
        where = paths[symbol.leaf]
        where += " is" if symbol.axis is None else f": dimension {symbol.axis} is"
        known[symbol.name], rest = divmod(size - symbol.offset, symbol.multiplier)
        number = known[symbol.name]
        if rest:
            form = _form(symbol.multiplier, symbol.offset, symbol.title)
            raise InputError(f"[compile] input {where} {size}, wanted {form}")
        low, high = symbol.low, symbol.high
        if number < low or (high is not None and number > high) or number % symbol.multiple:
            label = f" ({symbol.label})" if symbol.label else ""
            if (symbol.multiplier, symbol.offset) != (1, 0):
                form = _form(symbol.multiplier, symbol.offset, symbol.title)
                label = f" for {symbol.title} = {number}, of which it is {form}"
            raise InputError(f"[compile] input {where} {size}, wanted {symbol.range}{label}")
    return known


def _form(multiplier: int, offset: int, label: str) -> str:
    product = label if multiplier == 1 else f"{multiplier}*{label}"
    return product + (f" {offset:+d}" if offset else "")


def _check_sizes(
    signature: Signature, symbols: Mapping[str, int], path: str, leaf: Tensor, value: Any
) -> None:
    for axis, (size, wanted) in enumerate(zip(value.shape, leaf.shape, strict=True)):
        number = wanted if isinstance(wanted, int) else evaluate(wanted, symbols)
        if size != number:
            raise InputError(
                f"[compile] input {path}: dimension {axis} is {size}, "
                f"wanted {number}{_origin(signature, wanted)}"
            )


def _origin(signature: Signature, size: int | str) -> str:
    """Where a size was told, and what it is called."""
    if isinstance(size, int):
        return ""
    for symbol in signature.symbols:
        if symbol.name == size:
            told = signature.paths[symbol.leaf]
            place = "" if symbol.axis is None else f"dimension {symbol.axis} of "
            return f", as {place}{told}" + (f" ({symbol.label})" if symbol.label else "")
        size = size.replace(symbol.name, symbol.title)
    return f", which is {size}"
