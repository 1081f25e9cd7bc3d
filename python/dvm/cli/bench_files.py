"""The result files of `dvm bench`: what was measured, and on what."""

from __future__ import annotations

import json as json_module
import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dvm.cli.doctor import processor
from dvm.cli.output import CliError, errors, write_json


def note_load() -> None:
    """Says so where other programs disturb what is measured."""
    busy = os.getloadavg()[0]
    if busy > 0.7:
        errors.print(f"other programs keep this machine busy (load {busy:.1f}): times will be off")


def write(benchmark: str, results: Any, path: Path | None) -> None:
    """Writes the results of a benchmark with what they were measured on; "-" is stdout."""
    import dvm

    about = {"benchmark": benchmark, "dvm": dvm.__version__, "isa": dvm.isa()}
    about["processors"] = f"{len(os.sched_getaffinity(0))} x {processor()}"
    with suppress(PackageNotFoundError):
        about["torch"] = version("torch")
    write_json({**about, "results": results}, path)


def read(path: Path) -> dict[str, Any]:
    """What an earlier run wrote. Raises CliError."""
    try:
        data = json_module.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise CliError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or "results" not in data:
        raise CliError(f"{path} was not written by `dvm bench --json`")
    return data
