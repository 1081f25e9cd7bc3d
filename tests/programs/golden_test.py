"""Each text file here is a Graph, the kernels it must become and the programs for some shapes.

A file has three kinds of paragraphs, each after a line that starts with `----`: the graph, `kernels` and
`program <shapes>`. `DVM_UPDATE_GOLDENS=1 pytest tests/programs` rewrites what follows the graph; read the diff.
"""

import os
from pathlib import Path

import pytest

from dvm import _core

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.txt"))


def split(text: str) -> list[tuple[str, str]]:
    """The paragraphs of a golden file as (title, body)."""
    paragraphs = []
    for part in text.split("---- ")[1:]:
        title, _, body = part.partition("\n")
        paragraphs.append((title.strip(), body.strip()))
    return paragraphs


def render(title: str, executable: _core.Executable) -> str:
    """What the core makes of a graph now, for one paragraph."""
    if title == "kernels":
        kernels = executable.explain()["kernels"]
        return "\n".join(" ".join(kernel["ops"]) for kernel in kernels)
    shapes = [tuple(int(size) for size in shape.split("x")) for shape in title.split()[1:]]
    return "\n\n".join(program.disassemble().strip() for program in executable.programs(shapes))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_graph_becomes_these_kernels_and_programs(path: Path) -> None:
    paragraphs = split(path.read_text())
    assert paragraphs[0][0] == "graph"
    graph = _core.Graph.parse(paragraphs[0][1])
    assert str(graph).strip() == paragraphs[0][1].strip(), (
        "print(parse(text)) differs from the text"
    )
    executable = _core.Executable(graph)
    made = [(title, render(title, executable)) for title, _ in paragraphs[1:]]
    if os.environ.get("DVM_UPDATE_GOLDENS"):
        texts = [f"---- {title}\n{body}\n" for title, body in [paragraphs[0], *made]]
        path.write_text("\n".join(texts))
        return
    for (title, wanted), (_, body) in zip(paragraphs[1:], made, strict=True):
        assert body == wanted, title


@pytest.mark.parametrize(
    "name",
    ["softmax", "log_softmax", "layer_norm", "rms_norm", "residual_norm", "var", "logsumexp"],
)
def test_normalisation_is_one_kernel(name: str) -> None:
    graph = dict(split((FOLDER / f"{name}.txt").read_text()))["graph"]
    assert len(_core.fuse(_core.Graph.parse(graph))["steps"]) == 1


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_programs_survive_text_and_words(path: Path) -> None:
    paragraphs = split(path.read_text())
    executable = _core.Executable(_core.Graph.parse(paragraphs[0][1]))
    for title, _ in paragraphs[1:]:
        if not title.startswith("program"):
            continue
        shapes = [tuple(int(size) for size in shape.split("x")) for shape in title.split()[1:]]
        for program in executable.programs(shapes):
            assert _core.assemble(program.disassemble()) == program
            assert _core.Program.from_words(program.words) == program


def test_a_fresh_executable_makes_the_same_words() -> None:
    graph = dict(split((FOLDER / "softmax.txt").read_text()))["graph"]
    used = _core.Executable(_core.Graph.parse(graph))
    for shape in [(1, 1), (7, 5000), (128, 768)]:
        used.programs([shape])
    fresh = _core.Executable(_core.Graph.parse(graph))
    for shape in [(128, 768), (7, 100000)]:
        assert [p.words for p in used.programs([shape])] == [
            p.words for p in fresh.programs([shape])
        ]
