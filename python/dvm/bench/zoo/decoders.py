"""Models that write token by token: GPT-2, Llama, Qwen3 and Mamba on a whole text, and steps that add a few tokens to
what a cache of keys and values remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from dvm.bench.zoo.build import HIDDEN, VOCABULARY, Outputs, random_ids, seeded, transformers
from dvm.bench.zoo.entry import Entry, Inputs, Sizes

LAYERS, HEADS, KEY_HEADS, HEAD_SIZE = 2, 4, 2, 16
STATES, CONVOLUTION = 8, 4  # of Mamba

_TEXT = {"batch": range(2, 7), "tokens": range(2, 97)}
_STEP = {"batch": range(2, 7), "tokens": range(2, 9), "past": range(2, 97)}


def causal_model(name: str) -> torch.nn.Module:
    """A causal language model of transformers with random weights: gpt2, llama, qwen3 or mamba."""
    return seeded(lambda: _MODELS[name](transformers()))


def _gpt2(library: Any) -> torch.nn.Module:
    config = library.GPT2Config(
        vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_positions=256,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model: torch.nn.Module = library.GPT2LMHeadModel(config)
    return model


def _llama(library: Any) -> torch.nn.Module:
    model: torch.nn.Module = library.LlamaForCausalLM(library.LlamaConfig(**_grouped()))
    return model


def _qwen3(library: Any) -> torch.nn.Module:
    config = library.Qwen3Config(head_dim=HEAD_SIZE, **_grouped())
    model: torch.nn.Module = library.Qwen3ForCausalLM(config)
    return model


def _grouped() -> dict[str, Any]:
    """Two query heads to each head of keys and values."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def _mamba(library: Any) -> torch.nn.Module:
    config = library.MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        state_size=STATES,
        conv_kernel=CONVOLUTION,
        num_hidden_layers=LAYERS,
    )
    model: torch.nn.Module = library.MambaForCausalLM(config)
    return model


_MODELS: dict[str, Callable[[Any], torch.nn.Module]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "qwen3": _qwen3,
    "mamba": _mamba,
}


class _Whole(Outputs):
    """The scores of every token of a text."""

    def forward(self, input_ids: torch.Tensor) -> Any:
        return self.tensors(self.model(input_ids=input_ids, use_cache=False))


class Step(torch.nn.Module):
    """The scores of a few more tokens after those that the cache holds, and the longer cache."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.new_cache = transformers().DynamicCache

    def forward(self, input_ids: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = self.new_cache(list(zip(past[::2], past[1::2], strict=True)))
        output = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        kept = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        return (output.logits, *kept)


class _MambaStep(torch.nn.Module):
    """The scores of one more token, and what Mamba remembers: the last inputs and the state of each layer."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.new_cache = transformers().DynamicCache

    def forward(self, input_ids: torch.Tensor, *memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = self.new_cache(config=self.model.config)
        for layer in range(LAYERS):
            cache.update_conv_state(memory[2 * layer], layer)
            cache.update_recurrent_state(memory[2 * layer + 1], layer)
        logits = self.model(input_ids=input_ids, cache_params=cache, use_cache=True).logits
        kept = [
            state
            for layer in range(LAYERS)
            for state in (cache.get_conv_state(layer), cache.get_recurrent_state(layer))
        ]
        return (logits, *kept)


def _mamba_step() -> torch.nn.Module:
    return _MambaStep(causal_model("mamba")).eval()


def _one(sizes: Sizes, generator: torch.Generator) -> Inputs:
    batch, inner = sizes["batch"], 2 * HIDDEN
    widths = [CONVOLUTION, STATES] * LAYERS
    memory = [torch.randn(batch, inner, width, generator=generator) for width in widths]
    return (random_ids((batch, 1), generator), *memory)


def _whole(name: str) -> torch.nn.Module:
    return _Whole(causal_model(name), "logits").eval()


def _step(name: str) -> torch.nn.Module:
    return Step(causal_model(name)).eval()


def _text(sizes: Sizes, generator: torch.Generator) -> Inputs:
    return (random_ids((sizes["batch"], sizes["tokens"]), generator),)


def _more(heads: int, sizes: Sizes, generator: torch.Generator) -> Inputs:
    shape = (sizes["batch"], heads, sizes["past"], HEAD_SIZE)
    past = [torch.randn(shape, generator=generator) for _ in range(2 * LAYERS)]
    return (random_ids((sizes["batch"], sizes["tokens"]), generator), *past)


_TEXT_AXES = ({0: "batch", 1: "tokens"},)
_STEP_AXES = (*_TEXT_AXES, *({0: "batch", 2: "past"} for _ in range(2 * LAYERS)))
_NEEDS = ("transformers",)


def _entries(name: str, heads: int) -> list[Entry]:
    return [
        Entry(name, partial(_whole, name), _text, _TEXT, _TEXT_AXES, packages=_NEEDS),
        Entry(
            f"{name}-step", partial(_step, name), partial(_more, heads), _STEP, _STEP_AXES,
            packages=_NEEDS,
        ),
    ]  # fmt: skip


ENTRIES = [
    *_entries("gpt2", HEADS),
    *_entries("llama", KEY_HEADS),
    *_entries("qwen3", KEY_HEADS),
    # torch unrolls the scan over the tokens, so it compiles every length anew; a step is for all.
    Entry("mamba", partial(_whole, "mamba"), _text, _TEXT, _TEXT_AXES, packages=_NEEDS),
    Entry(
        "mamba-step",
        _mamba_step,
        _one,
        {
            "batch": range(2, 16)
        },  # from 16 rows on torch lays convolutions out otherwise: a graph more
        tuple({0: "batch"} for _ in range(1 + 2 * LAYERS)),
        packages=_NEEDS,
    ),
]
