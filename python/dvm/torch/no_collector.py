"""Keeps Python's garbage collector from running inside a short piece of work that makes many objects."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def without_collector(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function, with the collector off while it runs.

    A process that has captured a model holds millions of objects, and looking through them takes several times as
    long as compiling: 0.5 s against 0.06 s for twelve layers.
    """

    @functools.wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not gc.isenabled():
            return function(*args, **kwargs)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            gc.enable()

    return run
