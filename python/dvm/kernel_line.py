"""A kernel of `explain()` in a line: what it computes, over which axes, from what to what."""

from __future__ import annotations

from typing import Any


def kernel_line(kernel: dict[str, Any]) -> str:
    """For one entry of the "kernels" that an Executable explains."""
    axes = ", ".join(
        f"{axis['extent']}{' reduced' if axis['reduced'] else ''}" for axis in kernel["axes"]
    )
    reads, writes = (
        ", ".join(f"{_tensor(tensor)}" for tensor in kernel[way]) for way in ("inputs", "outputs")
    )
    return f"{' '.join(kernel['ops'])}\n    over [{axes}]: {reads or 'nothing'} -> {writes}"


def _tensor(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} {tensor['type']}[{', '.join(map(str, tensor['shape']))}]"
