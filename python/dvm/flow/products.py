"""The matrix products of a Graph, as explain() and profiles tell of them: what is multiplied, which kernel finishes the
tiles, and what it costs as arithmetic on sizes. What kernels and tensors move is counted in traffic.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dvm import _core
from dvm.flow import traffic
from dvm.flow.arithmetic import evaluate


@dataclass(frozen=True)
class Launched:
    """A kernel, a product, or a product and the kernel that finishes its tiles, with the tensors in memory that it
    reads and writes: mappings with `value`, `type` and `shape`."""

    name: str
    kernel: int | None  # among those that the Executable explains
    matmul: int | None
    reads: Sequence[Mapping[str, Any]]
    writes: Sequence[Mapping[str, Any]]


def launched(explained: Mapping[str, Any]) -> Iterator[Launched]:
    """What an Executable launches, in order."""
    matmuls = explained["matmuls"]
    numbers = {matmul["value"]: number for number, matmul in enumerate(matmuls)}
    for kind, which in explained["steps"]:
        if kind == "kernel":
            kernel = explained["kernels"][which]
            yield Launched(kernel["name"], which, None, kernel["inputs"], kernel["outputs"])
        elif kind == "matmul":
            matmul = matmuls[numbers[which]]
            number = matmul["epilogue"]
            reads = [{**operand, "type": matmul["type"]} for operand in matmul["operands"]]
            if number is None:
                yield Launched("matmul", None, numbers[which], reads, [matmul])
            else:
                kernel = explained["kernels"][number]
                reads += [tensor for tensor in kernel["inputs"] if tensor["value"] != which]
                name = f"matmul_{kernel['name']}"
                yield Launched(name, number, numbers[which], reads, kernel["outputs"])


def products(graph: _core.Graph, explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `matmuls` that an Executable of the Graph explains, each besides with the `type` and, where it is an argument
    or a view of one, the `name` of its operands; `flops`, which are two for each multiplication; and `bytes`, of
    operands and of the result, which is in memory only where no `epilogue` finishes its tiles.
    """
    return [_product(graph, matmul) for matmul in explained["matmuls"]]


def _product(graph: _core.Graph, matmul: Mapping[str, Any]) -> dict[str, Any]:
    operands = [
        {**operand, "name": _name(graph, operand["value"]), "type": matmul["type"]}
        for operand in matmul["operands"]
    ]
    moved = [*operands] if matmul["epilogue"] is not None else [*operands, matmul]
    depth = matmul["operands"][0]["shape"][-1]
    return {
        **matmul,
        "operands": operands,
        "flops": traffic.text(traffic.count([*matmul["shape"], depth], 2)),
        "bytes": traffic.text(traffic.of_tensors(moved)),
    }


def _name(graph: _core.Graph, value: int) -> str:
    node = graph.node(value)
    while "name" not in node and node["kind"] in ("permute", "expand", "reshape", "slice"):
        node = graph.node(node["operands"][0])
    return str(node.get("name", f"%{value}"))


def flops_of_launches(
    executable: _core.Executable, arguments: Sequence[Sequence[int] | float]
) -> dict[tuple[str, int], list[int]]:
    """What the products of a call take, in their order, by the name and number with which a profile tells of their
    launches. `arguments` are the shapes of its inputs and the values of its scalars. Nothing where sizes are not known:
    another version than the one that explain() tells of may have run, whose launches have other names and numbers.
    """
    graph, explained = executable.graph, executable.explain()
    told = products(graph, explained)
    sizes = _sizes(graph, arguments)
    found: dict[tuple[str, int], list[int]] = {}
    for launch in launched(explained):
        if launch.matmul is None:
            continue
        product = told[launch.matmul]
        try:
            elements = [int(evaluate(str(size), sizes)) for size in product["shape"]]
            flops = int(evaluate(product["flops"], sizes))
        except NameError:
            return {}
        if all(elements):  # else nothing is launched
            number = -1 if launch.kernel is None else launch.kernel
            found.setdefault((launch.name, number), []).append(flops)
    return found


def _sizes(graph: _core.Graph, arguments: Sequence[Sequence[int] | float]) -> dict[str, int]:
    """The symbols that shapes and scalars name outright."""
    sizes: dict[str, int] = {}
    for value, argument in zip([*graph.inputs, *graph.scalars], arguments, strict=False):
        if isinstance(argument, int):
            sizes[str(graph.node(value)["name"])] = argument
        elif isinstance(argument, Sequence):
            shape = zip(graph.shape(value), argument, strict=True)
            sizes |= {size: known for size, known in shape if isinstance(size, str)}
    return sizes
