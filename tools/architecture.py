"""Writes the dumps in ARCHITECTURE.md again from the program itself: `python tools/architecture.py [--check]`.

A block of the page is generated when the line before it is `<!-- dump: NAME -->`. With --check nothing is written, and
the exit code is 1 if the page is not what would be written.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import dvm
from dvm.launch_lines import kernel_line

PAGE = Path(__file__).parent.parent / "ARCHITECTURE.md"


@dvm.kernel
def softmax(k, x, scale):
    x = k.load(x) * scale
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))


ROWS = (128, 768)
LONG_ROWS = (4, 100_000)


def source() -> str:
    """The expression as its author writes it."""
    return inspect.getsource(softmax.function)


def graph() -> str:
    """What tracing it records."""
    return str(softmax.graph(ROWS))


def fusion() -> str:
    """Which operations share a kernel."""
    return "\n".join(f"kernel {kernel_line(kernel)}" for kernel in softmax.explain(ROWS)["kernels"])


def program() -> str:
    """The bytecode for rows that stay in the scratch memory of a thread."""
    return softmax.program(ROWS).disassemble()


def streaming() -> str:
    """The bytecode for rows that do not."""
    return "\n".join(part.disassemble().rstrip() for part in softmax.programs(LONG_ROWS))


def words() -> str:
    """The first words of the encoded program."""
    data = np.frombuffer(softmax.program(ROWS).words, np.uint64)
    rows = [" ".join(f"{word:016x}" for word in data[at : at + 4]) for at in range(0, 16, 4)]
    return "\n".join([*rows, f"... {len(data)} words, {data.nbytes} bytes"])


DUMPS: dict[str, Callable[[], str]] = {
    dump.__name__: dump for dump in (source, graph, fusion, program, streaming, words)
}


def rewritten(page: str) -> str:
    """`page` with every generated block as it is today."""
    return re.sub(r"(<!-- dump: (\w+) -->\n)(```\w*\n).*?```\n", _block, page, flags=re.DOTALL)


def _block(match: re.Match[str]) -> str:
    return f"{match[1]}{match[3]}{DUMPS[match[2]]().rstrip()}\n```\n"


def main(arguments: list[str]) -> int:
    """Rewrites or checks the page."""
    page = PAGE.read_text(encoding="utf-8")
    fresh = rewritten(page)
    if "--check" in arguments:
        if fresh != page:
            sys.stdout.write("ARCHITECTURE.md is out of date\n")
        return int(fresh != page)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
