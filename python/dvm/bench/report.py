"""What the numbers of `dvm bench` say: ratios per operator, the cases that fall short, comparisons and plots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvm.bench.timer import geomean

Case = dict[str, Any]
Metric = tuple[str, float]

# Below this many elements a direct call is measured but held to no bound.
BOUND_ELEMENTS = 16 << 10


@dataclass(frozen=True)
class Ratios:
    """How many times faster an engine is than another, over the cases of one operator."""

    label: str
    geomean: float
    worst: float
    worst_case: str
    cases: int


def ratio(case: Case, engine: str, others: Iterable[str]) -> float | None:
    """How many times faster `engine` is than the best of `others`; None where one of them has no time."""
    seconds = case["seconds"]
    rivals = [seconds[other] for other in others if other in seconds]
    if engine not in seconds or not rivals:
        return None
    return float(min(rivals) / seconds[engine])


def name_of(case: Case) -> str:
    """A case in a few words."""
    return f"{'x'.join(map(str, case['shape']))} on {case['threads']}"


def by_operator(cases: Iterable[Case], engine: str, others: tuple[str, ...]) -> list[Ratios]:
    """One row per operator and a last one for all."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for case in cases:
        value = ratio(case, engine, others)
        if value is not None:
            groups.setdefault(case["operator"], []).append((value, name_of(case)))
    rows = [_summary(operator, values) for operator, values in groups.items()]
    everything = [
        (value, f"{operator} {case}")
        for operator, values in groups.items()
        for value, case in values
    ]
    return [*rows, _summary("all", everything)] if everything else rows


def _summary(label: str, values: list[tuple[float, str]]) -> Ratios:
    worst, case = min(values)
    return Ratios(label, geomean([value for value, _ in values]), worst, case, len(values))


def shortfalls(
    cases: Iterable[Case], engine: str, others: tuple[str, ...], least: int = 0
) -> list[tuple[float, str]]:
    """The cases of at least `least` elements in which `engine` is slower than the best of `others`, worst first."""
    found = []
    for case in cases:
        value = ratio(case, engine, others)
        if value is not None and value < 1 and case["elements"] >= least:
            found.append((value, f"{case['operator']} {name_of(case)}"))
    return sorted(found)


def metrics(data: dict[str, Any]) -> list[Metric]:
    """Every time in a result file, in seconds, under a name that another run of the same benchmark also uses."""
    found: list[Metric] = []

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{path} {name}".strip(), inner)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(f"{path} {number}", inner)
        elif isinstance(value, float) and "seconds" in path.split():
            found.append((path, value))

    walk("", data.get("results", data))
    return found


@dataclass(frozen=True)
class Change:
    """One measurement in two files; `ratio` above 1 means that the new one is faster."""

    name: str
    old: float
    new: float

    @property
    def ratio(self) -> float:
        return self.old / self.new


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """The measurements that both files have, most slowed down first."""
    before = dict(metrics(old))
    changes = [
        Change(name, before[name], value)
        for name, value in metrics(new)
        if before.get(name, 0) > 0 < value
    ]
    return sorted(changes, key=lambda change: change.ratio)


def plot(cases: Iterable[Case], path: Path) -> None:
    """Speed of every engine relative to eager over the number of elements, one panel per way of calling, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cases = list(cases)
    figure, panels = plt.subplots(1, 2, figsize=(12, 5), sharey=True, layout="constrained")
    for panel, engine, title in zip(
        panels, ("dvm", "kernel"), ("through torch.compile", "called directly"), strict=True
    ):
        for name, colour, label in (
            ("inductor", "tab:gray", "inductor"),
            (engine, "tab:blue", "dvm" if engine == "dvm" else "@dvm.kernel"),
        ):
            points = [
                (case["elements"], value)
                for case in cases
                if (value := ratio(case, name, ("eager",))) is not None
            ]
            panel.scatter(
                *zip(*points, strict=True) if points else ([], []), s=9, c=colour, alpha=0.35
            )
            sizes = sorted({size for size, _ in points})
            middle = [geomean([value for at, value in points if at == size]) for size in sizes]
            panel.plot(sizes, middle, c=colour, lw=1.2, label=f"{label} (geomean per size)")
        panel.axhline(1.0, c="black", lw=0.8)
        panel.set(xscale="log", yscale="log", title=title, xlabel="elements")
        panel.legend()
    panels[0].set_ylabel("times faster than eager")
    figure.savefig(path, dpi=130)
    plt.close(figure)
