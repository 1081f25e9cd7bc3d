"""The account of a torch program, of a compiled model or one that torch.compile made: what is fused into which kernels,
and why the rest is not. For a single kernel of the kernel language it is dvm.explanation.
"""

from __future__ import annotations

import json
from typing import Any

from dvm.kernel_line import kernel_line
from dvm.page.page import page


class Explanation(dict[str, Any]):
    """An account of plain values, so that it can be written as JSON; printing it gives a readable one."""

    @property
    def kernels(self) -> list[dict[str, Any]]:
        """The kernels of all graphs."""
        return [kernel for graph in self["graphs"] for kernel in graph["kernels"]]

    @property
    def updates(self) -> list[dict[str, Any]]:
        """The updates of parts of tensors, each with `name`, `tensor`, whether it is made `in_place`, `how` it is, or
        why it is not, and `line`."""
        return [update for graph in self["graphs"] for update in graph["updates"]]

    @property
    def fallbacks(self) -> list[dict[str, Any]]:
        """The operations that torch runs, each with `name`, `reason`, `line` and `count`."""
        return [fallback for graph in self["graphs"] for fallback in graph["fallbacks"]]

    def json(self) -> str:
        return json.dumps(self, indent=2, default=str)

    def html(self) -> str:
        """A page that needs nothing besides itself: the graphs drawn, with tables of all there is to know."""
        return page(self)

    def __str__(self) -> str:
        graphs = self["graphs"]
        kernels, calls = len(self.kernels), sum(f["count"] for f in self.fallbacks)
        lines = [
            f"{self['name']}: {plural(len(graphs), 'graph')}, {plural(kernels, 'kernel')}, "
            f"{plural(calls, 'operation')} in torch, {plural(self['compiles'], 'compilation')}"
        ]
        for number, graph in enumerate(graphs):
            lines += ["", f"graph {number} ({graph['kind']}, compiled in {graph['ms']:.1f} ms)"]
            lines += [f"  kernel {kernel_line(kernel)}" for kernel in graph["kernels"]]
            for fallback in graph["fallbacks"]:
                times = f" x{fallback['count']}" if fallback["count"] > 1 else ""
                lines.append(f"  torch  {fallback['name']}{times}: {fallback['reason']}")
                lines.append(f"         {fallback['line']}")
            for update in graph["updates"]:
                where = "in place" if update["in_place"] else "by a copy of all of it"
                lines.append(
                    f"  update {update['name']} of {update['tensor']}: {where}: {update['how']}"
                )
                lines.append(f"         {update['line']}")
            lines += [f"  note   {note}" for note in graph["notes"]]
        return "\n".join(lines)


def plural(count: int, noun: str) -> str:
    """`1 kernel`, `2 kernels`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
