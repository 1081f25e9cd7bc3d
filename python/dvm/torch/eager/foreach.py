"""torch._foreach_*: the same operation on each tensor of lists, as optimizers call it. Each is recorded by itself, so
that all that happens to a parameter in a step is one kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

_PREFIX = "_foreach_"
# Operations whose numbers and further tensors go by a name.
_VALUED = ("addcmul", "addcdiv")

Call = Callable[[Any, tuple[Any, ...], Mapping[str, Any] | None], Any]


def is_foreach(function: Any) -> bool:
    """Whether it is one of torch's functions on lists that can be taken one by one."""
    name = str(getattr(function, "__name__", ""))
    return name.startswith(_PREFIX) and _method(name) is not None


def _method(name: str) -> Any:
    base = name.removeprefix(_PREFIX)
    if base == "norm":
        return torch.linalg.vector_norm
    return getattr(torch.Tensor, base, None) or getattr(torch, base, None)


def one_by_one(
    call: Call, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None
) -> Any:
    """What `function(*args, **kwargs)` gives, with `call` for each of its parts. NotImplemented for lists that do
    not fit, which torch refuses."""
    name = str(function.__name__)
    method, named = _method(name), dict(kwargs or {})
    tensors = args[0] if args else ()
    if not isinstance(tensors, list | tuple) or not tensors:
        return NotImplemented
    rest = list(args[1:])
    if name.removeprefix(_PREFIX).rstrip("_") in _VALUED:
        if len(rest) == 3:
            named["value"] = rest.pop()
        if isinstance(named.get("value"), torch.Tensor):
            return NotImplemented
    lists = [each for each in (*rest, *named.values()) if isinstance(each, list | tuple)]
    if any(len(each) != len(tensors) for each in lists):
        return NotImplemented
    results = [
        call(
            method,
            (tensor, *(_item(each, i) for each in rest)),
            {key: _item(each, i) for key, each in named.items()} or None,
        )
        for i, tensor in enumerate(tensors)
    ]
    return None if name.endswith("_") else results


def _item(each: Any, number: int) -> Any:
    return each[number] if isinstance(each, list | tuple) else each
