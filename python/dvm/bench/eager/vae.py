"""Trains a variational autoencoder on pictures of random blobs."""

import argparse

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--hidden", type=int, default=400)
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


class Autoencoder(nn.Module):
    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.inward = nn.Linear(pixels, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.spread = nn.Linear(hidden, latent)
        self.outward = nn.Linear(latent, hidden)
        self.picture = nn.Linear(hidden, pixels)

    def forward(self, x):
        h = torch.relu(self.inward(x))
        mean, spread = self.mean(h), self.spread(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * spread)
        return torch.sigmoid(self.picture(torch.relu(self.outward(z)))), mean, spread


def blobs(count, side):
    """Pictures, flat, each of a bump somewhere."""
    across = torch.linspace(-1, 1, side)
    at = torch.rand(count, 2, 1) - 0.5
    rows = torch.exp(-20 * (across - at[:, 0]) ** 2)
    columns = torch.exp(-20 * (across - at[:, 1]) ** 2)
    return (rows[:, :, None] * columns[:, None, :]).flatten(1)


def prepare(args):
    torch.manual_seed(args.seed)
    model = Autoencoder(args.side**2, args.hidden, args.latent)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step():
        x = blobs(args.batch, args.side)
        again, mean, spread = model(x)
        likeness = nn.functional.binary_cross_entropy(again, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + spread - mean.pow(2) - spread.exp())
        loss = (likeness + divergence) / args.batch
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main(args):
    step = prepare(args)
    losses = [step() for _ in range(args.steps)]
    for number, loss in enumerate(losses):
        if number % 10 == 0:
            print(f"step {number}: loss {loss:.4f}")
    return {"losses": losses}


if __name__ == "__main__":
    main(arguments())
