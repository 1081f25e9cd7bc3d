"""The programs of `dvm bench eager` give the same numbers every time, and who computes others is told apart."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.overrides import TorchFunctionMode  # noqa: E402

from dvm.bench import eager_programs  # noqa: E402
from dvm.bench.eager_programs import EAGER, FIRST, LONG, OURS, PROGRAMS  # noqa: E402


def measure(name, scope, **options):
    program = PROGRAMS[name]
    for package in program.packages:
        pytest.importorskip(package)
    engines = {EAGER: contextlib.nullcontext, OURS: scope}
    return eager_programs.measure(program, engines, quick=True, seconds=0, **options)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_repeats_itself(name):
    run = measure(name, contextlib.nullcontext)
    assert run.engines[EAGER].numbers == run.engines[OURS].numbers
    assert len(set(run.engines[EAGER].numbers)) > 1
    assert run.difference(OURS) == 0
    assert not run.wrong


def test_other_numbers_are_wrong():
    class WrongSums(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return result * 1.01 if func is torch.Tensor.sum else result

    run = measure("waves", WrongSums)
    assert run.wrong == [OURS]


def test_totals_count_the_first_steps():
    course = eager_programs.Course(first=[1.0, 0.5], blocks=[0.1, 0.3, 0.2])
    assert course.until(1) == 1.0
    assert course.until(12) == pytest.approx(1.5 + 10 * 0.2)


def test_results_name_every_engine():
    found = eager_programs.as_json(measure("notebook", contextlib.nullcontext))
    assert set(found["steady"]["seconds"]) == {EAGER, OURS}
    assert set(found["ratio of totals"][OURS]) == {"1", str(FIRST), str(LONG)}
    json.dumps(found)


def test_a_program_is_a_script():
    script = Path(eager_programs.__file__).parent / "eager" / "notebook.py"
    command = [sys.executable, script, "--steps", "21"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split(":")[0] for line in printed.splitlines()] == ["cell 0", "cell 20"]


def test_programs_know_nothing_of_us():
    scripts = (Path(eager_programs.__file__).parent / "eager").glob("[a-z]*.py")
    assert not [script.name for script in scripts if "dvm" in script.read_text(encoding="utf-8")]
