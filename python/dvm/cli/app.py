"""Assembles the subcommands and turns what they raise into messages and exit codes.

Exit codes: 0 done; 1 what was asked for was found wrong (results differ, the doctor found a fault);
2 the request cannot be met (a bad argument, a missing package).
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dvm.cli import bench, demo, dis, doctor, explain, info, run, script
from dvm.cli.output import CliError, console, errors

app = typer.Typer(
    name="dvm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.add_typer(bench.app)
app.command()(explain.explain)
app.command()(run.run)
app.command()(dis.dis)
app.command()(info.info)
app.command()(doctor.doctor)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Compile tensor programs in microseconds and run them on a bytecode virtual machine."""
    if version:
        import dvm

        console.print(f"dvm {dvm.__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """Runs the command line; what `dvm` and `python -m dvm` start."""
    arguments = sys.argv[1:]
    try:
        # Everything behind the name of a program is the program's.
        if arguments[:1] == ["run"] and script.is_script(arguments[1:]):
            script.run_script(arguments[1:])
        else:
            app()
    except CliError as error:
        errors.print(f"[bold red]error[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
