"""The operations that DVM adds to torch: what no ATen operation says. In torch itself they run as the definitions
below."""

from __future__ import annotations

import torch


@torch.library.custom_op("dvm::linear_by_groups", mutates_args=())
def linear_by_groups(
    x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bits: int
) -> torch.Tensor:
    """x [..., k], f32, times the transpose of weights of 8 or 4 bits: int8 [n, k], or uint8 [n, k / 2] in which
    every byte holds two, the first in its low half, from which 8 is taken. `scales` is f32 [n, groups]: k / groups
    elements share one."""
    return torch.nn.functional.linear(x, unpacked(weight, scales, bits))


@linear_by_groups.register_fake
def _shape(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bits: int) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def unpacked(weight: torch.Tensor, scales: torch.Tensor, bits: int) -> torch.Tensor:
    """The weights, f32 [n, k], that integers and scales stand for."""
    if bits == 4:
        weight = torch.stack([weight & 15, weight >> 4], -1).flatten(-2).to(torch.int8) - 8
    rows, depth = weight.shape
    groups = scales.shape[1]
    by_groups = weight.view(rows, groups, depth // groups) * scales.unsqueeze(-1)
    return by_groups.view(rows, depth)
