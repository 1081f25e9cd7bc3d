"""A compiled model as the contents of a file, and back: its Flow, Graphs and Signature as JSON, its tensors as raw
memory. No pickle, so that a file can be read without trusting who wrote it.
"""

from __future__ import annotations

import bisect
import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvm import _core
from dvm.compiled import container
from dvm.compiled.container import Contents
from dvm.compiled.framework import Framework, find
from dvm.compiled.parts import Parts
from dvm.compiled.signature import Signature
from dvm.flow.arithmetic import parse
from dvm.flow.json_form import (
    Json,
    NotSaveableError,
    flow_from_json,
    flow_to_json,
    variable,
)
from dvm.flow.numpy_dialect import OPERATIONS
from dvm.flow.steps import Flow, Name, Run

_BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2, "bfloat16": 2, "uint32": 4, "int32": 4,
    "float32": 4, "uint64": 8, "int64": 8, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip

NONSENSE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError, RecursionError, MemoryError,
    RuntimeError,
)  # fmt: skip
"""What a header raises that has the right checksums and makes no sense."""


def save(parts: Parts, framework: Framework, path: Path) -> None:
    """Writes the file. Raises NotSaveableError for what no file can hold."""
    try:
        tensors, sections = _to_sections(parts.constants, framework)
        header = {
            "name": parts.name,
            "milliseconds": parts.milliseconds,
            "signature": parts.signature.to_json(),
            "flow": flow_to_json(parts.flow),
            "fallbacks": parts.fallbacks,
            "updates": parts.updates,
            "types": parts.types,
            "sizes": parts.sizes,
            "facts": parts.facts,
            "tensors": tensors,
        }
    except NotSaveableError as error:
        raise NotSaveableError(f"[save] the model holds {error}") from None
    container.write(path, header, sections)


def load(path: Path, framework: str | None) -> tuple[Parts, str]:
    """The model in a file, and the framework that runs it. Raises ArtifactError for a file that is damaged, and one
    of `NONSENSE` for what nobody saved so."""
    contents = container.read(path)
    header = contents.header
    flow = flow_from_json(header["flow"])
    missing = [name for name in flow.operations if name not in OPERATIONS]  # in NumPy
    chosen = framework or ("torch" if missing else "numpy")
    if missing and chosen == "numpy":
        raise ValueError(f"[load] NumPy has no {', '.join(missing)}: framework='torch' has")
    made = find(chosen)
    executables = [_core.Executable(_core.Graph.parse(t), like=made.tensor) for t in flow.graphs]
    constants = _from_sections(header["tensors"], contents, flow, made)
    for name in _weights(flow, executables) & constants.keys():
        made.freeze(constants[name])
    parts = Parts(
        str(header["name"]),
        Signature.from_json(header["signature"]),
        flow,
        executables,
        constants,
        [_fallback(data) for data in header["fallbacks"]],
        [_update(data) for data in header["updates"]],
        float(header["milliseconds"]),
        {str(name): _type(data) for name, data in header["types"].items()},
        {str(name): int(size) for name, size in header["sizes"].items()},
        [_fact(data) for data in header["facts"]],
    )
    return parts, chosen


def _to_sections(
    constants: Mapping[str, Any], framework: Framework
) -> tuple[list[Json], list[container.Buffer]]:
    """A section for each piece of memory that tensors look at, be it several of them."""
    places = {name: framework.place(tensor) for name, tensor in constants.items()}
    spans: list[list[int]] = []  # first byte and the one behind the last, of memory in use
    for place in sorted(places.values(), key=lambda place: place.address):
        end = place.address + _bytes(place.dtype, place.shape, place.strides)
        if spans and place.address < spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        elif end > place.address:
            spans.append([place.address, end])
    starts = [start for start, _ in spans]
    tensors: list[Json] = []
    for name, place in places.items():
        number = max(0, bisect.bisect_right(starts, place.address) - 1)
        empty = 0 in place.shape
        tensors.append(
            {
                "name": name,
                "dtype": place.dtype,
                "shape": list(place.shape),
                "strides": list(place.strides),
                "section": 0 if empty else number,
                "offset": 0 if empty else place.address - starts[number],
            }
        )
    return tensors, [_memory(start, end) for start, end in spans]


def _from_sections(
    tensors: Json, contents: Contents, flow: Flow, framework: Framework
) -> dict[str, Any]:
    """The tensors, each where it lies in the file."""
    constants: dict[str, Any] = {}
    for data in tensors:
        name, dtype = variable(data["name"]), data["dtype"]
        shape, strides = _naturals(data["shape"]), _naturals(data["strides"])
        if len(shape) != len(strides) or dtype not in _BYTES:
            raise ValueError(f"[load] {name} is no tensor: {dtype}, {shape}, {strides}")
        at = 0
        if 0 not in shape:
            start, size = contents.sections[data["section"]]
            (offset,) = _naturals([data["offset"]])
            if data["section"] < 0 or offset + _bytes(dtype, shape, strides) > size:
                raise ValueError(f"[load] {name} lies outside of its section")
            at = start + offset
        constants[name] = framework.from_memory(contents.memory, at, dtype, shape, strides)
    missing = set(flow.constants) - constants.keys()
    if missing:
        raise ValueError(f"[load] there is no tensor {', '.join(sorted(missing))}")
    return constants


def _weights(flow: Flow, executables: Sequence[_core.Executable]) -> set[str]:
    """The tensors that Graphs declare as weights: the model changes none of them."""
    names: set[str] = set()
    for step in flow.steps:
        if isinstance(step, Run):
            graph = executables[step.graph].graph
            order = sorted([*graph.inputs, *graph.scalars])
            for value, argument in zip(order, step.arguments, strict=True):
                if value in graph.weights and isinstance(argument, Name):
                    names.add(argument.text)
    return names


def _bytes(dtype: str, shape: Sequence[int], strides: Sequence[int]) -> int:
    """From the first byte of a tensor to its last."""
    if dtype not in _BYTES:
        raise NotSaveableError(f"a tensor of type {dtype}")
    if 0 in shape:
        return 0
    last = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    return (last + 1) * _BYTES[dtype]


def _memory(start: int, end: int) -> memoryview:
    return memoryview((ctypes.c_ubyte * (end - start)).from_address(start)).cast("B")


def _naturals(values: Json) -> list[int]:
    if not isinstance(values, list) or any(type(n) is not int or n < 0 for n in values):
        raise ValueError(f"[load] {values!r} are no sizes")
    return values


def _fallback(data: Json) -> dict[str, Any]:
    return {
        "name": str(data["name"]),
        "reason": str(data["reason"]),
        "line": str(data["line"]),
        "count": int(data["count"]),
        "results": [str(name) for name in data["results"]],
    }


def _update(data: Json) -> dict[str, Any]:
    return {
        "name": str(data["name"]),
        "tensor": str(data["tensor"]),
        "in_place": bool(data["in_place"]),
        "how": str(data["how"]),
        "line": str(data["line"]),
    }


def _fact(data: Json) -> dict[str, Any]:
    """Only told, as types are: what fusion goes by is in the Graphs, what is checked in the Signature."""
    return {
        "kind": str(data["kind"]),
        "text": str(data["text"]),
        "source": str(data["source"]),
        "given": bool(data["given"]),
    }


def _type(data: Json) -> list[Any]:
    """Element type and sizes, which are only told: explain() reads them, and no call does."""
    kind, shape = data
    for size in shape:
        if type(size) is not int:
            parse(size)
    return [str(kind), list(shape)]
