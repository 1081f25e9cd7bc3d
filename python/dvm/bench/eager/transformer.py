"""Trains a small transformer to continue a text, attention written by hand: AdamW, a schedule, clipped gradients."""

import argparse
import math

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=96)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


WORDS = 256


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.project(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = torch.softmax(scores.masked_fill(ahead, float("-inf")), dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = Attention(width, heads)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.down(nn.functional.gelu(self.up(self.norms[1](x)), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.words = nn.Embedding(WORDS, args.width)
        nn.init.normal_(self.words.weight, std=0.02)
        self.places = nn.Parameter(0.02 * torch.randn(args.length, args.width))
        self.blocks = nn.Sequential(*(Block(args.width, args.heads) for _ in range(args.layers)))
        self.norm = nn.LayerNorm(args.width)

    def forward(self, ids):
        x = self.words(ids) + self.places[: ids.shape[1]]
        return self.norm(self.blocks(x)) @ self.words.weight.T


def prepare(args):
    torch.manual_seed(args.seed)
    model = Transformer(args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / 10))
    text = (torch.arange(20_000) ** 2 // 7 + torch.randint(0, 3, (20_000,))) % WORDS

    def step():
        starts = torch.randint(0, len(text) - args.length - 1, (args.batch,))
        ids = torch.stack([text[start : start + args.length + 1] for start in starts])
        scores = model(ids[:, :-1])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    return step


def main(args):
    step = prepare(args)
    losses = [step() for _ in range(args.steps)]
    for number, loss in enumerate(losses):
        if number % 10 == 0:
            print(f"step {number}: loss {loss:.5f}")
    return {"losses": losses}


if __name__ == "__main__":
    main(arguments())
