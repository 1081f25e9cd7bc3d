"""Random programs of eager PyTorch, as text: what users write by hand, and what they had better not.

random_programs.py makes functions that can be traced; these cannot. They look at values on the way and branch on them,
write through views, aliases and NumPy, fail and go on, differentiate, draw random numbers, start threads. A program is
a list of parts, which the shrinker leaves out one by one: some come before the scope, most inside it, a few after it.
While it grows each part is run, so that later ones know what there is. What parts can be is in eager_statements.py
(tensors of tensors) and eager_happenings.py (everything else).
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from choosing import Chooser
from eager_outcome import environment

Place = Literal["before", "inside", "after"]
Condition = Callable[[torch.Tensor], bool]

_MOST = 40_000  # elements of a value that others are made of
_LARGEST = 60.0  # magnitude of a value that others are made of
_RECENT = 7
_FAILURES = 3  # in one program


class Nothing(Exception):  # noqa: N818 (nobody did anything wrong)
    """There is no value that a statement could be about."""


@dataclass(frozen=True)
class Part:
    """A statement, of one line or more, and whether it stands before, inside or after the scope."""

    place: Place
    text: str


def script(parts: Sequence[Part], seed: int) -> str:
    """The program that parts make."""
    inside = [part.text for part in parts if part.place == "inside"]
    lines = [f"torch.manual_seed({seed})"]
    lines += [part.text for part in parts if part.place == "before"]
    lines += ["with scope():", *(textwrap.indent(text, "    ") for text in inside or ["pass"])]
    lines += [part.text for part in parts if part.place == "after"]
    return "\n".join(lines) + "\n"


class RandomEager:
    """A growing program, and what its names stand for by now."""

    def __init__(self, choose: Chooser, statements: int = 16, seed: int = 0) -> None:
        from eager_happenings import HAPPENINGS
        from eager_statements import STATEMENTS, source

        self.choose = choose
        self.seed = seed
        self.parts: list[Part] = []
        self.names: list[str] = []
        self._made = 0
        self._around = ""  # a context that holds where a block grows
        self._failures = 0
        self._statements = [f for weight, f in STATEMENTS for _ in range(weight)]
        self._happenings = [f for weight, f in HAPPENINGS for _ in range(weight)]
        large = choose.chance(15)
        self.sizes = [choose.pick((40, 33, 64) if large else (2, 3, 4, 5, 1)) for _ in range(3)]
        if choose.chance(5):
            self.sizes[0] = 0
        self.run = environment() | {
            "log": lambda value: None, "failed": lambda error: None, "scope": None,
        }  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(f"torch.manual_seed({seed})", self.run)
            self.place: Place = "before"
            for _ in range(choose.integer(1, 3)):
                self._grow(source)
            self.place = "inside"
            for _ in range(statements):
                self.line()
            if choose.chance(6):
                self.parts.append(Part("inside", "raise ValueError('leaves the scope')"))
            self.place = "after"
            for _ in range(choose.integer(0, 2)):
                self.line()

    @property
    def text(self) -> str:
        return script(self.parts, self.seed)

    # ---- what statements ask for

    def fresh(self) -> str:
        """A name that nothing has."""
        self._made += 1
        return f"v{self._made}"

    def tensor(self, *conditions: Condition) -> str:
        """A recent tensor of which all this is true. Raises Nothing."""
        fitting = [n for n in self.names if _is(self.run[n], conditions)]
        if not fitting:
            raise Nothing
        return str(self.choose.pick(fitting[-_RECENT:]))

    def value(self, name: str) -> torch.Tensor:
        """What a name stands for."""
        tensor: torch.Tensor = self.run[name]
        return tensor

    def axis(self, name: str) -> int:
        """An axis of a tensor, sometimes counted from the end. Raises Nothing."""
        rank = self.value(name).dim()
        if not rank:
            raise Nothing
        return self.choose.integer(-rank, rank - 1)

    def beside(self, name: str, *conditions: Condition) -> str:
        """A tensor that broadcasts with this one, or that is it."""
        shape = self.value(name).shape

        def fits(other: torch.Tensor) -> bool:
            pairs = zip(reversed(shape), reversed(other.shape), strict=False)
            return all(a == b or 1 in (a, b) for a, b in pairs)

        return self.tensor(fits, *conditions)

    def number(self) -> str:
        """A Python number."""
        return str(self.choose.pick((2, 0.5, -1, 3, 1.5, -0.25, 1, 0, True)))

    def block(self, most: int = 2, around: str = "") -> str:
        """A few statements, grown where `around` holds."""
        outside, self._around = self._around, around or self._around
        texts = []
        for _ in range(self.choose.integer(1, most)):
            statement = self.choose.pick(self._statements)
            text = self._attempt(statement)
            if text is not None:
                texts.append(text)
        self._around = outside
        return "\n".join(texts or ["pass"])

    def execute(self, text: str) -> None:
        """Runs a piece of the program that stands where the program has come to."""
        exec(
            f"{self._around}:\n{textwrap.indent(text, '    ')}" if self._around else text, self.run
        )

    def holds(self, condition: str) -> bool:
        """Whether a condition is true by now. Raises Nothing where it cannot be asked."""
        try:
            return bool(eval(condition, self.run))
        except Exception:
            raise Nothing from None

    # ---- growth

    def line(self) -> None:
        """One part more, of any kind."""
        self._grow(
            self.choose.pick(self.choose.pick((self._statements,) * 3 + (self._happenings,) * 2))
        )

    def _grow(self, statement: Callable[[RandomEager], str]) -> None:
        text = self._attempt(statement)
        if text is not None:
            self.parts.append(Part(self.place, text))

    def _attempt(self, statement: Callable[[RandomEager], str]) -> str | None:
        """The text of a statement that was run; where it fails the program catches that."""
        try:
            text = statement(self)
        except Nothing:
            return None
        if text.startswith("# grown\n"):  # a block, whose statements were run one by one
            text = text.removeprefix("# grown\n")
        else:
            try:
                self.execute(text)
            except Exception:
                self._failures += 1
                if self._failures > _FAILURES and "\n" not in text and "_(" not in text:
                    return None
                text = f"try:\n{textwrap.indent(text, '    ')}\nexcept Exception as error: failed(error)"
        self._look()
        return text

    def _look(self) -> None:
        """Which names stand for tensors that others may be made of."""
        self.names = [name for name in self.names if name in self.run]
        for name in self.run:
            if name[0] == "v" and name[1:].isdigit() and name not in self.names:
                self.names.append(name)
        self.names = [name for name in self.names if _is(self.run[name], (_tame,))]


def _is(value: Any, conditions: Sequence[Condition]) -> bool:
    try:
        return all(condition(value) for condition in conditions)
    except RuntimeError:  # a view that torch no longer lets anybody look at
        return False


def _tame(value: Any) -> bool:
    """Whether others may be made of it. Raises torch's RuntimeError for a view that may not be looked at any more."""
    if not isinstance(value, torch.Tensor) or value.numel() > _MOST or value.dim() > 5:
        return False
    known = value.is_leaf or value.grad_fn is not None  # asking is what raises
    if value.is_complex() or not value.numel():
        return known and not value.is_complex()
    most = float(value.detach().abs().max()) if value.dtype != torch.bool else 0.0
    return math.isfinite(most) and (most < _LARGEST or not value.is_floating_point())
