"""Other libraries in the benchmarks: how they are timed, what they are compared by, and that they compute the same."""

import time
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from dvm.bench import gemm, models, rivals, timer  # noqa: E402
from dvm.bench.sized import catalogue  # noqa: E402
from dvm.bench.zoo import ENTRIES, difference  # noqa: E402


@dataclass(frozen=True)
class Row:
    size: tuple[int, ...]
    inputs: tuple[torch.Tensor, ...]


def rows(*lengths):
    return [Row((length,), (torch.arange(length, dtype=torch.float32),)) for length in lengths]


def stub_run(**engines):
    """A run whose engine takes, of each size, the milliseconds given."""
    sizes = [(number,) for number in range(len(next(iter(engines.values()))))]
    results = {
        name: models.EngineResult(
            first=[ms * 1e-3 for ms in times],
            steady=[timer.Timing(ms * 1e-3, 0, 0, 1) for ms in times],
        )
        for name, times in engines.items()
    }
    return models.ModelRun(1, "tokens", sizes, results)


def test_blocks_pause_before_an_engine_and_forget_its_first_call():
    calls = []
    began = time.perf_counter()

    def slow_at_first():
        pause = time.perf_counter() - calls[-1] if calls else 1.0
        time.sleep(5e-3 if pause > 5e-3 else 5e-4)
        calls.append(time.perf_counter())

    timings = timer.blocks({"slow at first": slow_at_first}, seconds=0.02, pause=0.02)
    assert time.perf_counter() - began > 5 * 0.02
    assert timings["slow at first"].median < 5e-3


def test_a_slow_moment_of_one_block_does_not_count():
    began = time.perf_counter()

    def disturbed():
        time.sleep(20e-3 if time.perf_counter() - began < 0.05 else 1e-3)

    timings = timer.blocks(
        {"disturbed": disturbed, "other": lambda: None}, seconds=0.05, pause=0.01
    )
    assert list(timings) == ["disturbed", "other"]
    assert timings["disturbed"].median < 10e-3


def test_every_engine_is_compared_with_the_first():
    run = models.run(
        {"eager": lambda x: x, "close": lambda x: (x + 1e-6,), "wrong": lambda x: x[:-1]},
        rows(7, 3, 7),
        seconds=0.0,
    )
    assert run.sizes == [(3,), (7,)]
    assert all(len(engine.steady) == 2 for engine in run.engines.values())
    assert run.engines["eager"].difference == 0.0
    assert 0 < run.engines["close"].difference < 1e-5
    assert run.engines["wrong"].difference == float("inf")


def test_results_are_kept_where_they_are_wanted_only():
    engines = {"eager": lambda x: x, "dvm": lambda x: 2 * x}
    assert models.run(engines, rows(3), seconds=0.0).engines["dvm"].outputs == []
    (kept,) = models.run(engines, rows(3), seconds=0.0, keep=True).engines["dvm"].outputs
    assert kept.tolist() == [0, 2, 4]


def test_the_best_rival_of_a_row_is_the_fastest_but_ours():
    run = stub_run(eager=[4.0, 4.0], openvino=[1.0, 8.0], dvm=[2.0, 2.0])
    assert run.best_rival(0) == ("openvino", pytest.approx(0.5))
    assert run.best_rival(1) == ("eager", pytest.approx(2.0))


def test_wrong_rivals_are_taken_out_with_a_reason():
    run = stub_run(eager=[4.0], openvino=[1.0], dvm=[2.0])
    run.engines["openvino"].difference = 0.5
    run.take_out_wrong()
    assert run.best_rival(0)[0] == "eager"
    assert run.missing == {"openvino": "its results differ from eager's by 5.0e-01"}
    assert models.as_json(run)["missing"] == run.missing


def test_a_product_is_compared_with_the_best_of_all_others():
    case = gemm.Case(1, 2, 3, "product", 1, {"torch": 4.0, "dvm": 2.0, "openblas": 1.0})
    assert case.ratio == pytest.approx(2.0)
    assert case.best_ratio == pytest.approx(0.5)


def test_what_is_not_installed_is_missing_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    found, missing = rivals.products(torch.ones(2, 3), torch.ones(4, 3), 1)
    assert found == {}
    assert set(missing) == set(rivals.PRODUCTS)
    assert missing["openblas"] == "scipy_openblas64 is not installed: pip install 'dvm[rivals]'"


@pytest.mark.parametrize("name", rivals.PRODUCTS)
def test_products_of_other_libraries_are_ours(name):
    x, w = torch.randn(3, 17), torch.randn(5, 17)
    try:
        product = rivals.PRODUCTS[name](x, w, 1)
    except rivals.Missing as reason:
        pytest.skip(str(reason))
    torch.testing.assert_close(product(), x @ w.t())


@pytest.mark.slow
def test_an_exported_model_runs_at_sizes_that_it_was_not_exported_with(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    entry = ENTRIES["bert"]
    model = entry.build()
    calls, missing = rivals.models(entry, model, 1, tmp_path)
    if not calls:
        pytest.skip(str(missing))
    inputs = entry.inputs({"batch": 2, "tokens": 31}, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = (model(*inputs),)
    for name, call in calls.items():
        assert difference(call(*inputs), wanted) < 1e-5, name


@pytest.mark.slow
def test_a_model_that_cannot_be_exported_is_missing_with_the_reason(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")

    class Refuses(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            raise ValueError("not today")

    calls, missing = rivals.models(ENTRIES["bert"], Refuses(), 1, tmp_path)
    assert calls == {}
    assert set(missing) == set(rivals.MODELS)
    assert all("cannot be exported" in reason for reason in missing.values())


def test_every_model_of_the_catalogue_has_inputs_of_its_sizes():
    for model in catalogue().values():
        for point in [*model.points[:2], *model.quick]:
            inputs = model.inputs(point, batch=2)
            assert len(inputs) == len(model.entry.axes), model.entry.name
            assert all(tensor.shape[0] == 2 for tensor in inputs)
        assert set(model.varied) <= set(model.entry.sizes)
