"""The walk-through of CONTRIBUTING.md, step by step: a row alone does not compile, a row and its functor do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)

COMPILER = os.environ.get("CXX", "g++")
DEFINES = ["-Ddvm=dvm_portable", "-DDVM_KERNELS=portable", "-DDVM_VECTOR_BYTES=16"]


def block(kind, word):
    """The first code block of this kind that has `word` in it."""
    return next(text for language, text in BLOCKS if language == kind and word in text)


@pytest.fixture
def checkout(tmp_path):
    if shutil.which(COMPILER) is None:
        pytest.skip(f"no compiler {COMPILER}")
    shutil.copytree(ROOT / "isa", tmp_path / "isa")
    shutil.copytree(ROOT / "src" / "semantics", tmp_path / "src" / "semantics")
    table = tmp_path / "isa" / "elementwise.def"
    text = table.read_text(encoding="utf-8")
    row = block("cpp", "ELEMENTWISE(softsign").strip()
    table.write_text(text.replace("ELEMENTWISE(softplus", f"{row}\nELEMENTWISE(softplus", 1))
    return tmp_path


def compile_with(checkout):
    """Checks one file of kernels against the tables and functors of `checkout`."""
    tables = ["-iquote", checkout / "src", "-iquote", checkout]
    source = ROOT / "src" / "cpu" / "kernels" / "unary_f32.cpp"
    command = [
        COMPILER,
        "-std=c++20",
        "-fsyntax-only",
        *DEFINES,
        *tables,
        "-I",
        ROOT / "src",
        "-I",
        ROOT,
        source,
    ]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_row_without_its_functor_is_an_error_at_the_row(checkout):
    done = compile_with(checkout)
    assert done.returncode != 0
    error = next(line for line in done.stderr.splitlines() if "error:" in line)
    # The line number and what the compiler suggests are its own affair; that it points at the row is ours.
    found = re.search(r"isa/elementwise\.def:\d+:\d+: (error: .*?semantics')", error)
    assert found, error
    assert found[1] in block("", "is not a member of")


def test_with_its_functor_it_compiles(checkout):
    header = checkout / "src" / "semantics" / "activation.h"
    functor = block("cpp", "struct softsign")
    text = header.read_text(encoding="utf-8")
    header.write_text(
        text.replace("struct sigmoid", f"{functor}\nstruct sigmoid", 1), encoding="utf-8"
    )
    done = compile_with(checkout)
    assert done.returncode == 0, done.stderr
