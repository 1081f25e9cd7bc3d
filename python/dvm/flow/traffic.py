"""How many bytes kernels move and tensors between them occupy, as sums of products of sizes: `1536*batch*seq + 768`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dvm.flow.arithmetic import evaluate

Monomial = tuple[str, ...]
Bytes = Counter[Monomial]
"""For products of symbols, or of what else a size is, how many bytes there are of each."""


def of_tensors(tensors: Iterable[Mapping[str, Any]]) -> Bytes:
    """The bytes of all tensors together, each a mapping with `type` and `shape`. One of unknown type counts nothing."""
    total: Bytes = Counter()
    for tensor in tensors:
        if tensor["type"] is not None:
            total.update(count(tensor["shape"], item_bytes(tensor["type"])))
    return total


def count(sizes: Iterable[int | str], each: int) -> Bytes:
    """The product of sizes, `each` times."""
    symbols: list[str] = []
    for size in sizes:
        number, names = _factors(size)
        each *= number
        symbols += names
    return Counter({tuple(sorted(symbols)): each})


def text(total: Bytes) -> str:
    """The sum as arithmetic, the product of most symbols first."""
    order = sorted(total.items(), key=lambda item: (-len(item[0]), item[0]))
    terms = ["*".join([str(number), *symbols]) for symbols, number in order if number]
    return " + ".join(terms) or "0"


def at_sizes(expression: str, sizes: Mapping[str, int]) -> int | None:
    """The number that the text of a sum is where the sizes are known."""
    try:
        return int(evaluate(expression, sizes))
    except (NameError, KeyError, ValueError):
        return None


def peak(wiring: Mapping[str, Any]) -> str:
    """The most bytes that are in memory at once besides arguments and constants, when each tensor lives from the node
    that makes it to the last that reads it, and lies where an operand ends if its kernel can write it there."""
    last = {(edge["from"], edge["tensor"]): edge["to"] for edge in wiring["edges"]}
    for edge in wiring["edges"]:
        key = edge["from"], edge["tensor"]
        kept = wiring["nodes"][edge["to"]]["kind"] == "output"
        last[key] = max(last[key], len(wiring["nodes"]) if kept else edge["to"])
    live: Bytes = Counter()
    ends: dict[int, dict[tuple[int, str], Bytes]] = {}  # what is needed no more after a node
    tops: list[Bytes] = []
    for number, node in enumerate(wiring["nodes"]):
        ending = ends.setdefault(number, {})
        for tensor in node["makes"] if node["kind"] != "input" else ():
            made, own = (number, tensor["tensor"]), of_tensors([tensor])
            over = tensor.get("over", ())
            place = next((one for one in ending if one[1] in over and ending[one] == own), None)
            if place is None:
                live.update(own)
            else:
                del ending[place]
            ends.setdefault(last.get(made, number), {})[made] = own
        if not any(_covers(top, live) for top in tops):
            tops = [top for top in tops if not _covers(live, top)] + [Counter(live)]
        for own in ending.values():
            live.subtract(own)
    texts = [text(top) for top in tops]
    return texts[0] if len(texts) == 1 else f"max({', '.join(texts)})" if texts else "0"


def item_bytes(type: str) -> int:  # noqa: A002 - the word for it
    """Of one element: `f32` has 4, `complex64` 8, `bool` 1."""
    bits = re.search(r"\d+", type)
    return max(1, int(bits[0]) // 8) if bits else 1


def _covers(one: Bytes, other: Bytes) -> bool:
    """Whether one sum is never less than another, where no size is 0: a product with more factors makes up for one
    with fewer of them."""
    spare = Counter({symbols: one[symbols] - other[symbols] for symbols in {*one, *other}})
    for symbols in sorted(spare, key=len, reverse=True):
        for larger in spare:
            if spare[symbols] < 0 < spare[larger] and not Counter(symbols) - Counter(larger):
                used = min(-spare[symbols], spare[larger])
                spare[symbols] += used
                spare[larger] -= used
    return all(number >= 0 for number in spare.values())


def _factors(size: int | str) -> tuple[int, Sequence[str]]:
    """A size as a number times other factors."""
    if isinstance(size, int):
        return size, []
    return _product(ast.parse(size, mode="eval").body)


def _product(tree: ast.expr) -> tuple[int, Sequence[str]]:
    match tree:
        case ast.Constant(value=int(number)):
            return number, []
        case ast.Name(id=name):
            return 1, [name]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            (a, some), (b, others) = _product(left), _product(right)
            return a * b, [*some, *others]
        case _:
            return 1, [f"({ast.unparse(tree)})"]
