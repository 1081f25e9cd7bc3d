"""dvm.quantize: linear layers with weights of fewer bits, as modules that any backend runs and DVM runs from packed
memory.

The integers are symmetric, as those of torchao's Int8WeightOnlyConfig and of ONNX's MatMulNBits without zero
points: a weight is its integer times a scale, of its row (int8) or of a group of elements of a row. Four bits are
packed as MatMulNBits packs them, two to a byte, the first in its low half, 8 added.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

import dvm.torch.operators  # noqa: F401 - defines torch.ops.dvm

_FLOATS = {"bf16": torch.bfloat16, "f16": torch.float16}
_WEIGHTS = (*_FLOATS, "int8", "int4")
_ACTIVATIONS = {"bf16": ("bf16", "bfloat16"), "int8": ("int8",)}
_GROUPS = (128, 64, 32)  # of four bits, the first that parts a row


class QuantizedLinear(nn.Module):
    """A linear layer whose weight is kept in fewer bits. Computes in f32, and returns the type that it was given.

    `weight` is bf16, f16 or int8 [out, in], or uint8 [out, in / 2] of 4 bits. `scales` is f32: [out] for each row,
    [out, groups] for groups, None for floats. With `activations` "int8" each row of the input is rounded to 8 bits
    by a scale of its own, and with "bf16" to bf16, before it is multiplied.
    """

    weight: torch.Tensor
    scales: torch.Tensor | None
    bias: torch.Tensor | None

    def __init__(
        self, linear: nn.Linear, weights: str, activations: str | None, group: int | None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weights, self.activations = weights, activations
        dense = linear.weight.detach().float()
        scales = None
        if weights in _FLOATS:
            packed = dense.to(_FLOATS[weights])
        else:
            packed, scales = _round(dense, 8 if weights == "int8" else 4, group)
        self.register_buffer("weight", packed)
        self.register_buffer("scales", scales)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.register_buffer("bias", bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.activations == "bf16":
            product = nn.functional.linear(x.bfloat16(), self.weight).float()
        elif self.scales is None:
            product = nn.functional.linear(x.float(), self.weight.float())
        elif self.activations == "int8":
            product = _product_of_bytes(x.float(), self.weight, self.scales)
        elif self.scales.dim() == 1:
            product = nn.functional.linear(x.float(), self.weight.float()) * self.scales
        else:
            bits = 4 if self.weights == "int4" else 8
            product = torch.ops.dvm.linear_by_groups(x.float(), self.weight, self.scales, bits)
        if self.bias is not None:
            product = product + self.bias
        return product.to(x.dtype)

    def extra_repr(self) -> str:
        groups = self.scales.shape[1] if self.scales is not None and self.scales.dim() == 2 else 0
        return (
            f"{self.in_features}, {self.out_features}, weights={self.weights}"
            + (f", group={self.in_features // groups}" if groups else "")
            + (f", activations={self.activations}" if self.activations else "")
        )


def quantize(
    model: nn.Module,
    weights: str,
    *,
    activations: str | None,
    group: int | None,
    skip: Collection[str],
) -> nn.Module:
    """See dvm.quantize."""
    if weights not in _WEIGHTS:
        raise ValueError(
            f"[quantize] weights={weights!r} came, wanted one of {', '.join(_WEIGHTS)}"
        )
    if activations is not None and weights not in _ACTIVATIONS.get(activations, ()):
        fits = [w for w in _WEIGHTS if activations == w and w in _ACTIVATIONS]
        wanted = f"weights={fits[0]!r} with them" if fits else "None, 'bf16' or 'int8'"
        raise ValueError(
            f"[quantize] activations={activations!r} came with weights={weights!r}, wanted {wanted}"
        )
    if group is not None and (weights not in ("int8", "int4") or activations is not None):
        raise ValueError(
            f"[quantize] group={group} came; groups are of weights='int8' or 'int4' without activations"
        )
    if isinstance(model, nn.Linear):
        return QuantizedLinear(model, weights, activations, _group(model, "it", weights, group))
    unknown = set(skip) - {name for name, _ in model.named_modules()}
    if unknown:
        raise ValueError(f"[quantize] the model has no module {sorted(unknown)[0]!r} to skip")
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not any(name == left or name.startswith(f"{left}.") for left in skip)
    ]
    groups = {name: _group(module, name, weights, group) for name, module in layers}
    for name, module in layers:
        parent, _, own = name.rpartition(".")
        made = QuantizedLinear(module, weights, activations, groups[name])
        setattr(model.get_submodule(parent), own, made.train(module.training))
    return model


def _group(linear: nn.Linear, name: str, weights: str, group: int | None) -> int | None:
    """How many elements of a row share a scale; None for all of them."""
    size = linear.in_features
    if group is None and weights == "int4":
        group = next((known for known in _GROUPS if size % known == 0), _GROUPS[-1])
    if group is not None and (group < 1 or size % group != 0 or (weights == "int4" and size % 2)):
        raise ValueError(
            f"[quantize] {name} has rows of {size} elements, which do not part into groups of {group}; "
            "give another group= or name it in skip="
        )
    return group


def _round(dense: torch.Tensor, bits: int, group: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest integers of so many bits, and the scales: of rows, or of groups of a row."""
    rows, depth = dense.shape
    groups = dense.view(rows, -1, depth if group is None else group)
    if bits == 8:
        scales = groups.abs().amax(-1, keepdim=True) / 127
    else:
        # Of 16 integers 8 are negative: what is largest becomes -8, whichever its sign.
        largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
        scales = largest / -8
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    inverse = torch.where(scales == 0, 0, 1 / scales)
    integers = (groups * inverse).round().clamp(least, most).to(torch.int8).view(rows, depth)
    scales = scales.squeeze(-1)
    if bits == 4:
        halves = (integers + 8).to(torch.uint8).view(rows, depth // 2, 2)
        integers = halves[..., 0] | (halves[..., 1] << 4)
    return integers, scales.squeeze(-1) if group is None else scales


def _product_of_bytes(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Both rounded to bytes, row by row, multiplied as integers."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    rounded = (x / scale).round().clamp(-128, 127).to(torch.int8)
    product = torch._int_mm(rounded.flatten(0, -2), weight.t())
    return product.view(*x.shape[:-1], weight.shape[0]).float() * scale * scales
