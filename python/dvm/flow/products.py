"""The matrix products, convolutions, pools, scans and attentions of a Graph, as explain() and profiles tell of them:
what is multiplied, which kernel finishes the tiles, and what it costs as arithmetic on sizes. What tensors move is
counted in traffic.py.
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
    """A kernel, a product, convolution or pool, one of these and the kernel that finishes its tiles, a scan or an
    attention, with the tensors in memory that it reads and writes: mappings with `value`, `type` and `shape`."""

    kind: str  # "kernel", "matmul", "convolution", "pool", "scan" or "attention"
    name: str
    place: int  # among those of its kind that the Executable explains
    kernel: int | None  # which it is, or which finishes it
    reads: Sequence[Mapping[str, Any]]
    writes: Sequence[Mapping[str, Any]]


def launched(explained: Mapping[str, Any]) -> Iterator[Launched]:
    """What an Executable launches, in order."""
    kernels = explained["kernels"]
    places = {
        (kind, found["value"]): place
        for kind in ("matmul", "convolution", "pool", "scan", "attention")
        for place, found in enumerate(explained[f"{kind}s"])
    }
    for kind, which in explained["steps"]:
        if kind == "kernel":
            kernel = kernels[which]
            yield Launched(kind, kernel["name"], which, which, kernel["inputs"], kernel["outputs"])
        elif (kind, which) in places:
            place = places[kind, which]
            found = explained[f"{kind}s"][place]
            number = found.get("epilogue")
            reads = list(found["operands"])
            if number is None:
                yield Launched(kind, kind, place, None, reads, [found])
            else:
                kernel = kernels[number]
                reads += [tensor for tensor in kernel["inputs"] if tensor["value"] != which]
                name = f"{kind}_{kernel['name']}"
                yield Launched(kind, name, place, number, reads, kernel["outputs"])


def products(graph: _core.Graph, explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `matmuls` that an Executable of the Graph explains, each besides with the `type` and, where it is an argument
    or a view of one, the `name` of its operands; `flops`, which are two for each multiplication; and `bytes`, of
    operands and of the result, which is in memory only where no `epilogue` finishes its tiles.
    """
    return [_product(graph, matmul) for matmul in explained["matmuls"]]


def convolutions(graph: _core.Graph, explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `convolutions` that an Executable explains, with what products() adds."""
    return [_convolution(graph, convolution) for convolution in explained["convolutions"]]


def pools(graph: _core.Graph, explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `pools` that an Executable explains, with what products() adds: one flop for each element of a window."""
    return [
        _tiled(graph, pool, traffic.count([*pool["shape"], *pool["taps"]], 1))
        for pool in explained["pools"]
    ]


def scans(graph: _core.Graph, explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `scans` that an Executable explains, with what products() adds: one flop for each element."""
    return [_tiled(graph, scan, traffic.count(scan["shape"], 1)) for scan in explained["scans"]]


def finished_tiles(explained: Mapping[str, Any]) -> dict[int, int]:
    """By the number of a kernel the value whose tiles it finishes, which is then never in memory."""
    made = (*explained["matmuls"], *explained["convolutions"], *explained["pools"])
    return {one["epilogue"]: one["value"] for one in made if one["epilogue"] is not None}


def attentions(graph: _core.Graph, explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `attentions` that an Executable explains, with what products() adds. Scores are never in memory; those that a
    causal attention leaves out count among its `flops`."""
    return [_attention(graph, attention) for attention in explained["attentions"]]


def _product(graph: _core.Graph, matmul: Mapping[str, Any]) -> dict[str, Any]:
    depth = matmul["operands"][0]["shape"][-1]
    return _tiled(graph, matmul, traffic.count([*matmul["shape"], depth], 2))


def _convolution(graph: _core.Graph, convolution: Mapping[str, Any]) -> dict[str, Any]:
    """Each element that windows, or what they write if transposed, are at meets the weights of one channel."""
    x, weight = (operand["shape"] for operand in convolution["operands"])
    places = x if convolution["transposed"] else convolution["shape"]
    return _tiled(graph, convolution, traffic.count([*places, *weight[1:]], 2))


def _tiled(graph: _core.Graph, product: Mapping[str, Any], flops: traffic.Bytes) -> dict[str, Any]:
    operands = _operands(graph, product)
    moved = operands if product["epilogue"] is not None else [*operands, product]
    return {
        **product,
        "operands": operands,
        "flops": traffic.text(flops),
        "bytes": traffic.text(traffic.of_tensors(moved)),
    }


def _attention(graph: _core.Graph, attention: Mapping[str, Any]) -> dict[str, Any]:
    operands = _operands(graph, attention)
    queries, keys, values, *_ = (operand["shape"] for operand in operands)
    scores = [*attention["shape"][:-1], keys[-2]]
    flops = traffic.count([*scores, queries[-1]], 2)
    flops.update(traffic.count([*scores, values[-1]], 2))
    return {
        **attention,
        "operands": operands,
        "flops": traffic.text(flops),
        "bytes": traffic.text(traffic.of_tensors([*operands, attention])),
    }


def _operands(graph: _core.Graph, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**operand, "name": _name(graph, operand["value"])} for operand in found["operands"]]


def _name(graph: _core.Graph, value: int) -> str:
    node = graph.node(value)
    while "name" not in node and node["kind"] in ("permute", "expand", "reshape", "slice"):
        node = graph.node(node["operands"][0])
    return str(node.get("name", f"%{value}"))


def flops_of_launches(
    executable: _core.Executable, arguments: Sequence[Sequence[int] | float]
) -> dict[tuple[str, int], list[int]]:
    """What the products, convolutions, pools, scans and attentions of a call take, in their order, by the name and
    number with which a profile tells of their launches. `arguments` are the shapes of its inputs and the values of its
    scalars. Nothing where sizes are not known. Another version than the one that explain() tells of may have run, whose
    launches then have other names and numbers.
    """
    graph, explained = executable.graph, executable.explain()
    told = {
        "matmul": products(graph, explained),
        "convolution": convolutions(graph, explained),
        "pool": pools(graph, explained),
        "scan": scans(graph, explained),
        "attention": attentions(graph, explained),
    }
    sizes = _sizes(graph, arguments)
    found: dict[tuple[str, int], list[int]] = {}
    for launch in launched(explained):
        if launch.kind not in told:
            continue
        product = told[launch.kind][launch.place]
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
