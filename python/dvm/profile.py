"""`dvm.profile()`: what the kernels and torch's operations of calls take, as events, a table and a Chrome trace."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dvm import _core
from dvm.flow import timing
from dvm.flow.products import flops_of_launches
from dvm.flow.steps import Call, Run, Step

_LAUNCHES = ("kernel", "matmul", "convolution", "pool", "scan", "attention", "copy")  # of the core


@dataclass(frozen=True)
class Event:
    """A stretch of time."""

    # "call", "run" (of an Executable within a call), "kernel", "matmul", "convolution", "pool", "scan", "attention",
    # "copy" (by the core) or "torch".
    kind: str
    name: str
    begin_ns: int  # of time.perf_counter_ns
    end_ns: int
    bytes: int = 0  # read and written; an estimate for torch: its operands and results
    within: str = ""  # the graph that a kernel is of
    threads: int = 0  # that a kernel was shared among
    launches: int = 0  # that a kernel took
    number: int = -1  # of a kernel in its graph, also of one that finishes a product
    flops: int = 0  # of a product, convolution, pool, scan or attention in a compiled model; 0 where they are not known

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.begin_ns) * 1e-9

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds if self.end_ns > self.begin_ns else 0.0

    @property
    def flop_rate(self) -> float:
        """Floating-point operations a second."""
        return self.flops / self.seconds if self.end_ns > self.begin_ns else 0.0


@dataclass(frozen=True)
class Row:
    """All events of one kernel or operation."""

    kind: str  # as of an Event, or "host" for what a call does besides
    name: str
    within: str
    calls: int
    seconds: float
    bytes: int
    share: float  # of the time of all calls, 0 to 1
    flops: int = 0  # as of an Event

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def flop_rate(self) -> float:
        """Floating-point operations a second."""
        return self.flops / self.seconds if self.seconds > 0 else 0.0


@dataclass
class Profile:
    """What ran in the thread of a `with dvm.profile()` block; complete after the block."""

    events: list[Event] = field(default_factory=list)

    @property
    def calls(self) -> list[Event]:
        """The calls of models."""
        return [event for event in self.events if event.kind == "call"]

    @property
    def work(self) -> list[Event]:
        """Kernels, products, attentions, copies and operations of torch's, which never overlap."""
        return [event for event in self.events if event.kind in (*_LAUNCHES, "torch")]

    @property
    def seconds(self) -> float:
        """Of all calls, and of kernels that ran outside of one."""
        calls = iter(self.calls)
        total, call = 0.0, next(calls, None)
        for event in self.work:
            while call is not None and call.end_ns < event.begin_ns:
                call = next(calls, None)
            if call is None or event.begin_ns < call.begin_ns:
                total += event.seconds
        return total + sum(event.seconds for event in self.calls)

    def rows(self) -> list[Row]:
        """A row for each kernel, product, attention and operation of torch's, the longest first, and last one of kind
        "host": the time of calls between them. Their seconds add up to `seconds`, their shares to 1."""
        total = self.seconds
        groups: dict[tuple[Any, ...], list[Event]] = {}
        for event in self.work:
            key = event.kind, event.within, event.name, event.number
            groups.setdefault(key, []).append(event)
        rows = []
        for (kind, within, name, _), events in groups.items():
            seconds = sum(event.seconds for event in events)
            moved = sum(event.bytes for event in events)
            share, flops = seconds / (total or 1), sum(event.flops for event in events)
            rows.append(Row(kind, name, within, len(events), seconds, moved, share, flops))
        rows.sort(key=lambda row: -row.seconds)
        if self.calls:
            rest = max(0.0, total - sum(row.seconds for row in rows))
            rows.append(Row("host", "host", "", len(self.calls), rest, 0, rest / (total or 1)))
        return rows

    def table(self) -> str:
        """The rows as text: times in microseconds, bytes as MB, rates as GB/s (10^9 bytes a second), and of matrix
        products as GFLOP/s."""
        titles = ["", "name", "in", "calls", "us", "us/call", "MB", "GB/s", "GFLOP/s", "share"]
        lines = [titles, *(_cells(row) for row in self.rows())]
        widths = [max(len(line[at]) for line in lines) for at in range(len(titles))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if at < 3 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def trace(self) -> dict[str, Any]:
        """All events in the trace event format that chrome://tracing and https://ui.perfetto.dev show: complete
        events ("X") with times in microseconds since the first of them."""
        first = min((event.begin_ns for event in self.events), default=0)
        named: list[dict[str, Any]] = [
            {"ph": "M", "name": kind, "pid": 1, "tid": 1, "args": {"name": name}}
            for kind, name in (("process_name", "dvm"), ("thread_name", "calls"))
        ]
        return {
            "traceEvents": named + [_trace_event(event, first) for event in self.events],
            "displayTimeUnit": "ns",
            "otherData": {"isa": _core.isa(), "threads": _core.threads()},
        }

    def save(self, path: str | Path) -> None:
        """Writes the trace as JSON."""
        Path(path).write_text(json.dumps(self.trace(), indent=1) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        return self.table()


@contextmanager
def profile() -> Iterator[Profile]:
    """Notes what the calls that this thread makes within the block consist of: kernels, what torch runs, and the rest.

    Kernels run one by one then, so that each has a time of its own; calls outside of the block pay nothing. Results
    are the same. Raises ValueError inside of another such block.
    """
    found = Profile()
    timing.start()
    _core.start_profile()
    try:
        yield found
    finally:
        kernels, steps = _core.stop_profile(), timing.stop()
        launches = _with_flops([_of_kernel(time) for time in kernels], steps)
        events = [*launches, *(_of_step(time) for time in steps)]
        # What holds another begins before it or ends after it.
        found.events = sorted(events, key=lambda event: (event.begin_ns, -event.end_ns))


def _of_kernel(time: dict[str, Any]) -> Event:
    product = time["kernel"].partition("_")[0]
    kind = "kernel" if time["number"] >= 0 else "copy"
    if product in ("matmul", "convolution", "pool", "scan", "attention"):
        kind = product
    return Event(
        kind, time["kernel"], time["begin_ns"], time["end_ns"], time["bytes"], time["graph"],
        time["threads"], time["launches"], time["number"],
    )  # fmt: skip


def _with_flops(events: list[Event], steps: Sequence[timing.StepTime]) -> list[Event]:
    """The launches, with what the products among them take where the Run that they are part of is known: the core
    tells bytes only. `events` are in the order in which they ran."""
    begins = [event.begin_ns for event in events]
    known: dict[Any, dict[tuple[str, int], list[int]]] = {}
    for step in steps:
        if step.executable is None:
            continue
        key = id(step.executable), tuple(map(_hashable, step.arguments))
        if key not in known:
            known[key] = flops_of_launches(step.executable, step.arguments)
        first, end = bisect_left(begins, step.begin_ns), bisect_right(begins, step.end_ns)
        for launch, flops in known[key].items():
            places = [
                at for at in range(first, end) if (events[at].name, events[at].number) == launch
            ]
            if len(places) == len(flops):
                for at, count in zip(places, flops, strict=True):
                    events[at] = replace(events[at], flops=count)
    return events


def _hashable(argument: Any) -> Any:
    return argument if isinstance(argument, int | float) else tuple(argument)


def _of_step(time: timing.StepTime) -> Event:
    step = time.step
    if isinstance(step, str):
        return Event("call", step, time.begin_ns, time.end_ns)
    if isinstance(step, Run):
        return Event("run", step.kernel, time.begin_ns, time.end_ns)
    return Event("torch", _title(step), time.begin_ns, time.end_ns, time.bytes)


def _title(step: Step) -> str:
    """`aten.mm.default`, as fallbacks are called; of other steps what they are."""
    if not isinstance(step, Call):
        return type(step).__name__.lower()
    operation = step.operation if isinstance(step.operation, str) else step.operation.value
    return str(operation).replace("::", ".")


def _trace_event(event: Event, first: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if event.kind in (*_LAUNCHES, "torch"):
        told = {"bytes": event.bytes, "GB/s": round(event.rate / 1e9, 3)}
    if event.flops:
        told["GFLOP/s"] = round(event.flop_rate / 1e9, 3)
    if event.kind in _LAUNCHES:
        told |= {"graph": event.within, "threads": event.threads, "launches": event.launches}
    return {
        "ph": "X", "cat": event.kind, "name": event.name, "pid": 1, "tid": 1,
        "ts": (event.begin_ns - first) / 1e3, "dur": (event.end_ns - event.begin_ns) / 1e3, "args": told,
    }  # fmt: skip


def _cells(row: Row) -> list[str]:
    us = row.seconds * 1e6
    moved = [f"{row.bytes / 1e6:.3f}", f"{row.rate / 1e9:.2f}"] if row.bytes else ["", ""]
    flops = f"{row.flop_rate / 1e9:.2f}" if row.flops else ""
    each = f"{us / row.calls:.1f}"
    name = row.name if len(row.name) <= 48 else f"{row.name[:45]}..."
    return [
        row.kind, name, row.within, str(row.calls), f"{us:.1f}", each, *moved, flops,
        f"{row.share:.1%}",
    ]  # fmt: skip
