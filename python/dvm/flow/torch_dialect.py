"""How torch does the steps of a Flow that Executables do not. Imports torch, but nothing of its compilers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from dvm.flow.steps import Word

# Where torch has a method or function for an operation, it is half a microsecond faster to call.
_METHODS = {
    # Not `view`: should an operation of torch's lay out its result otherwise than it promised, this copies.
    "aten::view.default": "reshape",
    "aten::t.default": "t",
    "aten::transpose.int": "transpose",
    "aten::permute.default": "permute",
    "aten::expand.default": "expand",
    "aten::unsqueeze.default": "unsqueeze",
    "aten::squeeze.dim": "squeeze",
    "aten::select.int": "select",
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "aten::mm.default": torch.mm,
    "aten::bmm.default": torch.bmm,
    "aten::addmm.default": torch.addmm,
    "aten::linear.default": torch.nn.functional.linear,
    "aten::_unsafe_view.default": torch.Tensor.reshape,
}
_KINDS = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}


class TorchDialect:
    """See dvm.flow.function.Dialect."""

    def size(self, tensor: str, axis: int) -> str:
        return f"{tensor}.size({axis})"

    def call(self, operation: str) -> str | Callable[..., Any]:
        """Raises ValueError where this torch has no such operation."""
        known = _METHODS.get(operation) or _FUNCTIONS.get(operation)
        if known is not None:
            return known
        overload = find_operation(operation)
        # Torch's own function may be called past its Python wrapper.
        plain: Callable[..., Any] = overload._op if overload.namespace == "aten" else overload
        return plain

    def word(self, word: Word) -> Any:
        if word.kind == "device":
            return torch.device(word.text)
        found = getattr(torch, word.text, None)
        if not isinstance(found, _KINDS[word.kind]):
            raise ValueError(f"[flow] torch has no {word.kind} {word.text!r}")
        return found

    def fill(self, name: Callable[[str, Any], str], code: Sequence[str]) -> str:
        shape, strides, dtype, number = code
        empty = name("empty_strided", torch.empty_strided)
        made = f"{empty}({shape}, {strides}, dtype={dtype})"
        return made if number == "None" else f"{made}.fill_({number})"

    @property
    def restride(self) -> Callable[[Any, Any, Any], Any]:
        return _restride

    def update(self, target: str, source: str) -> str:
        return f"{target}.copy_({source})"


def find_operation(qualified: str) -> torch._ops.OpOverload:
    """The operation `aten::add.Tensor`. Raises ValueError where torch's dispatcher has none of that name."""
    namespace, _, rest = qualified.partition("::")
    packet, _, overload = rest.partition(".")
    # The dispatcher is asked first: torch.ops would also find functions of TorchScript's that it does not have.
    schema = f"{namespace}::{packet}" + ("" if overload == "default" else f".{overload}")
    if namespace in ("aten", "prims") and torch._C._dispatch_has_kernel(schema):
        found = getattr(getattr(getattr(torch.ops, namespace), packet), overload)
        if isinstance(found, torch._ops.OpOverload):
            return found
    raise ValueError(f"[flow] this torch, {torch.__version__}, has no operation {qualified!r}")


def _restride(tensor: Any, shape: Any, strides: Any) -> Any:
    return torch.empty_strided(shape, strides, dtype=tensor.dtype).copy_(tensor)
