"""An ATen graph becomes a Flow: simplified, cut into segments, each of these compiled, and all joined. The backend of
torch.compile and dvm.compile differ in where their graphs come from and in who calls the result; this they share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from torch import fx

from dvm.flow.function import Function, write
from dvm.flow.torch_dialect import TorchDialect
from dvm.torch import report
from dvm.torch.emit import Emitted, Emitter
from dvm.torch.no_collector import without_collector
from dvm.torch.options import Options
from dvm.torch.partition import partition
from dvm.torch.reinplace import reinplace
from dvm.torch.roles import Fallback
from dvm.torch.segment import Known, compile_segment
from dvm.torch.simplify import simplify

log = logging.getLogger("dvm.torch")


@dataclass
class Lowered:
    """A compiled graph: its Flow, the function that it became, and the account of it."""

    emitted: Emitted
    run: Function
    compilation: report.Compilation


@without_collector
def lower(
    gm: fx.GraphModule,
    kind: str,
    options: Options,
    *,
    lifted: Mapping[fx.Node, Any] | None = None,
    weights: Iterable[fx.Node] = (),
    views: Set[int] = frozenset(),
    hints: Sequence[tuple[Any, ...]] = (),
) -> Lowered:
    """Compiles an ATen graph, functional but for copies into placeholders at its end, which is changed on the way.
    `lifted` is as Emitter takes it, `views` as reinplace does; `hints` are facts that the user states of sizes.
    `weights` are placeholders that stand for the same tensors at every call, which the graph does not change.

    Raises RuntimeError when `options.strict` and torch would have to run an operation.
    """
    start, steps = time.perf_counter(), _Steps()
    graph = gm.graph
    notes = simplify(graph, options.numerics)
    changes = reinplace(graph, views, None if lifted is None else lifted.keys())
    steps.end("simplify")
    part = partition(graph, options.numerics, changes.before)
    steps.end("partition")
    part.builder.symbols.hints = hints
    if options.strict and part.fallbacks:
        raise RuntimeError(_refusal(part.fallbacks))
    known: Known | None = {} if len(part.segments) > 1 else None
    segments = {
        at: compile_segment(part, segment, kind, known, frozenset(weights))
        for at, segment in sorted(part.segments.items())
        if segment.outputs
    }
    steps.end("segments")
    emitted = Emitter(gm, part, segments, lifted, changes.before).emit()
    run, source = write(emitted.flow, emitted.executables, emitted.constants, TorchDialect())
    steps.end("flow")
    seconds = time.perf_counter() - start
    compiled = list(segments.values())
    updates = [change.told(emitted.direct) for change in changes.account]
    compilation = report.Compilation(
        kind, compiled, part.fallbacks, updates, source, seconds, steps.taken, emitted, notes
    )
    report.add(compilation)
    log.info(
        "compiled a %s graph of %d nodes in %.1f ms: %d segments, %d operations in torch",
        kind, len(graph.nodes), seconds * 1e3, len(compiled), len(part.fallbacks),
    )  # fmt: skip
    log.debug("%s", source)
    return Lowered(emitted, run, compilation)


class _Steps:
    """What each step takes in milliseconds, on the clock of the thread: other processes count for nothing."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        self._last = time.thread_time()

    def end(self, step: str) -> None:
        now = time.thread_time()
        self.taken[step] = (now - self._last) * 1e3
        self._last = now


def _refusal(fallbacks: Sequence[Fallback]) -> str:
    lines = [f"  {fallback.name}: {fallback.reason}, at {fallback.line}" for fallback in fallbacks]
    return "\n".join(["[dvm] strict, but these operations would run in torch:", *lines])
