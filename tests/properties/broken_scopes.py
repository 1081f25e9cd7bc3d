"""Scopes that do what a fuser of eager programs may get wrong, one thing each, and one that only rounds otherwise.

The generator of random_eager.py and its judge are tested with them: whoever looks for faults must be able to find some.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

ARITHMETIC = (
    torch.Tensor.add,
    torch.Tensor.mul,
    torch.Tensor.__add__,
    torch.Tensor.__mul__,
    torch.add,
)
VIEWS = (
    torch.Tensor.__getitem__,
    torch.Tensor.transpose,
    torch.Tensor.view,
    torch.Tensor.unsqueeze,
)
ROUNDING = (
    torch.Tensor.exp,
    torch.Tensor.tanh,
    torch.exp,
    torch.tanh,
    torch.softmax,
    torch.Tensor.mean,
)
NARROW = (torch.float32, torch.float16, torch.bfloat16)
Call = Callable[[], Any]


class Scope(TorchFunctionMode):
    """Eager; `instead` may do something else."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.instead(func, args, lambda: func(*args, **(kwargs or {})))

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        return call()


class WrongSums(Scope):
    """By a thousandth."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        result = call()
        return result * 1.001 if func is torch.Tensor.sum and result.is_floating_point() else result


class LateWrites(Scope):
    """What is added in place is added when the scope ends."""

    def __enter__(self) -> LateWrites:
        self._late: list[Call] = []
        super().__enter__()
        return self

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        if func is not torch.Tensor.add_:
            return call()
        self._late.append(call)
        return args[0]

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for call in self._late:
            call()


class ForgottenVersions(Scope):
    """Nobody can tell that `mul_` has written."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        if func is not torch.Tensor.mul_:
            return call()
        func(args[0].data, *args[1:])
        return args[0]


class OtherMessages(Scope):
    """Of errors."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        try:
            return call()
        except IndexError:
            raise IndexError("out of range") from None


class RowMajor(Scope):
    """Results of arithmetic, in whatever order their operands lie."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        result = call()
        return (
            result.contiguous()
            if func in ARITHMETIC and isinstance(result, torch.Tensor)
            else result
        )


class CopiesForViews(Scope):
    """What looks at memory gets its own."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        result = call()
        return result.clone() if func in VIEWS else result


class NothingDies(Scope):
    """As if what is recorded kept its values."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        result = call()
        _KEPT.append(result)
        return result


class RandomNumbersTwice(Scope):
    """More random numbers are drawn than eager draws."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        if func is torch.rand_like:
            torch.rand(1)
        return call()


class OtherTypes(Scope):
    """A scalar tensor counts as much as one with axes when types are promoted."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        result = call()
        if func not in ARITHMETIC or len(args) < 2 or not isinstance(args[1], torch.Tensor):
            return result
        return result.to(torch.promote_types(args[0].dtype, args[1].dtype))


class OtherRounding(Scope):
    """Not broken: some functions are rounded once, from double."""

    def instead(self, func: Any, args: Any, call: Call) -> Any:
        if func not in ROUNDING or args[0].requires_grad or args[0].dtype not in NARROW:
            return call()
        return func(args[0].double(), *args[1:]).to(call().dtype)


_KEPT: list[Any] = []

BROKEN = (
    WrongSums, LateWrites, ForgottenVersions, OtherMessages, RowMajor, CopiesForViews, NothingDies,
    RandomNumbersTwice, OtherTypes,
)  # fmt: skip
