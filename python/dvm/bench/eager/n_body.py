"""Simulates bodies that attract each other, all pairs, with the leapfrog method and steps as long as speeds allow."""

import argparse

import torch


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--bodies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def attraction(places, masses):
    apart = places[None, :, :] - places[:, None, :]
    squared = (apart**2).sum(-1) + 0.01
    pull = masses * squared.rsqrt() / squared
    return (apart * pull[..., None]).sum(1)


def prepare(args):
    torch.manual_seed(args.seed)
    places = torch.randn(args.bodies, 3)
    speeds = 0.3 * torch.randn(args.bodies, 3)
    masses = torch.rand(args.bodies) / args.bodies
    pulls = attraction(places, masses)

    def step():
        nonlocal pulls
        fastest = speeds.norm(dim=1).max()
        length = 0.02
        while length * fastest > 0.05:
            length /= 2
        speeds.add_(pulls, alpha=length / 2)
        places.add_(speeds, alpha=length)
        pulls = attraction(places, masses)
        speeds.add_(pulls, alpha=length / 2)
        return float(0.5 * (masses[:, None] * speeds**2).sum())

    return step


def main(args):
    step = prepare(args)
    energies = [step() for _ in range(args.steps)]
    for number, energy in enumerate(energies):
        if number % 10 == 0:
            print(f"step {number}: energy of motion {energy:.6f}")
    return {"energies": energies}


if __name__ == "__main__":
    main(arguments())
