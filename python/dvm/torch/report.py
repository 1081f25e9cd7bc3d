"""What the backend did: one Compilation for each graph it was given, for explain() and for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dvm.compiled.account import account
from dvm.torch.emit import Emitted
from dvm.torch.roles import Fallback
from dvm.torch.segment import Compiled


@dataclass
class Compilation:
    """One graph: its segments, what torch runs between them, and the code that joins them."""

    kind: str  # "inference", "forward" or "backward"
    segments: list[Compiled]
    fallbacks: list[Fallback]
    updates: list[dict[str, Any]]
    source: str
    seconds: float
    steps: dict[str, float]  # milliseconds of the thread: simplify, partition, segments, flow
    emitted: Emitted
    unlike: list[str]  # why what looks like one operation is not

    @property
    def kernels(self) -> list[dict[str, object]]:
        """What the core says of each kernel, in order."""
        return [
            kernel
            for segment in self.segments
            for kernel in segment.executable.explain()["kernels"]
        ]

    @property
    def notes(self) -> list[str]:
        """Why neighbours were not fused."""
        return self.unlike + [
            note for segment in self.segments for note in segment.executable.explain()["notes"]
        ]

    def account(self) -> dict[str, Any]:
        """All of it as plain values, a graph of dvm.compiled.explanation.Explanation."""
        emitted = self.emitted
        return account(
            emitted.flow,
            emitted.executables,
            emitted.types(),
            self.counted_fallbacks(),
            self.updates,
            sizes=emitted.sizes(),
            kind=self.kind,
            ms=self.seconds * 1e3,
            source=self.source,
            unlike=self.unlike,
        )

    def counted_fallbacks(self) -> list[dict[str, Any]]:
        """What torch runs, equal ones once: `name`, `reason`, `line`, `count`, and the variables in `results`."""
        equal: dict[tuple[str, str, str], list[str]] = {}
        for item in self.fallbacks:
            results = equal.setdefault((item.name, item.reason, item.line), [])
            results.append(self.emitted.variables.get(item.node.name, item.node.name))
        return [
            {
                "name": name,
                "reason": reason,
                "line": line,
                "count": len(results),
                "results": results,
            }
            for (name, reason, line), results in equal.items()
        ]


@dataclass
class Report:
    """The compilations that happened while it was recording."""

    compilations: list[Compilation] = field(default_factory=list)


_recording: list[Report] = []
_lock = threading.Lock()


@contextmanager
def record() -> Iterator[Report]:
    """Collects every compilation inside the block."""
    report = Report()
    with _lock:
        _recording.append(report)
    try:
        yield report
    finally:
        with _lock:
            _recording.remove(report)


def add(compilation: Compilation) -> None:
    with _lock:
        for report in _recording:
            report.compilations.append(compilation)
