"""The peak memory of calls of one model with one engine: `python -m dvm.bench.peak MODEL ENGINE LENGTHS BATCHES`, run
by memory.py in a process of its own with heap.c loaded. Prints JSON.

The model is compiled and called with small sizes of every batch. What is allocated then is the base: weights, code,
what libraries keep. For every other size the call is made once, so that plans are there, and then measured: the most
that is allocated during the call, less the base and the arguments. So what an engine keeps from call to call, as our
arena, counts, and so does the result.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import torch

import dvm
from dvm.bench.zoo.build import seeded, transformers

VOCABULARY = 2000


class _Hidden(torch.nn.Module):
    """The last hidden states, without scores of words, which would outweigh everything else."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> Any:
        return self.model(input_ids=input_ids).last_hidden_state


def _bert(library: Any) -> torch.nn.Module:
    model: torch.nn.Module = library.BertModel(library.BertConfig(vocab_size=VOCABULARY))
    return model


def _llama(library: Any) -> torch.nn.Module:
    config = library.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=4, use_cache=False,
    )  # fmt: skip
    model: torch.nn.Module = library.LlamaModel(config)
    return model


MODELS: dict[str, Callable[[Any], torch.nn.Module]] = {"bert-base": _bert, "llama": _llama}


def _engine(name: str, model: torch.nn.Module, ids: torch.Tensor) -> Callable[..., Any]:
    if name == "eager":
        return model
    if name == "dvm.compile":
        axes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", max=512)}
        return dvm.compile(model, (ids,), dynamic_shapes=(axes,))
    compiled: Callable[..., Any] = torch.compile(model, backend=name, dynamic=True)
    return compiled


def _ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(0))


def main(model: str, engine: str, lengths: list[int], batches: list[int]) -> list[dict[str, int]]:
    """The bytes of each size."""
    heap = ctypes.CDLL(None)
    heap.heap_live.restype = heap.heap_peak.restype = ctypes.c_long
    module = seeded(lambda: _Hidden(MODELS[model](transformers())))
    measured = []
    with torch.inference_mode():
        call = _engine(engine, module, _ids(3, 7))
        for batch in [3, *batches]:
            call(_ids(batch, 7))
            call(_ids(batch, 5))
        gc.collect()
        base = heap.heap_live()
        sizes = [(batch, length) for batch in batches for length in lengths]
        for batch, length in sorted(sizes, key=math.prod):  # what libraries keep only grows
            ids = _ids(batch, length)
            call(ids)
            gc.collect()
            heap.heap_forget_peak()
            call(ids)
            used = heap.heap_peak() - base - ids.nbytes
            measured.append({"batch": batch, "length": length, "bytes": used})
            del ids
    return measured


if __name__ == "__main__":
    numbers = [[int(number) for number in words.split(",")] for words in sys.argv[3:5]]
    json.dump(main(sys.argv[1], sys.argv[2], *numbers), sys.stdout)
