"""Simulates waves on a pond with walls and a stone that falls now and then: a stencil of slices, updated in place."""

import argparse

import torch


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def prepare(args):
    torch.manual_seed(args.seed)
    height = torch.zeros(args.side, args.side)
    speed = torch.zeros(args.side, args.side)
    depth = 0.1 + 0.15 * torch.rand(args.side, 1)  # deeper water carries waves faster
    across = torch.arange(args.side)
    count = iter(range(10**9))

    def step():
        number = next(count)
        if number % 20 == 0:
            row, column = torch.randint(0, args.side, (2,)).tolist()
            stone = torch.exp(-((across[:, None] - row) ** 2 + (across - column) ** 2) / 50.0)
            height.sub_(stone)
        middle = height[1:-1, 1:-1]
        around = height[:-2, 1:-1] + height[2:, 1:-1] + height[1:-1, :-2] + height[1:-1, 2:]
        speed[1:-1, 1:-1] += depth[1:-1] * (around - 4 * middle)
        speed.mul_(0.998)
        height.add_(speed)
        height[0], height[-1], height[:, 0], height[:, -1] = 0, 0, 0, 0
        if number % 10 == 0:
            energy = 0.5 * (speed.square().sum() + (height[1:] - height[:-1]).square().sum())
            return energy.item()
        return 0.0

    return step


def main(args):
    step = prepare(args)
    energies = [step() for _ in range(args.steps)]
    for number, energy in enumerate(energies):
        if number % 20 == 0:
            print(f"step {number}: energy {energy:.5f}")
    return {"energies": energies}


if __name__ == "__main__":
    main(arguments())
