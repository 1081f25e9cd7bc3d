"""`dvm dis`: the bytecode of a kernel for given shapes, or of a text file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dvm.cli.output import CliError, console, write_json
from dvm.cli.target import load, parse_argument


def dis(
    target: Annotated[str, typer.Argument(help="FILE.py:kernel, or a file of assembler text.")],
    shapes: Annotated[
        list[str] | None, typer.Argument(help="One per loaded input: 128x768 or 128x768:f16.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
) -> None:
    """Disassemble a kernel for these shapes (all its programs, where it takes several), or check and reprint a text."""
    programs = _from_kernel(target, shapes or []) if ":" in target else [_from_text(target)]
    texts = [program.disassemble().rstrip() for program in programs]
    if json:
        described = [
            {"stats": dict(program.stats), "text": text.splitlines()}
            for program, text in zip(programs, texts, strict=True)
        ]
        write_json({"target": target, "programs": described})
    else:
        console.print("\n\n".join(texts), markup=False, highlight=False, soft_wrap=True)


def _from_kernel(target: str, shapes: list[str]) -> list[Any]:
    kernel = load(target)
    if not hasattr(kernel, "program"):
        raise CliError(f"{target}: not a @dvm.kernel; `dvm explain` takes functions and modules")
    arguments = [parse_argument(shape) for shape in shapes]
    try:
        programs: list[Any] = kernel.programs(
            *(argument.shape for argument in arguments),
            dtype=[argument.dtype for argument in arguments] or "f32",
        )
    except (TypeError, ValueError) as error:
        raise CliError(f"{target}: {error}") from None
    return programs


def _from_text(target: str) -> Any:
    import dvm

    path = Path(target)
    if not path.is_file():
        raise CliError(f"{target}: there is no such file")
    try:
        return dvm.assemble(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError) as error:
        raise CliError(f"{target}: {error}") from None
