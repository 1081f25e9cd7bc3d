"""The tests of this folder on the builds of the kernels that this CPU would not choose by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dvm import _core

OTHERS = [isa for isa in _core.isas() if isa != _core.isa()]


@pytest.mark.slow
@pytest.mark.skipif("DVM_ISA" in os.environ, reason="a build was asked for")
@pytest.mark.parametrize("isa", OTHERS)
def test_other_builds(isa):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(Path(__file__).parent)],
        env={**os.environ, "DVM_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
