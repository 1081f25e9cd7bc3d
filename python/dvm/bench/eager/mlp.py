"""Trains a multilayer perceptron to tell classes of random points, with Adam."""

import argparse

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--inputs", type=int, default=784)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


class Perceptron(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.last = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = self.dropout(torch.relu(self.first(x)))
        x = x + self.dropout(nn.functional.gelu(self.second(self.norm(x))))
        return self.last(x)


def prepare(args):
    torch.manual_seed(args.seed)
    model = Perceptron(args.inputs, args.hidden, args.classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    centres = torch.randn(args.classes, args.inputs)

    def step():
        labels = torch.randint(0, args.classes, (args.batch,))
        points = centres[labels] + 2 * torch.randn(args.batch, args.inputs)
        points = (points - points.mean(0)) / (points.std(0) + 1e-5)
        loss = nn.functional.cross_entropy(model(points), labels)
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
            print(f"step {number}: loss {loss:.5f}")
    return {"losses": losses}


if __name__ == "__main__":
    main(arguments())
