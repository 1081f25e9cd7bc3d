"""`dvm run script.py [args]` and `dvm run -m module [args]`: an unmodified program, fused as it runs."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from dvm.cli.output import CliError, errors, need

_OPTIONS = {"--explain": "says at the end what was recorded"}


def is_script(arguments: Sequence[str]) -> bool:
    """Whether the arguments of `dvm run` name a program, and not a function in a file or a saved model."""
    rest = _without_options(arguments)
    return bool(rest) and (rest[0] == "-m" or rest[0].endswith(".py"))


def run_script(arguments: Sequence[str]) -> None:
    """Runs a program as Python would, with its own arguments, inside of dvm.torch.fuse()."""
    need("torch")
    from dvm.torch import disable_fusion, enable_fusion

    explains = "--explain" in arguments[: len(arguments) - len(_without_options(arguments))]
    rest = _without_options(arguments)
    as_module = rest[0] == "-m"
    if as_module and len(rest) < 2:
        raise CliError("run -m: wanted the name of a module")
    if not as_module and not Path(rest[0]).is_file():
        raise CliError(f"{rest[0]}: there is no such file")
    scope = enable_fusion()
    try:
        if as_module:
            sys.argv = list(rest[1:])
            sys.path.insert(0, "")
            runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(rest)
            sys.path.insert(0, str(Path(rest[0]).resolve().parent))
            runpy.run_path(rest[0], run_name="__main__")
    finally:
        disable_fusion()
        if explains:
            errors.print(str(scope.explain()), highlight=False, markup=False, soft_wrap=True)


def _without_options(arguments: Sequence[str]) -> list[str]:
    rest = list(arguments)
    while rest and rest[0] in _OPTIONS:
        rest.pop(0)
    return rest
