"""The words of the page: shapes, bytes and sizes as people read them, and the elements that hold them, always escaped
for HTML.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

_NAME = re.compile(r"[A-Za-z_]\w*")


class Words:
    """Texts of one graph, in which a symbol has the name that the user gave it."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self.labels = {symbol["name"]: symbol["label"] for symbol in graph.get("symbols", ())}

    def plain(self, value: Any) -> str:
        """Symbols under their user's names; not escaped."""
        return _NAME.sub(lambda match: self.labels.get(match[0], match[0]), str(value))

    def size(self, value: Any) -> str:
        text = self.plain(value)
        whole = text.startswith("(") and text.endswith(")") and "(" not in text[1:]
        return (text[1:-1] if whole else text).replace("*", "·")

    def shape(self, sizes: Iterable[Any]) -> str:
        return f"[{', '.join(map(self.size, sizes))}]"

    def tensor(self, tensor: Mapping[str, Any]) -> str:
        """`f32[batch, 64]`; not escaped."""
        return (
            f"{tensor['type'] or 'a tensor'}{self.shape(tensor['shape']) if tensor['type'] else ''}"
        )

    def space(self, kernel: Mapping[str, Any]) -> str:
        """The axes that a kernel runs over; those it reduces are marked."""
        axes = (
            f"{'Σ ' if axis['reduced'] else ''}{self.size(axis['extent'])}"
            for axis in kernel["axes"]
        )
        return f"[{', '.join(axes)}]"

    def product(self, matmul: Mapping[str, Any]) -> str:
        """The shapes that are multiplied: `[batch, 64] x [64, 8]`."""
        return " x ".join(self.shape(operand["shape"]) for operand in matmul["operands"])

    def sum(self, expression: str) -> str:
        """A number of bytes or of operations."""
        return self.plain(expression).replace("*", "·")


def stages_of(run: Mapping[str, Any]) -> Iterator[list[str]]:
    """The kernels that run at once, stage after stage."""
    kernels = iter(run["kernels"])
    for count in run["stages"]:
        yield list(itertools.islice(kernels, count))


def stages_text(run: Mapping[str, Any]) -> str:
    """`a | b, then c`: a and b run at once."""
    return ", then ".join(" | ".join(stage) for stage in stages_of(run)) or "nothing"


def human_flops(count: int | None) -> str:
    """`1.5 Gflop`, or nothing for what is not known."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("", "k", "M", "G"):
        if value < 1000 or unit == "G":
            return f"{value:.0f} flop" if not unit else f"{value:.1f} {unit}flop"
        value /= 1000
    raise AssertionError


def human(count: int | None) -> str:
    """`1.5 MiB`, or nothing for what is not known."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def tag(name: str, content: str, **attributes: Any) -> str:
    """An element. `content` is HTML already, attributes are text."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
                    for key, value in attributes.items() if value is not None)  # fmt: skip
    return f"<{name}{given}>{content}</{name}>"


def table(title: str, columns: Sequence[str], rows: Sequence[Iterable[str]], hint: str = "") -> str:
    """A table under a heading, nothing where there are no rows, which are HTML."""
    if not rows:
        return ""
    head = tag("tr", "".join(tag("th", column, scope="col") for column in columns))
    body = "\n".join(tag("tr", "".join(tag("td", cell) for cell in row)) for row in rows)
    heading = tag("h3", title + (tag("small", hint) if hint else ""))
    whole = tag("table", tag("thead", head) + tag("tbody", body))
    return heading + tag("div", whole, class_="scroll")


def code(text: Any) -> str:
    """Text as it is in programs."""
    return tag("code", escape(str(text)))
