"""Keeps the best of boxes that overlap (non-maximum suppression): a loop that ends when no box is left."""

import argparse

import torch


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--boxes", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def overlap(box, boxes):
    """The area that a box has in common with each of some, as a share of what both cover."""
    corner = torch.maximum(box[:2], boxes[:, :2])
    other = torch.minimum(box[2:], boxes[:, 2:])
    both = (other - corner).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / ((box[2:] - box[:2]).prod() + areas - both)


def suppress(boxes, scores, limit=0.3):
    order = scores.argsort(descending=True)
    kept = []
    while order.numel() > 0:
        best = order[0]
        kept.append(best)
        rest = order[1:]
        order = rest[overlap(boxes[best], boxes[rest]) <= limit]
    return torch.stack(kept)


def prepare(args):
    torch.manual_seed(args.seed)

    def step():
        centres = torch.rand(60, 2)[torch.randint(0, 60, (args.boxes,))]
        centres = centres + 0.01 * torch.randn(args.boxes, 2)
        sizes = 0.05 + 0.1 * torch.rand(args.boxes, 2)
        boxes = torch.cat([centres - sizes / 2, centres + sizes / 2], 1).clamp(0, 1)
        kept = suppress(boxes, torch.rand(args.boxes))
        return float((kept * torch.arange(1, len(kept) + 1)).sum())

    return step


def main(args):
    step = prepare(args)
    sums = [step() for _ in range(args.steps)]
    for number, total in enumerate(sums):
        print(f"picture {number}: the boxes that are kept add up to {total:.0f}")
    return {"sums": sums}


if __name__ == "__main__":
    main(arguments())
