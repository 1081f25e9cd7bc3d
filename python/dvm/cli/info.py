"""`dvm info`: what this build is and what its machine can do."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer
from rich.table import Table

from dvm.cli.output import console, table, write_json


def info(
    instructions: Annotated[
        bool, typer.Option("--instructions", help="List the instruction set.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
) -> None:
    """Show the version, the machine chosen, and the size of the instruction set."""
    import dvm
    from dvm import _core

    rows = _core.instructions()
    data: dict[str, Any] = {
        "version": dvm.__version__,
        "isa": _core.isa(),
        "threads": _core.threads(),
        "plan_bytes": _core.plan_stats()["limit_bytes"],
        "packed_bytes": _core.packed_stats()["limit_bytes"],
        "fingerprint": _core.fingerprint(),
        "element_types": [kind["name"] for kind in _core.element_types()],
        "instructions": dict(Counter(row["family"] for row in rows)),
    }
    if json:
        write_json({**data, "table": rows} if instructions else data)
        return
    lines = Table(show_header=False, box=None)
    for key, value in data.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count} {family}" for family, count in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        lines.add_row(f"[bold]{key.replace('_', ' ')}", str(value))
    console.print(lines)
    if instructions:
        console.print(_instruction_table(rows))


def _instruction_table(rows: list[dict[str, Any]]) -> Table:
    headings = ("name", "family", "types", "meaning")
    made = table("Instructions", *headings, left=headings)
    for row in rows:
        made.add_row(row["name"], row["family"], " ".join(row["types"]), row["doc"])
    return made
