"""The tables beside the drawing of a graph: sizes, kernels, products, what torch runs, and what was not fused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dvm.flow.traffic import at_sizes
from dvm.page.calls import facts, host, joins, stages, versions
from dvm.page.drawing import hue, kernel_kinds
from dvm.page.wording import Words, code, human, human_flops, table, tag


def tables(graph: Mapping[str, Any], number: int) -> str:
    """All tables of the graph with this number; one without rows is left out."""
    words = Words(graph)
    return "\n".join(
        [
            _sizes(graph, words),
            facts(graph, words),
            _memory(graph, words),
            host(graph),
            _kernels(graph, number, words),
            _products(graph, number, words, "Matrix products", "matmuls"),
            _products(graph, number, words, "Convolutions", "convolutions"),
            _products(graph, number, words, "Pools", "pools"),
            _products(graph, number, words, "Scans", "scans"),
            _attentions(graph, words),
            stages(graph),
            versions(graph, words),
            joins(graph, words),
            _fallbacks(graph),
            _notes(graph, words),
            _source(graph),
        ]
    )


def _sizes(graph: Mapping[str, Any], words: Words) -> str:
    rows = [
        [code(symbol["label"]), code(symbol["range"]), escape(symbol["at"])]
        for symbol in graph.get("symbols", ())
    ]
    rows += [[code(words.plain(text)), "must hold", ""] for text in graph.get("conditions", ())]
    return table("Sizes", ["size", "range", "found at"], rows)


def _memory(graph: Mapping[str, Any], words: Words) -> str:
    """The bytes of what lies between the kernels, which no table of kernels tells."""
    expression, sizes = graph["peak_bytes"], graph["sizes"]
    known = human(at_sizes(expression, sizes))
    at = ", ".join(f"{words.plain(name)} = {size}" for name, size in sizes.items())
    told = f" = {known}" + (f" where {at}" if at else "") if known else ""
    content = tag("p", f"{code(words.sum(expression))} bytes{escape(told)}")
    return tag("h3", "Most memory at once<small>arguments and weights apart</small>") + content


def _kernels(graph: Mapping[str, Any], number: int, words: Words) -> str:
    rows = []
    kinds = kernel_kinds(graph["kernels"])
    for at, (kernel, kind) in enumerate(zip(graph["kernels"], kinds, strict=True)):
        key = _key(number, at, kind)
        known = human(at_sizes(kernel["bytes"], graph["sizes"]))
        rows.append(
            [
                key,
                code(" ".join(kernel["ops"])),
                tag("div", code(words.space(kernel)), class_="whole"),
                _tensors(kernel["inputs"], words),
                _tensors(kernel["outputs"], words),
                _amount(kernel["bytes"], known, words),
            ]
        )
    titles = ["", "operations", "over (Σ: reduced)", "reads", "writes", "bytes moved"]
    return table("Kernels", titles, rows, "a colour for equal ones")


def _key(number: int, kernel: int, kind: int | None) -> str:
    """The number of a kernel, which leads to where it is drawn."""
    classes = "key" + (" repeated" if kind is not None else "")
    return tag("a", str(kernel), href=f"#g{number}k{kernel}", style=hue(kind), class_=classes)


def _products(graph: Mapping[str, Any], number: int, words: Words, title: str, kind: str) -> str:
    rows = []
    kinds = kernel_kinds(graph["kernels"])
    for matmul in graph[kind]:
        kernel = matmul["epilogue"]
        flops = human_flops(at_sizes(matmul["flops"], graph["sizes"]))
        moved = human(at_sizes(matmul["bytes"], graph["sizes"]))
        finished = ""
        if kernel is not None:
            ops = code(" ".join(graph["kernels"][kernel]["ops"]))
            finished = _key(number, kernel, kinds[kernel]) + " " + ops
        rows.append(
            [
                tag(
                    "div",
                    "<br>".join(code(words.tensor(t)) for t in matmul["operands"]),
                    class_="whole",
                ),
                tag("div", code(words.tensor(matmul)), class_="whole"),
                finished,
                _amount(matmul["flops"], flops, words),
                _amount(matmul["bytes"], moved, words),
            ]
        )
    titles = ["from", "made", "tiles finished by kernel", "flops", "bytes moved"]
    hint = "one that a kernel finishes is never in memory"
    return table(title, titles, rows, hint)


def _attentions(graph: Mapping[str, Any], words: Words) -> str:
    rows = []
    for attention in graph["attentions"]:
        flops = human_flops(at_sizes(attention["flops"], graph["sizes"]))
        moved = human(at_sizes(attention["bytes"], graph["sizes"]))
        rows.append(
            [
                _tensors(attention["operands"], words),
                tag("div", code(words.tensor(attention)), class_="whole"),
                "causal" if attention["causal"] else "",
                _amount(attention["flops"], flops, words),
                _amount(attention["bytes"], moved, words),
            ]
        )
    titles = ["queries, keys, values, mask", "result", "", "flops", "bytes moved"]
    return table("Attention", titles, rows, "scores are never in memory")


def _amount(expression: str, known: str, words: Words) -> str:
    """As arithmetic, and below it the number."""
    return code(words.sum(expression)) + (f'<br><span class="soft">{known}</span>' if known else "")


def _tensors(tensors: Sequence[Mapping[str, Any]], words: Words) -> str:
    counts = Counter(map(words.tensor, tensors))
    texts = (text if count == 1 else f"{count} x {text}" for text, count in counts.items())
    return tag("div", "<br>".join(map(code, texts)), class_="whole")


def _fallbacks(graph: Mapping[str, Any]) -> str:
    rows = [
        [_operation(item["name"]), str(item["count"]), escape(item["reason"]), _line(item["line"])]
        for item in graph["fallbacks"]
    ]
    return table("In torch", ["operation", "times", "why", "asked for at"], rows)


def _operation(name: str) -> str:
    """The name, which may be broken between its words."""
    return tag("code", re.sub(r"(?<=\w)([._])", r"\1<wbr>", escape(name)))


def _line(line: str) -> str:
    """The code, and below it the file, whose path says most at its end."""
    place, separator, text = line.partition(": ")
    if not separator:
        return code(line)
    return code(text) + "<br>" + tag("span", escape(place), class_="soft path", title=place)


def _notes(graph: Mapping[str, Any], words: Words) -> str:
    counts = Counter(graph["notes"])
    rows = [[escape(words.plain(note)), str(count)] for note, count in counts.items()]
    return table("Not fused", ["who stayed apart, and why", "times"], rows)


def _source(graph: Mapping[str, Any]) -> str:
    if "source" not in graph:
        return ""
    summary = tag("summary", "What a call does")
    return tag("details", summary + tag("pre", escape(graph["source"])))
