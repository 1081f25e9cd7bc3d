"""What one call of a compiled graph launches, for `dvm bench fusion`: kernels of the compiler, and operations of
torch's that move memory. fusion.py sets the two compilers side by side; this file says what counts.

A kernel is what reads its operands from memory and writes its results there, however many loops it has inside. Of
Inductor these are the nodes that its scheduler is left with after fusion; of ours those that `dvm explain` lists.
Operations of torch's are seen while the graph runs: a `reshape` that copies counts, one that looks does not.

Matrix products, convolutions and attention are apart, whoever computes them, and so is the bias of a linear layer. Any
other kernel that finishes the tiles of a product is a kernel all the same, but the product is not among the bytes that
it reads: it never is in memory.

Bytes are those that a perfect cache would move: each operand once, and of one that is read in part that part; each
result once. Both compilers' are counted by this rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dvm import _core
from dvm.flow.arithmetic import evaluate
from dvm.flow.products import finished_tiles
from dvm.flow.traffic import item_bytes

_APART_NAMES = """
linear addmm addmv mm bmm baddbmm matmul mv dot convolution conv1d conv2d conv3d mkldnn_convolution
_convolution_pointwise _linear_pointwise _scaled_dot_product_flash_attention_for_cpu
_scaled_dot_product_attention_math_for_cpu scaled_dot_product_attention
"""
_APART = frozenset(_APART_NAMES.split())

# Their results hold nothing yet.
_ALLOCATES = frozenset(["empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"])

# Nodes of a Graph whose elements are all those of the operand.
_VIEWS = ("permute", "expand", "reshape")


@dataclass(frozen=True)
class Launch:
    """One pass over memory."""

    by: str
    """"kernel" or "torch"."""

    name: str
    bytes: int


# What torch runs.


class Watched(TorchDispatchMode):
    """Notes the operations of torch's that run inside and move memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches: list[Launch] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        name = operation._schema.name.split("::")[-1]
        if name not in _APART and name not in _ALLOCATES:
            given, made = _tensors((args, kwargs)), _tensors(result)
            memory = {tensor.untyped_storage().data_ptr() for tensor in given}
            new = [one for one in made if one.untyped_storage().data_ptr() not in memory]
            if new or operation._schema.is_mutable:
                moved = sum(_size(tensor) for tensor in [*given, *new])
                self.launches.append(Launch("torch", str(operation), moved))
        return result


def _tensors(tree: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(tree)
    found = {id(leaf): leaf for leaf in leaves if isinstance(leaf, torch.Tensor)}
    return list(found.values())


def _size(tensor: torch.Tensor) -> int:
    """The bytes of the elements that are there, each once."""
    shape = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, step in shape if step) * tensor.element_size()


# Our kernels.


def of_executable(executable: _core.Executable, sizes: Mapping[str, int]) -> list[Launch]:
    """The kernels of an Executable for these values of its symbols. What it copies to join tensors is one each."""
    graph, explained = executable.graph, executable.explain()
    kernels, concats = explained["kernels"], explained["concats"]
    results = [[tensor["value"] for tensor in kernel["outputs"]] for kernel in kernels]
    memory = {*graph.inputs, *(value for made in results for value in made)}
    # What products and concats make.
    memory |= {which for kind, which in explained["steps"] if kind not in ("kernel", "view")}
    tiles = finished_tiles(explained)
    launches = []
    for number, (kernel, made) in enumerate(zip(kernels, results, strict=True)):
        if number in tiles and _adds_bias(kernel, tiles[number]):
            continue
        moved = _read(graph, memory, made, tiles.get(number), sizes)
        moved += sum(_elements(graph, value, sizes) * _item(graph, value) for value in made)
        launches.append(Launch("kernel", str(kernel["name"]), moved))
    for scan in explained["scans"]:
        moved = 2 * _elements(graph, scan["value"], sizes) * _item(graph, scan["value"])
        launches.append(Launch("kernel", "scan", moved))
    for concat in concats:
        copied = [_elements(graph, value, sizes) for value in concat["copied"]]
        if copied:
            moved = 2 * sum(copied) * _item(graph, concat["value"])
            launches.append(Launch("kernel", "concat", moved))
    return launches


def _adds_bias(kernel: Mapping[str, Any], product: int) -> bool:
    """Whether all that a kernel does to the tiles of a product is what `linear` does besides multiplying."""
    if kernel["ops"] != ["add"]:
        return False
    added = [tensor["shape"] for tensor in kernel["inputs"] if tensor["value"] != product]
    return len(added) == 1 and all(size == 1 for size in added[0][:-1])


def _read(
    graph: _core.Graph,
    memory: set[int],
    outputs: Sequence[int],
    tile: int | None,
    sizes: Mapping[str, int],
) -> int:
    """The bytes that a kernel reads of what is in memory when it makes `outputs`, apart from `tile`, a product that it
    takes a tile at a time."""
    total = 0
    for value, parts in _parts(graph, memory, outputs).items():
        if value == tile:
            continue
        read = whole = _elements(graph, value, sizes)
        if None not in parts:
            read = sum(_elements(graph, part, sizes) for part in parts if part is not None)
        total += min(read, whole) * _item(graph, value)
    return total


def _parts(
    graph: _core.Graph, memory: set[int], outputs: Sequence[int]
) -> dict[int, set[int | None]]:
    """The tensors that a kernel reads, each with the slices and gathers through which it does; None for the whole."""
    parts: dict[int, set[int | None]] = {}
    pending: list[tuple[int, int | None]] = [(value, None) for value in outputs]
    seen: set[tuple[int, int | None]] = set()
    while pending:
        value, part = pending.pop()
        if (value, part) in seen:
            continue
        seen.add((value, part))
        if value in memory and value not in outputs:
            parts.setdefault(value, set()).add(part)
            continue
        node = graph.node(value)
        for number, operand in enumerate(node["operands"]):
            if node["kind"] == "slice" or (node["kind"] == "gather" and number == 0):
                pending.append((operand, value if part is None else part))
            else:
                pending.append((operand, part if node["kind"] in _VIEWS else None))
    return parts


def _item(graph: _core.Graph, value: int) -> int:
    return item_bytes(graph.type(value))


def _elements(graph: _core.Graph, value: int, sizes: Mapping[str, int]) -> int:
    return math.prod(int(evaluate(str(size), sizes)) for size in graph.shape(value))


# Inductor's kernels.


def of_scheduled(nodes: Sequence[Any]) -> list[Launch]:
    """The kernels among the nodes that Inductor's scheduler is left with; to be called while it has them."""
    from torch._inductor.scheduler import ExternKernelSchedulerNode, NopKernelSchedulerNode

    outside = (ExternKernelSchedulerNode, NopKernelSchedulerNode)
    return [
        Launch("kernel", node.get_name(), _scheduled_bytes(node))
        for node in nodes
        if not isinstance(node, outside)
    ]


def _scheduled_bytes(node: Any) -> int:
    """What leaves and enters a node: not what only its own parts read."""
    parts = set(node.get_nodes())
    users = {name: buffer.users for name, buffer in node.scheduler.name_to_buf.items()}
    written = {access.name for access in node.read_writes.writes}
    kept = {name for name in written if {user.node for user in users.get(name, ())} - parts}
    reads = [access for access in node.read_writes.reads if access.name not in written]
    writes = [access for access in node.read_writes.writes if access.name in kept]
    return _accessed(reads) + _accessed(writes)


def _accessed(accesses: Sequence[Any]) -> int:
    from torch._inductor.dependencies import MemoryDep, WeakDep
    from torch._inductor.virtualized import V

    elements: dict[str, int] = {}
    for access in accesses:
        if isinstance(access, WeakDep):
            continue
        whole = _hint(V.graph.get_numel(access.name))
        read = whole
        if isinstance(access, MemoryDep):
            loops = set(access.var_names)
            direct = access.index.free_symbols & loops
            found = any(
                str(symbol).startswith(("tmp", "indirect")) for symbol in access.index.free_symbols
            )
            sizes = [
                size
                for name, size in zip(access.var_names, access.size, strict=True)
                if found or name in direct
            ]
            read = math.prod(_hint(size) for size in sizes)
        elements[access.name] = min(whole, elements.get(access.name, 0) + read)
    return sum(count * V.graph.get_dtype(name).itemsize for name, count in elements.items())


def _hint(size: Any) -> int:
    from torch._inductor.virtualized import V

    return int(V.graph.sizevars.optimization_hint(size, fallback=0))
