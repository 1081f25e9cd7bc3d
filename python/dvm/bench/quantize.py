"""What dvm.quantize does to speed, size and error: `python -m dvm.bench.quantize` prints, for four feed-forward
blocks of BERT-base's size, milliseconds by rows, MiB of weights and the error relative to f32. `--threads N`, else
1."""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import dvm
from dvm.bench import timer

ROWS = (1, 8, 33, 128)
KINDS: dict[str, dict[str, Any]] = {
    "f32": {},
    "bf16": {"weights": "bf16"},
    "bf16 by bf16": {"weights": "bf16", "activations": "bf16"},
    "int8": {"weights": "int8"},
    "int8, groups of 64": {"weights": "int8", "group": 64},
    "int8 by int8": {"weights": "int8", "activations": "int8"},
    "int4": {"weights": "int4"},
    "int4, groups of 32": {"weights": "int4", "group": 32},
}


@dataclass(frozen=True)
class Kept:
    """`seconds` of a call for each of ROWS, `weights` in bytes, `error` relative to the results of f32."""

    seconds: list[float]
    weights: int
    error: float


class Block(nn.Module):
    """x + W2 gelu(W1 norm(x)), widths 768 and 3072."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(768)
        self.up, self.down = nn.Linear(768, 3072), nn.Linear(3072, 768)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rest: torch.Tensor = self.down(nn.functional.gelu(self.up(self.norm(x))))
        return x + rest


def measure(threads: int = 1, seconds: float = 1.0) -> dict[str, Kept]:
    """Eager f32 and every kind through dvm.compile, in turns."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    plain = nn.Sequential(*(Block() for _ in range(4))).eval()
    models = {
        kind: dvm.quantize(copy.deepcopy(plain), **arguments) if arguments else plain
        for kind, arguments in KINDS.items()
    }
    rows = torch.export.Dim("rows", min=1, max=4096)
    with torch.inference_mode():
        calls: dict[str, Any] = {"eager f32": plain}
        for kind, model in models.items():
            calls[kind] = dvm.compile(model, (torch.randn(7, 768),), dynamic_shapes=({0: rows},))
        inputs = [torch.randn(count, 768) for count in ROWS]
        taken: dict[str, list[float]] = {kind: [] for kind in calls}
        for x in inputs:
            engines = {kind: lambda call=call, x=x: call(x) for kind, call in calls.items()}
            for kind, timing in timer.interleave(engines, seconds=seconds * len(calls)).items():
                taken[kind].append(timing.median)
        wanted = plain(inputs[-1])
        kept = {"eager f32": Kept(taken["eager f32"], _bytes(plain), 0.0)}
        for kind, model in models.items():
            error = float((calls[kind](inputs[-1]) - wanted).norm() / wanted.norm())
            kept[kind] = Kept(taken[kind], _bytes(model), error)
    return kept


def _bytes(model: nn.Module) -> int:
    return sum(t.nbytes for t in [*model.parameters(), *model.buffers()])


if __name__ == "__main__":
    threads = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1
    print("| weights | " + " | ".join(f"{count} rows" for count in ROWS) + " | MiB | error |")
    print("|---" * (len(ROWS) + 3) + "|")
    for kind, kept in measure(threads).items():
        times = " | ".join(f"{seconds * 1e3:.2f}" for seconds in kept.seconds)
        print(f"| {kind} | {times} | {kept.weights / 2**20:.1f} | {kept.error:.1e} |")
