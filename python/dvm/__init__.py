"""DVM compiles tensor programs in microseconds and runs them on a bytecode virtual machine."""

from __future__ import annotations

import importlib
import sys
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
from dvm.packing import packed_stats, set_packed_bytes
from dvm.plans import plan_stats, set_plan_bytes
from dvm.profile import Profile, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from dvm import torch as torch
    from dvm.compiled.model import CompiledModel

try:
    __version__ = version("dvm")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = "0.1.0"

__all__ = [
    "Executable",
    "Explanation",
    "Graph",
    "Kernel",
    "Profile",
    "Program",
    "__version__",
    "assemble",
    "compile",
    "explain",
    "fingerprint",
    "instructions",
    "isa",
    "kernel",
    "load",
    "packed_stats",
    "plan_stats",
    "profile",
    "quantize",
    "set_packed_bytes",
    "set_plan_bytes",
    "set_threads",
    "threads",
]


def compile(  # noqa: A001 - the word for it
    model: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    facts: Sequence[Sequence[Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> CompiledModel:
    """Compiles a torch module or function as a whole, through torch.export, for calls without gradients.

    `args` and `kwargs` are example arguments, `dynamic_shapes` says as for torch.export.export which of their sizes
    may differ from call to call; all others are fixed. `options` are those of dvm.torch.Options. Weights stay the
    module's own: what is written into them is seen by the next call.

    `facts` are what is known of sizes besides, by their names in `dynamic_shapes`: ("equal", "a", "b"),
    ("multiple", "length", 8), ("range", "length", 1, 512), where None is no limit, and ("likely", "batch", [1, 8]). A
    call that breaks one raises ValueError; those that are likely demand nothing.

    Raises ValueError for a fact that names no dimension or contradicts what else is known, what torch.export raises
    when it cannot capture the model, RuntimeError when `strict` is set and an operation would run in torch, and
    NotImplementedError for arguments that no tensor or number is.
    """
    module = importlib.import_module("dvm.torch.export")
    compiled: CompiledModel = module.compile_model(
        model, args, kwargs, dynamic_shapes=dynamic_shapes, facts=facts, options=options
    )
    return compiled


def quantize(
    model: Any,
    weights: str = "int8",
    *,
    activations: str | None = None,
    group: int | None = None,
    skip: Collection[str] = (),
) -> Any:
    """Keeps the weights of the linear layers of a torch module in fewer bits, in place; returns the module. For
    inference.

    `weights` is "int8" (a scale for each row), "int4" (a scale for each group of 128, 64 or 32 elements of a row),
    "bf16" or "f16". `group` is another number of elements that share a scale, for either kind of integers.
    `activations` "int8" rounds each row of a layer's input to bytes too, and multiplies integers; "bf16" multiplies
    in bf16 with f32 sums, where weights are bf16. `skip` names modules that are left as they are, with all in them.

    Raises ValueError for what does not go together, and for a layer whose rows do not part into groups.
    """
    module = importlib.import_module("dvm.torch.quantize")
    return module.quantize(model, weights, activations=activations, group=group, skip=skip)


def load(path: str | Path, *, framework: str | None = None) -> CompiledModel:
    """Reads what CompiledModel.save wrote; see dvm.compiled.model.load."""
    loaded: CompiledModel = importlib.import_module("dvm.compiled.model").load(
        path, framework=framework
    )
    return loaded


def explain(target: Any, *args: Any, **kwargs: Any) -> Any:
    """What of `target` is fused, and why the rest is not. It is a kernel, an Executable, a CompiledModel, with
    example tensors if bytes are to be told for their sizes, or a torch module or function with example arguments."""
    if isinstance(target, (Kernel, Executable)):
        return target.explain(*args, **kwargs)
    compiled = sys.modules.get("dvm.compiled.model")  # where there are none it was never imported
    if compiled is not None and isinstance(target, compiled.CompiledModel):
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
