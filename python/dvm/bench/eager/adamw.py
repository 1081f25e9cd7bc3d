"""Takes steps of AdamW on parameters like those of a language model of 100 million, with gradients made up."""

import argparse

import torch


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--millions", type=float, default=100, help="of parameters")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--plain", action="store_true", help="one parameter after the other")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def prepare(args):
    torch.manual_seed(args.seed)
    shapes = [(args.width, 4 * args.width), (4 * args.width, args.width), (4 * args.width,)]
    shapes += [(args.width, args.width), (args.width,), (args.width,)]
    model, count = [], 0
    while count < args.millions * 1e6:
        shape = shapes[len(model) % len(shapes)]
        model.append(torch.nn.Parameter(0.02 * torch.randn(shape)))
        count += model[-1].numel()
    optimizer = torch.optim.AdamW(model, lr=1e-3, foreach=not args.plain)
    for parameter in model:
        parameter.grad = torch.zeros_like(parameter)

    def step():
        for parameter in model:
            parameter.grad.copy_(parameter.detach()).mul_(0.5).add_(0.01)
        torch.nn.utils.clip_grad_norm_(model, 1.0, foreach=not args.plain)
        optimizer.step()
        return model[0][0].detach().sum().item()

    return step


def main(args):
    step = prepare(args)
    sums = [step() for _ in range(args.steps)]
    for number, total in enumerate(sums):
        print(f"step {number}: the first row adds up to {total:.6f}")
    return {"sums": sums}


if __name__ == "__main__":
    main(arguments())
