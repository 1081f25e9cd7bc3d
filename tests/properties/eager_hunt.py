"""Looks for random eager programs that a scope runs otherwise than eager, and prints each kind of failure once, small:

    python tests/properties/eager_hunt.py --scope dvm.torch:fuse --options least_elements=0 --count 1000

The tests of random_eager_test.py stop at the first; this goes on. The seed in work stands on stderr, for crashes.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import importlib
import re
import sys
import time

from choosing import Seeded
from eager_judge import failing
from eager_outcome import HEADER
from random_eager import RandomEager


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scope", default="dvm.torch:fuse", help="MODULE:NAME of what makes a context"
    )
    parser.add_argument("--options", default="", help="of the scope: least_elements=0,limit=3")
    parser.add_argument("--but", default="", help="facts not to compare: stride,version")
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--count", type=int, default=1000, help="of programs")
    parser.add_argument(
        "--statements", type=int, default=0, help="in a program; default: 8, 14 or 20"
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="to stop after")
    given = parser.parse_args()
    module, name = given.scope.split(":")
    options = dict(each.split("=") for each in given.options.split(",") if each)
    maker = getattr(importlib.import_module(module), name)
    scope = functools.partial(maker, **{option: int(value) for option, value in options.items()})
    faulthandler.enable()
    kinds: dict[str, int] = {}
    end = time.monotonic() + given.seconds
    done = 0
    for seed in range(given.first, given.first + given.count):
        if time.monotonic() > end:
            break
        sys.stderr.write(f"\r{seed}")
        sys.stderr.flush()
        program = RandomEager(Seeded(seed), given.statements or 8 + seed % 3 * 6, seed)
        found = failing(program.parts, seed, scope, [each for each in given.but.split(",") if each])
        done += 1
        if found is not None:
            kind = _kind(found)
            kinds[kind] = kinds.get(kind, 0) + 1
            if kinds[kind] == 1:
                sys.stdout.write(f"--- seed {seed}\n{found.removeprefix(HEADER)}\n\n")
                sys.stdout.flush()
    sys.stdout.write(f"\n{done} programs, {sum(kinds.values())} failures of {len(kinds)} kinds\n")


def _kind(failure: str) -> str:
    """What failures have in common that are probably one: what came and what was wanted, without names and numbers."""
    wrong = [line for line in failure.splitlines() if line.startswith("# ")]
    return re.sub(r"[-+]?\d[\d.e+-]*|nan|inf|\s", "", wrong[0] if wrong else failure)


if __name__ == "__main__":
    main()
