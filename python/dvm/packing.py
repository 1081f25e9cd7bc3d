"""The packed weights of the process: what they take, and how much they may."""

from __future__ import annotations

from dvm import _core


def packed_stats() -> dict[str, int]:
    """The `weights` that are kept packed for matrix products, their `bytes`, what `limit_bytes` allows, how often one
    was `packed`, and how often a call was `refused` and read its weights as they lie: for want of room, or because
    nobody would tell that they change (NumPy arrays that may be written, tensors of torch's inference mode)."""
    return _core.packed_stats()


def set_packed_bytes(limit: int | None) -> None:
    """Bounds the packed weights to `limit` bytes; calls that would need more read theirs as they lie. What is packed
    stays until its tensor goes. None: what the environment variable DVM_PACKED_BYTES says, else a quarter of the
    memory that the process may use. 0: nothing is packed from now on.

    Raises ValueError for a negative number.
    """
    _core.set_packed_bytes(limit)
