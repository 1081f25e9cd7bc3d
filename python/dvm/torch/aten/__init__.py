"""What each ATen operation is in terms of the core's instructions: one table, filled by family."""

from dvm.torch.aten import (
    activations,
    attention,
    choice,
    convolution,
    create,
    index,
    losses,
    normalize,
    pointwise,
    pools,
    products,
    reduce,
    resize,
    views,
)
from dvm.torch.aten.table import COMPUTED, COPIES, CREATED, NAMED, VIEWS

__all__ = [
    "COMPUTED",
    "COPIES",
    "CREATED",
    "NAMED",
    "VIEWS",
    "activations",
    "attention",
    "choice",
    "convolution",
    "create",
    "index",
    "losses",
    "normalize",
    "pointwise",
    "pools",
    "products",
    "reduce",
    "resize",
    "views",
]
