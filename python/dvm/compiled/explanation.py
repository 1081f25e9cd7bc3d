"""The account of a torch program, of a compiled model or one that torch.compile made: what is fused into which kernels,
and why the rest is not. For a single kernel of the kernel language it is dvm.explanation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dvm.launch_lines import attention_line, kernel_line, matmul_line
from dvm.page.page import page
from dvm.page.wording import Words, human, stages_text


class Explanation(dict[str, Any]):
    """An account of plain values, so that it can be written as JSON; printing it gives a readable one."""

    @property
    def kernels(self) -> list[dict[str, Any]]:
        """The kernels of all graphs."""
        return [kernel for graph in self["graphs"] for kernel in graph["kernels"]]

    @property
    def matmuls(self) -> list[dict[str, Any]]:
        """The matrix products of all graphs, each with `operands`, `type`, `shape`, `flops` and `bytes`, and in
        `epilogue` the number of the kernel of its graph that finishes its tiles, or None."""
        return [matmul for graph in self["graphs"] for matmul in graph["matmuls"]]

    @property
    def convolutions(self) -> list[dict[str, Any]]:
        """The convolutions of all graphs, with what matmuls have, and `stride`, `groups` and `transposed`."""
        return [found for graph in self["graphs"] for found in graph["convolutions"]]

    @property
    def pools(self) -> list[dict[str, Any]]:
        """The pools of all graphs, with what matmuls have, and `op` ("max" or "sum") and `taps`."""
        return [pool for graph in self["graphs"] for pool in graph["pools"]]

    @property
    def scans(self) -> list[dict[str, Any]]:
        """The running sums and products of all graphs, with what matmuls have, `op` ("sum" or "prod") and `axis`."""
        return [scan for graph in self["graphs"] for scan in graph["scans"]]

    @property
    def attentions(self) -> list[dict[str, Any]]:
        """The attentions of all graphs, each with `operands` (queries, keys, values, and a mask if there is one),
        `type`, `shape`, `scale`, `causal`, `flops` and `bytes`."""
        return [attention for graph in self["graphs"] for attention in graph["attentions"]]

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
        calls = sum(f["count"] for f in self.fallbacks)
        counts = [plural(len(graphs), "graph"), plural(len(self.kernels), "kernel")]
        if self.matmuls:
            counts.append(plural(len(self.matmuls), "matrix product"))
        if self.convolutions:
            counts.append(plural(len(self.convolutions), "convolution"))
        counts += [
            f"{plural(calls, 'operation')} in torch",
            plural(self["compiles"], "compilation"),
        ]
        lines = [f"{self['name']}: {', '.join(counts)}"]
        for number, graph in enumerate(graphs):
            lines += ["", f"graph {number} ({graph['kind']}, compiled in {graph['ms']:.1f} ms)"]
            words = Words(graph)
            lines += [f"  {words.plain(line)}" for line in _lines_of_launches(graph)]
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
            lines += [f"  note   {words.plain(note)}" for note in graph["notes"]]
            lines += _lines_of_sizes(graph)
        return "\n".join(lines)


def _lines_of_launches(graph: Mapping[str, Any]) -> Iterator[str]:
    """Kernels, matrix products, convolutions, pools, scans and attentions in the order in which they run."""
    kernels = graph["kernels"]
    for node in graph["wiring"]["nodes"]:
        if node["kind"] == "matmul":
            yield f"matmul {matmul_line(graph['matmuls'][node['place']], kernels)}"
        for kind in ("convolution", "pool", "scan"):
            if node["kind"] == kind:
                yield f"{kind} {matmul_line(graph[f'{kind}s'][node['place']], kernels)}"
        if node["kind"] == "attention":
            yield f"attention {attention_line(graph['attentions'][node['place']])}"
        if node.get("kernel") is not None:
            yield f"kernel {kernel_line(kernels[node['kernel']])}"


def _lines_of_sizes(graph: Mapping[str, Any]) -> Iterator[str]:
    """What is known of sizes, what follows from them, and what a call costs besides its kernels."""
    words = Words(graph)
    for fact in graph["facts"]:
        yield f"  fact   {words.plain(fact['text'])}, from {fact['source']}"
    for guard in graph["guards"]:
        a, b = map(words.size, guard["equal"])
        fewer = f"{plural(guard['kernels'], 'kernel')} instead of {guard['otherwise']}"
        yield f"  where  {a} == {b}: {fewer}{_times(guard)}"
    for concat in graph["concats"]:
        copied = [part["name"] for part in concat["parts"] if part["copied"]]
        told = f"copied: {', '.join(copied)}" if copied else "none copied"
        yield f"  join   {words.tensor(concat)} of {len(concat['parts'])} parts, {told}{_times(concat)}"
    for run in graph.get("launches", ()):
        launches = plural(len(run["kernels"]), "launch", "es")
        stages = plural(len(run["stages"]), "stage")
        yield f"  call   {launches} in {stages}, {human(run['arena_bytes'])} between them{_times(run)}"
        yield f"         {stages_text(run)}"
    if "host_cost" in graph:
        yield f"  host   about {graph['host_cost']['us']:.1f} us a call: {graph['host_cost']['how']}"


def _times(item: Mapping[str, Any]) -> str:
    return f" (x{item['times']})" if item["times"] > 1 else ""


def plural(count: int, noun: str, ending: str = "s") -> str:
    """`1 kernel`, `2 kernels`."""
    return f"{count} {noun}" + ("" if count == 1 else ending)
