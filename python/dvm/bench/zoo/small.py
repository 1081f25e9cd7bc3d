"""Models written here, each for a kind of change in shape that transformers do not have: ragged batches, loops over
time, results whose size depends on the data, and tables of categories.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dvm.bench.zoo.build import HIDDEN, random_ids, seeded
from dvm.bench.zoo.entry import Entry, Inputs, Sizes

# Graphs: a batch of graphs is one graph of many parts, so nodes, edges and graphs all change.


class GraphNetwork(nn.Module):
    """Two rounds of messages along edges, summed where they arrive and divided by their number; one score a graph."""

    def __init__(self, features: int = 16, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.embed = nn.Linear(features, hidden)
        self.message = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in range(2))
        self.update = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.score = nn.Linear(hidden, 1)

    def forward(
        self, nodes: torch.Tensor, edges: torch.Tensor, graph: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        state = torch.relu(self.embed(nodes))
        source, target = edges[0], edges[1]
        degree = torch.zeros_like(state[:, 0]).index_add(0, target, torch.ones_like(target).float())
        for message, update in zip(self.message, self.update, strict=True):
            pair = torch.cat([state[source], state[target]], dim=1)
            sent = functional.gelu(message(pair))
            heard = torch.zeros_like(state).index_add(0, target, sent)
            state = update(state + heard / degree.clamp(min=1).unsqueeze(1))
        index = graph.unsqueeze(1).expand_as(state)
        pooled = state.new_zeros(counts.shape[0], state.shape[1]).scatter_add(0, index, state)
        return torch.sigmoid(self.score(pooled / counts.unsqueeze(1)))


def _graph_inputs(sizes: Sizes, generator: torch.Generator) -> Inputs:
    nodes, graphs = sizes["nodes"], sizes["graphs"]
    edges = torch.randint(nodes, (2, sizes["edges"]), generator=generator)
    graph = torch.randint(graphs, (nodes,), generator=generator)
    graph[:graphs] = torch.arange(graphs)  # none is empty
    counts = torch.bincount(graph, minlength=graphs).float()
    return torch.randn(nodes, 16, generator=generator), edges, graph, counts


# Loops over time.


class Recurrent(nn.Module):
    """A network over a whole sequence. torch.compile would have to unroll it, to one length; it stays outside."""

    def __init__(self, network: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.network = network

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self, sequence: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The states of the last layer at all times, and of all layers at the last time."""
        states, last = self.network(sequence, state)
        return states, last[0] if isinstance(last, tuple) else last


class Translator(nn.Module):
    """An LSTM reads the source; a GRU writes the target and attends to what was read."""

    def __init__(self, words: int = 200, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.source = nn.Embedding(words, hidden)
        self.target = nn.Embedding(words, hidden)
        self.reader = Recurrent(nn.LSTM(hidden, hidden, batch_first=True))
        self.writer = Recurrent(nn.GRU(hidden, hidden, batch_first=True))
        self.query = nn.Linear(hidden, hidden)
        self.words = nn.Linear(2 * hidden, words)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        read, last = self.reader(self.source(source))
        written, _ = self.writer(self.target(target), last)
        weights = torch.softmax(self.query(written) @ read.transpose(1, 2) / HIDDEN**0.5, dim=-1)
        seen = weights @ read
        scores: torch.Tensor = self.words(torch.cat([written, torch.tanh(seen)], dim=-1))
        return torch.log_softmax(scores, dim=-1)


def _sentences(sizes: Sizes, generator: torch.Generator) -> Inputs:
    batch = sizes["batch"]
    source = random_ids((batch, sizes["source"]), generator)
    return source, random_ids((batch, sizes["target"]), generator)


class WriterStep(nn.Module):
    """One step of the writer with cells of its own, for a loop in Python: source length and batch change."""

    def __init__(self, words: int = 200, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.target = nn.Embedding(words, hidden)
        self.cell = nn.LSTMCell(hidden, hidden)
        self.refine = nn.GRUCell(hidden, hidden)
        self.words = nn.Linear(2 * hidden, words)

    def forward(
        self, word: torch.Tensor, read: torch.Tensor, mask: torch.Tensor, state: torch.Tensor,
        memory: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        state, memory = self.cell(self.target(word), (state, memory))
        score = (read @ state.unsqueeze(2)).squeeze(2).masked_fill(~mask, float("-inf"))
        seen = (torch.softmax(score, dim=1).unsqueeze(2) * read).sum(1)
        state = self.refine(seen, state)
        scores = torch.log_softmax(self.words(torch.cat([state, seen], dim=1)), dim=1)
        return scores, state, memory


def _writer_inputs(sizes: Sizes, generator: torch.Generator) -> Inputs:
    batch, source = sizes["batch"], sizes["source"]
    mask = torch.rand(batch, source, generator=generator) < 0.8
    mask[:, 0] = True
    state, memory = (torch.randn(batch, HIDDEN, generator=generator) for _ in range(2))
    read = torch.randn(batch, source, HIDDEN, generator=generator)
    return random_ids((batch,), generator), read, mask, state, memory


# Results whose size depends on the data.


class Detections(nn.Module):
    """What a detector does after its network: decode the boxes of likely anchors, keep the large ones, best first."""

    def __init__(self, threshold: float = 0.5, smallest: float = 0.05) -> None:
        super().__init__()
        self.threshold = threshold
        self.smallest = smallest

    def forward(
        self, scores: torch.Tensor, offsets: torch.Tensor, anchors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        best, kind = torch.sigmoid(scores).max(dim=1)
        found = torch.nonzero(best > self.threshold).squeeze(1)
        offset, anchor = offsets[found], anchors[found]
        centre = anchor[:, :2] + offset[:, :2] * anchor[:, 2:]
        extent = anchor[:, 2:] * torch.exp(offset[:, 2:].clamp(max=4.0))
        boxes = torch.cat([centre - extent / 2, centre + extent / 2], dim=1).clamp(0.0, 1.0)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        large = area > self.smallest**2
        boxes, score, kind, area = boxes[large], best[found][large], kind[found][large], area[large]
        order = torch.argsort(score, descending=True, stable=True)
        return boxes[order], score[order], kind[order], (area / area.sum())[order]


def _detector_inputs(sizes: Sizes, generator: torch.Generator) -> Inputs:
    anchors, classes = sizes["anchors"], sizes["classes"]
    # No two almost equal, and none on the threshold: rounding would decide which is first and which is found.
    levels = torch.randperm(anchors * classes, generator=generator) + 0.5
    scores = (levels / (anchors * classes) * 4.5 - 3).reshape(anchors, classes)
    scores[0] += 4  # one is found at any size
    offsets = torch.randn(anchors, 4, generator=generator)
    places = torch.rand(anchors, 4, generator=generator)
    return scores, offsets, torch.cat([places[:, :2], places[:, 2:] * 0.4 + 0.1], dim=1)


# Tables of categories.

FEATURES = 6


class Ranking(nn.Module):
    """As DLRM: bags of categories and dense numbers as vectors, their products in pairs, and a score."""

    first: torch.Tensor
    second: torch.Tensor

    def __init__(self, rows: int = 500, width: int = 32) -> None:
        super().__init__()
        self.tables = nn.ModuleList(
            nn.EmbeddingBag(rows, width, mode="sum") for _ in range(FEATURES)
        )
        self.dense = nn.Sequential(
            nn.Linear(13, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width), nn.ReLU()
        )
        pairs = torch.tril_indices(FEATURES + 1, FEATURES + 1, offset=-1)
        self.register_buffer("first", pairs[0])
        self.register_buffer("second", pairs[1])
        self.top = nn.Sequential(
            nn.Linear(width + pairs.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        )

    def forward(
        self, numbers: torch.Tensor, categories: torch.Tensor, starts: torch.Tensor
    ) -> torch.Tensor:
        """numbers[batch, 13], categories[FEATURES, all of a batch], starts[FEATURES, batch]"""
        dense = self.dense(torch.log1p(numbers))
        bags = [
            table(categories[feature], starts[feature]) for feature, table in enumerate(self.tables)
        ]
        vectors = torch.stack([dense, *bags], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        pairs = products[:, self.first, self.second]
        return torch.sigmoid(self.top(torch.cat([dense, pairs], dim=1)))


def _ranking_inputs(sizes: Sizes, generator: torch.Generator) -> Inputs:
    batch, total = sizes["batch"], sizes["categories"]
    categories = torch.randint(500, (FEATURES, total), generator=generator)
    starts = torch.randint(total + 1, (FEATURES, batch), generator=generator).sort(dim=1).values
    starts[:, 0] = 0
    return torch.rand(batch, 13, generator=generator) * 9, categories, starts


_BATCH = {"batch": range(2, 33)}

ENTRIES = [
    Entry(
        "gnn",
        lambda: seeded(GraphNetwork),
        _graph_inputs,
        {"nodes": range(17, 200), "edges": range(2, 600), "graphs": range(2, 17)},
        ({0: "nodes"}, {1: "edges"}, {0: "nodes"}, {0: "graphs"}),
    ),
    Entry(
        "seq2seq",
        lambda: seeded(Translator),
        _sentences,
        {"batch": range(2, 9), "source": range(2, 41), "target": range(2, 41)},
        ({0: "batch", 1: "source"}, {0: "batch", 1: "target"}),
    ),
    Entry(
        "seq2seq-step",
        lambda: seeded(WriterStep),
        _writer_inputs,
        {**_BATCH, "source": range(2, 65)},
        (
            {0: "batch"},
            {0: "batch", 1: "source"},
            {0: "batch", 1: "source"},
            {0: "batch"},
            {0: "batch"},
        ),
    ),
    Entry(
        "detection",
        lambda: seeded(Detections),
        _detector_inputs,
        {"anchors": range(16, 3000), "classes": range(2, 21)},
        ({0: "anchors", 1: "classes"}, {0: "anchors"}, {0: "anchors"}),
        captures=True,
    ),
    Entry(
        "ranking",
        lambda: seeded(Ranking),
        _ranking_inputs,
        {"batch": range(2, 129), "categories": range(2, 1000)},
        ({0: "batch"}, {1: "categories"}, {1: "batch"}),
        # Products of sums of hundreds of rows: from double precision eager is up to 2.4e-4, dvm up to 2.7e-4.
        tolerance=2e-4,
    ),
]
