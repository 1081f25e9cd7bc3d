"""Whether a program does the same under a scope as in eager, and if not, the least part of it that does not.

Facts (types, shapes, strides, versions, who shares memory, what was raised and where) must be equal. Numbers must be
too, unless rounding can move them: only then the program is run a few times more, with noise (eager_outcome.py), and
they may be as far away as a few times what that did. Where noise changes facts or branches, nobody can tell who is
right.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from eager_outcome import HEADER, Noise, Outcome, Scope, Seen, run
from random_eager import Part, script

_RUNS = 4  # with noise
_MARGIN = 16.0  # of what noise did


@dataclass(frozen=True)
class Verdict:
    """`differences` says place by place what is wrong; `unclear` counts the places that noise moves too."""

    differences: Sequence[str]
    unclear: int = 0


def judge(text: str, scope: Scope, but: Collection[str] = ()) -> Verdict:
    """Runs a program in eager and under the scope, there twice: the second time the scope has seen it all. Facts `but`,
    as "stride", are not compared."""
    wanted = run(text, contextlib.nullcontext)
    for _ in range(2):
        verdict = _compare(text, run(text, scope).without(but), wanted.without(but), but)
        if verdict.differences:
            break
    return verdict


def _compare(text: str, came: Outcome, wanted: Outcome, but: Collection[str]) -> Verdict:
    places = wanted.places | came.places
    suspects = [p for p in places if not _same(came.places.get(p), wanted.places.get(p))]
    if not suspects:
        return Verdict(())
    # What lies in memory that nobody has written, eager cannot repeat.
    again = run(text, contextlib.nullcontext).without(but)
    noisy = [run(text, lambda seed=seed: Noise(seed)).without(but) for seed in range(_RUNS)]  # type: ignore[misc]
    differences, unclear = [], 0
    for place in suspects:
        repeats = _same(again.places.get(place), wanted.places.get(place))
        if not repeats or not _steady(place, wanted, noisy):
            unclear += 1
        elif not _near(place, came, wanted, noisy):
            differences.append(_difference(place, came, wanted))
    return Verdict(differences, unclear)


def _same(came: Seen | None, wanted: Seen | None) -> bool:
    if came is None or wanted is None:
        return came is wanted
    if came.facts != wanted.facts:
        return False
    if came.numbers is None or wanted.numbers is None:
        return came.numbers is wanted.numbers
    if came.numbers.shape != wanted.numbers.shape:
        return False
    signs = came.numbers.dtype.kind != "f" or bool(
        np.all((np.signbit(came.numbers) == np.signbit(wanted.numbers)) | np.isnan(came.numbers))
    )
    return signs and np.array_equal(
        came.numbers, wanted.numbers, equal_nan=came.numbers.dtype.kind == "f"
    )


def _steady(place: str, wanted: Outcome, noisy: Sequence[Outcome]) -> bool:
    """Whether noise leaves the facts of a place, which of its numbers are finite, and those that are no floats."""
    mine = wanted.places.get(place)
    for outcome in noisy:
        other = outcome.places.get(place)
        if mine is None or other is None:
            if mine is not other:
                return False
            continue
        if mine.facts != other.facts:
            return False
        if mine.numbers is None or other.numbers is None:
            continue
        if mine.numbers.shape != other.numbers.shape:
            return False
        floats = mine.numbers.dtype.kind == "f"
        if floats and not np.array_equal(np.isfinite(mine.numbers), np.isfinite(other.numbers)):
            return False
        if not floats and not np.array_equal(mine.numbers, other.numbers):
            return False
    return True


def _near(place: str, came: Outcome, wanted: Outcome, noisy: Sequence[Outcome]) -> bool:
    mine, right = came.places.get(place), wanted.places.get(place)
    if mine is None or right is None or mine.facts != right.facts:
        return False
    if mine.numbers is None or right.numbers is None or right.numbers.dtype.kind != "f":
        return _same(mine, right)
    if mine.numbers.shape != right.numbers.shape:
        return False
    finite = np.isfinite(right.numbers)
    x, y = mine.numbers.astype(np.float64), right.numbers.astype(np.float64)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return False
    others = [outcome.places[place].numbers for outcome in noisy]
    moved = np.max([np.abs(o.astype(np.float64) - y)[finite] for o in others if o is not None], 0)
    most = moved.max(initial=0.0)
    bound = _MARGIN * moved + _MARGIN / 4 * most
    if right.slack:
        bound = bound + right.slack * np.maximum(np.abs(y[finite]), 1e-1)
    return bool(np.all(np.abs(x[finite] - y[finite]) <= bound))


def _difference(place: str, came: Outcome, wanted: Outcome) -> str:
    mine, right = came.places.get(place), wanted.places.get(place)
    if mine is None or right is None:
        return f"{place}: {'is missing' if mine is None else 'is there, in eager it is not'}"
    if mine.facts != right.facts:
        pairs = [p for p in zip(mine.facts, right.facts, strict=False) if p[0] != p[1]]
        return f"{place}: came {[a for a, _ in pairs]}, eager {[b for _, b in pairs]}"
    return f"{place}: came {_short(mine.numbers)}, eager {_short(right.numbers)}"


def _short(numbers: np.ndarray | None) -> str:
    return np.array2string(np.asarray(numbers), threshold=12, edgeitems=3).replace("\n", "")


def shrink(parts: Sequence[Part], fails: Callable[[Sequence[Part]], bool]) -> list[Part]:
    """Leaves out part after part, many at a time at first, then lines of parts, as long as what is left fails."""
    left = list(parts)
    size = max(1, len(left) // 2)
    while size:
        start, shorter = 0, False
        while start < len(left):
            rest = [*left[:start], *left[start + size :]]
            if fails(rest):
                left, shorter = rest, True
            else:
                start += size
        if not shorter or size > 1:
            size //= 2
    for index in range(len(left)):
        waiting = _simpler(left[index].text)
        while waiting:
            text = waiting.pop(0)
            rest = [*left[:index], Part(left[index].place, text), *left[index + 1 :]]
            if text and fails(rest):
                left, waiting = rest, _simpler(text)
    return left


def _simpler(text: str) -> list[str]:
    """A block without its head, or a line less."""
    lines = text.split("\n")
    if len(lines) == 1:
        return []
    bare = textwrap.dedent("\n".join(line for line in lines if line.startswith(" ")))
    return [bare, *("\n".join([*lines[:i], *lines[i + 1 :]]) for i in range(len(lines)))]


def failing(
    parts: Sequence[Part], seed: int, scope: Scope, but: Collection[str] = ()
) -> str | None:
    """None where a program does the same under the scope; else the least part of it that does not, as a script."""
    seen: Sequence[str] = ()

    def differs(left: Sequence[Part]) -> bool:
        nonlocal seen
        found = judge(script(left, seed), scope, but).differences
        seen = found or seen  # some failures do not come again
        return bool(found)

    if not differs(parts):
        return None
    text = script(shrink(parts, differs), seed)
    return HEADER + text + "\n".join(f"# {each}" for each in seen)
