"""The parts of the page that tell of calls: what is known of sizes and from whom, which sizes make fewer kernels, which
launches run at once, what is copied into joined tensors, and what the host has to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

from dvm.page.wording import Words, code, human, stages_of, table, tag

_HUES = {
    "calls of Executables": 210,
    "launches": 160,
    "operations in torch": 32,
    "views": 275,
    "sizes": 340,
}
_MOST_STAGES = 24


def facts(graph: Mapping[str, Any], words: Words) -> str:
    """What is known of sizes besides their own ranges, and who said so."""
    rows = [
        [code(words.plain(fact["text"])), escape(words.plain(fact["source"]))]
        for fact in graph.get("facts", ())
    ]
    return table("Known of sizes", ["fact", "from"], rows, "what fusion goes by")


def versions(graph: Mapping[str, Any], words: Words) -> str:
    """The equalities under which calls run fewer kernels."""
    rows = []
    for guard in graph.get("guards", ()):
        a, b = map(words.size, guard["equal"])
        count = f"{guard['kernels']} instead of {guard['otherwise']}"
        rows.append([code(f"{a} = {b}"), count, str(guard["times"])])
    hint = "made when a call first has such sizes"
    return table("Fewer kernels where", ["sizes are equal", "kernels", "times"], rows, hint)


def joins(graph: Mapping[str, Any], words: Words) -> str:
    """Tensors that are put together."""
    rows = []
    for concat in graph.get("concats", ()):
        parts: Counter[tuple[str, bool]] = Counter(
            (words.tensor(part), part["copied"]) for part in concat["parts"]
        )
        texts = [
            (f"{count} x " if count > 1 else "") + code(text) + (" copied" if copied else "")
            for (text, copied), count in parts.items()
        ]
        rows.append([code(words.tensor(concat)), "<br>".join(texts), str(concat["times"])])
    hint = "parts are computed where they lie, unless copied"
    return table("Joined", ["tensor", "parts", "times"], rows, hint)


def stages(graph: Mapping[str, Any]) -> str:
    """The launches of a call, those that run at once in one box."""
    found = []
    for run in graph.get("launches", ()):
        boxes = [_stage(stage) for stage in stages_of(run)]
        if len(boxes) > _MOST_STAGES:
            boxes[_MOST_STAGES:] = [tag("span", f"and {len(boxes) - _MOST_STAGES} more")]
        arrow = tag("span", "&rarr;")
        times = tag("span", f"{run['times']} times") if run["times"] > 1 else ""
        memory = f", {human(run['arena_bytes'])} between" if run["arena_bytes"] else ""
        told = tag("span", f"{len(run['kernels'])} launches{memory}")
        if boxes:
            found.append(tag("div", times + arrow.join(boxes) + told, class_="call"))
    if not found:
        return ""
    hint = "one row for each call of an Executable; a box runs at once"
    return tag("h3", "Stages of a call" + tag("small", hint)) + "\n".join(found)


def _stage(kernels: list[str]) -> str:
    lines = [tag("code", escape(kernel), title=kernel) for kernel in kernels]
    return tag("div", "".join(lines), class_="stage")


def host(graph: Mapping[str, Any]) -> str:
    """A bar of what a call costs besides its work."""
    cost = graph.get("host_cost")
    if not cost or not cost["parts"]:
        return ""
    bars, legend = [], []
    for part in cost["parts"]:
        us = part["count"] * part["us_each"]
        colour = f"--part:{_HUES[part['what']]}"
        told = f"{part['count']} {part['what']}, {part['us_each']:.2f} us each"
        width = 100 * us / cost["us"] if cost["us"] else 0
        bars.append(tag("i", "", style=f"{colour};width:{width:.1f}%", title=told))
        legend.append(tag("span", tag("i", "", style=colour) + escape(told)))
    title = f"The host: about {cost['us']:.1f} us a call"
    return (
        tag("h3", title + tag("small", escape(f"estimated: {cost['how']}")))
        + tag("div", "".join(bars), class_="bar")
        + tag("p", "".join(legend), class_="legend")
    )
