"""Layers of real width with random weights, one of each, for counting kernels: those of transformers, and the
building blocks that they share. The models of `dvm.bench.zoo` are whole and small; these are parts and wide.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from dvm.bench.zoo.build import seeded, transformers

BATCH, LENGTH = 2, 128
PATCHES = 197  # of an image of 224 by 224, and one token more
_WIDTH, _HEADS, _KEY_HEADS, _HEAD = 768, 12, 4, 64
_FRAMES = 300  # of Whisper

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Layer:
    """A part of a model, and arguments of the sizes that bytes are told for."""

    name: str
    build: Callable[[], Callable[..., Any]]
    inputs: Callable[[], Tensors]
    axes: tuple[tuple[int, ...], ...]
    """For each argument the axes whose sizes are symbolic: those of batch and length."""

    packages: tuple[str, ...] = ()


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def _hidden(length: int = LENGTH, width: int = _WIDTH) -> Callable[[], Tensors]:
    return lambda: (_random(BATCH, length, width),)


# Layers of transformers.


def _part(family: str, name: str, config: Any, *args: Any) -> nn.Module:
    """An instance of a class inside the files of a model, with torch's fused attention."""
    config._attn_implementation = "sdpa"
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    return seeded(lambda: getattr(module, name)(config, *args))


def _grouped(config: Callable[..., Any], **more: Any) -> Any:
    """Three query heads to each head of keys and values."""
    return config(
        hidden_size=_WIDTH, intermediate_size=2048, num_attention_heads=_HEADS,
        num_key_value_heads=_KEY_HEADS, num_hidden_layers=1, **more,
    )  # fmt: skip


class _Rotated(nn.Module):
    """A layer that is given the cosines and sines of its positions."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Any:
        return self.layer(hidden, position_embeddings=(cos, sin))


class _RotatedStep(nn.Module):
    """The same for a few tokens more than the cache holds, whose keys and values come back longer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.new_cache = transformers().DynamicCache

    def forward(
        self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
        keys: torch.Tensor, values: torch.Tensor,
    ) -> Any:  # fmt: skip
        cache = self.new_cache([(keys, values)])
        made = self.layer(
            hidden, position_embeddings=(cos, sin), past_key_values=cache, use_cache=True
        )
        return made, cache.layers[0].keys, cache.layers[0].values


class _MambaStep(nn.Module):
    """One token more through a Mamba block, with the inputs and the state that it remembers."""

    def __init__(self, block: nn.Module, config: Any) -> None:
        super().__init__()
        self.block = block
        self.config = config
        self.new_cache = transformers().DynamicCache

    def forward(self, hidden: torch.Tensor, recent: torch.Tensor, state: torch.Tensor) -> Any:
        cache = self.new_cache(config=self.config)
        cache.update_conv_state(recent, 0)
        cache.update_recurrent_state(state, 0)
        made = self.block(hidden, cache_params=cache)
        return made, cache.get_conv_state(0), cache.get_recurrent_state(0)


class _Biased(nn.Module):
    """T5's layer, whose positions are a bias of the scores."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, hidden: torch.Tensor, bias: torch.Tensor) -> Any:
        return self.block(hidden, position_bias=bias)[0]


class _Unmasked(nn.Module):
    """A layer that wants to be told that there is no mask."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: torch.Tensor) -> Any:
        return self.layer(hidden, None)


def _bert() -> nn.Module:
    return _part("bert", "BertLayer", transformers().BertConfig())


def _gpt2() -> nn.Module:
    return _part("gpt2", "GPT2Block", transformers().GPT2Config(n_layer=1), 0)


def _vit() -> nn.Module:
    return _part("vit", "ViTLayer", transformers().ViTConfig())


def _llama() -> nn.Module:
    return _part("llama", "LlamaDecoderLayer", _grouped(transformers().LlamaConfig), 0)


def _qwen3() -> nn.Module:
    config = _grouped(transformers().Qwen3Config, head_dim=_HEAD)
    return _part("qwen3", "Qwen3DecoderLayer", config, 0)


def _t5() -> nn.Module:
    return _Biased(_part("t5", "T5Block", transformers().T5Config(), False, 0)).eval()


def _whisper() -> nn.Module:
    return _Unmasked(_part("whisper", "WhisperEncoderLayer", transformers().WhisperConfig())).eval()


def _mamba_step() -> nn.Module:
    config = transformers().MambaConfig(num_hidden_layers=1)
    return _MambaStep(_part("mamba", "MambaBlock", config, 0), config).eval()


def _rotated(length: int = LENGTH) -> Tensors:
    angles = _random(BATCH, length, _HEAD)
    return _random(BATCH, length, _WIDTH), angles.cos(), angles.sin()


def _masked() -> Tensors:
    return *_hidden()(), torch.zeros(BATCH, 1, LENGTH, LENGTH)


def _biased() -> Tensors:
    return *_hidden(width=512)(), _random(1, 8, LENGTH, LENGTH)


def _remembered() -> Tensors:
    inner = 2 * _WIDTH
    return *_hidden(1)(), _random(BATCH, inner, 4), _random(BATCH, inner, 16)


def _rotated_step() -> Tensors:
    past = _random(BATCH, _KEY_HEADS, LENGTH, _HEAD)
    return *_rotated(3), past, past.clone()


_NEEDS = ("transformers",)
_TOKENS, _TABLE, _STATE, _FIXED = (0, 1), (0, 2), (0,), ()

LAYERS = [
    Layer("bert-layer", _bert, _masked, (_TOKENS, (0, 2, 3)), _NEEDS),
    Layer("llama-layer", lambda: _Rotated(_llama()).eval(), _rotated, (_TOKENS,) * 3, _NEEDS),
    Layer(
        "llama-layer-step",
        lambda: _RotatedStep(_llama()).eval(),
        _rotated_step,
        (*(_TOKENS,) * 3, _TABLE, _TABLE),
        _NEEDS,
    ),
    Layer("vit-block", _vit, _hidden(PATCHES), (_TOKENS,), _NEEDS),
    Layer("qwen3-layer", lambda: _Rotated(_qwen3()).eval(), _rotated, (_TOKENS,) * 3, _NEEDS),
    Layer("gpt2-block", _gpt2, _hidden(), (_TOKENS,), _NEEDS),
    Layer("t5-layer", _t5, _biased, (_TOKENS, (2, 3)), _NEEDS),
    Layer("whisper-layer", _whisper, _hidden(_FRAMES, 384), (_TOKENS,), _NEEDS),
    Layer("mamba-block-step", _mamba_step, _remembered, (_STATE,) * 3, _NEEDS),
]


# What layers are made of.


def softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Attention's, of scores[batch, heads, length, length] and a mask that is added."""
    return torch.softmax(scores * 0.125 + mask, -1)


def layer_norm(x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Of a sum, as after attention."""
    return functional.layer_norm(x + residual, (x.shape[-1],), weight)


def rms_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a sum, which the next residual needs too."""
    total = x + residual
    return total * torch.rsqrt(total.pow(2).mean(-1, keepdim=True) + 1e-6) * weight, total


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Llama's activation."""
    return functional.silu(gate) * up


def rotary(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Positions as angles, on x[batch, heads, length, 64]."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens that count, of length 1."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
    return functional.normalize(mean, p=2.0, dim=1)


def embeddings(
    ids: torch.Tensor, words: torch.Tensor, positions: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Words and positions, added and normalised."""
    found = functional.embedding(ids, words) + positions[: ids.shape[1]]
    return functional.layer_norm(found, (words.shape[1],), weight)


def _scores() -> Tensors:
    return _random(BATCH, _HEADS, LENGTH, LENGTH), _random(BATCH, 1, 1, LENGTH)


def _rows() -> Tensors:
    return _random(BATCH, LENGTH, _WIDTH), _random(BATCH, LENGTH, _WIDTH), _random(_WIDTH)


def _gates() -> Tensors:
    return _random(BATCH, LENGTH, 2048), _random(BATCH, LENGTH, 2048)


def _heads() -> Tensors:
    angles = _random(LENGTH, _HEAD)
    return _random(BATCH, _HEADS, LENGTH, _HEAD), angles.cos(), angles.sin()


def _counted() -> Tensors:
    return *_hidden()(), torch.ones(BATCH, LENGTH, dtype=torch.long)


def _tables() -> Tensors:
    ids = torch.arange(BATCH * LENGTH).reshape(BATCH, LENGTH)
    return ids, _random(5000, _WIDTH), _random(512, _WIDTH), _random(_WIDTH)


BLOCKS = [
    Layer("softmax", lambda: softmax, _scores, ((0, 2, 3), (0, 3))),
    Layer("layer_norm", lambda: layer_norm, _rows, (_TOKENS, _TOKENS, _FIXED)),
    Layer("rms_norm", lambda: rms_norm, _rows, (_TOKENS, _TOKENS, _FIXED)),
    Layer("swiglu", lambda: swiglu, _gates, (_TOKENS, _TOKENS)),
    Layer("rotary", lambda: rotary, _heads, ((0, 2), (0,), (0,))),
    Layer("pooling", lambda: pooling, _counted, (_TOKENS, _TOKENS)),
    Layer("embeddings", lambda: embeddings, _tables, (_TOKENS, _FIXED, _FIXED, _FIXED)),
]
