"""The instruction table as the kernel language reads it, from `_core.instructions()`. Nothing is listed by hand."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from dvm import _core


@dataclass(frozen=True)
class Row:
    """One instruction: a row of the tables in isa/."""

    name: str
    family: str  # "elementwise", "reduce" or "memory"
    arity: int
    types: frozenset[str]  # the compute types (for conversions: all types) that it takes
    result: str
    properties: frozenset[str]
    doc: str

    @property
    def has_condition(self) -> bool:
        """Whether the first operand is a bool, whatever the type of the others."""
        return "condition" in self.properties


TABLE: dict[str, Row] = {
    row["name"]: Row(
        name=row["name"],
        family=row["family"],
        arity=row["arity"],
        types=frozenset(row["types"]),
        result=row["result"],
        properties=frozenset(row["properties"]),
        doc=row["doc"],
    )
    for row in _core.instructions()
}


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for the names nearest to `name`, or nothing."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 3, 0.6)
    near += [
        word
        for word in known
        if len(name) > 2 and (name in word or (word in name and len(word) > 2))
    ]
    near = list(dict.fromkeys(near))[:3]
    return f"; did you mean {', '.join(near)}?" if near else ""
