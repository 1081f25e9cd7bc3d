"""What one more token costs when the cache has a fixed length: an attention layer as Llama's, whose keys and values
are written by index_copy_ into buffers that are made for `length` positions.

    python -m dvm.bench.decode [LENGTH ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

import dvm
from dvm.bench.timer import interleave

WIDTH, HEADS = 512, 8
LENGTHS = (1024, 4096, 16384)


class Attention(torch.nn.Module):
    """One layer, without its MLP: norm, projections, rotary positions, cache, attention, residual."""

    frequencies: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.norm = torch.nn.RMSNorm(WIDTH)
        self.projections = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        part = WIDTH // HEADS
        self.register_buffer("frequencies", 1e4 ** -(torch.arange(0, part, 2) / part))
        self.register_buffer("keys", torch.zeros(1, HEADS, length, part))
        self.register_buffer("values", torch.zeros(1, HEADS, length, part))

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """x: [1, tokens, WIDTH], at: [tokens], the positions of the tokens."""
        qkv = self.projections(self.norm(x)).view(1, -1, 3, HEADS, WIDTH // HEADS)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        angles = (at[:, None] * self.frequencies).repeat(1, 2)
        q, k = (_turned(part, angles) for part in (q, k))
        self.keys.index_copy_(2, at, k)
        self.values.index_copy_(2, at, v)
        seen = torch.arange(self.keys.shape[2]) <= at[:, None]
        mixed = F.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=seen)
        result: torch.Tensor = x + self.out(mixed.transpose(1, 2).flatten(2))
        return result


def _turned(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-second, first], -1) * angles.sin()


def engines(length: int) -> dict[str, Callable[[], Any]]:
    """A step of each engine on a cache of its own; all caches and weights begin equal."""
    x, at = torch.randn(1, 1, WIDTH), torch.tensor([length // 2])
    layers = {}
    for name in ("eager", "inductor", "dvm", "dvm.compile"):
        torch.manual_seed(0)
        layers[name] = Attention(length).eval()
    steps: dict[str, Callable[..., Any]] = {"eager": layers["eager"]}
    for name in ("inductor", "dvm"):
        steps[name] = torch.compile(layers[name], backend=name, dynamic=True)
    steps["dvm.compile"] = dvm.compile(layers["dvm.compile"], (x, at))
    wanted = steps["eager"](x, at)
    for name, step in steps.items():
        torch.testing.assert_close(step(x, at), wanted, msg=name)
        torch.testing.assert_close(layers[name].keys, layers["eager"].keys, msg=name)
    return {name: partial(step, x, at) for name, step in steps.items()}


def main() -> None:
    torch.set_num_threads(1)
    lengths = [int(text) for text in sys.argv[1:]] or LENGTHS
    with torch.no_grad():
        for number, length in enumerate(lengths):
            torch._dynamo.reset()
            timings = interleave(engines(length), seconds=4)
            if number == 0:
                print("positions  " + "  ".join(f"{name:>12}" for name in timings))
            cells = [f"{timing.median * 1e3:9.3f} ms" for timing in timings.values()]
            print(f"{length:9}  " + "  ".join(cells))


if __name__ == "__main__":
    main()
