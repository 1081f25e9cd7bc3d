"""Arguments to try a compiled model on, where only its file is there: for `dvm run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dvm.compiled.framework import Framework
from dvm.compiled.signature import Fixed, Leaf, Number, Signature, Tensor
from dvm.flow.arithmetic import evaluate

_NUMBERS: dict[str, Any] = {"int": 1, "float": 1.0, "bool": True}


def examples(
    signature: Signature,
    framework: Framework,
    sizes: Mapping[str, int],
    shapes: Sequence[Sequence[int]] = (),
) -> list[Any]:
    """One argument for each parameter: random floats, ones of other types. `sizes` are those of the symbols, `shapes`
    those of all tensors where they are not to follow from `sizes`."""
    given = iter(shapes)
    known = {symbol.name: sizes.get(symbol.name, symbol.low) for symbol in signature.symbols}
    leaves = []
    for number, leaf in enumerate(signature.leaves):
        shape = next(given, None) if isinstance(leaf, Tensor) else None
        leaves.append(_example(number, leaf, signature, framework, known, shape))
    values = iter(leaves)
    return [parameter.structure.build(values) for parameter in signature.parameters]


def _example(
    number: int,
    leaf: Leaf,
    signature: Signature,
    framework: Framework,
    sizes: Mapping[str, int],
    shape: Sequence[int] | None,
) -> Any:
    match leaf:
        case Fixed(value=value):
            return value
        case Number(kind=kind):
            for symbol in signature.symbols:
                if symbol.leaf == number:
                    return sizes[symbol.name] * symbol.multiplier + symbol.offset
            return _NUMBERS[kind]
        case Tensor(dtype=dtype):
            if shape is None:
                shape = [evaluate(str(size), sizes) for size in leaf.shape]
            return framework.example(dtype, shape)
