"""`explain()`: what became of a kernel, as a dict for programs and as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dvm import _core


class Explanation(dict[str, Any]):
    """A dict of plain values, so that it can be written as JSON; printing it gives a readable account."""

    @classmethod
    def of_one(
        cls, name: str, graph: str, facts: dict[str, Any], programs: Sequence[_core.Program]
    ) -> Explanation:
        """For one Executable and the Programs that some shapes run."""
        return cls(
            {"name": name, "graph": graph, **facts, "programs": [dict(p.stats) for p in programs]}
        )

    @classmethod
    def of_many(cls, name: str, found: Sequence[tuple[str, dict[str, Any]]]) -> Explanation:
        """For all Executables of one kernel."""
        return cls(
            {
                "name": name,
                "specialisations": [cls({"name": name, "graph": g, **facts}) for g, facts in found],
            }
        )

    def __str__(self) -> str:
        if "specialisations" in self:
            return "\n\n".join(map(str, self["specialisations"]))
        lines = [
            f"{self['name']}: {len(self.get('kernels', ()))} kernel(s)",
            *self["graph"].rstrip().splitlines(),
        ]
        for key, value in self.items():
            if key in ("name", "graph"):
                continue
            if isinstance(value, (list, tuple)) and value:
                lines.append(f"{key}:")
                lines += [f"  {_line(item)}" for item in value]
            elif not isinstance(value, (list, tuple)):
                lines.append(f"{key}: {value}")
        return "\n".join(lines)


def _line(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{key}={value}" for key, value in item.items())
    return str(item)
