"""What becomes of a call of each of torch's functions before its arguments are looked at."""

from __future__ import annotations

import enum
import functools
from typing import Any

import torch

from dvm.torch.eager.foreach import is_foreach


class Treatment(enum.IntEnum):
    """As in src/python/vocabulary.h."""

    DIRECT = 0
    """Torch runs it at once: it reads and changes no elements."""
    FLUSH = 1
    """The same, after all that was recorded."""
    READ = 2
    """The same if it reads what was recorded."""
    EXPOSE = 3
    """As FLUSH, and the memory of its arguments is somebody's from then on."""
    THROUGH = 4
    """Torch runs it, and its parts come back through the dispatcher."""
    RECORD = 5
    """A template says what it computes."""
    NUMBERS = 6
    """The same for each set of numbers."""
    SIZES = 7
    """The same for each tuple of sizes."""
    FOREACH = 8
    """It does one thing to each tensor of lists."""
    CREATE = 9
    """It makes a tensor of numbers, or of nothing."""


# Methods that say something of a tensor, but not of its elements.
_TOLD = """
size stride dim ndimension numel nelement element_size storage_offset is_contiguous is_floating_point is_complex
is_signed is_conj is_neg is_inference is_same_size get_device __len__ __hash__ requires_grad_ retain_grad
register_hook register_post_accumulate_grad_hook has_names is_set_to is_coalesced _is_view _is_zerotensor
is_distributed sparse_dim dense_dim nbytes itemsize transpose_ t_ swapaxes_ swapdims_ squeeze_ unsqueeze_ detach_
rename_ as_strided_
"""

# What hands out the memory itself, or reads it without the dispatcher.
_EXPOSING = """
numpy data_ptr storage untyped_storage _typed_storage __array__ __dlpack__ __dlpack_device__ share_memory_ is_shared
pin_memory __cuda_array_interface__
"""
_READING = """
item tolist __bool__ __int__ __float__ __complex__ __index__ __contains__ __repr__ __str__ __format__
equal allclose is_nonzero nonzero to_dense to_sparse tensor_split
"""
_REPLACING = """
__reduce_ex__ __reduce__ __setstate__ __deepcopy__ apply_ map_ map2_ __array_wrap__ set_ resize_ resize_as_ new
"""

# What gives tensors in new memory, is not recorded, and reads no elements.
_CREATING = """
zeros ones full empty rand randn randint randperm arange linspace logspace eye empty_strided
zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_empty new_zeros new_ones new_full
"""

_GRADIENTS = ("backward",)


@functools.cache
def _named(cls: Any, names: str) -> frozenset[Any]:
    found = (getattr(cls, name, None) for name in names.split())
    return frozenset(function for function in found if function is not None)


def treatment(function: Any) -> Treatment:
    """Of any callable that a mode of torch's is given."""
    if isinstance(function, torch._ops.OpOverload):
        return _of_operation(function)
    if function in _named(torch.Tensor, _TOLD) or function in _named(torch, _TOLD):
        return Treatment.DIRECT
    if function in _named(torch.Tensor, _READING) or function in _named(torch, _READING):
        return Treatment.READ
    if function in _named(torch.Tensor, _EXPOSING):
        return Treatment.EXPOSE
    if function in _named(torch.Tensor, _REPLACING):
        return Treatment.FLUSH
    if is_foreach(function):
        return Treatment.FOREACH
    if function in _named(torch, _CREATING) or function in _named(torch.Tensor, _CREATING):
        return Treatment.CREATE
    if getattr(function, "__name__", "") in _GRADIENTS:
        return Treatment.THROUGH
    return Treatment.RECORD


@functools.cache
def _of_operation(overload: Any) -> Treatment:
    if overload.namespace == "profiler" or torch.Tag.inplace_view in overload.tags:
        return Treatment.DIRECT
    if overload._schema.name.removeprefix("aten::") in _CREATING.split():
        return Treatment.CREATE
    if torch.Tag.nondeterministic_seeded in overload.tags or overload.namespace != "aten":
        return Treatment.FLUSH if overload._schema.is_mutable else Treatment.READ
    return Treatment.RECORD
