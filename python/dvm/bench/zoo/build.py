"""What the families of the catalogue share: seeded weights, small sizes, and modules that return plain tensors."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import torch

VOCABULARY = 200
HIDDEN = 64


def transformers() -> Any:
    """The library, kept from looking for files on the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    library = importlib.import_module("transformers")
    library.logging.set_verbosity_error()
    return library


def seeded(make: Callable[[], torch.nn.Module], seed: int = 0) -> torch.nn.Module:
    """The module that `make` builds, in eval mode, with the same random weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def random_ids(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Tokens without the first few, which models keep for padding and other marks."""
    return torch.randint(5, VOCABULARY, shape, generator=generator)


class Outputs(torch.nn.Module):
    """A model of transformers whose results are taken by name, as tensors in a tuple (or the one alone)."""

    def __init__(self, model: torch.nn.Module, *names: str) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def tensors(self, output: Any) -> Any:
        found = tuple(getattr(output, name) for name in self.names)
        return found[0] if len(found) == 1 else found
