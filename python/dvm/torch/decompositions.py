"""Which ATen operations torch takes apart for us before a graph arrives.

Only those whose parts the core computes: taking apart an operation that ends in gathers or convolutions would turn
one fast call into several slow ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._decomp import get_decompositions
from torch._decomp.decompositions import upsample_compute_output_size

from dvm.torch.aten import COMPUTED, COPIES, CREATED, VIEWS

_NAMES = """
addr binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits elu_backward
fill.Tensor glu glu_backward hardsigmoid_backward hardswish_backward hardtanh_backward huber_loss
huber_loss_backward isclose leaky_relu_backward linspace log_sigmoid_backward logit_backward mish_backward
mse_loss_backward native_batch_norm native_batch_norm_backward native_dropout_backward
native_group_norm_backward native_layer_norm_backward _fused_rms_norm_backward _prelu_kernel_backward
_native_batch_norm_legit _native_batch_norm_legit_functional cudnn_batch_norm _batch_norm_with_update
_batch_norm_with_update_functional smooth_l1_loss smooth_l1_loss_backward soft_margin_loss
soft_margin_loss_backward softplus_backward softshrink_backward hardshrink_backward special_entr
special_log_ndtr special_ndtr celu_backward rrelu_with_noise_backward l1_loss dist _weight_norm_interface
std_mean.default var_mean.default std_mean.dim var_mean.dim norm_except_dim renorm
"""


_size_of: Any = upsample_compute_output_size  # which has no types

# Torch takes these apart by itself, into picking by index, before a table is asked.
_NEAREST = ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
_LINEAR = ("upsample_linear1d", "upsample_bilinear2d")


@contextmanager
def kept_whole() -> Iterator[None]:
    """Meanwhile traces keep operations that aten/ builds itself."""
    whole: dict[Any, Callable[..., Any] | None] = {}
    for name in (*_NEAREST, *_LINEAR):
        packet = getattr(torch.ops.aten, name)
        whole[packet.default] = None
        whole[packet.vec] = _by_size(packet.default)
    before = {overload: overload.py_kernels.copy() for overload in whole}
    keys = (torch._C.DispatchKey.CompositeImplicitAutograd, torch._C.DispatchKey.Autograd)
    try:
        for overload, kernel in whole.items():
            for key in keys:
                overload.py_kernels.pop(key, None)
                if kernel is not None:
                    overload.py_kernels[key] = kernel
            overload._dispatch_cache.clear()
        yield
    finally:
        for overload, kernels in before.items():
            overload.py_kernels.clear()
            overload.py_kernels.update(kernels)
            overload._dispatch_cache.clear()


def _by_size(overload: Any) -> Callable[..., Any]:
    """The same operation where a size or factors are given, of which it takes a size and perhaps factors."""

    def resize(x: torch.Tensor, output_size: Any, *rest: Any) -> Any:
        *corners, factors = rest
        size: Any = _size_of(x.size(), output_size, factors)
        scales = factors if factors else [None] * len(size)
        return overload(x, size, *corners, *scales)

    return resize


def decompositions() -> dict[Any, Callable[..., Any]]:
    """The table for AOTAutograd: the list above, less what aten/ builds itself."""
    packets: list[Any] = []
    for name in _NAMES.split():
        packet, _, overload = name.partition(".")
        found = getattr(torch.ops.aten, packet, None)
        if found is not None:
            packets.append(getattr(found, overload) if overload else found)
    own = COMPUTED.keys() | VIEWS.keys() | CREATED.keys() | COPIES.keys()
    found = get_decompositions(packets)
    return {overload: function for overload, function in found.items() if overload not in own}
