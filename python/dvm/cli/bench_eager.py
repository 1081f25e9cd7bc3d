"""`dvm bench eager`: whole programs of eager PyTorch, as they are and inside our scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dvm.bench.timer import geomean
from dvm.cli.bench_files import note_load, write
from dvm.cli.bench_options import JsonFile, Quick
from dvm.cli.output import CliError, console, milliseconds, need, table
from dvm.cli.progress import stages

if TYPE_CHECKING:
    from dvm.bench.eager_programs import Run


def eager(
    program: Annotated[
        list[str] | None, typer.Option(help="Which programs; default: all.", show_default=False)
    ] = None,
    json: JsonFile = None,
    quick: Quick = False,
    inductor: Annotated[
        bool, typer.Option("--inductor", help="Also compile the function that goes a step.")
    ] = False,
    scope: Annotated[bool, typer.Option(help="Run our scope too, or eager alone.")] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: torch's.")] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time to measure each program.")] = 2.0,
) -> None:
    """Training loops, searches, simulations: programs that nobody captured, step by step beside eager."""
    torch = need("torch")
    from dvm.bench import eager_programs as benchmark

    unknown = [name for name in program or [] if name not in benchmark.PROGRAMS]
    if unknown:
        names = ", ".join(benchmark.PROGRAMS)
        raise CliError(f"--program {unknown[0]}: there is no such program; there are {names}")
    chosen = [benchmark.PROGRAMS[name] for name in program or benchmark.PROGRAMS]
    need("torch", *dict.fromkeys(package for each in chosen for package in each.packages))
    try:
        engines = benchmark.scopes(scope)
    except benchmark.NoScopeError as error:
        raise CliError(f"{error}; --no-scope measures eager alone") from None
    if threads is not None:
        torch.set_num_threads(threads)
    note_load()
    runs: list[Run] = []
    with stages() as progress:
        progress.begin("eager", len(chosen))
        for each in chosen:
            run = benchmark.measure(
                each,
                engines,
                quick=quick,
                inductor=inductor,
                seconds=min(seconds, 0.2) if quick else seconds,
                on_step=lambda text: progress.show("eager", text, len(runs)),
            )
            runs.append(run)
            if json is not None and str(json) != "-":
                write("eager", {one.program.name: benchmark.as_json(one) for one in runs}, json)
    if str(json) == "-":
        write("eager", {one.program.name: benchmark.as_json(one) for one in runs}, json)
    else:
        _print(runs, torch.get_num_threads())
    if any(run.wrong for run in runs):
        raise typer.Exit(1)


def _print(runs: list[Run], threads: int) -> None:
    from dvm.bench.eager_programs import EAGER, FIRST, LONG

    names = list(dict.fromkeys(name for run in runs for name in run.engines))
    others = [name for name in names if name != EAGER]
    totals = (1, FIRST, LONG)
    rows = table(
        f"Eager programs, {threads} threads; how many times faster than eager, a step and all steps from the first on",
        "program",
        *(f"{name}\na step" for name in names),
        *(f"{name}\na step" for name in others),
        *(f"{name}\n{steps} steps" for name in others for steps in totals),
        *(f"{name}\ndifference" for name in others),
    )
    ratios: dict[str, list[float]] = {}
    for run in runs:
        cells = [run.program.name]
        cells += [milliseconds(run.engines[n].steady) if n in run.engines else "" for n in names]
        for name in others:
            found = name in run.engines
            cells.append(_ratio(run.ratio(name)) if found else "")
            if found:
                ratios.setdefault(name, []).append(run.ratio(name))
        for name in others:
            for steps in totals:
                mine = run.engines[name].until(steps) if name in run.engines else 0.0
                cells.append(f"{run.engines[EAGER].until(steps) / mine:.2f}x" if mine else "")
        for name in others:
            style = "red" if name in run.wrong else "default"
            found = name in run.engines
            cells.append(f"[{style}]{run.difference(name):.0e}[/]" if found else "")
        rows.add_row(*cells)
    means = [f"{geomean(ratios.get(name, [])):.2f}x" for name in others]
    blank = [""] * (len(names))
    rows.add_row("geomean", *blank, *means, *[""] * (4 * len(others)), style="bold")
    console.print(rows)
    for run in runs:
        for name, reason in run.missing.items():
            console.print(f"{run.program.name}: {name} is missing: {reason}", markup=False)


def _ratio(ratio: float) -> str:
    return f"[{'red' if ratio < 0.97 else 'green'}]{ratio:.2f}x[/]"
