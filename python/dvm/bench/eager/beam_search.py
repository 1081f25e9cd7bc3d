"""Continues random prompts of changing lengths by beam search with `generate`, from a small GPT-2 of random weights."""

import argparse

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--new", type=int, default=24)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def prepare(args):
    torch.manual_seed(args.seed)
    config = GPT2Config(
        vocab_size=1000, n_positions=256, n_embd=args.width, n_layer=args.layers, n_head=4,
        bos_token_id=0, eos_token_id=1, initializer_range=0.2,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    lengths = iter(range(10**9))

    def step():
        prompt = torch.randint(2, 1000, (1, 5 + 3 * next(lengths) % 11))
        with torch.no_grad():
            written = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), num_beams=args.beams,
                max_new_tokens=args.new, do_sample=False, pad_token_id=0, num_return_sequences=1,
            )  # fmt: skip
        weights = torch.arange(1, written.shape[1] + 1)
        return float((written * weights).sum())

    return step


def main(args):
    step = prepare(args)
    sums = [step() for _ in range(args.steps)]
    for number, total in enumerate(sums):
        print(f"prompt {number}: the words written add up to {total:.0f}")
    return {"sums": sums}


if __name__ == "__main__":
    main(arguments())
