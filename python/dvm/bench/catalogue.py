"""What an operator of `dvm bench operators` is: the same computation as a torch function and as a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Shape = tuple[int, ...]
Tensors = tuple[torch.Tensor, ...]

# Sizes from 64 to 16 M elements; every third or so is made of primes, which no tile divides.
ROWS: tuple[Shape, ...] = (
    (8, 8),
    (3, 509),
    (16, 64),
    (31, 127),
    (64, 256),
    (127, 509),
    (128, 768),
    (8, 16384),
    (512, 1024),
    (1021, 1031),
    (4096, 768),
    (2, 1048583),
    (4096, 4096),
)
BLOCKS: tuple[Shape, ...] = (
    (2, 4, 8),
    (3, 13, 26),
    (2, 8, 64),
    (7, 11, 58),
    (4, 16, 256),
    (5, 101, 134),
    (8, 128, 96),
    (2, 64, 1024),
    (4, 256, 512),
    (7, 383, 386),
    (8, 512, 768),
    (16, 1024, 1024),
)
# Batch, channels (a multiple of the 8 groups), positions.
CHANNELS: tuple[Shape, ...] = (
    (2, 8, 4),
    (2, 16, 17),
    (2, 32, 16),
    (3, 8, 167),
    (4, 32, 128),
    (5, 24, 541),
    (8, 64, 196),
    (2, 64, 1021),
    (8, 128, 512),
    (7, 64, 2341),
    (16, 256, 784),
    (32, 512, 1024),
)


@dataclass(frozen=True)
class Operator:
    """One computation, defined twice, and the inputs it gets for a shape."""

    name: str
    function: Callable[..., Any]
    kernel: Callable[..., Any]
    inputs: Callable[[Shape], Tensors]
    shapes: tuple[Shape, ...] = ROWS
    # Largest difference allowed, relative to the largest value of the result.
    tolerance: float = 1e-4
    # Reads every input element once and writes every output element once: worth comparing with memcpy.
    streaming: bool = False


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Normal numbers, the same ones every time."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


def integers(*shape: int, low: int, high: int, dtype: torch.dtype) -> torch.Tensor:
    """Uniform integers in [low, high), the same ones every time."""
    generator = torch.Generator().manual_seed(sum(shape) + 1)
    return torch.randint(low, high, shape, generator=generator, dtype=dtype)


def coins(*shape: int, probability: float) -> torch.Tensor:
    """True with `probability`, the same ones every time."""
    generator = torch.Generator().manual_seed(sum(shape) + 2)
    return torch.rand(shape, generator=generator) < probability
