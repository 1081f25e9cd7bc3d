"""Models of two parts, where what writes looks at what was read: T5's decoder with its cache, and Whisper."""

from __future__ import annotations

from typing import Any

import torch

from dvm.bench.zoo.build import HIDDEN, VOCABULARY, Outputs, random_ids, seeded, transformers
from dvm.bench.zoo.entry import Entry, Inputs, Sizes

LAYERS, HEADS, HEAD_SIZE = 2, 4, 16
FRAMES, MELS = 64, 16


class _T5Step(torch.nn.Module):
    """T5's decoder on a few more tokens: past holds, per layer, own keys and values, then those of the encoder."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, encoded: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        library = transformers()
        own = list(zip(past[::2], past[1::2], strict=True))
        cache = library.EncoderDecoderCache(library.DynamicCache(own), library.DynamicCache())
        output = self.model(
            decoder_input_ids=input_ids,
            encoder_outputs=(encoded,),
            past_key_values=cache,
            use_cache=True,
        )
        layers = cache.self_attention_cache.layers
        return (output.logits, *(state for layer in layers for state in (layer.keys, layer.values)))


def _t5_step() -> torch.nn.Module:
    library = transformers()
    config = library.T5Config(
        vocab_size=VOCABULARY, d_model=HIDDEN, d_kv=HEAD_SIZE, d_ff=2 * HIDDEN, num_layers=LAYERS,
        num_heads=HEADS, decoder_start_token_id=0,
    )  # fmt: skip
    return seeded(lambda: _T5Step(library.T5ForConditionalGeneration(config)))


def _t5_inputs(sizes: Sizes, generator: torch.Generator) -> Inputs:
    batch = sizes["batch"]
    encoded = torch.randn(batch, sizes["source"], HIDDEN, generator=generator)
    shape = (batch, HEADS, sizes["past"], HEAD_SIZE)
    past = [torch.randn(shape, generator=generator) for _ in range(2 * LAYERS)]
    return (random_ids((batch, sizes["tokens"]), generator), encoded, *past)


class Speech(Outputs):
    """The scores of every token that was written of what was heard."""

    def forward(self, features: torch.Tensor, input_ids: torch.Tensor) -> Any:
        output = self.model(input_features=features, decoder_input_ids=input_ids, use_cache=False)
        return self.tensors(output)


def _whisper() -> torch.nn.Module:
    library = transformers()
    config = library.WhisperConfig(
        vocab_size=VOCABULARY, d_model=HIDDEN, num_mel_bins=MELS, max_source_positions=FRAMES // 2,
        max_target_positions=128, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS,
        encoder_ffn_dim=2 * HIDDEN, decoder_ffn_dim=2 * HIDDEN,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return seeded(lambda: Speech(library.WhisperForConditionalGeneration(config), "logits"))


def _speech(sizes: Sizes, generator: torch.Generator) -> Inputs:
    batch = sizes["batch"]
    features = torch.randn(batch, MELS, FRAMES, generator=generator)
    return features, random_ids((batch, sizes["tokens"]), generator)


_NEEDS = ("transformers",)
_BATCH = {"batch": range(2, 7)}

ENTRIES = [
    Entry(
        "t5-decoder-step",
        _t5_step,
        _t5_inputs,
        {**_BATCH, "tokens": range(2, 9), "past": range(2, 65), "source": range(2, 65)},
        (
            {0: "batch", 1: "tokens"},
            {0: "batch", 1: "source"},
            *({0: "batch", 2: "past"} for _ in range(2 * LAYERS)),
        ),
        packages=_NEEDS,
    ),
    Entry(
        "whisper",
        _whisper,
        _speech,
        {**_BATCH, "tokens": range(2, 65)},
        ({0: "batch"}, {0: "batch", 1: "tokens"}),
        packages=_NEEDS,
    ),
]
