"""The checksum of weights: as sure as CRC-64 against accidents, at the speed at which memory is read. CRC-32, which
guards the head and header of a file, would take longer than all else that loading does.

A page of 512 words is the sum of its words, each times an odd number of its place; so a change of one word is always
seen, and any other change of a page but once in 2^64. The sums of pages are words again, until one is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS = 512
PAGE = WORDS * 8


def _factors() -> Any:
    """512 odd numbers without a pattern: the finaliser of splitmix64 on 1, 2, 3, ..."""
    state = np.arange(1, WORDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) | np.uint64(1)


_FACTORS = _factors()


def checksum(memory: Any) -> int:
    """Of a buffer of bytes. Zeros up to a multiple of 4096 bytes make no difference."""
    sums = _sums(np.frombuffer(memory, np.uint8))
    while len(sums) > 1:
        sums = _sums(sums.view(np.uint8))
    return int(sums[0]) if len(sums) else 0


def _sums(data: Any) -> Any:
    """The sum of each page."""
    whole = len(data) // PAGE
    pages = data[: whole * PAGE].view(np.uint64).reshape(whole, WORDS)
    rest = data[whole * PAGE :]
    sums = np.empty(whole + (len(rest) > 0), np.uint64)
    np.einsum("ij,j->i", pages, _FACTORS, out=sums[:whole])
    if len(rest):
        page = np.zeros(PAGE, np.uint8)
        page[: len(rest)] = rest
        sums[-1] = np.add.reduce(page.view(np.uint64) * _FACTORS)
    return sums
