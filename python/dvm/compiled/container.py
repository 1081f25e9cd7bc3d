"""The file of a compiled model as bytes: a head, a header of JSON, and sections of raw memory that start at multiples
of 64 bytes. Every byte is under a checksum: head and header under CRC-32, sections under that of checksum.py. What the
JSON says is artifact.py's. The head has this form in every version, so that any version can name another.

    head      128 bytes: magic, version, checksum and length of the header, length of the file, fingerprint of the
              instruction set, zeros, and a checksum of all that
    header    JSON, filled up with spaces
    sections  each filled up with zeros
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvm import _core
from dvm.compiled.checksum import checksum

MAGIC = b"\x89DVM\r\n\x1a\n"  # text modes and 7-bit channels would alter it
VERSION = 3
ALIGNMENT = 64

_HEAD = struct.Struct("<8sIIQQ64s28s")
_HEAD_BYTES = _HEAD.size + 4

Buffer = bytes | bytearray | memoryview


class ArtifactError(ValueError):
    """A file is not one that dvm.load can read."""


@dataclass(frozen=True)
class Contents:
    """A file that is open: its header, and its memory with the place of each section."""

    header: Any
    memory: mmap.mmap
    sections: list[tuple[int, int]]  # offset and bytes of each


def write(path: Path, header: Any, sections: Sequence[Buffer]) -> None:
    """Writes a file anew, or leaves the old one as it was: it is put in place when it is complete."""
    places, at = [], 0
    for section in sections:
        size = memoryview(section).nbytes
        places.append([at, size, checksum(section)])
        at += size + _padding(size)
    text = json.dumps({"sections": places, **header}, separators=(",", ":"), allow_nan=False)
    encoded = text.encode()
    encoded += b" " * (-(_HEAD_BYTES + len(encoded)) % ALIGNMENT)
    head = _HEAD.pack(
        MAGIC, VERSION, zlib.crc32(encoded), len(encoded), _HEAD_BYTES + len(encoded) + at,
        _fingerprint(), b"",
    )  # fmt: skip
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(head + struct.pack("<I", zlib.crc32(head)) + encoded)
            for section in sections:
                file.write(section)
                file.write(bytes(_padding(memoryview(section).nbytes)))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> Contents:
    """Opens a file and checks every byte of it. Raises ArtifactError for what `write` did not write just so, and
    OSError when it can't be read at all."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _HEAD_BYTES:
            raise ArtifactError(f"[load] {path} has {size} bytes, which is no compiled model")
        # Private: what is written to this memory is neither in the file nor seen by other processes.
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    text = _header(path, memory, size)
    try:
        header = json.loads(text)
        start = _HEAD_BYTES + len(text)
        sections = [(start + int(at), int(length)) for at, length, _ in header["sections"]]
        checksums = [int(wanted) for _, _, wanted in header["sections"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtifactError(f"[load] {path}: its header makes no sense: {error}") from None
    end = start
    for at, length in sections:
        if at != end or length < 0:
            raise ArtifactError(f"[load] {path}: its sections do not follow each other")
        end += length + _padding(length)
    if end != size:
        raise ArtifactError(f"[load] {path}: its sections end at {end} bytes, the file at {size}")
    _check_sections(path, memory, sections, checksums)
    return Contents(header, memory, sections)


def _header(path: Path, memory: mmap.mmap, size: int) -> bytes:
    """The text of the header, once the head and it are known to be whole."""
    head = memory[: _HEAD.size]
    magic, version, crc, length, total, fingerprint, _ = _HEAD.unpack(head)
    if magic != MAGIC:
        raise ArtifactError(f"[load] {path} is no compiled model: it begins with {magic!r}")
    if struct.pack("<I", zlib.crc32(head)) != memory[_HEAD.size : _HEAD_BYTES]:
        raise ArtifactError(f"[load] {path}: its head is damaged")
    if version != VERSION:
        raise ArtifactError(
            f"[load] {path} is of version {version}, this dvm reads {VERSION}: compile it again"
        )
    if fingerprint != _fingerprint():
        came = fingerprint.rstrip(b"\0").decode("ascii", "replace")
        raise ArtifactError(
            f"[load] {path} was made for the instruction set {came}, this dvm has "
            f"{_core.fingerprint()}: compile it again"
        )
    if total != size:
        raise ArtifactError(f"[load] {path} has {size} bytes, {total} were written")
    text = memory[_HEAD_BYTES : _HEAD_BYTES + length]
    if len(text) != length or zlib.crc32(text) != crc:
        raise ArtifactError(f"[load] {path}: its header is damaged")
    return text


def _check_sections(
    path: Path, memory: mmap.mmap, sections: Sequence[tuple[int, int]], checksums: Sequence[int]
) -> None:
    with memoryview(memory) as whole:
        for number, ((at, size), wanted) in enumerate(zip(sections, checksums, strict=True)):
            with whole[at : at + size + _padding(size)] as section:
                found = checksum(section)
            if found != wanted:
                raise ArtifactError(f"[load] {path}: section {number} is damaged")


def _padding(size: int) -> int:
    return -size % ALIGNMENT


def _fingerprint() -> bytes:
    return _core.fingerprint().encode().ljust(64, b"\0")
