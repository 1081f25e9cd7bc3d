"""`dvm run`: what the kernels of some calls take, as a table and as a Chrome trace. (`dvm run script.py`, a file
without a name in it, is script.py's.)
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvm.cli.output import CliError, console, errors, milliseconds, need, table, write_json
from dvm.cli.target import DTYPES, Argument, as_callable, example, load, load_saved, parse_argument

if TYPE_CHECKING:
    from dvm.profile import Profile

_WARM_UP = 3


def run(
    target: Annotated[
        str,
        typer.Argument(help="FILE.py:name of a @dvm.kernel, function or module, or a saved model."),
    ],
    shapes: Annotated[
        list[str] | None,
        typer.Argument(
            help="One per argument: 128x768, 128x768:f16, scalar:i64. A saved model has some of its own."
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="A Chrome trace of the calls, into this file.")
    ] = None,
    calls: Annotated[int, typer.Option(min=1, help="How many calls to measure.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
) -> None:
    """Run a function or saved model on example arguments, and show what its kernels take.

    `dvm run [--explain] SCRIPT.py [ARGUMENTS]` and `dvm run [--explain] -m MODULE [ARGUMENTS]` run a program
    instead, as Python would, with PyTorch's operations fused as they are issued.
    """
    import dvm

    arguments = [parse_argument(shape) for shape in shapes or []]
    try:
        call = _call(target, arguments)
        for _ in range(_WARM_UP):
            call()
        plain = _median(call, calls)
        with dvm.profile() as profile:
            for _ in range(calls):
                call()
    except (TypeError, ValueError, IndexError) as error:
        raise CliError(f"{target}: {error}") from None
    if trace is not None:
        try:
            profile.save(trace)
        except OSError as error:
            raise CliError(f"{trace}: {error.strerror}") from None
        errors.print(f"written: {trace}", markup=False, highlight=False)
    if json:
        rows = [
            {**dataclasses.asdict(row), "rate": row.rate, "flop_rate": row.flop_rate}
            for row in profile.rows()
        ]
        write_json({"target": target, "calls": calls, "call_seconds": plain,
                    "profiled_seconds": profile.seconds / calls, "rows": rows})  # fmt: skip
    else:
        _print(target, profile, calls, plain)


def _call(target: str, arguments: list[Argument]) -> Callable[[], Any]:
    import dvm

    if target.endswith(".dvm"):
        model = load_saved(target)
        given = model.examples(*(argument.shape for argument in arguments))
        return lambda: model(*given)
    found = load(target)
    if isinstance(found, dvm.Kernel):
        arrays = [_array(argument) for argument in arguments]
        return lambda: found(*arrays)
    if not callable(found):
        raise CliError(
            f"{target} is a {type(found).__name__}; wanted a kernel, a function or a module"
        )
    torch = need("torch")
    compiled = torch.compile(as_callable(found), backend="dvm", dynamic=True)
    tensors = [example(argument) for argument in arguments]

    def call() -> Any:
        with torch.no_grad():
            return compiled(*tensors)

    return call


def _array(argument: Argument) -> Any:
    from dvm.compiled.framework import find

    return find("numpy").example(DTYPES[argument.dtype], argument.shape)


def _median(call: Callable[[], Any], calls: int) -> float:
    """Seconds of one call that nobody profiles."""
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _print(target: str, profile: Profile, calls: int, plain: float) -> None:
    rows = table(
        f"{target}, {calls} calls", "", "name", "in", "times", "a call", "MB a call",
        "GB/s", "GFLOP/s", "share", left=("name", "in"),
    )  # fmt: skip
    for row in profile.rows():
        moved = (
            [f"{row.bytes / calls / 1e6:.3f}", f"{row.rate / 1e9:.2f}"] if row.bytes else ["", ""]
        )
        rows.add_row(
            row.kind, row.name, row.within, str(row.calls),
            milliseconds(row.seconds / calls), *moved,
            f"{row.flop_rate / 1e9:.2f}" if row.flops else "", f"{row.share:.1%}",
        )  # fmt: skip
    console.print(rows)
    console.print(
        f"a call takes {milliseconds(plain)} (median), and {milliseconds(profile.seconds / calls)} with its kernels "
        "one by one, as above",
        highlight=False,
    )
