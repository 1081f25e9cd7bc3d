"""`dvm explain`: what of a kernel, function or module is fused, and why the rest is not."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from dvm.cli.output import CliError, console, errors, need, write_json
from dvm.cli.target import as_callable, example, load, load_saved, parse_argument


def explain(
    target: Annotated[
        str,
        typer.Argument(help="FILE.py:name of a @dvm.kernel, function or module, or a saved model."),
    ],
    shapes: Annotated[
        list[str] | None, typer.Argument(help="One per argument: 128x768, 128x768:f16, scalar:i64.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="A page with the graphs drawn, into this file.")
    ] = None,
) -> None:
    """Show the kernels that a function becomes, with example arguments of the given shapes."""
    import dvm
    from dvm.compiled.model import CompiledModel

    found = load_saved(target) if target.endswith(".dvm") else load(target)
    arguments = [parse_argument(shape) for shape in shapes or []]
    try:
        if isinstance(found, dvm.Kernel):
            if not arguments:
                raise CliError(
                    f"{target}: a kernel needs one shape for each of its loaded parameters"
                )
            explanation = found.explain(
                *(argument.shape for argument in arguments),
                dtype=[argument.dtype for argument in arguments],
            )
        elif isinstance(found, CompiledModel):
            explanation = dvm.explain(found, *arguments)
        elif callable(found):
            need("torch")
            explanation = dvm.explain(as_callable(found), *map(example, arguments))
        else:
            raise CliError(
                f"{target} is a {type(found).__name__}; wanted a kernel, a function or a module"
            )
    except (TypeError, ValueError) as error:
        raise CliError(f"{target}: {error}") from None
    if html is not None:
        _write_page(explanation.html(), html)
    if json:
        write_json(json_module.loads(json_module.dumps(explanation, default=str)))
    elif html is None:
        console.print(str(explanation), markup=False, highlight=False, soft_wrap=True)


def _write_page(text: str, path: Path) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
    errors.print(f"written: {path}", markup=False, highlight=False)
