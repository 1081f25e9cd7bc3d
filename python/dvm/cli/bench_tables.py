"""The results of `dvm bench` as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvm.cli.output import console, errors, milliseconds, table

if TYPE_CHECKING:
    from dvm.bench.fusion import Fusion
    from dvm.bench.memory import Results
    from dvm.bench.report import Case, Change, Ratios
    from dvm.bench.soak import Soak


def print_operators(cases: list[Case], inductor: bool) -> None:
    """Both tables of `dvm bench operators`, what falls short, bandwidth, and what failed."""
    from dvm.bench import report

    best = ("eager", "inductor") if inductor else ("eager",)
    rival = ("inductor",) if inductor else ("eager",)
    _print_ratios(
        f"Through torch.compile: times faster than {rival[0]}",
        report.by_operator(cases, "dvm", rival),
        report.shortfalls(cases, "dvm", rival),
    )
    _print_ratios(
        f"Called directly: times faster than {'the better of ' * inductor}{' and '.join(best)}",
        report.by_operator(cases, "kernel", best),
        report.shortfalls(cases, "kernel", best, report.BOUND_ELEMENTS),
    )
    streams = [case for case in cases if "bandwidth" in case]
    if streams:
        columns = ("operator", "case", "GB/s", "memcpy GB/s", "share")
        rows = table("Out of cache, called directly with out=", *columns, left=("case",))
        for case in streams:
            ours, memcpy = case["bandwidth"]["kernel"], case["bandwidth"]["memcpy"]
            rates = f"{ours / 1e9:.1f}", f"{memcpy / 1e9:.1f}", f"{ours / memcpy:.0%}"
            rows.add_row(case["operator"], report.name_of(case), *rates)
        console.print(rows)
    wrong = [(case, name, text) for case in cases for name, text in case.get("wrong", {}).items()]
    for case, name, text in wrong[:40]:
        errors.print(
            f"{name} failed: {case['operator']} {report.name_of(case)}: {text}", markup=False
        )
    if len(wrong) > 40:
        errors.print(f"... and {len(wrong) - 40} more failures; --json has all of them")


def _print_ratios(title: str, ratios: list[Ratios], below: list[tuple[float, str]]) -> None:
    where = "where (shape, threads)"
    rows = table(title, "operator", "geomean", "worst", where, left=(where,))
    for row in ratios:
        colour = "red" if row.worst < 1 else "green"
        rows.add_row(
            row.label,
            f"{row.geomean:.2f}x",
            f"[{colour}]{row.worst:.2f}x",
            row.worst_case,
            style="bold" if row.label == "all" else "",
        )
    console.print(rows)
    if below:
        listed = "; ".join(f"{name} {value:.2f}x" for value, name in below[:12])
        more = f"; and {len(below) - 12} more" if len(below) > 12 else ""
        console.print(f"{len(below)} cases below 1x: {listed}{more}", highlight=False)


def print_compile(results: dict[str, Any]) -> None:
    """The tables of `dvm bench compile`."""
    columns = ("p50", "p90", "p99", "max")
    plans = table("Planning a shape never seen before, in microseconds", "kernel", *columns)
    for name, row in results["plan_us"].items():
        plans.add_row(name, *(f"{row[column]:.1f}" for column in columns))
    console.print(plans)
    for key, title in (
        ("repeated_call", "A repeated call on 2 x 4 elements"),
        ("first_call", "torch.compile in a new process, 33 x 768 and then 57 x 768 elements"),
    ):
        if rows := results.get(key):
            columns = tuple(next(iter(rows.values()))["seconds"])
            calls = table(title, "", *columns)
            for name, row in rows.items():
                calls.add_row(name, *(milliseconds(row["seconds"][column]) for column in columns))
            console.print(calls)
    if lowering := results.get("lowering"):
        title = f"Compiling BERT-base, {lowering['nodes']} nodes captured, in milliseconds"
        steps = table(title, "step", "first", "best", "median")
        for name, row in lowering["steps"].items():
            steps.add_row(name, *(f"{row[which]:.1f}" for which in ("first", "best", "median")))
        console.print(steps)


def print_host(results: dict[str, Any]) -> None:
    """The two tables of `dvm bench host`."""
    calls = table(
        "A call, in microseconds, one thread",
        "kernels",
        "repeated shape",
        "new shape",
        "new shape,\nper kernel",
    )
    for row in results["calls"]:
        each = row["first_us"] / row["kernels"]
        numbers = (row["repeated_us"], row["first_us"], each)
        calls.add_row(str(row["kernels"]), *(f"{number:.2f}" for number in numbers))
    console.print(calls)
    compiling = table("From a graph to an Executable", "operations", "kernels", "ms")
    for row in results["compiling"]:
        compiling.add_row(str(row["operations"]), str(row["kernels"]), f"{row['compile_ms']:.1f}")
    console.print(compiling)


def print_soaks(runs: list[Soak], shapes: int) -> None:
    """What became of each model, then how long its calls took."""
    from dvm.bench import soak

    names = list(runs[0].engines)
    compiling = names[1:]
    columns = (
        "graphs",
        "recompiled",
        "kernels",
        "in torch",
        "difference",
        "memory",
        "of plans",
        "of arena",
    )
    title = f"Compiled once, {shapes} random shapes; graphs of {' / '.join(compiling)}"
    rows = table(title, "model", *columns)
    for run in runs:
        colour = "red" if run.wrong else "green"
        counts = [run.engines[name] for name in compiling]
        rows.add_row(
            run.entry.name,
            " / ".join(str(each.graphs) for each in counts),
            " / ".join(str(each.recompilations) for each in counts),
            *map(str, (run.kernels, run.fallbacks)),
            f"[{colour}]{run.difference:.1e}",
            *(
                f"{soak.growth(samples) / 2**20:+.1f} MiB"
                for samples in (run.memory, run.plan_bytes, run.arena_bytes)
            ),
        )
    console.print(rows)
    console.print(
        "memory: growth of the process over the second half of the shapes; of plans, of arena: how much of"
        " it dvm keeps as such. oneDNN keeps up to 1024 primitives, ONEDNN_PRIMITIVE_CACHE_CAPACITY=4 few"
    )
    engines = runs[0].engines.items()
    titles = [
        name if each.shapes == shapes else f"{name},\n{each.shapes} shapes"
        for name, each in engines
    ]
    for kind, title in (("first", "The first call of a shape"), ("repeated", "A repeated shape")):
        pairs = soak.pairs(runs[0])
        times = table(
            f"{title}: p50, p99, max",
            "model",
            *titles,
            *(f"{name}\nover {rival}" for name, rival in pairs),
        )
        for run in runs:
            seconds = [soak.summary(getattr(run.engines[name], kind)) for name in names]
            over = [soak.summary(soak.ratios(run, *pair, kind)) for pair in pairs]
            times.add_row(
                run.entry.name,
                *(" ".join(milliseconds(value) for value in row.values()) for row in seconds),
                *(" ".join(f"{value:.2f}" for value in row.values()) for row in over),
            )
        console.print(times)
    for run in runs:
        for sizes in run.wrong[:5]:
            errors.print(f"{run.entry.name} differs from eager at {sizes}", markup=False)


def print_fusions(results: list[Fusion], launches: bool) -> None:
    """Kernels, native calls and bytes of each layer, for each engine; with `launches` what they are made of."""
    engines = list(results[0].engines)
    columns = ("kernels", "in torch", "native calls", *(f"bytes\n{name}" for name in engines))
    title = f"Without matrix products, convolutions and attention: {' / '.join(engines)}"
    rows = table(title, "layer", *columns, *["share"] * (len(engines) > 1))
    for result in results:
        counts = list(result.engines.values())
        share = counts[0].bytes / max(1, counts[-1].bytes)
        colour = "red" if counts[0].kernels > counts[-1].kernels else "green"
        rows.add_row(
            result.layer,
            f"[{colour}]{' / '.join(str(each.kernels) for each in counts)}",
            " / ".join(str(each.left_to_torch) for each in counts),
            " / ".join(str(each.native_calls) for each in counts),
            *(f"{each.bytes:,}" for each in counts),
            *[f"[{'red' if share > 1 else 'green'}]{share:.1%}"] * (len(counts) > 1),
        )
    console.print(rows)
    for result in results if launches else ():
        for engine, counted in result.engines.items():
            parts = table(f"{result.layer}, {engine}", "by", "name", "bytes", left=("name",))
            for launch in counted.launches:
                parts.add_row(launch.by, launch.name, f"{launch.bytes:,}")
            console.print(parts)


def print_memory(results: Results) -> None:
    """The peak of each model by size and engine; red is more than Inductor's."""
    from dvm.bench import memory

    for model, engines in results.items():
        rows = table(f"{model}: peak of a call, MiB", "batch", "length", *engines)
        found = {engine: memory.at(results, model, engine) for engine in engines}
        for size in found["eager"]:
            rival = found.get("inductor", found["eager"])[size]
            colours = ["red" if found[engine][size] > rival else "green" for engine in engines]
            rows.add_row(
                *map(str, size),
                *(
                    f"[{colour}]{found[engine][size] / 2**20:.2f}"
                    for engine, colour in zip(engines, colours, strict=True)
                ),
            )
        console.print(rows)


def print_changes(changes: list[Change], threshold: float) -> None:
    """The changes above `threshold`, and the geometric mean of all."""
    from dvm.bench.timer import geomean

    rows = table("Above 1x: the new one is faster", "measurement", "old", "new", "ratio")
    for change in changes:
        if not 1 / (1 + threshold) <= change.ratio <= 1 + threshold:
            colour = "red" if change.ratio < 1 else "green"
            times = milliseconds(change.old), milliseconds(change.new)
            rows.add_row(change.name, *times, f"[{colour}]{change.ratio:.2f}x")
    console.print(rows)
    mean = geomean([change.ratio for change in changes])
    console.print(f"{len(changes)} measurements, geomean {mean:.3f}x", highlight=False)
