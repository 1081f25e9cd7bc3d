"""What became of an eager program inside of a scope: how much was recorded, where it was cut and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Account:
    """`counts` are the recorder's; `refused` says of functions why they were not recorded."""

    counts: Mapping[str, Any]
    refused: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        return {**self.counts, "refused": dict(self.refused)}

    def __str__(self) -> str:
        if not self.counts:
            return "nothing was recorded"
        segments = self.counts["segments"]
        runs = sum(segment["runs"] for segment in segments)
        kernels = sum(segment["runs"] * segment["kernels"] for segment in segments)
        lines = [
            f"{self.counts['recorded']} operations recorded, {kernels} kernels launched in {runs} runs of "
            f"{len(segments)} distinct segments; {self.counts['dead']} values died unread"
        ]
        lines += _counted("segments ended by", self.counts["ends"], {})
        lines += _counted("ran in torch", self.counts["fallbacks"], self.refused)
        return "\n".join(lines)


def _counted(title: str, counts: Mapping[str, int], reasons: Mapping[str, str]) -> list[str]:
    if not counts:
        return []
    lines = [f"{title}:"]
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        reason = f"  ({reasons[name]})" if name in reasons else ""
        lines.append(f"  {count:6d}  {name}{reason}")
    return lines
