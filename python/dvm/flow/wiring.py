"""What flows from where to where in a Flow, as plain values for explain(): nodes are its kernels, matrix products,
attentions, the operations of torch's, arguments and results; edges are the tensors between them. Views are no nodes:
what they look at flows on. A product and the kernel that finishes its tiles are one node, since what is between them is
never in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dvm import _core
from dvm.flow.products import Launched, launched
from dvm.flow.steps import Call, Fill, Flow, Item, Name, Restride, Run, Update, names_in

Types = Mapping[str, Sequence[Any]]
"""Element type and sizes of tensors, by the name of the variable."""


@dataclass(frozen=True)
class Source:
    """A tensor and the node that made it; a constant has none."""

    node: int | None
    name: str
    type: str | None
    shape: list[int | str]


def wiring(
    flow: Flow,
    executables: Sequence[tuple[_core.Graph, Mapping[str, Any]]],
    types: Types,
    fallbacks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """`nodes`, in the order in which they run, each with its `kind` ("input", "kernel", "matmul", "convolution",
    "pool", "scan", "attention", "torch" or "output"), `name`, the `weights` that it reads and the tensors that it
    `makes`; and `edges` `from` one `to` another, each with `tensor`, `type` and `shape`. What the core runs has its
    place among those of its kind in `place`, and in `kernel` that of the kernel which it is or which finishes its
    tiles, if any; one of torch's may have its place among `fallbacks`, which list the variables that they set, in
    `fallback`.

    `executables` are for each of the Flow's Graphs it and what its Executable explains.
    """
    return _Wiring(flow, executables, types, fallbacks).follow()


class _Wiring:
    """The nodes and edges of one Flow under construction."""

    def __init__(
        self,
        flow: Flow,
        executables: Sequence[tuple[_core.Graph, Mapping[str, Any]]],
        types: Types,
        fallbacks: Sequence[Mapping[str, Any]],
    ) -> None:
        self.flow = flow
        self.executables = executables
        self.types = types
        self.fallbacks = {
            name: number for number, item in enumerate(fallbacks) for name in item["results"]
        }
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.sources: dict[str, Source] = {}  # by variable
        # Of the Runs so far.
        self.before = dict.fromkeys(
            ("kernel", "matmul", "convolution", "pool", "scan", "attention"), 0
        )
        self.given: dict[
            str, Source
        ] = {}  # arguments and constants that are changed, as they are by now

    def follow(self) -> dict[str, Any]:
        for name in self.flow.constants:
            self.sources[name] = self._described(None, name)
        for name in self.flow.inputs:
            if name in self.types:  # the others are numbers
                self._make(self._node("input", name), [name])
        for step in self.flow.steps:
            match step:
                case Run():
                    self._run(step)
                case Call(optional=True):
                    looked_at = (self.sources.get(name) for name in names_in(step.arguments))
                    source = next(filter(None, looked_at), None)
                    if source is not None:
                        self.sources[step.result] = source
                case Call():
                    operation = step.operation
                    name = _title(operation if isinstance(operation, str) else operation.value)
                    read = [*names_in(step.arguments), *names_in(step.named)]
                    self._torch(name, read, step.result)
                    if name.partition(".")[2].partition(".")[0].endswith("_"):
                        self._change(read[0], self.sources[step.result])
                case Fill(number=None):
                    pass  # memory for what a kernel makes
                case Item() if step.source in self.sources:
                    whole = self.sources[step.source]
                    self.sources[step.result] = self._described(whole.node, step.result)
                    if whole.node is not None and step.result in self.types:
                        self._replace(whole.node, whole.name, step.result)
                case Fill():
                    self._torch("fill", [], step.result)
                case Restride():
                    self._torch("restride", [step.name], step.name)
                case Update():
                    self._update(step)
                case _:
                    pass  # arithmetic on sizes, and what is let go of
        for number, name in enumerate(names_in(self.flow.returns)):
            self._output(f"result {number}", name)
        for name, source in self.given.items():
            self._edge(source, self._node("output", f"change of {name}"))
        return {"nodes": self.nodes, "edges": self.edges}

    def _run(self, step: Run) -> None:
        graph, facts = self.executables[step.graph]
        made: dict[int, Source] = {}  # by the value of the Graph
        for value, argument in zip(graph.inputs, step.arguments, strict=False):
            if isinstance(argument, Name) and argument.text in self.sources:
                made[value] = self.sources[argument.text]
        launches = list(launched(facts))
        launched_here: set[int | None] = set()
        written = {tensor["value"] for launch in launches for tensor in launch.writes}
        written |= set(graph.inputs)
        results = {_written(graph, value, written) for value in graph.outputs}
        names: dict[int, str] = {}
        for value, result in zip(graph.outputs, step.results, strict=True):
            names.setdefault(_written(graph, value, written), result)
        for launch in launches:
            node = self._launch(launch, step.kernel)
            launched_here.add(node)
            for tensor in launch.reads:
                source = made.get(_written(graph, tensor["value"], written))
                self._edge(source, node, tensor)
            for tensor in launch.writes:
                value = tensor["value"]
                name = names.get(value, f"{step.kernel} %{value}")
                made[value] = Source(node, name, tensor["type"], tensor["shape"])
                self._makes(made[value])
                # What was made in this run is its own memory, unless it is given back.
                over = {_written(graph, operand, written) for operand in tensor.get("over", ())}
                own = [made[operand] for operand in over - results if operand in made]
                ours = [source.name for source in own if source.node in launched_here]
                if ours and value not in results:
                    self.nodes[node]["makes"][-1]["over"] = sorted(ours)
        for kind in self.before:
            self.before[kind] += len(facts[f"{kind}s"])
        for value, result in zip(graph.outputs, step.results, strict=True):
            source = made.get(_written(graph, value, written))
            if source is not None:
                self.sources[result] = source
        for target, result in zip(step.into, step.results, strict=False):
            if isinstance(target, Name) and target.text != result and result in self.sources:
                self._change(target.text, self.sources[result])

    def _launch(self, launch: Launched, segment: str) -> int:
        kernel = None if launch.kernel is None else self.before["kernel"] + launch.kernel
        place = self.before[launch.kind] + launch.place
        return self._node(launch.kind, launch.name, place=place, kernel=kernel, segment=segment)

    def _update(self, step: Update) -> None:
        """A copy into a tensor, which is all of it where a variable of its own was given."""
        target = self.sources.get(step.target)
        if target is None:
            return
        if target.name == step.target and step.source in self.sources:
            self._change(step.target, self.sources[step.source])
            return
        node = self._node("torch", "aten.copy_.default")
        self._edge(self.sources.get(step.source), node)
        self._change(step.target, Source(node, target.name, target.type, target.shape))

    def _change(self, name: str, made: Source) -> None:
        """From now on whoever reads memory that `name` looks at reads what was made."""
        changed = self.sources.get(name)
        if changed is None:
            return
        for variable, source in self.sources.items():
            if source == changed:
                self.sources[variable] = made
        given = next((name for name, source in self.given.items() if source == changed), None)
        if given is None and changed.name in {*self.flow.inputs, *self.flow.constants}:
            given = changed.name
        if given is not None:
            self.given[given] = made

    def _torch(self, name: str, read: Iterable[str], result: str) -> None:
        node = self._node("torch", name, fallback=self.fallbacks.get(result))
        for variable in dict.fromkeys(read):
            self._edge(self.sources.get(variable), node)
        self._make(node, [result])

    def _output(self, title: str, name: str) -> None:
        source = self.sources.get(name)
        if source is not None:  # else a number
            self._edge(source, self._node("output", title))

    def _node(self, kind: str, name: str, **more: Any) -> int:
        self.nodes.append({"kind": kind, "name": name, **more, "weights": [], "makes": []})
        return len(self.nodes) - 1

    def _make(self, node: int, names: Iterable[str]) -> None:
        for name in names:
            self.sources[name] = self._described(node, name)
            self._makes(self.sources[name])

    def _makes(self, source: Source) -> None:
        assert source.node is not None
        self.nodes[source.node]["makes"].append(_tensor(source))

    def _replace(self, node: int, whole: str, part: str) -> None:
        """Of several results each is a tensor, and their tuple is none."""
        makes = self.nodes[node]["makes"]
        makes[:] = [tensor for tensor in makes if tensor["tensor"] != whole]
        makes.append(_tensor(self.sources[part]))

    def _edge(
        self,
        source: Source | None,
        node: int,
        view: Mapping[str, Any] | None = None,
    ) -> None:
        """One for a tensor that a node reads, however often. `view` has the type and shape that the node sees."""
        if source is None:
            return
        seen = _tensor(source)
        if view is not None:
            seen |= {"type": view["type"], "shape": list(view["shape"])}
        if source.node is None:
            self.nodes[node]["weights"].append(seen)
            return
        edge = {"from": source.node, "to": node, **seen}
        ends = (edge["from"], edge["to"], edge["tensor"])
        if all((known["from"], known["to"], known["tensor"]) != ends for known in self.edges[-64:]):
            self.edges.append(edge)

    def _described(self, node: int | None, name: str) -> Source:
        kind, shape = self.types.get(name, (None, ()))
        return Source(node, name, kind, list(shape))


def _tensor(source: Source) -> dict[str, Any]:
    return {"tensor": source.name, "type": source.type, "shape": source.shape}


def _written(graph: _core.Graph, value: int, written: set[int]) -> int:
    """The value that is in memory where `value` is a view of it."""
    while value not in written:
        operands = graph.node(value)["operands"]
        if not operands:
            break
        value = operands[0]
    return value


def _title(operation: Any) -> str:
    """`aten::add.Tensor` as fallbacks have it: `aten.add.Tensor`."""
    return str(operation).replace("::", ".")
