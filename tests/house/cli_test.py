"""The command line: what it prints, what it writes, and how it refuses."""

import json
import sys

import pytest

from dvm.cli import main

KERNELS = """
import dvm

@dvm.kernel
def softmax(k, x):
    x = k.load(x)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))

def gelu(x, y):
    import torch
    return torch.nn.functional.gelu(x + y)

seven = 7
"""


@pytest.fixture
def dvm_command(monkeypatch, capsys):
    """Runs `dvm` with arguments in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dvm", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return int(exit_.value.code or 0), printed.out, printed.err

    monkeypatch.setenv("COLUMNS", "160")
    return run


@pytest.fixture
def kernels(tmp_path):
    path = tmp_path / "some_kernels.py"
    path.write_text(KERNELS, encoding="utf-8")
    return path


def test_info(dvm_command):
    code, out, _ = dvm_command("info", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["isa"] in ("avx512", "avx2", "portable")
    assert data["instructions"]["elementwise"] > 80
    assert data["plan_bytes"] == 64 << 20


def test_info_lists_instructions(dvm_command):
    code, out, _ = dvm_command("info", "--instructions")
    assert code == 0
    assert "multiply_add" in out


def test_doctor_finds_no_fault_here(dvm_command):
    code, out, _ = dvm_command("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert code == 0
    assert findings["self test"]["state"] == "ok"
    assert {"isa", "threads", "torch", "torch.compile"} <= set(findings)


def test_dis_of_a_kernel(dvm_command, kernels):
    code, out, _ = dvm_command("dis", f"{kernels}:softmax", "128x768")
    assert code == 0
    assert "exp" in out


def test_dis_of_a_text_is_the_text(dvm_command, kernels, tmp_path):
    _, out, _ = dvm_command("dis", f"{kernels}:softmax", "7x61:f16")
    text = tmp_path / "softmax.dvm"
    text.write_text(out, encoding="utf-8")
    code, again, _ = dvm_command("dis", text)
    assert code == 0
    assert again == out


def test_dis_prints_every_program(dvm_command, kernels):
    code, out, _ = dvm_command("dis", f"{kernels}:softmax", "1x4000000", "--json")
    assert code == 0
    programs = json.loads(out)["programs"]
    assert all(program["text"][0] == "program" for program in programs)


def test_version(dvm_command):
    import dvm

    assert dvm_command("--version")[:2] == (0, f"dvm {dvm.__version__}\n")


def test_explain_of_a_kernel(dvm_command, kernels):
    code, out, _ = dvm_command("explain", f"{kernels}:softmax", "128x768", "--json")
    assert code == 0
    assert len(json.loads(out)["kernels"]) == 1


def test_explain_writes_a_page(dvm_command, kernels, tmp_path):
    path = tmp_path / "page.html"
    code, out, err = dvm_command("explain", f"{kernels}:softmax", "128x768", "--html", str(path))
    assert (code, out) == (0, "")
    assert "written: " in err
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_run_of_a_kernel(dvm_command, kernels, tmp_path):
    trace = tmp_path / "trace.json"
    code, out, _ = dvm_command(
        "run", f"{kernels}:softmax", "64x100", "--trace", trace, "--calls", 3
    )
    assert code == 0
    assert "a call takes" in out  # names of kernels are as wide as the terminal lets them be
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    names = [event["name"] for event in events if event["ph"] == "X"]
    assert names == ["max_sub_exp_sum_div"] * 3


def test_explain_of_a_torch_function(dvm_command, kernels):
    pytest.importorskip("torch")
    code, out, _ = dvm_command("explain", f"{kernels}:gelu", "128x768", "768")
    assert code == 0
    assert "gelu" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dis", "{file}:nothing", "8x8"], "defines"),
        (["dis", "{file}:gelu", "8x8"], "not a @dvm.kernel"),
        (["dis", "{file}:softmax", "8by8"], "not a shape"),
        (["dis", "{file}:softmax", "8x8:f31"], "unknown element type f31"),
        (["dis", "{file}:softmax", "8x8", "8x8"], "softmax"),
        (["dis", "no_such_file.dvm"], "no such file"),
        (["dis", "{file}"], "some_kernels.py"),
        (["explain", "{file}:seven"], "wanted a kernel, a function or a module"),
        (["explain", "{file}:softmax"], "one shape for each"),
        (["explain", "nowhere.py:softmax", "8x8"], "no file"),
        (["explain", "{file}:softmax", "8x8", "--html", "nowhere/page.html"], "No such file"),
        (["demo", "--sentences", "nowhere.txt"], "no such file"),
        (["bench", "operators", "--only", "nonsense"], "no operator"),
        (["bench", "operators", "--resume"], "--resume needs --json"),
        (["bench", "gemm", "--only", "5x5"], "no layer has that in its sizes; there are 384x384,"),
        (
            ["bench", "models", "--model", "x"],
            "there is no such model; there are minilm, bert-base,",
        ),
        (["bench", "eager", "--program", "x"], "there is no such program; there are mlp,"),
        (["bench", "soak", "nonsense"], "there is no model nonsense; there are bert,"),
        (["bench", "compare", "nowhere.json", "nowhere.json"], "nowhere.json"),
        (["bench", "compare", "{file}", "{file}"], "not JSON"),
    ],
)
def test_a_request_that_cannot_be_met(dvm_command, kernels, arguments, message):
    code, out, err = dvm_command(*(argument.format(file=kernels) for argument in arguments))
    assert code == 2
    assert out == ""
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    "arguments",
    [["demo"], ["bench", "operators"], ["bench", "models"], ["explain", "{file}:gelu", "8"]],
)
def test_without_torch(dvm_command, kernels, monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = dvm_command(*(argument.format(file=kernels) for argument in arguments))
    assert code == 2
    assert "pip install 'dvm[torch]'" in " ".join(err.split())


def test_unknown_option(dvm_command):
    code, _, err = dvm_command("info", "--no-such-option")
    assert code == 2
    assert "no-such-option" in err


def test_operators_benchmark_writes_and_compares(dvm_command, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "operators.json"
    common = [
        "bench",
        "operators",
        "--quick",
        "--only",
        "swiglu",
        "--threads",
        "1",
        "--seconds",
        "0",
    ]
    code, out, err = dvm_command(*common, "--no-inductor", "--json", path)
    assert code == 0, err
    assert "swiglu" in out
    cases = json.loads(path.read_text())["results"]
    assert all({"eager", "dvm", "kernel"} == set(case["seconds"]) for case in cases.values()), cases
    code, out, _ = dvm_command("bench", "compare", path, path)
    assert code == 0
    assert "geomean 1.000x" in out
    code, _, _ = dvm_command(*common, "--no-inductor", "--json", path, "--resume")
    assert code == 0


def test_gemm_benchmark_writes_and_compares(dvm_command, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "gemm.json"
    arguments = ("--quick", "--threads", 1, "--only", "384x384", "--seconds", 0)
    code, out, err = dvm_command("bench", "gemm", *arguments, "--json", path)
    assert code == 0, err
    assert "384x384" in out
    assert "bias gelu" in out
    results = json.loads(path.read_text())["results"]
    assert len(results["cases"]) == 5 * 3  # rows, and ends
    for name, case in results["cases"].items():
        rows = int(name.split()[0])
        assert set(case["seconds"]) == {"torch", "dvm"}
        rates = [2 * rows * 384 * 384 / seconds for seconds in case["seconds"].values()]
        assert 0 < max(rates) <= results["peaks"]["1"]
    code, out, _ = dvm_command("bench", "compare", path, path)
    assert code == 0
    assert "geomean 1.000x" in out


def test_a_soak_counts_compilations_and_compares_every_result(dvm_command, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "soak.json"
    arguments = ("gnn", "--shapes", 9, "--threads", 1, "--no-inductor", "--json", path)
    code, out, err = dvm_command("bench", "soak", *arguments)
    assert code == 0, err
    assert "gnn" in out
    model = json.loads(path.read_text())["results"]["gnn"]
    ours = {"shapes": 9, "distinct_shapes": 9, "graphs": 1, "recompilations": 0}
    assert model["engines"] == {"eager": ours | {"graphs": 0}, "dvm": ours}
    assert model["wrong"] == []
    assert len(model["arena_bytes"]) == len(model["resident_bytes"]) == 9
    assert 0 < model["arena_bytes"][0] <= model["arena_bytes"][-1]
    assert 0 < model["largest_difference"] <= model["tolerance"]
    assert model["plans"]["misses"] == model["plans"]["plans"] + model["plans"]["evictions"]
    assert model["first"]["over"]["dvm over eager"]["p50"] > 0
    code, out, _ = dvm_command("bench", "compare", path, path)
    assert code == 0
    assert "geomean 1.000x" in out


def test_compile_benchmark(dvm_command, tmp_path):
    path = tmp_path / "compile.json"
    code, out, _ = dvm_command("bench", "compile", "--quick", "--no-first-calls", "--json", path)
    assert code == 0
    assert "p99" in out
    assert json.loads(path.read_text())["results"]["plan_us"]["norm"]["p50"] > 0


def test_host_benchmark_meets_its_budgets(dvm_command, tmp_path):
    """Generously: a busy machine must not fail it, a cost per call that grows by the shape must."""
    path = tmp_path / "host.json"
    code, out, _ = dvm_command("bench", "host", "--json", path)
    assert code == 0
    assert "repeated shape" in out
    results = json.loads(path.read_text())["results"]
    most = results["calls"][-1]
    assert most["kernels"] == 64
    assert most["repeated_us"] < 10 * (2 + 0.3 * 64)
    assert most["first_us"] < 10 * 20 * 64
    small, large = results["compiling"][0], results["compiling"][-1]
    growth = large["operations"] / small["operations"]
    assert large["compile_ms"] < 3 * growth * small["compile_ms"]
    assert large["compile_ms"] < 10 * 150
