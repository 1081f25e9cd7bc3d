"""Samples pictures from a diffusion model (DDIM and its noise), with a small network of time and place."""

import argparse
import math

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


class Denoiser(nn.Module):
    """Says of every pixel what of it is noise; the pixels of a row know of each other."""

    def __init__(self, width, side):
        super().__init__()
        self.width = width
        self.inward = nn.Linear(3, width)
        self.time = nn.Linear(width, 2 * width)
        self.along = nn.Linear(side, side)
        self.middle = nn.Linear(width, width)
        self.norm = nn.GroupNorm(8, width)
        self.outward = nn.Linear(width, 3)

    def forward(self, x, time):
        rates = torch.exp(-math.log(10_000) * torch.arange(0, self.width, 2) / self.width)
        angles = time[:, None] * rates
        known = torch.cat([angles.sin(), angles.cos()], -1)
        scale, shift = nn.functional.silu(self.time(known))[:, None, None].chunk(2, -1)
        h = self.inward(x)
        h = h * (1 + scale) + shift
        h = h + self.along(h.transpose(2, 3)).transpose(2, 3)
        h = self.norm(nn.functional.silu(h).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.outward(h + nn.functional.silu(self.middle(h)))


def prepare(args):
    torch.manual_seed(args.seed)
    model = Denoiser(args.width, args.side).eval()
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    times = torch.linspace(999, 0, args.steps + 1).long()
    state = {"x": torch.randn(args.batch, args.side, args.side, 3), "at": 0}

    @torch.no_grad()
    def step():
        now, after = times[state["at"]], times[state["at"] + 1]
        x = state["x"]
        noise = model(x, now.expand(args.batch).float())
        clean = ((x - (1 - kept[now]).sqrt() * noise) / kept[now].sqrt()).clamp(-1, 1)
        spread = 0.2 * ((1 - kept[after]) / (1 - kept[now])).sqrt()
        spread = spread * (1 - kept[now] / kept[after]).clamp(min=0).sqrt()
        toward = (1 - kept[after] - spread**2).clamp(min=0).sqrt() * noise
        x = kept[after].sqrt() * clean + toward
        if after > 0:
            x = x + spread * torch.randn_like(x)
        state["x"], state["at"] = x, (state["at"] + 1) % args.steps
        return x.square().mean().item()

    return step


def main(args):
    step = prepare(args)
    powers = [step() for _ in range(args.steps)]
    for number, power in enumerate(powers):
        if number % 10 == 0:
            print(f"step {number}: power {power:.5f}")
    return {"powers": powers}


if __name__ == "__main__":
    main(arguments())
