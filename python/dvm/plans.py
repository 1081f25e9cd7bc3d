"""The plans of all Executables of the process together: what they take, and how much they may."""

from __future__ import annotations

from typing import Any

from dvm import _core


def plan_stats() -> dict[str, Any]:
    """The `executables` alive, the `plans` that they keep and their `bytes`, what `limit_bytes` allows, and all `hits`,
    `misses` and `evictions` since the process began. Executable.stats has the same of one."""
    return _core.plan_stats()


def set_plan_bytes(limit: int | None) -> None:
    """Bounds the plans of all Executables together to `limit` bytes: beyond it the ones used longest ago go, at once.
    None: what the environment variable DVM_PLAN_BYTES says, else 64 MiB.

    Raises ValueError for a negative number.
    """
    _core.set_plan_bytes(limit)
