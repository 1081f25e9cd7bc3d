"""What becomes of each node of an FX graph, and why torch has to run the ones that it runs."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx


class Role(enum.Enum):
    """What becomes of a node."""

    INPUT = "placeholder"
    CORE = "computed by the core"
    VIEW = "another way to look at its operand"
    COPY = "its operand once more"
    CREATED = "made from numbers alone"
    NUMBER = "arithmetic on sizes, done in Python"
    RESULT = "one of the results of an operation"
    TORCH = "computed by torch"


@dataclass
class Fallback:
    """An operation that the core does not compute."""

    node: fx.Node
    reason: str

    @property
    def name(self) -> str:
        return str(self.node.target)

    @property
    def line(self) -> str:
        """The innermost line of the user's program that asked for it, or else the module."""
        lines = [line.strip() for line in (self.node.meta.get("stack_trace") or "").splitlines()]
        places = [i for i, line in enumerate(lines) if line.startswith("File ")]
        if not places:
            return self._module
        place = places[-1]
        code = lines[place + 1] if place + 1 < len(lines) else ""
        return lines[place] + (f": {code}" if code else "")

    @property
    def _module(self) -> str:
        meta = self.node.meta
        modules = meta.get("nn_module_stack") or meta.get("fwd_nn_module_stack") or {}
        functions = meta.get("source_fn_stack") or meta.get("fwd_source_fn_stack") or []
        words = [getattr(kind, "__name__", str(kind)) for _, kind in functions[-1:]]
        words += [path for path, _ in list(modules.values())[-1:]]
        return " in ".join(words) or "an unknown line"


def has_tensor(value: Any) -> bool:
    """Whether a result is a tensor, or has one in it."""
    if isinstance(value, torch.Tensor):
        return True
    return isinstance(value, (tuple, list)) and any(map(has_tensor, value))
