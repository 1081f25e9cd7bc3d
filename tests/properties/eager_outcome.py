"""What a program of eager PyTorch does, seen from outside: run under a scope, then everything it left is noted.

An Outcome is a flat list of places, `v3`, `v3.grad`, `log 2`, each with facts, which two runs must have in common,
and numbers, which may differ by what rounding explains. How much that is, no formula says for a whole program; eager
says so itself, run with `Noise`: every result that rounds is off by a few units in the last place.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import pickle
import re
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch.utils._python_dispatch import TorchDispatchMode

Scope = Callable[[], AbstractContextManager[Any]]

FILE = "<program>"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\binf\b)|\bnan\b")
_PRINTED = 2e-3  # how far numbers that were printed may be apart: their last digit is rounded


@dataclass(frozen=True)
class Seen:
    """One place: its facts, and its numbers, which rounding may move; `slack` is what printing took from them."""

    facts: tuple[Any, ...]
    numbers: np.ndarray | None = None
    slack: float = 0.0


@dataclass
class Outcome:
    """What a run left: its places by name."""

    places: dict[str, Seen] = field(default_factory=dict)

    def without(self, names: Collection[str]) -> Outcome:
        """The same, but for facts of these names."""

        def kept(seen: Seen) -> Seen:
            facts = tuple(
                f for f in seen.facts if not (isinstance(f, tuple) and f[:1] and f[0] in names)
            )
            return Seen(facts, seen.numbers, seen.slack)

        return Outcome({where: kept(seen) for where, seen in self.places.items()})

    def note(self, where: str, value: Any) -> None:
        """Adds a value and what hangs on it, or why it cannot be looked at."""
        try:
            self._note(where, value)
        except RuntimeError as error:
            self._note(where, f"{type(error).__name__}: {error}")

    def _note(self, where: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            self._note_tensor(where, value)
        elif isinstance(value, np.ndarray):
            facts = (str(value.dtype), value.shape, ("stride", value.strides))
            self.places[where] = Seen(facts, value.copy())
        elif isinstance(value, str):
            text = _NUMBER.sub("#", value)
            numbers = np.array([float(each) for each in _NUMBER.findall(value)])
            self.places[where] = Seen(("".join(text.split()),), numbers, _PRINTED)
        elif isinstance(value, float):
            self.places[where] = Seen(("float",), np.array(value))
        elif isinstance(value, list | tuple):
            self.places[where] = Seen((type(value).__name__, len(value)))
            for index, each in enumerate(value):
                self.note(f"{where}[{index}]", each)
        else:
            self.places[where] = Seen((type(value).__name__, str(value)))

    def _note_tensor(self, where: str, tensor: torch.Tensor) -> None:
        try:
            version: Any = tensor._version
        except RuntimeError as error:  # those of inference mode have none
            version = str(error)
        facts = (
            ("class", type(tensor).__name__), ("dtype", tensor.dtype), ("shape", tuple(tensor.shape)),
            ("stride", _strides(tensor)), ("offset", tensor.storage_offset()), ("version", version),
            ("leaf", tensor.is_leaf), ("needs", tensor.requires_grad),
            ("made by", type(tensor.grad_fn).__name__),
        )  # fmt: skip
        self.places[where] = Seen(facts, _numbers(tensor))
        if tensor.is_leaf and tensor.grad is not None:
            self._note_tensor(f"{where}.grad", tensor.grad)

    def note_memory(self, named: dict[str, torch.Tensor]) -> None:
        """Adds which tensors lie in the same memory."""
        groups: dict[int, list[str]] = {}
        for name, tensor in named.items():
            at = tensor.untyped_storage().data_ptr()
            if at and tensor.numel():
                groups.setdefault(at, []).append(name)
        shared = sorted(names for names in groups.values() if len(names) > 1)
        self.places["memory shared by"] = Seen((str(shared),))


def _strides(tensor: torch.Tensor) -> tuple[int, ...]:
    """Those of axes of size 1 lead nowhere."""
    return tuple(
        step if size > 1 else 0 for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach()
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array.copy()


def run(text: str, scope: Scope) -> Outcome:
    """Runs a program with `scope` for its scope. What it raises is one of the things that are noted."""
    outcome = Outcome()
    logged = 0

    def log(value: Any) -> None:
        nonlocal logged
        outcome.note(f"log {logged}", value)
        logged += 1

    def failed(error: Exception) -> None:
        log((type(error).__name__, str(error), _line(error)))

    names = environment() | {"scope": scope, "log": log, "failed": failed}
    given = set(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(text, FILE, "exec"), names)
        except Exception as error:
            failed(error)
        made = {name: value for name, value in names.items() if name not in given}
        for name, value in made.items():
            if isinstance(value, torch.Tensor | np.ndarray | float | int | list | tuple):
                outcome.note(name, value)
        outcome.note_memory({n: v for n, v in made.items() if isinstance(v, torch.Tensor)})
    outcome.note("next random number", torch.rand(()).item())
    return outcome


def environment() -> dict[str, Any]:
    """The names that a program finds."""
    return {
        "torch": torch, "F": F, "np": np, "copy": copy, "pickle": pickle, "io": io,
        "weakref": weakref, "threading": threading, "contextlib": contextlib, "__name__": "program",
    }  # fmt: skip


HEADER = """\
import contextlib, copy, io, pickle, threading, weakref
import numpy as np, torch, torch.nn.functional as F
import dvm.torch
scope, log = dvm.torch.fuse, print  # or contextlib.nullcontext
def failed(error): print(type(error).__name__, error)
"""


def _line(error: Exception) -> int:
    """The line of the program that raised."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == FILE]
    return lines[-1] if lines else 0


# Rounding.

_EXACT = """
clone copy copy_ cat stack where index gather index_select masked_fill masked_fill_ masked_select fill fill_ zero_
zeros zeros_like ones ones_like full full_like new_full new_zeros new_ones new_empty empty empty_like empty_strided
empty_permuted arange tensor lift_fresh eye neg neg_ abs abs_ relu relu_ maximum minimum clamp clamp_ clamp_min
clamp_min_ clamp_max amax amin max min sort topk median flip roll repeat constant_pad_nd scatter scatter_ index_put
index_put_ _index_put_impl_ index_copy index_copy_ index_fill index_fill_ floor ceil round trunc sign floor_ round_
rand randn randint randperm rand_like randn_like bernoulli bernoulli_ normal_ uniform_ random_ resize_ set_ tril triu
tril_ triu_ diag_embed take take_along_dim threshold_backward slice_backward select_backward index_select_backward
repeat_interleave bitwise_not logical_not nan_to_num _local_scalar_dense is_same_size hardtanh unfold embedding
""".split()  # noqa: SIM905 (as long as a list, and easier to read)
_EXACT_OPS = frozenset(_EXACT)
_UNITS = 2.0


class Noise(TorchDispatchMode):
    """Eager with another rounding: what rounds is computed from operands, and gives results, that are a little off."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operation._schema.name.split("::")[-1]
        widens = name == "_to_copy" and _digits(kwargs.get("dtype")) >= _digits(args[0].dtype)
        if name in _EXACT_OPS or operation.is_view or widens:
            return operation(*args, **kwargs)
        schema = operation._schema
        written = [a.alias_info is not None and a.alias_info.is_write for a in schema.arguments]
        taken = [a if w else self._near(a) for a, w in zip(args, written, strict=False)]
        results = operation(*taken, **kwargs)
        mine = {id(tensor) for tensor in _tensors(taken)} | {id(t) for t in _tensors([kwargs])}
        changed = [a for a, w in zip(args, written, strict=False) if w]
        changed += [kwargs[a.name] for a in schema.arguments[len(args):]
                    if a.alias_info is not None and a.alias_info.is_write and a.name in kwargs]  # fmt: skip
        for tensor in [*(t for t in _tensors([results]) if id(t) not in mine), *_tensors(changed)]:
            self._disturb(tensor)
        return results

    def _near(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)([self._near(each) for each in value])
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        near = value.clone()
        self._disturb(near)
        return near

    def _disturb(self, tensor: torch.Tensor) -> None:
        overlaps = any(s == 0 and n > 1 for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        if tensor.is_floating_point() and not overlaps:
            step = _UNITS * torch.finfo(tensor.dtype).eps
            signs = torch.randint(0, 2, tensor.shape, generator=self._random) * 2 - 1
            tensor.mul_((1 + step * signs.double()).to(tensor.dtype))


def _digits(kind: torch.dtype | None) -> float:
    """Of a type's mantissa; more than any for none, which changes nothing."""
    if kind is None or not kind.is_floating_point:
        return math.inf if kind is None else 0.0
    return -math.log2(torch.finfo(kind).eps)


def _tensors(tree: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(tree)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
