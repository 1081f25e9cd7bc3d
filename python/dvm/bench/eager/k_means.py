"""Finds clusters of random points; an empty cluster gets a new centre, and a search that has settled begins anew."""

import argparse

import torch


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--clusters", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def prepare(args):
    torch.manual_seed(args.seed)
    points = torch.randn(args.clusters, args.features)[
        torch.randint(0, args.clusters, (args.points,))
    ]
    points = points * 3 + torch.randn(args.points, args.features)

    def begin():
        return points[torch.randperm(args.points)[: args.clusters]].clone()

    centres = begin()

    def step():
        nonlocal centres
        distances = (points**2).sum(1, keepdim=True) - 2 * points @ centres.T + (centres**2).sum(1)
        nearest = distances.argmin(1)
        members = torch.nn.functional.one_hot(nearest, args.clusters).float()
        counts = members.sum(0)
        moved = members.T @ points / counts.clamp(min=1)[:, None]
        if (counts == 0).any():
            empty = counts == 0
            moved[empty] = points[torch.randint(0, args.points, (int(empty.sum()),))]
        change = (moved - centres).norm().item()
        centres = moved if change > 1e-3 else begin()
        return distances.gather(1, nearest[:, None]).clamp(min=0).mean().item()

    return step


def main(args):
    step = prepare(args)
    distances = [step() for _ in range(args.steps)]
    for number, distance in enumerate(distances):
        if number % 5 == 0:
            print(f"step {number}: mean squared distance {distance:.5f}")
    return {"distances": distances}


if __name__ == "__main__":
    main(arguments())
