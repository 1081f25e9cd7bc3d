"""What `dvm bench models` and `dvm demo` print of a model: a row per size, a column per engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvm.bench.timer import geomean
from dvm.cli.output import console, milliseconds, table

if TYPE_CHECKING:
    from dvm.bench.models import ModelRun


def print_models(run: ModelRun, title: str, first_calls: bool = False) -> None:
    """Time per size for every engine, how many times faster the last is than each other and than the best of them."""
    from dvm.bench.models import label

    names = list(run.engines)
    others, ours = names[:-1], names[-1]
    several = len(others) > 1
    ratios: dict[str, list[float]] = {name: [] for name in others}
    best: list[float] = []
    rows = table(
        f"{title}, {run.threads} threads",
        run.unit,
        *(f"{name}\nfirst call" for name in names if first_calls),
        *(f"{name}\nsteady" for name in names),
        *(f"{ours} is faster\nthan {name}" for name in others),
        *["than the\nbest"] * several,
    )
    for index, size in enumerate(run.sizes):
        steady = run.seconds(index)
        for name in others:
            ratios[name].append(steady[name] / steady[ours])
        rival, ratio = run.best_rival(index)
        best.append(ratio)
        rows.add_row(
            label(size),
            *(milliseconds(run.engines[name].first[index]) for name in names if first_calls),
            *(milliseconds(steady[name]) for name in names),
            *(f"{ratios[name][-1]:.2f}x" for name in others),
            *[f"[{'red' if ratio < 1 else 'green'}]{ratio:.2f}x[/] {rival}"] * several,
        )
    blank = [""] * (len(names) * (2 if first_calls else 1))
    means = [geomean(ratios[name]) for name in others] + [geomean(best)] * several
    rows.add_row("geomean", *blank, *(f"{mean:.2f}x" for mean in means), style="bold")
    console.print(rows)
    for name in names:
        result = run.engines[name]
        text = (
            f"{name:>11}: all {len(run.sizes)} sizes seen after {milliseconds(sum(result.first))}"
        )
        if name != names[0]:
            text += f"; largest difference from {names[0]} {result.difference:.1e}"
        console.print(text, highlight=False, soft_wrap=True)
    for name, reason in run.missing.items():
        console.print(f"{name:>11} is missing: {reason}", highlight=False, markup=False)
