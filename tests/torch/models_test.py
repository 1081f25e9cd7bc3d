"""Whole models under one compilation, at sizes from the smallest to the largest: the catalogue of dvm.bench.zoo.

A result may differ from eager's by the entry's tolerance, 1e-5 of its largest element: sums are added in another order.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch._dynamo.utils import counters  # noqa: E402

import dvm  # noqa: E402
from dvm.bench import zoo  # noqa: E402
from dvm.torch import dvm as backend  # noqa: E402

FAST = {"gnn", "seq2seq-step", "detection", "ranking", "gpt2-step"}
FAST_EXPORTED = {"gnn", "detection"}

# These are several graphs however they are compiled: torch does not trace an LSTM, and unrolls Mamba's scan.
SEVERAL_GRAPHS = ["seq2seq", "mamba"]


def models(names, fast):
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


ONE_GRAPH = [name for name in zoo.ENTRIES if name not in SEVERAL_GRAPHS]


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    counters.clear()


def find(name):
    entry = zoo.ENTRIES[name]
    for package in entry.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return entry


@contextmanager
def compiled(entry, model, engine=backend):
    """The model compiled by its first call, with sizes that are all different."""
    torch._dynamo.reset()
    counters.clear()
    call = torch.compile(model, backend=engine, dynamic=True)
    with entry.settings(), torch.inference_mode():
        call(*entry.inputs(entry.first(), torch.Generator().manual_seed(0)))
        yield call


def compare(entry, model, call, count):
    """The largest difference over `count` choices of sizes."""
    generator = torch.Generator().manual_seed(1)
    worst = 0.0
    for sizes in entry.spread(count):
        inputs = entry.inputs(sizes, generator)
        kept = [tensor.clone() for tensor in inputs]
        worst = max(worst, zoo.difference(call(*inputs), model(*inputs)))
        assert all(map(torch.equal, inputs, kept)), "an argument was changed"
    return worst


@pytest.mark.parametrize("name", models(ONE_GRAPH, FAST))
def test_one_graph_compiled_once_serves_all_sizes(name):
    entry = find(name)
    model = entry.build()
    with compiled(entry, model) as call, torch._dynamo.config.patch(error_on_recompile=True):
        assert compare(entry, model, call, 6) <= entry.tolerance
    assert counters["dvm"]["graphs"] == 1


@pytest.mark.parametrize("name", models(ONE_GRAPH, FAST_EXPORTED))
def test_one_export_serves_all_sizes(name):
    entry = find(name)
    model = entry.build()
    example = entry.inputs(entry.first(), torch.Generator().manual_seed(0))
    call = dvm.compile(model, example, dynamic_shapes=entry.dynamic_shapes(model))
    with torch.inference_mode():
        assert compare(entry, model, call, 6) <= entry.tolerance


@pytest.mark.parametrize("name", models(SEVERAL_GRAPHS, FAST))
def test_no_graph_beyond_those_that_torch_forces(name):
    entry = find(name)
    model = entry.build()
    graphs = {}
    for engine in ("aot_eager", backend):
        with compiled(entry, model, engine) as call:
            assert compare(entry, model, call, 3) <= entry.tolerance
        graphs[engine] = counters["stats"]["unique_graphs"]
    assert graphs[backend] == graphs["aot_eager"] == counters["dvm"]["graphs"]


@pytest.mark.parametrize("name", zoo.ENTRIES)
def test_the_axes_that_the_catalogue_names_are_those_that_change(name):
    entry = zoo.ENTRIES[name]
    generator = torch.Generator().manual_seed(4)
    small, large = (entry.inputs(sizes, generator) for sizes in (entry.first(), entry.spread(2)[1]))
    for axes, one, other in zip(entry.axes, small, large, strict=True):
        changed = {axis for axis in range(one.dim()) if one.shape[axis] != other.shape[axis]}
        assert changed <= axes.keys()
        assert all(axes[axis] for axis in changed)


def test_an_unpadded_loop_in_python_calls_one_compiled_step():
    entry = find("seq2seq-step")
    model = entry.build()
    generator = torch.Generator().manual_seed(2)
    with compiled(entry, model) as call, torch._dynamo.config.patch(error_on_recompile=True):
        for sizes in entry.spread(3):
            word, read, mask, *state = entry.inputs(sizes, generator)
            ours, theirs = (word, *state), (word, *state)
            for _ in range(5):
                scores, *rest = call(ours[0], read, mask, *ours[1:])
                ours = (scores.argmax(1), *rest)
                scores, *rest = model(theirs[0], read, mask, *theirs[1:])
                theirs = (scores.argmax(1), *rest)
            assert torch.equal(ours[0], theirs[0])
            assert zoo.difference(ours, theirs) <= entry.tolerance


def test_nothing_found_is_a_size_of_zero():
    entry = find("detection")
    model = entry.build()
    with compiled(entry, model) as call, torch._dynamo.config.patch(error_on_recompile=True):
        _, offsets, anchors = entry.inputs({"anchors": 40, "classes": 5}, torch.Generator())
        found = call(torch.full((40, 5), -9.0), offsets, anchors)
    assert [tuple(tensor.shape) for tensor in found] == [(0, 4), (0,), (0,), (0,)]


# generate() grows its cache by a token a call; torch takes the first call (many tokens) and the others (one token) as
# two graphs.


def generate(model, lengths, new):
    generator = torch.Generator().manual_seed(3)
    tokens = []
    for rows, length in lengths:
        ids = torch.randint(5, 200, (rows, length), generator=generator)
        mask = torch.ones_like(ids)
        tokens.append(
            model.generate(
                ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0
            )
        )
    return tokens


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_generate_with_a_growing_cache_writes_the_tokens_of_eager(name):
    find(name)
    lengths = [(2, 7), (3, 12), (2, 20)]
    wanted = generate(zoo.causal_model(name), lengths, 12)
    graphs = {}
    for engine in ("aot_eager", backend):
        torch._dynamo.reset()
        counters.clear()
        model = zoo.causal_model(name)
        model.forward = torch.compile(model.forward, backend=engine, dynamic=True)
        assert all(map(torch.equal, generate(model, lengths, 12), wanted))
        graphs[engine] = counters["stats"]["unique_graphs"]
    assert graphs[backend] == graphs["aot_eager"] == counters["dvm"]["graphs"]
