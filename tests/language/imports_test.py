"""`import dvm` is light: neither torch nor what only the command line needs."""

import subprocess
import sys

import pytest


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["torch", "transformers", "matplotlib", "typer", "rich"])
def test_import_leaves_heavy_libraries_alone(module):
    done = run(f"import sys, dvm; assert {module!r} not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_kernels_need_no_torch():
    done = run(
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, dvm\n"
        "f = dvm.kernel(lambda k, x: k.store(k.load(x) + 1))\n"
        "assert f(np.zeros(3, np.float32)).sum() == 3"
    )
    assert done.returncode == 0, done.stderr


def test_missing_torch_is_said_clearly():
    done = run("import sys; sys.modules['torch'] = None\nimport dvm; dvm.torch")
    assert done.returncode != 0
    assert "torch" in done.stderr.splitlines()[-1]


def test_public_names_exist():
    done = run("import dvm\nfor name in dvm.__all__: getattr(dvm, name)")
    assert done.returncode == 0, done.stderr
