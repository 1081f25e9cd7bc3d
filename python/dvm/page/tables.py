"""The tables beside the drawing of a graph: sizes, kernels, what torch runs, and what was not fused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from dvm.flow.traffic import at_sizes
from dvm.page.drawing import hue, kernel_kinds
from dvm.page.wording import Words, human, tag


def tables(graph: Mapping[str, Any], number: int) -> str:
    """All tables of the graph with this number; one without rows is left out."""
    words = Words(graph)
    return "\n".join(
        [
            _sizes(graph, words),
            _memory(graph, words),
            _kernels(graph, number, words),
            _fallbacks(graph),
            _notes(graph, words),
            _source(graph),
        ]
    )


def _sizes(graph: Mapping[str, Any], words: Words) -> str:
    rows = [
        [_code(symbol["label"]), _code(symbol["range"]), escape(symbol["at"])]
        for symbol in graph.get("symbols", ())
    ]
    rows += [[_code(words.plain(text)), "must hold", ""] for text in graph.get("conditions", ())]
    return _table("Sizes", ["size", "range", "found at"], rows)


def _memory(graph: Mapping[str, Any], words: Words) -> str:
    """The bytes of what lies between the kernels, which no table of kernels tells."""
    expression, sizes = graph["peak_bytes"], graph["sizes"]
    known = human(at_sizes(expression, sizes))
    at = ", ".join(f"{words.plain(name)} = {size}" for name, size in sizes.items())
    told = f" = {known}" + (f" where {at}" if at else "") if known else ""
    content = tag("p", f"{_code(words.bytes(expression))} bytes{escape(told)}")
    return tag("h3", "Most memory at once<small>arguments and weights apart</small>") + content


def _kernels(graph: Mapping[str, Any], number: int, words: Words) -> str:
    rows = []
    kinds = kernel_kinds(graph["kernels"])
    for at, (kernel, kind) in enumerate(zip(graph["kernels"], kinds, strict=True)):
        key = tag("a", str(at), href=f"#g{number}k{at}", style=hue(kind),
                  class_="key" + (" repeated" if kind is not None else ""))  # fmt: skip
        known = human(at_sizes(kernel["bytes"], graph["sizes"]))
        moved = _code(words.bytes(kernel["bytes"]))
        rows.append(
            [
                key,
                _code(" ".join(kernel["ops"])),
                tag("div", _code(words.space(kernel)), class_="whole"),
                _tensors(kernel["inputs"], words),
                _tensors(kernel["outputs"], words),
                moved + (f'<br><span class="soft">{known}</span>' if known else ""),
            ]
        )
    titles = ["", "operations", "over (Σ: reduced)", "reads", "writes", "bytes moved"]
    return _table("Kernels", titles, rows, "a colour for equal ones")


def _tensors(tensors: Sequence[Mapping[str, Any]], words: Words) -> str:
    counts = Counter(map(words.tensor, tensors))
    texts = (text if count == 1 else f"{count} x {text}" for text, count in counts.items())
    return tag("div", "<br>".join(map(_code, texts)), class_="whole")


def _fallbacks(graph: Mapping[str, Any]) -> str:
    rows = [
        [_operation(item["name"]), str(item["count"]), escape(item["reason"]), _line(item["line"])]
        for item in graph["fallbacks"]
    ]
    return _table("In torch", ["operation", "times", "why", "asked for at"], rows)


def _operation(name: str) -> str:
    """The name, which may be broken between its words."""
    return tag("code", re.sub(r"(?<=\w)([._])", r"\1<wbr>", escape(name)))


def _line(line: str) -> str:
    """The code, and below it the file, whose path says most at its end."""
    place, separator, code = line.partition(": ")
    if not separator:
        return _code(line)
    return _code(code) + "<br>" + tag("span", escape(place), class_="soft path", title=place)


def _notes(graph: Mapping[str, Any], words: Words) -> str:
    counts = Counter(graph["notes"])
    rows = [[escape(words.plain(note)), str(count)] for note, count in counts.items()]
    return _table("Not fused", ["who stayed apart, and why", "times"], rows)


def _source(graph: Mapping[str, Any]) -> str:
    if "source" not in graph:
        return ""
    summary = tag("summary", "What a call does")
    return tag("details", summary + tag("pre", escape(graph["source"])))


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Iterable[str]], hint: str = ""
) -> str:
    """`rows` are HTML."""
    if not rows:
        return ""
    head = tag("tr", "".join(tag("th", column, scope="col") for column in columns))
    body = "\n".join(tag("tr", "".join(tag("td", cell) for cell in row)) for row in rows)
    heading = tag("h3", title + (tag("small", hint) if hint else ""))
    table = tag("table", tag("thead", head) + tag("tbody", body))
    return heading + tag("div", table, class_="scroll")


def _code(text: Any) -> str:
    return tag("code", escape(str(text)))
