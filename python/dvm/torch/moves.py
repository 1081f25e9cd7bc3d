"""How the windows of convolutions and pools move, and what becomes of the scores of attention, as builder.py and aten/
hand it on."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Moves:
    """How windows move: a number for each axis behind images and channels; of padding all those before and then all
    those after."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


@dataclass(frozen=True)
class Scoring:
    """What becomes of the scores of an attention, as Graph.attention takes it."""

    scale: float
    causal: bool
    hidden: float = -math.inf
    nan_if_blind: bool = False
