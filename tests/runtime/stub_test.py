"""The checked-in stub of the core is what the core says of itself."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STUB = ROOT / "python" / "dvm" / "_core.pyi"
PATTERNS = ROOT / "src" / "python" / "stub_patterns.txt"


def test_the_stub_is_current(tmp_path):
    made = tmp_path / "_core.pyi"
    command = ["-m", "nanobind.stubgen", "-q", "-m", "dvm._core", "-p", str(PATTERNS), "-o"]
    subprocess.run([sys.executable, *command, str(made)], check=True)
    again = f"write it again: python {' '.join(command)} {STUB.relative_to(ROOT)}"
    assert made.read_text(encoding="utf-8") == STUB.read_text(encoding="utf-8"), again
