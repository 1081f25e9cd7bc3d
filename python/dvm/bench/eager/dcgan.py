"""Trains a generator of pictures against a discriminator, both of convolutions."""

import argparse

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def generator(latent, channels):
    return nn.Sequential(
        nn.ConvTranspose2d(latent, 4 * channels, 4, 1, 0, bias=False),
        nn.BatchNorm2d(4 * channels),
        nn.ReLU(True),
        nn.ConvTranspose2d(4 * channels, 2 * channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(True),
        nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(True),
        nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator(channels):
    return nn.Sequential(
        nn.Conv2d(3, channels, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(2 * channels, 4 * channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4 * channels),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4 * channels, 1, 4, 1, 0, bias=False),
        nn.Flatten(0),
    )


def pictures(count):
    """Stripes of random widths and colours, 32 x 32."""
    across = torch.linspace(0, 6.28, 32)
    waves = torch.sin(across * torch.randint(1, 5, (count, 1)) + torch.rand(count, 1) * 6)
    colours = torch.rand(count, 3, 1, 1) * 2 - 1
    return colours * waves[:, None, None, :] * torch.ones(32, 1)


def prepare(args):
    torch.manual_seed(args.seed)
    make, judge = generator(args.latent, args.channels), discriminator(args.channels)
    for module in [*make.modules(), *judge.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
    makers = torch.optim.Adam(make.parameters(), lr=2e-4, betas=(0.5, 0.999))
    judges = torch.optim.Adam(judge.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loss_of = nn.BCEWithLogitsLoss()
    real, fake = torch.ones(args.batch), torch.zeros(args.batch)

    def step():
        made = make(torch.randn(args.batch, args.latent, 1, 1))
        judges.zero_grad()
        judged = loss_of(judge(pictures(args.batch)), real)
        judged = judged + loss_of(judge(made.detach()), fake)
        judged.backward()
        judges.step()
        makers.zero_grad()
        fooled = loss_of(judge(made), real)
        fooled.backward()
        makers.step()
        return judged.item() + fooled.item()

    return step


def main(args):
    step = prepare(args)
    losses = [step() for _ in range(args.steps)]
    for number, loss in enumerate(losses):
        if number % 5 == 0:
            print(f"step {number}: both losses {loss:.5f}")
    return {"losses": losses}


if __name__ == "__main__":
    main(arguments())
