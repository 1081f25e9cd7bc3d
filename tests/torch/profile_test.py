"""A profile of a model: kernels, what torch runs and the rest add up to its calls, and none of it is in the code of
calls that nobody profiles."""

import gc
import json
import sys
import weakref

import pytest

torch = pytest.importorskip("torch")

import dvm  # noqa: E402
from dvm.cli import main  # noqa: E402


def body(x, weight):
    return torch.softmax(torch.logcumsumexp(x, 1) @ weight, -1) + 1


def compiled():
    rows = torch.export.Dim("rows", min=1, max=100)
    shapes = {"x": {0: rows}, "weight": None}
    return dvm.compile(body, (torch.randn(5, 16), torch.randn(16, 8)), dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def model():
    return compiled()


def generated(model):
    """The function that its Flow became."""
    return model._call.__globals__["run"]


def test_times_add_up(model):
    x, weight = torch.randn(7, 16), torch.randn(16, 8)
    plain = model(x, weight)
    with dvm.profile() as profile:
        results = [model(x, weight) for _ in range(4)]
    assert all(torch.equal(result, plain) for result in results)
    rows = profile.rows()
    assert [row.kind for row in rows][-1] == "host"
    assert {row.kind for row in rows} == {"kernel", "matmul", "torch", "host"}
    assert {row.calls for row in rows} == {4}
    assert sum(row.seconds for row in rows) == pytest.approx(profile.seconds)
    assert sum(row.share for row in rows) == pytest.approx(1)
    (scan,) = (row for row in rows if row.kind == "torch")
    assert scan.name == "aten.logcumsumexp.default"
    assert scan.bytes == 4 * 4 * 2 * 7 * 16
    assert "aten.logcumsumexp.default" in profile.table()


def test_products_are_told_with_what_they_compute(model):
    with dvm.profile() as profile:
        for rows in (7, 1, 7):
            model(torch.randn(rows, 16), torch.randn(16, 8))
    products = [event for event in profile.events if event.kind == "matmul"]
    assert [event.flops for event in products] == [2 * rows * 16 * 8 for rows in (7, 1, 7)]
    assert [event.bytes for event in products] == [
        4 * (rows * 16 + 16 * 8 + rows * 8) for rows in (7, 1, 7)
    ]
    (row,) = (row for row in profile.rows() if row.kind == "matmul")
    assert row.flops == sum(event.flops for event in products)
    assert row.flop_rate == pytest.approx(row.flops / row.seconds)
    assert "GFLOP/s" in profile.table()
    (told, *_) = (e for e in profile.trace()["traceEvents"] if e.get("cat") == "matmul")
    assert told["args"]["GFLOP/s"] > 0


def test_a_product_with_the_kernel_that_finishes_it_is_one_event():
    def finished(x, y, weight):
        return torch.relu(x @ weight) * (y @ weight)

    weight = torch.randn(16, 8)
    made = dvm.compile(finished, (torch.randn(5, 16), torch.randn(5, 16), weight))
    with dvm.profile() as profile:
        made(torch.randn(5, 16), torch.randn(5, 16), weight)
    assert [(event.kind, event.name) for event in profile.work] == [
        ("matmul", "matmul"),
        ("matmul", "matmul_relu_mul"),
    ]
    assert [event.flops for event in profile.work] == [2 * 5 * 16 * 8] * 2
    # The second writes the result, and reads what the first wrote; its own product is never in memory.
    assert [event.bytes for event in profile.work] == [
        4 * (5 * 16 + 16 * 8 + 5 * 8),
        4 * (5 * 16 + 16 * 8 + 5 * 8 + 5 * 8),
    ]


def test_events_nest_in_their_calls(model):
    with dvm.profile() as profile:
        model(torch.randn(7, 16), torch.randn(16, 8))
    call, *inside = profile.events
    assert (call.kind, call.name) == ("call", "body")
    assert [event.kind for event in inside] == ["torch", "run", "matmul", "kernel"]
    assert all(call.begin_ns <= e.begin_ns <= e.end_ns <= call.end_ns for e in inside)
    run = inside[1]
    assert all(run.begin_ns <= e.begin_ns <= e.end_ns <= run.end_ns for e in inside[2:])


def test_a_call_that_is_not_profiled_runs_the_code_it_always_runs(model):
    function = generated(model)
    before = function.__code__
    with dvm.profile():
        assert "perf_counter_ns" not in before.co_names
        assert function.__code__ is not before
    assert function.__code__ is before
    assert "now" not in model._source


def test_models_made_meanwhile_are_profiled_too():
    with dvm.profile() as profile:
        made = compiled()
        made(torch.randn(3, 16), torch.randn(16, 8))
    assert len(profile.calls) == 1
    with dvm.profile() as profile:
        torch.compile(body, backend="dvm", dynamic=True)(torch.randn(3, 16), torch.randn(16, 8))
    assert len(profile.calls) == 1


def test_profiles_keep_no_model():
    made = compiled()
    with dvm.profile():
        made(torch.randn(3, 16), torch.randn(16, 8))
    function = weakref.ref(generated(made))
    del made
    gc.collect()
    assert function() is None


def test_run_of_a_saved_model(model, tmp_path, monkeypatch, capsys):
    path, trace = tmp_path / "model.dvm", tmp_path / "trace.json"
    model.save(path)
    monkeypatch.setattr(
        sys, "argv", ["dvm", "run", str(path), "--trace", str(trace), "--calls", "2", "--json"]
    )
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    printed = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in printed["rows"]} == {"kernel", "matmul", "torch", "host"}
    assert printed["call_seconds"] > 0
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    assert [event["cat"] for event in events if event["ph"] == "X"] == 2 * [
        "call",
        "torch",
        "run",
        "matmul",
        "kernel",
    ]


def test_examples_are_arguments_of_the_model(model):
    x, weight = model.examples((9, 16), (16, 8))
    assert model(x, weight).shape == (9, 8)
    assert model(*model.examples()).shape == (5, 8)
    with pytest.raises(ValueError, match="rank"):
        model.examples((9,), (16, 8))
