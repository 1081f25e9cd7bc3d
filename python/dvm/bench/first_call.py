"""The first call of a compiled function in a new process: `python -m dvm.bench.first_call BACKEND`. Prints JSON.

Kept apart from everything else, so that no earlier compilation has warmed anything up. Importing torch is not counted.
"""

from __future__ import annotations

import json
import sys
import time

import torch


def block(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A transformer's residual, normalisation and activation."""
    x = torch.nn.functional.layer_norm(x + residual, (x.shape[-1],), weight)
    return torch.nn.functional.gelu(x) * torch.sigmoid(x) + residual


def main(backend: str) -> None:
    """Times the first call, the first call of a second shape, and a repeated one."""
    compiled = torch.compile(block, backend=backend, dynamic=True)
    seconds = {}
    with torch.inference_mode():
        for name, rows in (("first", 33), ("new shape", 57), ("repeated", 57)):
            inputs = torch.randn(rows, 768), torch.randn(rows, 768), torch.randn(768)
            start = time.perf_counter()
            compiled(*inputs)
            seconds[name] = time.perf_counter() - start
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
