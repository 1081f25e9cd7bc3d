"""`dvm bench`: the project's questions about speed, with tables, result files, comparisons and plots."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from dvm.cli import bench_tables as tables
from dvm.cli.bench_eager import eager
from dvm.cli.bench_files import note_load, read, write
from dvm.cli.bench_models import models
from dvm.cli.bench_options import Inductor, JsonFile, Quick, Rivals
from dvm.cli.gemm_tables import print_gemm
from dvm.cli.output import CliError, errors, need, write_json
from dvm.cli.progress import stages

app = typer.Typer(
    name="bench",
    help="Measure operators, compilation and models beside eager torch and Inductor.",
    no_args_is_help=True,
)

app.command()(models)
app.command()(eager)


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
        cases = read(json)["results"]
    total = len(counts) * sum(len(shapes) for _, shapes in plan)
    to_file = json is not None and str(json) != "-"
    note_load()
    with stages() as progress:
        progress.begin("operators", total)

        def on_case(name: str) -> None:
            progress.show("operators", name, len(cases))
            if to_file and len(cases) % 20 == 0:
                write("operators", cases, json)  # so that an interrupted run can be resumed

        benchmark.measure(
            plan,
            counts,
            inductor=inductor,
            seconds=min(seconds, 0.08) if quick else seconds,
            deadline=time.monotonic() + minutes * 60,
            done=cases,
            on_case=on_case,
        )
    if json is not None:
        write("operators", cases, json)
    if plot is not None:
        report.plot(cases.values(), plot)
    if str(json) != "-":
        tables.print_operators(list(cases.values()), inductor)
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

    note_load()
    with stages() as progress:
        progress.begin("compile")
        results = benchmark.measure(
            shapes=100 if quick else 1000,
            first_calls=first_calls,
            on_step=lambda name: progress.show("compile", name),
        )
    if json is not None:
        write("compile", results, json)
    if str(json) != "-":
        tables.print_compile(results)


@app.command()
def host(json: JsonFile = None) -> None:
    """What a call costs besides running kernels, and how compiling grows with the graph."""
    from dvm.bench import host as benchmark

    note_load()
    with stages() as progress:
        progress.begin("host", len(benchmark.KERNELS) + len(benchmark.OPERATIONS))
        results = benchmark.measure(on_step=lambda name: progress.show("host", name))
    if json is not None:
        write("host", results, json)
    if str(json) != "-":
        tables.print_host(results)


@app.command()
def gemm(
    json: JsonFile = None,
    quick: Quick = False,
    threads: Annotated[
        list[int] | None, typer.Option(help="Numbers of threads; default: 1 2.")
    ] = None,
    only: Annotated[
        str, typer.Option(help="Only layers whose sizes contain this: 384x384, columns by depth.")
    ] = "",
    rivals: Rivals = False,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time to measure each case.")] = 0.3,
) -> None:
    """Linear layers of real models, with and without a bias and an activation, beside torch's library."""
    need("torch")
    from dvm.bench import gemm as benchmark

    counts = threads or [1, 2]
    cases = [case for case in benchmark.grid(counts[0], quick) if only in case.layer]
    if not cases:
        layers = dict.fromkeys(case.layer for case in benchmark.grid(counts[0], quick))
        raise CliError(
            f"--only {only}: no layer has that in its sizes; there are {', '.join(layers)}"
        )
    note_load()
    with stages() as progress:
        progress.begin("gemm", len(cases) * len(counts))
        done = iter(range(1, len(cases) * len(counts) + 1))
        results = benchmark.measure(
            counts,
            quick=quick,
            only=only,
            rivals=rivals,
            seconds=min(seconds, 0.08) if quick else seconds,
            on_step=lambda name: progress.show("gemm", name, next(done)),
        )
    if json is not None:
        write("gemm", benchmark.as_json(results), json)
    if str(json) != "-":
        print_gemm(results)


@app.command()
def soak(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models of the catalogue; default: all.")
    ] = None,
    shapes: Annotated[int, typer.Option(min=1, help="Random shapes per model.")] = 1000,
    json: JsonFile = None,
    inductor: Inductor = True,
    inductor_shapes: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the shapes for torch's compiler.")
    ] = None,
    export: Annotated[bool, typer.Option(help="Also run models through dvm.compile.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: torch's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the shapes and the elements.")] = 0,
) -> None:
    """Many random shapes through models that are compiled once; every result is compared with eager."""
    torch = need("torch")
    from dvm.bench import soak as benchmark
    from dvm.bench.zoo import ENTRIES

    unknown = [name for name in names or [] if name not in ENTRIES]
    if unknown:
        raise CliError(f"there is no model {unknown[0]}; there are {', '.join(ENTRIES)}")
    chosen = [ENTRIES[name] for name in names or ENTRIES]
    need("torch", *dict.fromkeys(package for entry in chosen for package in entry.packages))
    if threads is not None:
        torch.set_num_threads(threads)
    engines = ["eager", *[benchmark.INDUCTOR] * inductor, *[benchmark.EXPORTED] * export, "dvm"]
    note_load()
    runs = []
    with stages() as progress:
        for entry in chosen:
            run = benchmark.soak(
                entry,
                shapes,
                engines,
                inductor_shapes=inductor_shapes,
                seed=seed,
                on_step=progress.advance,
            )
            runs.append(run)
            if json is not None and str(json) != "-":
                write("soak", {run.entry.name: benchmark.as_json(run) for run in runs}, json)
    if str(json) == "-":
        write("soak", {run.entry.name: benchmark.as_json(run) for run in runs}, json)
    else:
        tables.print_soaks(runs, shapes)
    if any(run.wrong for run in runs):
        raise typer.Exit(1)


@app.command()
def fusion(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Layers, blocks or models of the catalogue; default: layers, blocks."),
    ] = None,
    json: JsonFile = None,
    inductor: Inductor = True,
    launches: Annotated[
        bool, typer.Option("--launches", help="List every kernel and its bytes.")
    ] = False,
) -> None:
    """How many kernels layers of transformers become, and the bytes that they move, without matrix products."""
    need("torch")
    from dvm.bench import fusion as benchmark
    from dvm.bench.zoo import ENTRIES

    known = [*benchmark.CATALOGUE, *ENTRIES]
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise CliError(f"there is no layer {unknown[0]}; there are {', '.join(known)}")
    chosen = [benchmark.find(name) for name in names or benchmark.CATALOGUE]
    need("torch", *dict.fromkeys(package for layer in chosen for package in layer.packages))
    engines = ["dvm", *["inductor"] * inductor]
    results = []
    with stages() as progress:
        progress.begin("fusion", len(chosen))
        for number, layer in enumerate(chosen):
            progress.show("fusion", layer.name, number)
            results.append(benchmark.count(layer, engines))
    if json is not None:
        write("fusion", benchmark.as_json(results), json)
    if str(json) != "-":
        tables.print_fusions(results, launches)


@app.command()
def memory(
    json: JsonFile = None,
    quick: Quick = False,
    inductor: Inductor = True,
) -> None:
    """The peak memory of a call of BERT-base and a Llama of 0.1 B, beyond weights and arguments."""
    need("torch", "transformers")
    from dvm.bench import memory as benchmark

    engines = [name for name in benchmark.ENGINES if inductor or name != "inductor"]
    lengths = benchmark.LENGTHS[:3] if quick else benchmark.LENGTHS
    to_file = json is not None and str(json) != "-"
    with stages() as progress:
        progress.begin("memory")
        try:
            results = benchmark.measure(
                list(benchmark.MODELS),
                engines,
                lengths,
                benchmark.BATCHES,
                on_step=lambda name: progress.show("memory", name),
                on_result=lambda found: write("memory", found, json) if to_file else None,
            )
        except (RuntimeError, FileNotFoundError) as error:
            raise CliError(str(error)) from None
    if json is not None:
        write("memory", results, json)
    if str(json) != "-":
        tables.print_memory(results)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Results of an earlier run.")],
    new: Annotated[Path, typer.Argument(help="Results of a later run.")],
    threshold: Annotated[float, typer.Option(min=0.0, help="Show changes above this share.")] = 0.1,
    json: Annotated[bool, typer.Option("--json", help="Every change as JSON on stdout.")] = False,
) -> None:
    """What became faster or slower between two result files of the same benchmark."""
    from dvm.bench import report

    before, after = read(old), read(new)
    if before.get("benchmark") != after.get("benchmark"):
        raise CliError(f"{old} holds {before.get('benchmark')}, {new} {after.get('benchmark')}")
    changes = report.compare(before, after)
    if not changes:
        raise CliError(f"{old} and {new} have no measurement in common")
    if json:
        write_json(
            [{"name": c.name, "old": c.old, "new": c.new, "ratio": c.ratio} for c in changes]
        )
    else:
        tables.print_changes(changes, threshold)
