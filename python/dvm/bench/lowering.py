"""What our share of compiling a captured model takes: `python -m dvm.bench.lowering`, run by compile.py in a process of
its own. Prints JSON.

The layers of BERT-base are captured by torch.export once. Copies of that graph are then compiled, each step timed on
the clock of the thread, so that what else the machine does counts little. The first compilation finds caches empty,
torch's and the processor's alike; a process that compiles one model pays for that one.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
import time
import unittest.mock
from typing import Any

import torch
from torch import fx

from dvm.bench import peak
from dvm.bench.zoo.build import seeded, transformers
from dvm.torch import export, lower
from dvm.torch.options import Options

TIMES = 20


class _Captured(Exception):  # noqa: N818 - no error: it carries the graph out of dvm.compile
    def __init__(self, module: fx.GraphModule, lifted: dict[fx.Node, Any]) -> None:
        super().__init__()
        self.module = module
        self.lifted = lifted


def _capture() -> _Captured:
    def stop(module: fx.GraphModule, *_: Any, lifted: Any, **__: Any) -> None:
        raise _Captured(module, lifted)

    model = seeded(lambda: peak._Hidden(peak.MODELS["bert-base"](transformers())))
    with torch.inference_mode(), unittest.mock.patch.object(export, "lower", stop):
        try:
            peak._engine("dvm.compile", model, peak._ids(3, 7))
        except _Captured as captured:
            return captured
    raise AssertionError("dvm.compile lowers what it captures")


def _lower(captured: _Captured) -> dict[str, float]:
    """Milliseconds of each step, and of all."""
    module = fx.GraphModule(captured.module, copy.deepcopy(captured.module.graph))
    nodes = {node.name: node for node in module.graph.nodes}
    lifted = {nodes[node.name]: value for node, value in captured.lifted.items()}
    start = time.thread_time()
    lowered = lower.lower(module, "inference", Options(), lifted=lifted)
    taken = time.thread_time() - start
    return {**lowered.compilation.steps, "all": taken * 1e3}


def main() -> dict[str, Any]:
    """`nodes` that were captured, and for each step its `first`, `best` and `median` milliseconds."""
    captured = _capture()
    runs = [_lower(captured) for _ in range(TIMES + 1)]
    steps = {
        step: {
            "first": runs[0][step],
            "best": min(run[step] for run in runs),
            "median": statistics.median(run[step] for run in runs[1:]),
        }
        for step in runs[0]
    }
    return {"nodes": len(captured.module.graph.nodes), "steps": steps}


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
