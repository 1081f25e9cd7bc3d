"""What the backend did: one Compilation for each graph it was given, for explain() and for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dvm.torch.partition import Fallback
from dvm.torch.segment import Compiled


@dataclass
class Compilation:
    """One graph: its segments, what torch runs between them, and the code that joins them."""

    kind: str  # "inference", "forward" or "backward"
    segments: list[Compiled]
    fallbacks: list[Fallback]
    source: str
    seconds: float

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
        return [note for segment in self.segments for note in segment.executable.explain()["notes"]]


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
