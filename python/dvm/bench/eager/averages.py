"""Keeps moving averages of weights that change: two decays, a bias correction, and how far both have drifted."""

import argparse

import torch


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def prepare(args):
    torch.manual_seed(args.seed)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(args.width, args.width) for _ in range(args.layers))
    )
    slow = {name: value.detach().clone() for name, value in model.state_dict().items()}
    fast = {name: torch.zeros_like(value) for name, value in slow.items()}
    count = 0

    @torch.no_grad()
    def step():
        nonlocal count
        count += 1
        drift = 0.0
        for name, value in model.state_dict().items():
            value.mul_(0.999).add_(0.001 * torch.sin(value * 50))
            slow[name].lerp_(value, 0.01)
            fast[name] = 0.9 * fast[name] + 0.1 * value
            corrected = fast[name] / (1 - 0.9**count)
            drift = drift + (corrected - slow[name]).square().mean()
        return drift.sqrt().item()

    return step


def main(args):
    step = prepare(args)
    drifts = [step() for _ in range(args.steps)]
    for number, drift in enumerate(drifts):
        if number % 5 == 0:
            print(f"step {number}: drift {drift:.7f}")
    return {"drifts": drifts}


if __name__ == "__main__":
    main(arguments())
