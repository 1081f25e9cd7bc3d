"""What a tensor of a framework has to be, as code for the quick check and in words for the refusal, and how constants
become tensors of it. The Dialect (dvm.flow) is how the framework computes; this is how its tensors are looked at.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dvm.compiled.signature import Tensor
from dvm.flow.function import Dialect


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in this process's memory. Strides are in elements."""

    address: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Framework(Protocol):
    """torch or NumPy."""

    name: str
    tensor: type
    dialect: Dialect

    def conditions(self, tensor: Tensor, code: str) -> tuple[list[str], dict[str, Any]]:
        """Code that holds when the variable `code` is a tensor as wanted, its shape apart; and what it names."""

    def refusal(self, tensor: Tensor, value: Any) -> str:
        """Why `value` is no tensor as wanted, its sizes apart; empty if it is."""

    def shares_memory(self, a: Any, b: Any) -> bool:
        """Whether the memory between the first and the last element of one tensor meets that of another."""

    def place(self, tensor: Any) -> Place:
        """Raises NotSaveableError for a tensor that is no plain memory of the CPU's."""

    def example(self, dtype: str, shape: Sequence[int]) -> Any:
        """A tensor to try a model on: random floats, and ones of any other type, which are valid indices too."""

    def from_memory(
        self, memory: Any, offset: int, dtype: str, shape: list[int], strides: list[int]
    ) -> Any:
        """A tensor at `offset` bytes in a buffer, without a copy. Strides are in elements."""

    def freeze(self, tensor: Any) -> None:
        """From now on nobody writes it."""


def find(name: str) -> Framework:
    """Raises ImportError when torch is wanted and not installed."""
    try:
        module = importlib.import_module(f"dvm.compiled.{name}_framework")
    except ModuleNotFoundError as error:
        raise ImportError(f"[load] the model needs {name}, which is not installed") from error
    framework: Framework = module.FRAMEWORK
    return framework
