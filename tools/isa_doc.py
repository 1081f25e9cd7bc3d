"""Writes docs/isa.md, the reference of the instruction set, from the tables in isa/.

python tools/isa_doc.py           writes the page
python tools/isa_doc.py --check   fails if the page is not what the tables say
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "isa.md"

INTRODUCTION = """\
# The instruction set

<!-- Written by tools/isa_doc.py from the tables in isa/. Change those and run `make docs`. -->

An opcode is a row of these tables and a type: `add` with `f32` is `add_f32`. Operands and results are slots of a
program, whole tiles at a time; [isa/README.md](../isa/README.md) draws programs and their words. The column *NumPy*
defines an instruction: `a`, `b` and `c` are its operands, floats are widened before and the value is rounded to the
type of the result after. The functions that are not NumPy's live in `python/dvm/reference.py`. How near the engines
come to that is in [numerics](internals/numerics.md).

Properties are what the compiler may ask about an instruction:

| Property | Meaning |
|---|---|
| commutative | operands a and b may change places |
| monotone | a larger operand never gives a smaller result |
| wraps | an integer result may leave the range of a narrower storage type, and is wrapped into it |
| costly | dearer than reading the result from memory: never computed twice |
| condition | operand a is a bool, whatever the type |
"""

SETS = {
    "kF32": "f32",
    "kI32": "i32",
    "kI64": "i64",
    "kFloats": "f32 f64",
    "kIntegers": "i32 i64",
    "kBools": "bool",
    "kNumbers": "f32 f64 i32 i64",
    "kBits": "i32 i64 bool",
    "kCompute": "f32 f64 i32 i64 bool",
    "kAny": "all",
}
OPERANDS = ["", "a", "a, b", "a, b, c"]


@dataclass
class Section:
    """The rows below one comment of a table; the comment's first sentence is the title."""

    comment: str
    rows: list[list[str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.comment.split(".")[0]

    @property
    def text(self) -> str:
        return self.comment.partition(".")[2].strip()


def sections(table: str, macro: str = "") -> list[Section]:
    """The rows of isa/`table`.def, each a list of its columns, under the comments that lead them."""
    found: list[Section] = []
    comment: list[str] = []
    for line in (ROOT / "isa" / f"{table}.def").read_text(encoding="utf-8").splitlines():
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
        elif line.startswith(f"{macro or table.upper()}("):
            if comment or not found:
                found.append(Section(" ".join(comment)))
                comment = []
            found[-1].rows.append(columns(line))
        elif not line.strip():
            comment = []
    return found


def columns(row: str) -> list[str]:
    """The arguments of a row: strings without their quotes, everything else as it stands."""
    inside = row[row.index("(") + 1 : row.rindex(")")]
    found = re.findall(r'"([^"]*)"|([^,"]+)', inside)
    return [quoted or plain.strip() for quoted, plain in found if quoted or plain.strip()]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    lines = [
        head,
        ["---"] * len(head),
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def result(name: str) -> str:
    return {"kSame": "same", "kIndex": "i64"}.get(name, name.removeprefix("k").lower())


def properties(names: str) -> str:
    flags = [name.strip() for name in names.split("|")]
    return ", ".join(flag.removeprefix("k").lower() for flag in flags if flag != "kPlain")


def page() -> str:
    lines = [INTRODUCTION, "## Element types", ""]
    lines += [
        "Arithmetic exists for the *compute* types. The others are storage: converted when loaded and stored.",
        "",
        *table(
            ["Type", "Bytes", "Computes as", "NumPy"],
            [
                [f"`{text}`", bytes_, compute.removesuffix("_"), numpy]
                for section in sections("types", "TYPE")
                for _, text, _, bytes_, compute, _, numpy in section.rows
            ],
        ),
        "",
    ]
    lines += ["## Elementwise", ""]
    for section in sections("elementwise"):
        lines += [f"### {section.title}", ""]
        if section.text:
            lines += [section.text, ""]
        lines += table(
            ["Instruction", "Types", "Result", "Meaning", "NumPy", "Properties"],
            [
                [
                    f"`{name}` {OPERANDS[int(arity)]}",
                    SETS[types],
                    result(out),
                    doc,
                    f"`{numpy}`",
                    properties(flags),
                ]
                for name, arity, types, out, flags, numpy, doc in section.rows
            ],
        )
        lines += [""]
    lines += [
        "### Pairs",
        "",
        "`inner_outer` is `outer` on the rounded result of `inner`, in one pass over the tile.",
        "",
        ", ".join(
            f"`{inner}_{outer}` {OPERANDS[int(arity)]} ({SETS[types]})"
            for section in sections("pairs", "PAIR")
            for inner, outer, arity, types, _ in section.rows
        )
        + ".",
        "",
    ]
    lines += [
        "## Reductions",
        "",
        "Each folds a tile into an accumulator: in an `each` section into what is there, in a `once` section afresh.",
        "",
        *table(
            ["Instruction", "Types", "Result", "Meaning", "NumPy"],
            [
                [f"`{name}` {OPERANDS[int(arity)]}", SETS[types], result(out), doc, f"`{numpy}`"]
                for section in sections("reduce")
                for name, types, out, _, arity, numpy, doc in section.rows
            ],
        ),
        "",
        "## Memory",
        "",
        *table(
            ["Instruction", "Types", "Meaning"],
            [
                [f"`{name}`", SETS[types], doc]
                for section in sections("memory")
                for name, types, _, _, doc in section.rows
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    print("docs/isa.md is not what the tables say; run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
