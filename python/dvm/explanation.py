"""`explain()`: what became of a kernel, as a dict for programs and as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dvm import _core
from dvm.compiled.account import account_of
from dvm.flow.products import convolutions, pools, products, scans
from dvm.flow.steps import Flow, Name, Run
from dvm.launch_lines import kernel_line, matmul_line
from dvm.page.page import page


class Explanation(dict[str, Any]):
    """A dict of plain values, so that it can be written as JSON; printing it gives a readable account."""

    @classmethod
    def of_one(
        cls, name: str, graph: str, facts: dict[str, Any], programs: Sequence[_core.Program]
    ) -> Explanation:
        """For one Executable and the Programs that some shapes run."""
        stats = [dict(program.stats) for program in programs]
        return cls({**facts, "name": name, "graph": graph, "programs": stats})

    @classmethod
    def of_many(cls, name: str, found: Sequence[tuple[str, dict[str, Any]]]) -> Explanation:
        """For all Executables of one kernel."""
        each = [cls({**facts, "name": name, "graph": graph}) for graph, facts in found]
        return cls({"name": name, "specialisations": each})

    def html(self) -> str:
        """A page that needs nothing besides itself: the kernels drawn, with tables of all there is to know."""
        each = self.get("specialisations", [self])
        return page({"name": self["name"], "graphs": [one._account() for one in each]})

    def _account(self) -> dict[str, Any]:
        """The graph as that of a model that runs nothing else."""
        graph = _core.Graph.parse(self["graph"])
        names = [str(graph.node(value)["name"]) for value in graph.inputs]
        results = [f"result_{number}" for number in range(len(graph.outputs))]
        run = Run(self["name"], 0, [Name(name) for name in names], results)
        flow = Flow(names, [], [self["graph"]], [run], tuple(map(Name, results)))
        types = {
            name: [graph.type(value), graph.shape(value)]
            for name, value in zip(names, graph.inputs, strict=True)
        }
        return account_of(flow, [(graph, self)], types, [], sizes={})

    def __str__(self) -> str:
        if "specialisations" in self:
            return "\n\n".join(map(str, self["specialisations"]))
        lines = [
            f"{self['name']}: {len(self.get('kernels', ()))} kernel(s)",
            *self["graph"].rstrip().splitlines(),
        ]
        kernels = self.get("kernels", ())
        lines += [f"kernel {kernel_line(kernel)}" for kernel in kernels]
        if self.get("matmuls"):
            told = products(_core.Graph.parse(self["graph"]), self)
            lines += [f"matmul {matmul_line(matmul, kernels)}" for matmul in told]
        for kind, tell in (("convolution", convolutions), ("pool", pools), ("scan", scans)):
            if self.get(f"{kind}s"):
                told = tell(_core.Graph.parse(self["graph"]), self)
                lines += [f"{kind} {matmul_line(found, kernels)}" for found in told]
        for key, value in self.items():
            if key in ("name", "graph", "kernels", "matmuls", "convolutions", "pools", "scans"):
                continue
            if isinstance(value, (list, tuple)) and value:
                lines.append(f"{key}:")
                lines += [f"  {_line(item)}" for item in value]
            elif not isinstance(value, (list, tuple)):
                lines.append(f"{key}: {value}")
        return "\n".join(lines)


def _line(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{key}={value}" for key, value in item.items())
    return str(item)
