"""Measures the float functions of src/semantics on every build of the kernels and prints the table of
docs/internals/numerics.md: the largest error in units in the last place, and nanoseconds per element.

    python tools/ulp.py [STRIDE]      every STRIDE-th of all floats (default 257; 1 takes an hour)

Needs a C++ compiler, and measures PyTorch beside it where that is installed. Runs what this CPU can run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
COMMON = ["-std=c++20", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512cd"]
BUILDS = {
    "avx512": [*AVX2, *AVX512, "-mprefer-vector-width=512"],
    "avx2": AVX2,
    "portable": [],
}
NEEDS = {"avx512": "avx512vl", "avx2": "fma", "portable": "sse2"}

DOMAINS = {
    **dict.fromkeys(["sqrt", "rsqrt", "log", "log2", "log10", "log1p", "pow"], (0, 10)),
    **dict.fromkeys(["asin", "acos", "atanh", "erfinv"], (-1, 1)),
    **dict.fromkeys(["erf", "erfc"], (-4, 4)),
    "acosh": (1, 10),
}

Row = tuple[float, float, float]  # the largest error, where, and nanoseconds per element


def measure(build: str, stride: str, folder: Path) -> dict[str, Row]:
    """The measurements of one build, by function."""
    program = folder / build
    compiler = os.environ.get("CXX", "g++")
    source = [str(ROOT / "tools" / "ulp.cpp"), "-I", str(ROOT / "src"), "-I", str(ROOT)]
    command = [compiler, *COMMON, *BUILDS[build], *source, "-o", str(program)]
    subprocess.run(command, check=True)  # noqa: S603
    done = subprocess.run(  # noqa: S603
        [str(program), stride], check=True, capture_output=True, text=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: (float(error), float(at), float(ns)) for name, error, at, ns in lines}


def eager(names: list[str]) -> dict[str, float]:
    """PyTorch's time per element on one thread, over 32768 elements."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    functional: dict[str, Callable[..., Any]] = {
        "softplus": torch.nn.functional.softplus,
        "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    }
    times = {}
    for name in names:
        low, high = DOMAINS.get(name, (-10, 10))
        x, y = (torch.rand(32768) * (high - low) + low for _ in range(2))
        function = functional.get(name) or getattr(torch, name)
        operands = (x, y) if name in ("pow", "atan2", "hypot", "fmod") else (x,)
        best = float("inf")
        for _ in range(30):
            start = time.perf_counter_ns()
            for _ in range(10):
                function(*operands)
            best = min(best, (time.perf_counter_ns() - start) / (10 * x.numel()))
        times[name] = best
    return times


def main() -> None:
    stride = sys.argv[1] if len(sys.argv) > 1 else "257"
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    builds = [build for build in BUILDS if NEEDS[build] in flags]
    with tempfile.TemporaryDirectory() as folder:
        results = {build: measure(build, stride, Path(folder)) for build in builds}
    names = list(results[builds[0]])
    torch_times = eager(names)
    head = ["Function", *(f"ULP {b}" for b in builds), *(f"ns {b}" for b in builds), "ns torch"]
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for name in names:
        cells = [f"`{name}`", *(f"{results[b][name][0]:.2f}" for b in builds)]
        cells += [f"{results[b][name][2]:.2f}" for b in builds]
        cells.append(f"{torch_times[name]:.2f}" if name in torch_times else "")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
