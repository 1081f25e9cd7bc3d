"""The page itself: totals, then each graph drawn beside its tables. It refers to nothing outside of itself."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from dvm.page.drawing import draw
from dvm.page.style import STYLE
from dvm.page.tables import tables
from dvm.page.wording import tag

_ARROW = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><marker id="arrow" viewBox="0 0 8 8" '
    'refX="6" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs></svg>'
)


def page(explanation: Mapping[str, Any]) -> str:
    """The HTML of an Explanation: its `name`, and `graphs` as dvm.compiled.account makes them."""
    graphs = explanation["graphs"]
    name = escape(str(explanation["name"]))
    sections = [_section(graph, number, len(graphs)) for number, graph in enumerate(graphs)]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name}: kernels</title>",
            f"<style>{STYLE}</style></head>",
            "<body>",
            _ARROW,
            tag("header", tag("h1", name) + _totals(explanation)),
            *sections,
            "</body>",
            "</html>",
            "",
        ]
    )


def _totals(explanation: Mapping[str, Any]) -> str:
    graphs = explanation["graphs"]
    kernels = [kernel for graph in graphs for kernel in graph["kernels"]]
    calls = sum(item["count"] for graph in graphs for item in graph["fallbacks"])
    totals = [
        ("graphs", len(graphs)),
        ("kernels", len(kernels)),
        ("operations in them", sum(len(kernel["ops"]) for kernel in kernels)),
        ("matrix products", sum(len(graph["matmuls"]) for graph in graphs)),
        ("convolutions", sum(len(graph["convolutions"]) for graph in graphs)),
        ("pools", sum(len(graph["pools"]) for graph in graphs)),
        ("scans", sum(len(graph["scans"]) for graph in graphs)),
        ("attentions", sum(len(graph["attentions"]) for graph in graphs)),
        ("operations left in torch", calls),
    ]
    times = [graph["ms"] for graph in graphs if "ms" in graph]
    if times:
        totals.append(("to compile", f"{sum(times):.1f} ms"))
    return tag(
        "dl",
        "".join(tag("div", tag("dt", what) + tag("dd", str(value))) for what, value in totals),
        class_="totals",
    )


def _section(graph: Mapping[str, Any], number: int, count: int) -> str:
    title = "" if count == 1 and "ms" not in graph else f"Graph {number}"
    hints = [str(graph["kind"])] if "kind" in graph else []
    hints += [f"compiled in {graph['ms']:.1f} ms"] if "ms" in graph else []
    heading = tag("h2", title + tag("small", escape(", ".join(hints)))) if title else ""
    drawing = tag("div", draw(graph, number), class_="drawing", tabindex="0")
    beside = tag("div", tables(graph, number), class_="tables")
    return tag("section", heading + tag("div", drawing + beside, class_="graph"))
