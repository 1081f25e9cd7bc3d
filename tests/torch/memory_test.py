"""What `dvm bench memory` counts: every allocation of a process, those of the core among them, and no more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from dvm.bench import memory

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which(os.environ.get("CC", "cc")) is None,
    reason="counting allocations takes a C compiler and glibc",
)

# Two intermediates of 4 MB in the arena, and a result of 4 MB; then nothing is left but the arena.
_SCRIPT = """
import ctypes, numpy as np, dvm
from dvm import _core
heap = ctypes.CDLL(None)
heap.heap_live.restype = heap.heap_peak.restype = ctypes.c_long
graph = _core.Graph("sums")
x = graph.input("x", "f32", ["n", "m"])
scaled = graph.elementwise("exp", [x])
total = graph.reduce("sum", scaled, [0])
graph.output(graph.elementwise("sub", [scaled, total]))
executable = _core.Executable(graph)
x = np.ones((1024, 1024), np.float32)
executable(x[:4])
heap.heap_forget_peak()
before = heap.heap_live()
given = np.empty(1 << 20, np.float32)
print(heap.heap_live() - before, end=" ")
del given
heap.heap_forget_peak()
before = heap.heap_live()
executable(x)
print(heap.heap_peak() - before)
"""


def test_arrays_and_what_the_core_needs_are_counted(tmp_path: Path) -> None:
    counter = memory.build(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={**os.environ, "LD_PRELOAD": str(counter)},
        capture_output=True,
        text=True,
        check=True,
    )
    array, call = map(int, done.stdout.split())
    assert 4 << 20 <= array < (4 << 20) + 65536
    assert 4 << 20 <= call < 9 << 20


def test_sizes_that_need_more_than_the_rival_are_found() -> None:
    def sizes(*used: int) -> list[dict[str, int]]:
        return [{"batch": 1, "length": 8 * n, "bytes": value} for n, value in enumerate(used, 1)]

    results = {"model": {"dvm": sizes(10, 30), "inductor": sizes(20, 20)}}
    assert memory.exceeding(results, "dvm", "inductor") == [
        {"model": "model", "batch": 1, "length": 16, "over": 10}
    ]
