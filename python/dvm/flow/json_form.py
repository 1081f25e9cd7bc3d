"""A Flow as JSON and back. What is read is checked: names are plain identifiers, everything that is read was set
before, arithmetic is arithmetic, and torch is asked only for operations of the `aten` and `prims` namespaces.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
from collections.abc import Mapping
from typing import Any

from dvm.flow.arithmetic import parse
from dvm.flow.steps import (
    Argument,
    Call,
    Compute,
    Expression,
    Fill,
    Flow,
    Free,
    Held,
    Item,
    Name,
    Restride,
    Run,
    Size,
    Step,
    Update,
    Word,
    names_in,
    reads,
    writes,
)

WORDS = {
    "dtype": re.compile(r"[a-z][a-z0-9_]{0,30}"),
    "device": re.compile(r"[a-z]{1,20}(:\d{1,3})?"),
    "layout": re.compile(r"[a-z_]{1,20}"),
    "memory_format": re.compile(r"[a-z_]{1,20}"),
}

_STEPS: dict[str, type[Step]] = {
    kind.__name__.lower(): kind
    for kind in (Run, Call, Item, Fill, Restride, Size, Compute, Update, Free)
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_OPERATION = re.compile(r"(aten|prims)::[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
# They read and write files, which no step of a model does.
_REFUSED = frozenset({"aten::from_file.default", "aten::from_file.out"})

Json = Any


class NotSaveableError(ValueError):
    """Raised for what only this process has."""


def flow_to_json(flow: Flow) -> dict[str, Json]:
    """Raises NotSaveableError when a step holds an object of this process."""
    return {
        "inputs": flow.inputs,
        "constants": flow.constants,
        "graphs": [*map(str, flow.graphs)],
        "steps": [_step_to_json(step) for step in flow.steps],
        "returns": argument_to_json(flow.returns),
    }


def flow_from_json(data: Json) -> Flow:
    """Raises ValueError, KeyError or TypeError for what no Flow can be."""
    flow = Flow(
        inputs=[variable(name) for name in _strings(data["inputs"])],
        constants=[variable(name) for name in _strings(data["constants"])],
        graphs=_strings(data["graphs"]),
        steps=[_step_from_json(step) for step in data["steps"]],
        returns=argument_from_json(data["returns"]),
    )
    _check_order(flow)
    return flow


def variable(name: Json) -> str:
    """The name, if it may be one of a variable."""
    if (
        not isinstance(name, str)
        or not _VARIABLE.fullmatch(name)
        or keyword.iskeyword(name)
        or name.startswith("__")
    ):
        raise ValueError(f"[flow] {name!r} is no name of a variable")
    return name


def argument_to_json(value: Argument) -> Json:
    """Plain values as they are, everything else as {kind: ...}."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else {"float": str(value)}
        case complex():
            return {"complex": [argument_to_json(value.real), argument_to_json(value.imag)]}
        case Name(text=text):
            return {"name": text}
        case Expression(text=text):
            return {"expression": text}
        case Word(kind=kind, text=text):
            return {kind: text}
        case list():
            return [argument_to_json(item) for item in value]
        case tuple():
            return {"tuple": [argument_to_json(item) for item in value]}
        case dict() if all(isinstance(key, str) for key in value):
            return {"dict": {key: argument_to_json(item) for key, item in value.items()}}
        case slice():
            parts = (value.start, value.stop, value.step)
            return {"slice": [argument_to_json(part) for part in parts]}
        case Held(value=held):
            raise NotSaveableError(f"a {type(held).__name__} that only this process has")
        case _:
            raise NotSaveableError(f"a {type(value).__name__}")


def argument_from_json(data: Json) -> Argument:
    match data:
        case None | bool() | int() | float() | str():
            return data
        case list():
            return [argument_from_json(item) for item in data]
        case dict() if len(data) == 1:
            ((kind, value),) = data.items()
            return _tagged(kind, value)
        case _:
            raise ValueError(f"[flow] {data!r} is no argument")


def _tagged(kind: str, value: Json) -> Argument:
    match kind, value:
        case "float", ("inf" | "-inf" | "nan"):
            return float(value)
        case "complex", [real, imaginary]:
            parts = argument_from_json(real), argument_from_json(imaginary)
            return complex(float(parts[0]), float(parts[1]))
        case "name", _:
            return Name(variable(value))
        case "expression", str():
            parse(value)
            return Expression(value)
        case "tuple", list():
            return tuple(argument_from_json(item) for item in value)
        case "dict", dict():
            return {_string(key): argument_from_json(item) for key, item in value.items()}
        case "slice", [start, stop, step]:
            return slice(*(argument_from_json(part) for part in (start, stop, step)))
        case _, str() if kind in WORDS and WORDS[kind].fullmatch(value):
            return Word(kind, value)
        case _:
            raise ValueError(f"[flow] {kind} of {value!r} is no argument")


def _step_to_json(step: Step) -> dict[str, Json]:
    fields: dict[str, Json] = {"step": type(step).__name__.lower()}
    for field in dataclasses.fields(step):
        fields[field.name] = argument_to_json(getattr(step, field.name))
    return fields


def _step_from_json(data: Mapping[str, Json]) -> Step:
    fields = {key: argument_from_json(value) for key, value in data.items()}
    kind = _STEPS[fields.pop("step")]
    step = kind(**fields)
    for field in dataclasses.fields(kind):
        _FIELDS[str(field.type)](getattr(step, field.name))
    if isinstance(step, Fill) and not WORDS["dtype"].fullmatch(step.dtype):
        raise ValueError(f"[flow] {step.dtype!r} is no element type")
    if isinstance(step, Call):
        operation = _string(step.operation)
        if not _OPERATION.fullmatch(operation) or operation in _REFUSED:
            raise ValueError(f"[flow] {operation!r} is no operation that a file may name")
        for name in step.named:
            variable(name)
    return step


def _string(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"[flow] {value!r} is no text")
    return value


def _strings(value: Json) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"[flow] {value!r} is no list")
    return [_string(item) for item in value]


def _of(*kinds: type) -> Any:
    def check(value: Json) -> None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"[flow] {value!r} came, a {kinds[0].__name__} is wanted")

    return check


# How the value of a field is checked, by the type that the field is declared with.
_FIELDS: dict[str, Any] = {
    "str": _of(str),
    "str | Held": _of(str),
    "int": _of(int),
    "bool": _of(bool),
    "Argument": lambda _: None,
    "Expression": _of(Expression),
    "list[Argument]": _of(list),
    "list[str]": _strings,
    "dict[str, Argument]": _of(dict),
}


def _check_order(flow: Flow) -> None:
    """Everything that is read was set before."""
    known = {*flow.inputs, *flow.constants}
    for step in flow.steps:
        _need(reads(step), known)
        if isinstance(step, Run) and not 0 <= step.graph < len(flow.graphs):
            raise ValueError(f"[flow] there is no graph {step.graph}")
        if isinstance(step, Run):
            variable(step.kernel)
        if isinstance(step, Free):
            known.difference_update(step.names)
        for name in writes(step):
            known.add(variable(name))
    _need(set(names_in(flow.returns)), known)


def _need(names: set[str], known: set[str]) -> None:
    missing = sorted(names - known)
    if missing:
        raise ValueError(f"[flow] {missing[0]!r} is read before anything set it")
