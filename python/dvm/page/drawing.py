"""The SVG of one graph: a box for each kernel with its operations inside, for each matrix product, with the kernel that
finishes its tiles in the same box, for each attention, operation of torch's, argument and result; a line for each
tensor. Equal kernels share a colour, so that repeated layers are seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

from dvm.page.layout import Box, Layout, place
from dvm.page.wording import Words, tag

CHARACTER = 6.7  # widths of letters at 11 px, generous: what is there to render is not known here
CHIP_CHARACTER = 6.9
LINE = 17.0
CHIP = 22.0
PAD = 10.0
WIDEST = 340.0
MARGIN = 24.0


def kernel_kinds(kernels: list[dict[str, Any]]) -> list[int | None]:
    """For each kernel the number of its kind among those that are there more than once."""
    keys = [
        repr((k["ops"], k["axes"], *(_types(k[way]) for way in ("inputs", "outputs"))))
        for k in kernels
    ]
    counts = Counter(keys)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(key, len(numbers)) if counts[key] > 1 else None for key in keys]


def _types(tensors: list[dict[str, Any]]) -> list[Any]:
    return sorted((tensor["type"], str(tensor["shape"])) for tensor in tensors)


def hue(kind: int | None) -> str | None:
    """The style that colours a kind: hues by the golden angle, so that neighbours differ."""
    return None if kind is None else f"--hue:{round(205 + kind * 137.5) % 360}"


def draw(graph: Mapping[str, Any], number: int) -> str:
    """The SVG of the graph with this number."""
    return _Drawing(graph, number).svg()


def _simplified(wiring: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Nodes and edges with less to look at: what is returned of one node is one box, and arguments of a fixed shape, as
    the weights are to torch.compile, are named where they are read, provided that others have shapes that change."""
    nodes, edges = wiring["nodes"], wiring["edges"]
    inputs = [node for node in nodes if node["kind"] == "input"]
    changes = any(_changes(node) for node in inputs)
    small = {
        at
        for at, node in enumerate(nodes)
        if node["kind"] == "input" and changes and not _changes(node)
    }
    results: dict[int, list[str]] = {}  # of what each node makes
    for edge in edges:
        if nodes[edge["to"]]["kind"] == "output":
            results.setdefault(edge["from"], []).append(nodes[edge["to"]]["name"])
    places: dict[int, int] = {}
    kept: list[dict[str, Any]] = []
    for at, node in enumerate(nodes):
        if at not in small and node["kind"] != "output":
            places[at] = len(kept)
            kept.append({**node, "weights": list(node["weights"])})
    boxes: dict[int, int] = {}
    for source, names in results.items():
        if source not in small and nodes[source]["kind"] != "input":
            boxes[source] = len(kept)
            kept.append({"kind": "output", "name": _together(names), "weights": [], "makes": []})
    lines: dict[tuple[int, int, str], dict[str, Any]] = {}
    for edge in edges:
        source, target = edge["from"], edge["to"]
        if nodes[target]["kind"] == "output":
            end = boxes.get(source)
        else:
            end = places[target]
            if source in small:
                kept[end]["weights"].append(edge)
        if end is not None and source in places:
            key = places[source], end, edge["tensor"]
            lines.setdefault(key, {**edge, "from": places[source], "to": end})
    return kept, list(lines.values())


def _changes(node: Mapping[str, Any]) -> bool:
    return any(isinstance(size, str) for tensor in node["makes"] for size in tensor["shape"])


def _together(names: list[str]) -> str:
    """`result 1`, or `result 1 and 3 more`."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


class _Drawing:
    """The drawing of one graph."""

    def __init__(self, graph: Mapping[str, Any], number: int) -> None:
        self.graph = graph
        self.number = number
        self.words = Words(graph)
        self.nodes, self.edges = _simplified(graph["wiring"])
        self.kinds = kernel_kinds(graph["kernels"])
        read = {(edge["from"], edge["tensor"]) for edge in self.edges}
        self.makes = [
            [tensor for tensor in node["makes"] if (at, tensor["tensor"]) in read]
            for at, node in enumerate(self.nodes)
        ]

    def svg(self) -> str:
        boxes = [self._box(at) for at in range(len(self.nodes))]
        ends = [(edge["from"], edge["to"]) for edge in self.edges]
        layout = place(boxes, ends, [edge["tensor"] for edge in self.edges])
        below = LINE + 8  # for the label of what nothing reads
        width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN + below
        ports = self._ports(layout)
        parts = [self._edge(layout, at, ports) for at in range(len(self.edges))]
        parts += [self._node(layout.boxes[at], at) for at in range(len(self.nodes))]
        parts += [self._labels(layout.boxes[at], at) for at in range(len(self.nodes))]
        return tag(
            "svg", "\n".join(parts), viewBox=f"{-MARGIN:.0f} {-MARGIN:.0f} {width:.0f} {height:.0f}",
            width=f"{width:.0f}", height=f"{height:.0f}", role="img",
            aria_label=f"graph {self.number}: its kernels, what torch runs, and the tensors between them",
        )  # fmt: skip

    # Boxes.

    def _box(self, at: int) -> Box:
        lines = [self._title(at), *self._second_title(at), *self._lines(at)]
        rows = self._chips(at)
        widths = [len(line) * CHARACTER for line in lines]
        widths += [sum(map(_chip_width, row)) + 4 * (len(row) - 1) for row in rows]
        under = sum(self._label_width(tensor) for tensor in self.makes[at])
        height = LINE * len(lines) + CHIP * len(rows) + 2 * PAD - 4
        return Box(max([*widths, under, 60]) + 2 * PAD, height)

    def _title(self, at: int) -> str:
        node = self.nodes[at]
        match node["kind"]:
            case "kernel":
                return self._kernel_title(node["kernel"])
            case "matmul":
                return f"matmul {self.words.product(self.graph['matmuls'][node['place']])}"
            case "convolution" | "pool" | "scan" as kind:
                return f"{kind} {self.words.product(self.graph[f'{kind}s'][node['place']])}"
            case "attention":
                return f"attention {self.words.shape(self.graph['attentions'][node['place']]['shape'])}"
            case "torch":
                return str(node["name"]).removeprefix("aten.").removesuffix(".default")
            case _:
                return str(node["name"])

    def _kernel_title(self, number: int) -> str:
        return f"kernel {number} {self.words.space(self.graph['kernels'][number])}"

    def _second_title(self, at: int) -> list[str]:
        """Of the kernel that finishes the tiles of a product."""
        node = self.nodes[at]
        finished = node["kind"] in ("matmul", "convolution", "pool") and node["kernel"] is not None
        return [f"then {self._kernel_title(node['kernel'])}"] if finished else []

    def _lines(self, at: int) -> list[str]:
        """What stands below the title and the operations."""
        node = self.nodes[at]
        weights = node["weights"]
        if not weights:
            return []
        types = Counter(map(self.words.tensor, weights))
        text = "with " + ", ".join(t if n == 1 else f"{n} x {t}" for t, n in types.items())
        most = int(WIDEST / CHARACTER)
        return [text if len(text) <= most else text[: most - 3] + "..."]

    def _chips(self, at: int) -> list[list[str]]:
        """The operations of a kernel in rows."""
        node = self.nodes[at]
        rows: list[list[str]] = []
        if node.get("kernel") is None:
            return rows
        room = 0.0
        for op in self.graph["kernels"][node["kernel"]]["ops"]:
            width = _chip_width(op)
            if not rows or room < width:
                rows.append([])
                room = WIDEST
            rows[-1].append(op)
            room -= width + 4
        return rows

    def _node(self, box: Box, at: int) -> str:
        node = self.nodes[at]
        left = box.x - box.width / 2
        kernel = node.get("kernel")
        kind = self.kinds[kernel] if kernel is not None else None
        round_ = 14 if node["kind"] in ("input", "output") else 7
        parts = [
            tag("title", escape(self._hover(at))),
            _rect(left, box.y, box.width, box.height, round_, "box"),
        ]
        y = box.y + PAD + 10
        parts.append(_text(left + PAD, y, self._title(at), "title"))
        for line in self._second_title(at):
            y += LINE
            parts.append(_text(left + PAD, y, line, "title"))
        y += 9
        for row in self._chips(at):
            x = left + PAD
            for op in row:
                width = _chip_width(op)
                parts.append(_rect(x, y, width, CHIP - 4, 4, "chip"))
                parts.append(_text(x + width / 2, y + 13, op, "op"))
                x += width + 4
            y += CHIP
        y += 9
        parts += [
            _text(left + PAD, y + LINE * n, t, "small") for n, t in enumerate(self._lines(at))
        ]
        anchor = f"g{self.number}k{kernel}" if kernel is not None else None
        classes = f"node {node['kind']}" + (" repeated" if kind is not None else "")
        return tag("g", "".join(parts), class_=classes, style=hue(kind), id=anchor)

    def _hover(self, at: int) -> str:
        node = self.nodes[at]
        kernel = None if node.get("kernel") is None else self.graph["kernels"][node["kernel"]]
        product = None
        if node["kind"] in ("matmul", "convolution", "pool", "scan", "attention"):
            product = self.graph[f"{node['kind']}s"][node["place"]]
        lines = []
        if product is not None:
            lines += [self._title(at), f"{self.words.sum(product['flops'])} flops"]
        if kernel is not None:
            lines += ["each tile goes to"] if product is not None else []
            lines.append(f"kernel {node['kernel']}: {' '.join(kernel['ops'])}")
            lines.append(f"over {self.words.space(kernel)}")
        if not lines:
            lines.append(node["name"])
        if node["kind"] == "torch" and node["fallback"] is not None:
            fallback = self.graph["fallbacks"][node["fallback"]]
            lines += [f"in torch: {fallback['reason']}", fallback["line"]]
        elif node["kind"] == "torch":
            lines.append("in torch, where nothing is lost by it")
        came = [edge for edge in self.edges if edge["to"] == at]
        for word, tensors in (
            ("reads", came),
            ("reads the weight", node["weights"]),
            ("writes", node["makes"]),
        ):
            lines += [
                f"{word} {tensor['tensor']} {self.words.tensor(tensor)}" for tensor in tensors
            ]
        moved = [part["bytes"] for part in (product, kernel) if part is not None]
        if moved:
            lines.append(f"moves {self.words.sum(' + '.join(moved))} bytes")
        return "\n".join(lines)

    # Lines.

    def _label_width(self, tensor: Mapping[str, Any]) -> float:
        return len(self.words.tensor(tensor)) * CHARACTER + 16

    def _ports(self, layout: Layout) -> list[tuple[float, float]]:
        """Where along the bottom of one box an edge leaves, and along the top of another arrives."""
        leaves: dict[tuple[int, str], float] = {}
        for at, tensors in enumerate(self.makes):
            box = layout.boxes[at]
            widths = [self._label_width(tensor) for tensor in tensors]
            # One leaves from the middle; several stand side by side, each with its label to the right.
            x = box.x if len(tensors) == 1 else box.x - sum(widths) / 2 + 6
            for tensor, width in zip(tensors, widths, strict=True):
                leaves[at, tensor["tensor"]] = x
                x += width
        self.leaves = leaves
        came: dict[int, list[tuple[float, int]]] = {}
        for number, edge in enumerate(self.edges):
            path = layout.bends[number]
            start = leaves.get((edge["from"], edge["tensor"]), layout.boxes[edge["from"]].x)
            came.setdefault(edge["to"], []).append((path[-1][0] if path else start, number))
        ports = [(0.0, 0.0)] * len(self.edges)
        for target, arriving in came.items():
            box = layout.boxes[target]
            step = min(40.0, box.width / (len(arriving) + 1))
            first = box.x - step * (len(arriving) - 1) / 2
            for place_, (_, number) in enumerate(sorted(arriving)):
                edge = self.edges[number]
                start = leaves.get((edge["from"], edge["tensor"]), layout.boxes[edge["from"]].x)
                ports[number] = (start, first + step * place_)
        return ports

    def _edge(self, layout: Layout, at: int, ports: list[tuple[float, float]]) -> str:
        edge = self.edges[at]
        source, target = layout.boxes[edge["from"]], layout.boxes[edge["to"]]
        x, end = ports[at]
        y = source.y + source.height
        path = [f"M{x:.1f} {y:.1f}"]
        for middle, top, bottom in layout.bends[at]:
            path += [_curve(x, y, middle, top), f"V{bottom:.1f}"]
            x, y = middle, bottom
        path.append(_curve(x, y, end, target.y - 5))
        hover = tag("title", escape(f"{edge['tensor']}: {self.words.tensor(edge)}"))
        line = f'<path class="edge" marker-end="url(#arrow)" d="{" ".join(path)}"/>'
        wide = f'<path class="reach" d="{" ".join(path)}"/>'
        return tag("g", hover + wide + line, class_="tensor")

    def _labels(self, box: Box, at: int) -> str:
        """Type and shape of what a box makes, beside the line that leaves it."""
        y = box.y + box.height + 14
        return "".join(
            _text(self.leaves[at, tensor["tensor"]] + 6, y, self.words.tensor(tensor), "label")
            for tensor in self.makes[at]
        )


def _chip_width(op: str) -> float:
    return len(op) * CHIP_CHARACTER + 12


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(x - to_x) < 0.5:
        return f"L{to_x:.1f} {to_y:.1f}"
    bend = max(14.0, (to_y - y) * 0.55)
    return f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"


def _rect(x: float, y: float, width: float, height: float, round_: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round_}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
