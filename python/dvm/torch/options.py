"""The options of `torch.compile(..., backend="dvm", options={...})`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Options:
    """How to compile. Every field may be given under its name in `options=`."""

    strict: bool = False
    """An operation that the core does not cover is an error instead of a call into torch."""

    numerics: str = "fast"
    """"fast": f16 and bf16 values stay f32 inside a kernel. "eager": they are rounded after every operation."""

    @staticmethod
    def parse(mode: str | None, options: Mapping[str, Any] | None) -> Options:
        """Raises ValueError or TypeError for what is not understood."""
        if mode not in (None, "default"):
            raise ValueError(f"[dvm] mode {mode!r} came, the only mode is 'default'; see options=")
        given = dict(options or {})
        known = {field.name: field for field in fields(Options)}
        for name, value in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                names = ", ".join(sorted(known))
                raise ValueError(f"[dvm] unknown option {name!r}, wanted one of: {names}{hint}")
            wanted = type(known[name].default)
            if not isinstance(value, wanted):
                came = f"{value!r}, a {type(value).__name__}"
                raise TypeError(f"[dvm] option {name!r} is {came}, wanted a {wanted.__name__}")
        parsed = Options(**given)
        if parsed.numerics not in ("fast", "eager"):
            raise ValueError(
                f"[dvm] option 'numerics' is {parsed.numerics!r}, wanted 'fast' or 'eager'"
            )
        return parsed
