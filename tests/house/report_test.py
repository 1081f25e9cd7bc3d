"""The arithmetic of the benchmarks: ratios, worst cases, comparisons, plots, timing."""

import math
import time

import pytest

from dvm.bench import report, timer


def case(operator, elements, threads=1, **seconds):
    return {
        "operator": operator,
        "shape": [elements],
        "elements": elements,
        "threads": threads,
        "seconds": seconds,
    }


CASES = [
    case("add", 64, eager=4e-6, inductor=8e-6, dvm=4e-6, kernel=1e-6),
    case("add", 1 << 20, eager=4e-3, inductor=2e-3, dvm=4e-3, kernel=4e-3),
    case("sum", 64, eager=4e-6, dvm=1e-6),
]


def test_ratios_name_the_worst_case():
    add, everything = report.by_operator(CASES, "dvm", ("inductor",))
    assert (add.label, add.worst, add.worst_case, add.cases) == ("add", 0.5, "1048576 on 1", 2)
    assert add.geomean == pytest.approx(1.0)
    assert (everything.label, everything.cases) == ("all", 2)


def test_the_best_of_the_others_counts():
    assert report.ratio(CASES[1], "kernel", ("eager", "inductor")) == pytest.approx(0.5)
    assert report.ratio(CASES[2], "kernel", ("eager", "inductor")) is None


def test_shortfalls_respect_the_least_size():
    assert [name for _, name in report.shortfalls(CASES, "kernel", ("eager",))] == []
    assert report.shortfalls(CASES, "kernel", ("inductor",), 1 << 14) == [(0.5, "add 1048576 on 1")]


def test_comparison_matches_measurements_by_name():
    old = {
        "results": {"a": {"seconds": {"dvm": 2.0, "eager": 1.0}}, "b": {"seconds": {"dvm": 1.0}}}
    }
    new = {"results": {"a": {"seconds": {"dvm": 1.0, "eager": 1.0}}, "wrong": {"dvm": 3.0}}}
    changes = report.compare(old, new)
    assert [(change.name, change.ratio) for change in changes] == [
        ("a seconds eager", 1.0),
        ("a seconds dvm", 2.0),
    ]


def test_plot_writes_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    report.plot(CASES, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_interleaving_tells_slow_from_fast():
    timings = timer.interleave(
        {"slow": lambda: time.sleep(2e-3), "fast": lambda: time.sleep(2e-4)}, seconds=0.05
    )
    assert timings["slow"].median > timings["fast"].median
    assert timings["slow"].low <= timings["slow"].median <= timings["slow"].high


def test_statistics():
    assert timer.geomean([1.0, 4.0]) == pytest.approx(2.0)
    assert math.isnan(timer.geomean([]))
    assert timer.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert timer.percentile(list(range(100)), 0.99) == 98
