"""Runs layers of experts: each token goes to the two that a router picks, so an expert gets other rows every time."""

import argparse

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


class Expert(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gate = nn.Linear(width, 2 * width, bias=False)
        self.up = nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x):
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    def __init__(self, width, count):
        super().__init__()
        self.router = nn.Linear(width, count, bias=False)
        self.experts = nn.ModuleList(Expert(width) for _ in range(count))

    def forward(self, x):
        weights, chosen = torch.topk(torch.softmax(self.router(x), -1), 2)
        weights = weights / weights.sum(-1, keepdim=True)
        result = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, rank = torch.where(chosen == number)
            if len(rows) == 0:
                continue
            result.index_add_(0, rows, expert(x[rows]) * weights[rows, rank, None])
        return result


def prepare(args):
    torch.manual_seed(args.seed)
    layers = nn.ModuleList(Experts(args.width, args.experts) for _ in range(2)).eval()
    norm = nn.RMSNorm(args.width)

    def step():
        with torch.no_grad():
            x = torch.randn(args.tokens, args.width)
            for layer in layers:
                x = x + layer(norm(x))
            return x.abs().mean().item()

    return step


def main(args):
    step = prepare(args)
    means = [step() for _ in range(args.steps)]
    for number, mean in enumerate(means):
        if number % 10 == 0:
            print(f"batch {number}: mean magnitude {mean:.6f}")
    return {"means": means}


if __name__ == "__main__":
    main(arguments())
