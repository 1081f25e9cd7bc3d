"""Times of the steps of Flows. A function that is written for a Flow knows nothing of this; while a thread measures, it
has other code, which tells what each step took. So a call that nobody measures pays nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from dvm.flow.steps import Call, Fill, Restride, Run, Step, Update


class StepTime(NamedTuple):
    """One run of one step, or of the whole Flow. Times are of time.perf_counter_ns."""

    step: Step | str  # the title of the Flow for all of it
    begin_ns: int
    end_ns: int
    bytes: int  # of the tensors it takes and makes; 0 where the core tells
    executable: Any = None  # that a Run calls
    arguments: Sequence[Any] = ()  # of it: the shapes of tensors, and numbers


class _Variants(NamedTuple):
    plain: CodeType
    timed: Callable[[], CodeType]


_written: weakref.WeakKeyDictionary[FunctionType, _Variants] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_measuring: list[object] = []  # one for each thread that measures
_of_thread = threading.local()


def is_timed(step: Step) -> bool:
    """Whether a step is worth a time of its own: it computes or moves elements."""
    return isinstance(step, Run | Fill | Restride | Update) or (
        isinstance(step, Call) and not step.optional
    )


def register(function: Any, timed: Callable[[], CodeType]) -> None:
    """Has `function` measured from now on whenever a thread measures; `timed` makes the code for that. It must not
    hold the function."""
    with _lock:
        _written[function] = _Variants(function.__code__, timed)
        if _measuring:
            function.__code__ = timed()


def start() -> None:
    """Begins to note what the steps of Flows take in this thread. Raises ValueError where that has begun."""
    if getattr(_of_thread, "times", None) is not None:
        raise ValueError("[profile] one is on already in this thread, wanted none")
    _of_thread.times = []
    with _lock:
        _measuring.append(_of_thread.times)
        if len(_measuring) == 1:
            for function, variants in list(_written.items()):
                function.__code__ = variants.timed()


def stop() -> list[StepTime]:
    """Ends start(): what each step took, in the order of their ends."""
    times: list[StepTime] = _of_thread.times
    _of_thread.times = None
    with _lock:
        _measuring[:] = [other for other in _measuring if other is not times]
        if not _measuring:
            for function, variants in list(_written.items()):
                function.__code__ = variants.plain
    return times


def note(
    step: Step | str,
    begin_ns: int,
    end_ns: int,
    values: tuple[Any, ...] = (),
    executable: Any = None,
) -> None:
    """What timed code calls after a step, with the tensors and numbers that it took and made; of a Run those that it
    took, and what it called."""
    times = getattr(_of_thread, "times", None)
    if times is None:  # another thread measures
        return
    if executable is not None:
        arguments = [getattr(value, "shape", value) for value in values]
        times.append(StepTime(step, begin_ns, end_ns, 0, executable, arguments))
    else:
        different = {id(value): value for value in values}
        times.append(StepTime(step, begin_ns, end_ns, sum(map(_bytes, different.values()))))


def _bytes(value: Any) -> int:
    if isinstance(value, tuple | list):
        return sum(map(_bytes, value))
    return int(getattr(value, "nbytes", 0))
