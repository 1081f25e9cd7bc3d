"""Random graphs give what the reference gives: any operations, shapes, layouts and types, on every engine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from choosing import Drawn, Seeded
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import RandomGraph, run_and_check

from dvm import _core


@given(st.data())
def test_random_graphs(data):
    graph = RandomGraph(Drawn(data.draw))
    executable = _core.Executable(graph.graph)
    for _ in range(2):  # the second time with other sizes: one Executable serves all
        run_and_check(graph, executable)


def check_seeds(first, count, largest=20_000):
    for seed in range(first, first + count):
        try:
            graph = RandomGraph(Seeded(seed), operations=14, largest=largest)
            executable = _core.Executable(graph.graph)
            for _ in range(2):
                run_and_check(graph, executable)
        except BaseException as error:
            error.add_note(f"seed {seed}, largest {largest}")
            raise


def test_every_version_gives_the_same():
    """Each guard that fusion has, held alone and with the others, by sizes that are equal where it says so."""
    versions = 0
    for seed in range(20_000, 20_400):
        graph = RandomGraph(Seeded(seed), operations=14)
        executable = _core.Executable(graph.graph)
        guards = [guard["equal"] for guard in executable.explain()["guards"]]
        for held in (guards[:1], guards[1:], guards):
            sizes = graph.sizes()
            for a, b in held:
                if a in sizes and b in sizes:
                    sizes[a] = sizes[b] = min(sizes[a], sizes[b])
            versions += bool(held)
            run_and_check(graph, executable, sizes)
    assert versions > 20


def test_seeded_graphs():
    check_seeds(0, 150)


def test_large_graphs():
    check_seeds(1000, 12, largest=400_000)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_seeded_graphs(block):
    check_seeds(10_000 + 500 * block, 500, largest=20_000 if block % 2 else 1_000_000)


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_isa(isa):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from dvm import _core\n"
        "if _core.isa() != sys.argv[2]: sys.exit(77)\n"
        "from random_graphs_test import check_seeds\n"
        "check_seeds(2000, 60)\n"
        "check_seeds(3000, 3, 200_000)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), isa]
    done = subprocess.run(
        command, env=os.environ | {"DVM_ISA": isa}, capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or (done.returncode and isa == "avx512" and "avx512" in done.stderr):
        pytest.skip(f"this machine has no {isa}")
    assert done.returncode == 0, done.stderr


def test_results_do_not_depend_on_the_number_of_threads():
    before = _core.threads()
    try:
        for seed in range(4000, 4012):
            graph = RandomGraph(Seeded(seed), largest=600_000)
            executable = _core.Executable(graph.graph)
            arguments = graph.arguments(graph.sizes())
            results = []
            for threads in (1, 2):
                _core.set_threads(threads)
                came = executable(*arguments)
                results.append(came if isinstance(came, tuple) else (came,))
            for one, two in zip(*results, strict=True):
                assert one.tobytes() == two.tobytes(), f"seed {seed}\n{graph.graph}"
    finally:
        _core.set_threads(before)


def test_a_reused_executable_makes_the_programs_of_a_fresh_one():
    for seed in range(5000, 5040):
        graph = RandomGraph(Seeded(seed))
        used = _core.Executable(graph.graph)
        for _ in range(3):
            arguments = graph.arguments(graph.sizes())
            came = used(*arguments)
            fresh = _core.Executable(graph.graph)
            again = fresh(*arguments)
            came, again = (r if isinstance(r, tuple) else (r,) for r in (came, again))
            for one, two in zip(came, again, strict=True):
                assert one.tobytes() == two.tobytes(), f"seed {seed}\n{graph.graph}"
            shapes = [np.shape(a) for a in arguments if isinstance(a, np.ndarray)]
            assert [p.words for p in used.programs(shapes)] == [
                p.words for p in fresh.programs(shapes)
            ]


def test_programs_survive_the_round_trips():
    for seed in range(6000, 6040):
        graph = RandomGraph(Seeded(seed))
        arguments = graph.arguments(graph.sizes())
        shapes = [np.shape(a) for a in arguments if isinstance(a, np.ndarray)]
        for program in _core.Executable(graph.graph).programs(shapes):
            assert _core.Program.from_words(program.words) == program
            assert _core.assemble(program.disassemble()) == program


def test_graph_text_survives_the_round_trip():
    for seed in range(7000, 7100):
        text = str(RandomGraph(Seeded(seed)).graph)
        assert str(_core.Graph.parse(text)) == text
