"""DVM compiles tensor programs in microseconds and runs them on a bytecode virtual machine."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from dvm._core import (
    Executable,
    Graph,
    Program,
    assemble,
    fingerprint,
    instructions,
    isa,
    set_threads,
    threads,
)
from dvm.explanation import Explanation
from dvm.kernel import Kernel, kernel

if TYPE_CHECKING:
    from dvm import torch as torch

try:
    __version__ = version("dvm")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = "0.1.0"

__all__ = [
    "Executable",
    "Explanation",
    "Graph",
    "Kernel",
    "Program",
    "__version__",
    "assemble",
    "explain",
    "fingerprint",
    "instructions",
    "isa",
    "kernel",
    "set_threads",
    "threads",
]


def explain(target: Any, *args: Any, **kwargs: Any) -> Any:
    """What of `target` (a kernel, an Executable, or a torch module or function) is fused, and why the rest is not."""
    if isinstance(target, (Kernel, Executable)):
        return target.explain(*args, **kwargs)
    if not callable(target):
        raise TypeError(
            f"[explain] a {type(target).__name__} came; a kernel or a torch function is wanted"
        )
    return importlib.import_module("dvm.torch").explain(target, *args, **kwargs)


def __getattr__(name: str) -> Any:
    if name == "torch":  # imported at its first mention: the kernel language needs NumPy alone
        return importlib.import_module("dvm.torch")
    raise AttributeError(f"module 'dvm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "torch"])
