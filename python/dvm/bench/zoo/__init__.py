"""The catalogue of models whose shapes change: what tests, `dvm bench models --zoo` and docs/models.md are about.

Small enough for any machine, with the structure of the real ones. One file per family.
"""

from __future__ import annotations

from dvm.bench.zoo import decoders, encoders, images, small, translators
from dvm.bench.zoo.decoders import causal_model
from dvm.bench.zoo.entry import Entry, difference, flat

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for family in (encoders, decoders, translators, small, images)
    for entry in family.ENTRIES
}

__all__ = ["ENTRIES", "Entry", "causal_model", "difference", "flat"]
