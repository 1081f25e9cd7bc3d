"""What `dvm bench gemm` prints: rates by layer, and how many times faster by rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dvm.bench.timer import geomean
from dvm.cli.output import console, table

if TYPE_CHECKING:
    from dvm.bench.gemm import Case, Results


def print_gemm(results: Results) -> None:
    """For each number of threads a table by layer and end, and the ratios by rows and end."""
    for threads, peak in results.peaks.items():
        cases = [case for case in results.cases if case.threads == threads]
        engines = list(dict.fromkeys(name for case in cases for name in case.seconds))
        rivals = [name for name in engines if name not in ("torch", "dvm")]
        rates = (
            *(f"GFLOP/s\n{name}" for name in engines),
            *("times\nfaster", "worst", "at rows"),
            *["than the\nbest", "worst", "at rows"] * bool(rivals),
            "share of\npeak",
        )
        rows = table(
            f"Linear layers, {threads} threads: geomeans over rows", "layer", "end", *rates
        )
        for layer in dict.fromkeys(case.layer for case in cases):
            for end in dict.fromkeys(case.end for case in cases):
                group = [case for case in cases if (case.layer, case.end) == (layer, end)]
                if not group:
                    continue
                ours = geomean([case.rate("dvm") for case in group])
                rows.add_row(
                    layer,
                    end,
                    *(_rate(group, name) for name in engines),
                    *_ratios(group, lambda case: case.ratio),
                    *_against_rivals(group, rivals),
                    f"{ours / peak:.0%}",
                )
        console.print(rows)
        _print_by_rows("torch", cases, threads, lambda case: case.ratio)
        if rivals:
            alone = [case for case in cases if case.end == "product"]
            _print_by_rows("the best of all", alone, threads, lambda case: case.best_ratio)
        console.print(
            f"peak: {peak / 1e9:.1f} GFLOP/s, the best that any reached on these and on 1024 x 1024 matrices",
            highlight=False,
        )
        for name, reason in results.missing.items():
            console.print(f"{name} is missing: {reason}", highlight=False, markup=False)


def _print_by_rows(
    rival: str, cases: list[Case], threads: int, ratio: Callable[[Case], float]
) -> None:
    ends = list(dict.fromkeys(case.end for case in cases))
    rows = table(
        f"Times faster than {rival}, {threads} threads: geomeans over layers", "rows", *ends
    )
    for count in [*dict.fromkeys(case.rows for case in cases), None]:
        means = []
        for end in ends:
            ratios = [ratio(c) for c in cases if c.end == end and count in (c.rows, None)]
            means.append(_coloured(geomean(ratios)) if ratios else "")
        style = "" if count is not None else "bold"
        rows.add_row("all" if count is None else str(count), *means, style=style)
    console.print(rows)


def _rate(group: list[Case], engine: str) -> str:
    """The geomean in GFLOP/s; nothing where the engine did not take part."""
    rates = [case.rate(engine) for case in group if engine in case.seconds]
    return f"{geomean(rates) / 1e9:.1f}" if rates else ""


def _against_rivals(group: list[Case], rivals: list[str]) -> tuple[str, ...]:
    """As _ratios, empty where torch was the only other engine."""
    if not rivals:
        return ()
    if not any(name in group[0].seconds for name in rivals):
        return "", "", ""
    return _ratios(group, lambda case: case.best_ratio)


def _ratios(group: list[Case], ratio: Callable[[Case], float]) -> tuple[str, str, str]:
    """The geomean, the worst and where."""
    worst = min(group, key=ratio)
    mean = geomean([ratio(case) for case in group])
    return _coloured(mean), _coloured(ratio(worst)), str(worst.rows)


def _coloured(ratio: float) -> str:
    return f"[{'red' if ratio < 1 else 'green'}]{ratio:.2f}x"
