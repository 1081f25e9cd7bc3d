"""The import rule: a folder of src/ may include only what stands above it, and Python stays in its folder."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(
    path for path in (ROOT / "src").rglob("*") if path.suffix in (".h", ".cpp", ".cu", ".cuh")
)

# Reading order: what a folder may include besides itself stands before it. `isa/` holds the tables as well.
ORDER = [
    "isa",
    "semantics",
    "symbols",
    "graph",
    "fuse",
    "schedule",
    "cpu",
    "runtime",
    "eager",
    "python",
]
# Narrower than the order: the meaning of instructions knows the element types, and a program's own needs no Graph.
ONLY = {"semantics": {"isa"}, "symbols": set(), "cpu": {"isa", "semantics"}}
SIZE_LIMIT = 500
# Longer files, each with the reason why it is not cut.
LONG: dict[str, str] = {}


def includes(path):
    return re.findall(
        r'^\s*#\s*include\s+["<]([^">]+)[">]', path.read_text(encoding="utf-8"), re.MULTILINE
    )


def name(path):
    return str(path.relative_to(ROOT))


def folder(path):
    return path.relative_to(ROOT / "src").parts[0]


def test_every_folder_has_its_place():
    assert {folder(path) for path in SOURCES} <= set(ORDER)


def test_includes_only_what_stands_above():
    wrong = []
    for path in SOURCES:
        here = folder(path)
        allowed = ONLY.get(here, set(ORDER[: ORDER.index(here)])) | {here}
        for include in includes(path):
            top = include.split("/")[0]
            if top in ORDER and "/" in include and top not in allowed:
                wrong.append(f"{name(path)} includes {include}")
    assert not wrong


def test_only_the_binding_knows_python():
    foreign = r"(Python\.h|nanobind/|torch/|numpy/|ATen/)"
    wrong = [
        f"{name(path)} includes {include}"
        for path in SOURCES
        if folder(path) != "python"
        for include in includes(path)
        if re.match(foreign, include)
    ]
    assert not wrong


def test_own_header_comes_first():
    wrong = [
        name(path)
        for path in SOURCES
        if path.suffix == ".cpp"
        and path.with_suffix(".h").exists()
        and includes(path)[0] != str(path.with_suffix(".h").relative_to(ROOT / "src"))
    ]
    assert not wrong


def test_files_stay_readable():
    files = [*SOURCES, *(ROOT / "isa").glob("*.def")]
    files += [path for top in ("python", "tests", "tools") for path in (ROOT / top).rglob("*.py")]
    long = {}
    for path in files:
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > SIZE_LIMIT:
            long[name(path)] = lines
    assert long.keys() == LONG.keys(), "cut the file, or list it in LONG with the reason"


def test_every_source_says_what_it_is():
    silent = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        explained = path.suffix == ".cpp" and path.with_suffix(".h").exists()
        # The kernels' instantiations are lists of one or two lines.
        if len(lines) > 20 and not explained and not lines[0].startswith("// "):
            silent.append(name(path))
    assert not silent


def test_importing_dvm_imports_no_framework():
    script = (
        "import sys, dvm; "
        "print(*sorted({'torch', 'onnx', 'transformers', 'typer', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
