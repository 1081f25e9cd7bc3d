"""Trains a tree-LSTM on random trees, node by node: the program's shape is that of its data."""

import argparse
import random

import torch
from torch import nn


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--leaves", type=int, default=20)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


WORDS = 200


class TreeLSTM(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.gates = nn.Linear(2 * width, 5 * width)
        self.answer = nn.Linear(width, 2)

    def forward(self, tree):
        if isinstance(tree, int):
            return self.words.weight[tree], torch.zeros(self.words.embedding_dim)
        (left, left_cell), (right, right_cell) = self(tree[0]), self(tree[1])
        gates = self.gates(torch.cat([left, right]))
        i, f, g, o, u = gates.chunk(5)
        cell = torch.sigmoid(i) * torch.tanh(u)
        cell = cell + torch.sigmoid(f) * left_cell + torch.sigmoid(g) * right_cell
        return torch.sigmoid(o) * torch.tanh(cell), cell


def grown(leaves, numbers):
    """A random tree of words."""
    if leaves == 1:
        return numbers.randrange(WORDS)
    left = numbers.randint(1, leaves - 1)
    return grown(left, numbers), grown(leaves - left, numbers)


def words(tree):
    return [tree] if isinstance(tree, int) else words(tree[0]) + words(tree[1])


def prepare(args):
    torch.manual_seed(args.seed)
    numbers = random.Random(args.seed)
    model = TreeLSTM(args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step():
        tree = grown(numbers.randint(2, args.leaves), numbers)
        label = torch.tensor(int(sum(words(tree)) % 2))
        hidden, _ = model(tree)
        loss = nn.functional.cross_entropy(model.answer(hidden), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main(args):
    step = prepare(args)
    losses = [step() for _ in range(args.steps)]
    for number, loss in enumerate(losses):
        if number % 5 == 0:
            print(f"tree {number}: loss {loss:.5f}")
    return {"losses": losses}


if __name__ == "__main__":
    main(arguments())
