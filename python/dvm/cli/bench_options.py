"""The options that several of `dvm bench`'s subcommands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonFile = Annotated[
    Path | None, typer.Option("--json", help='Write the results to this file; "-" for stdout.')
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")]
Inductor = Annotated[bool, typer.Option(help="Also run torch's own compiler.")]
Rivals = Annotated[
    bool, typer.Option("--rivals", help="Also run other libraries (pip install 'dvm[rivals]').")
]
