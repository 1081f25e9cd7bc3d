"""What a segment checks before its results count: conditions over tensors of like shape become one, so that one
kernel reads all of them. None has to wait for another: a gather reads its own tensor only, whatever the index.
"""

from __future__ import annotations

from collections.abc import Sequence

from dvm.torch.symbols import Size
from dvm.torch.value import Check, Value


def combined(checks: Sequence[Check]) -> list[tuple[int, str]]:
    """Values of one bool each, as Graph.check takes them, and messages."""
    groups: list[tuple[Value, list[str]]] = []
    for check in checks:
        holds, messages = check.holds, [check.message]
        for number, (others, told) in enumerate(groups):
            if _covers(others.shape, holds.shape) or _covers(holds.shape, others.shape):
                holds, messages = others.builder.op("bitwise_and", others, holds), told + messages
                del groups[number]
                break
        groups.append((holds, messages))
    return [(_all(holds).id, ", or ".join(dict.fromkeys(told))) for holds, told in groups]


def _covers(shape: Sequence[Size], other: Sequence[Size]) -> bool:
    """Whether a value of the other shape is broadcast to this one at no cost."""
    pairs = zip(reversed(shape), reversed(other), strict=False)
    return len(shape) >= len(other) and all(theirs in (mine, 1) for mine, theirs in pairs)


def _all(holds: Value) -> Value:
    b = holds.builder
    if holds.rank:
        holds = b.reduce("all", holds, list(range(holds.rank)))
    return b.reshape(holds, [])
