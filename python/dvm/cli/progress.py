"""Live progress on stderr: one bar per stage of a long command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from dvm.cli.output import errors


class Stages:
    """Bars that appear when their stage begins."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def begin(self, stage: str, total: int | None = None) -> None:
        """Shows the bar of `stage`; without a total it only moves."""
        self._bars[stage] = self._progress.add_task(stage, total=total)

    def advance(self, stage: str, total: int) -> None:
        """One of `total` steps of `stage` is done."""
        if stage not in self._bars:
            self.begin(stage, total)
        self._progress.advance(self._bars[stage])

    def show(self, stage: str, text: str, completed: int | None = None) -> None:
        """What `stage` is doing now."""
        self._progress.update(self._bars[stage], description=text, completed=completed)


@contextmanager
def stages() -> Iterator[Stages]:
    """Bars for the duration of the block, gone afterwards."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield Stages(progress)
