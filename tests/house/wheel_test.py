"""A wheel built by `pip wheel .` works elsewhere: with NumPy alone, with torch, and without the newest instructions."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow

KERNEL = """
import sys
import numpy as np
import dvm

@dvm.kernel
def softmax(k, x):
    x = k.load(x)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))

for shape in ((1, 1), (7, 61), (128, 768), (3, 70001)):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    e = np.exp(x - x.max(-1, keepdims=True))
    np.testing.assert_allclose(softmax(x), e / e.sum(-1, keepdims=True), rtol=1e-5, atol=1e-7)
assert "torch" not in sys.modules
print(dvm.isa())
"""

COMPILED = """
import torch

@torch.compile(backend="dvm", dynamic=True)
def norm(x, w):
    return torch.nn.functional.gelu(torch.nn.functional.layer_norm(x, (x.shape[-1],), w))

for rows in (2, 5, 33):
    x, w = torch.randn(rows, 96), torch.randn(96)
    wanted = torch.nn.functional.gelu(torch.nn.functional.layer_norm(x, (96,), w))
    torch.testing.assert_close(norm(x, w), wanted, rtol=1e-5, atol=1e-5)
"""


def run(*command, **environment):
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)),
        env=env | environment,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )


def checked(*command, **environment):
    done = run(*command, **environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    checked(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT
    )
    [path] = folder.glob("dvm-*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """The folder of programs of an environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    checked(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel)
    return folder / "bin"


@pytest.mark.parametrize("isa", ["", "avx2", "portable"])
def test_kernels_with_numpy_alone(clean, isa):
    chosen = checked(clean / "python", "-c", KERNEL, DVM_ISA=isa).strip()
    assert chosen == isa or not isa


def test_command_line_without_torch(clean):
    assert json.loads(checked(clean / "dvm", "info", "--json"))["version"]
    checked(clean / "dvm", "doctor")
    refused = run(clean / "dvm", "demo")
    assert refused.returncode == 2
    assert "pip install 'dvm[torch]'" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("isa", ["", "avx2", "portable"])
def test_torch_compile(clean, isa):
    pytest.importorskip("torch")
    # The torch of this environment, but none of the hooks with which its dvm is installed.
    site = clean.parent / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    checked(clean / "python", "-c", COMPILED, DVM_ISA=isa)
    (site / "borrowed.pth").unlink()


def test_wheel_carries_no_sources(wheel):
    names = checked(sys.executable, "-m", "zipfile", "--list", wheel)
    assert "dvm/_core" in names
    assert "dvm/cli/sentences.txt" in names
    assert "dvm/_core.pyi" in names
    for foreign in (".cpp", "tests/", "isa/"):
        assert foreign not in names
