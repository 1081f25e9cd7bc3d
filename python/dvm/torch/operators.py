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


@torch.library.custom_op("dvm::attention", mutates_args=())
def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *,
    scale: float,
    hidden: float,
    safe: bool,
    order: list[int],
) -> torch.Tensor:
    """softmax(scale * q k^T + attn_mask) v over the last two axes of q [*heads, m, d], k [..., n, d] and v [..., n, e],
    which are broadcast to the heads of q, in the type of v. Where a mask is bool and false a score becomes `hidden`. A
    row of scores that are all -inf gives NaN, or zeros if `safe`. `order` is that of the result's axes in memory, if
    it is not that of the axes."""
    scores = q.float() @ k.float().transpose(-1, -2) * scale
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, hidden)
    elif attn_mask is not None:
        scores = scores + attn_mask
    shares = torch.ops.aten._safe_softmax(scores, -1) if safe else scores.softmax(-1)
    result = _ordered(q, v, order)
    return result.copy_(shares @ v.float())


@attention.register_fake
def _attended(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *,
    scale: float,
    hidden: float,
    safe: bool,
    order: list[int],
) -> torch.Tensor:
    return _ordered(q, v, order)


def _ordered(q: torch.Tensor, v: torch.Tensor, order: list[int]) -> torch.Tensor:
    """An empty result of attention."""
    shape = [*q.shape[:-1], v.shape[-1]]
    order = order or list(range(len(shape)))
    empty = v.new_empty([shape[axis] for axis in order])
    return empty.permute([order.index(axis) for axis in range(len(shape))])


def unpacked(weight: torch.Tensor, scales: torch.Tensor, bits: int) -> torch.Tensor:
    """The weights, f32 [n, k], that integers and scales stand for."""
    if bits == 4:
        weight = torch.stack([weight & 15, weight >> 4], -1).flatten(-2).to(torch.int8) - 8
    rows, depth = weight.shape
    groups = scales.shape[1]
    by_groups = weight.view(rows, groups, depth // groups) * scales.unsqueeze(-1)
    return by_groups.view(rows, depth)
