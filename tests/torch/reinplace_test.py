"""Updates in place stay in place: a write into a cache moves the part that is written, whatever the cache's size, and
where the difference could be seen the result is eager's all the same."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.profiler import ProfilerActivity, profile  # noqa: E402

import dvm  # noqa: E402
from dvm.torch import dvm as backend  # noqa: E402
from dvm.torch.report import record  # noqa: E402


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    with torch.no_grad():
        yield


def moved(function, *arguments):
    """The most elements that torch copies at once."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        function(*arguments)
    copies = [event for event in profiled.events() if event.name == "aten::copy_"]
    return max((math.prod(event.input_shapes[0]) for event in copies), default=0)


def copies(arguments):
    return [x.clone() if isinstance(x, torch.Tensor) else x for x in arguments]


def agrees(function, *arguments, largest=None):
    """Results and changed arguments equal eager's, twice; the updates. Torch moves at most `largest` elements at
    once."""
    compiled = torch.compile(function, backend=backend, dynamic=True)
    mine, theirs = copies(arguments), copies(arguments)
    with record() as report:
        for _ in range(2):
            torch.testing.assert_close(compiled(*mine), function(*theirs), equal_nan=True)
            torch.testing.assert_close(mine, theirs)
    if largest is not None:
        assert moved(compiled, *mine) <= largest
    return [update for one in report.compilations for update in one.account()["updates"]]


def all_in_place(updates):
    assert updates
    assert all(update["in_place"] for update in updates), updates


CACHE = torch.randn(2, 3, 40, 4)
KEY = torch.randn(2, 3, 4)
KEYS = torch.randn(2, 3, 5, 4)


def at_a_position(cache, key, position):
    cache[:, :, position] = key
    return cache.sum(-1)


def at_positions(cache, keys, positions):
    cache[:, :, positions] = keys
    return cache.amax(-1)


def by_index_copy(cache, keys, positions):
    cache.index_copy_(2, positions, keys)
    return cache.amax(-1)


def into_a_slice(cache, keys, start):
    cache[:, :, start : start + keys.shape[2]] = keys.sin()
    return cache.amax(-1)


def into_a_layer(caches, key):
    caches[1][:, :, 3] = key
    return caches[1].amax(-1)


WRITES = {
    "a position": (at_a_position, (CACHE, KEY, 7)),
    "positions": (at_positions, (CACHE, KEYS, torch.tensor([3, 9, 4, 39, 0]))),
    "index_copy_": (by_index_copy, (CACHE, KEYS, torch.tensor([3, 9, 4, 39, 0]))),
    "a slice": (into_a_slice, (CACHE, KEYS, 11)),
    "one layer of several": (into_a_layer, (torch.randn(2, 2, 3, 40, 4), KEY)),
}


@pytest.mark.parametrize("name", WRITES)
def test_cache_write_copies_no_cache(name):
    function, arguments = WRITES[name]
    all_in_place(agrees(function, *arguments, largest=KEYS.numel()))


def test_the_kernel_writes_the_part_itself():
    updates = agrees(into_a_slice, CACHE, KEYS, 11, largest=0)
    assert [update["how"] for update in updates] == ["a kernel writes it"]


def test_a_fresh_buffer_is_filled_in_place():
    def function(x):
        y = torch.zeros(x.shape[0], 8)
        y[:, :4] = x
        y[:, 4:] = x.exp()
        return y

    all_in_place(agrees(function, torch.randn(5, 4)))


def test_two_fresh_buffers_that_begin_equal_stay_apart():
    def function(x):
        y, z = torch.zeros(x.shape[0], 4), torch.zeros(x.shape[0], 4)
        y[:, 0] = x
        z[:, 1] = x * 2
        return y, z

    all_in_place(agrees(function, torch.randn(5)))


def test_a_tensor_that_is_overwritten_is_written_by_the_kernel():
    def function(x, y):
        x.copy_(y.exp() * 2)
        return y + 1

    agrees(function, torch.randn(6, 7), torch.randn(6, 7), largest=0)


def read_afterwards(x, y):
    z = x * 1
    old = torch.slice_scatter(x, y, 0, 1, 3)
    x[2] = y[0]
    return z + x, old


def viewed_and_returned(x, y):
    x[1:3] = y
    return x.view(-1), x[1], x.t()


def overlapping(x, y):
    x[1:3] = y
    x[2:4] = y * 2
    x[:, 1] = x[:, 2]
    return x.sum(0)


def from_itself(x, y):
    x[3:5, 1:3] = x[0:2, 0:2]
    x[3:5].copy_(x[1:3])
    return x + y[0]


def transposed(x, y):
    x.t()[1] = y[0, 0]
    x.transpose(0, 1)[:, 2].mul_(2)
    return x.flatten()


def swapped(x, y):
    old = x[1:3].clone()
    x[1:3].copy_(y)
    y.copy_(old)


def chained(x, y):
    x[1:3] += y
    x.mul_(2)
    x[0].zero_()
    return x, x[0] + 1


def kept_old(x, y):
    old = x.clone()
    x[1:3] = y
    return old - x, old


def converted_old(x, y):
    old = x.double()
    x[1:3] = y
    return old + x, old


def gathered_old(x, y):
    old = x[torch.tensor([1, 2, 3])]
    x[1:3] = y
    return old + 1, x.sum()


def of_an_expanded(x, y):
    z = x[0].expand(6, -1).clone()
    z[2] = y[0]
    w = torch.select_scatter(x[0].expand(6, 5), y[0], 0, 1)
    return z, w


def by_mask(x, y):
    x[x > 0] = 0.5
    x.masked_fill_(x < -1, 2)
    x.scatter_(0, torch.tensor([[1, 2, 3, 0, 1]]), y[:1])
    return x.exp()


def diagonals(x, y):
    x.diagonal().copy_(y[0, :5])
    x.diagonal(1).add_(1)
    return x.sum()


NASTY = [
    read_afterwards, viewed_and_returned, overlapping, from_itself, transposed, swapped, chained, kept_old,
    converted_old, gathered_old, of_an_expanded, by_mask, diagonals,
]  # fmt: skip


@pytest.mark.parametrize("function", NASTY, ids=lambda function: function.__name__)
def test_equals_eager(function):
    agrees(function, torch.randn(6, 5), torch.randn(2, 5))


def test_equals_eager_where_arguments_look_at_one_tensor():
    def function(x, y):
        x[1] = y[0] * 2
        y[2] = x[1] + 1
        return x + y

    compiled = torch.compile(function, backend=backend, dynamic=True)
    for pick in (lambda b: (b, b), lambda b: (b[:4], b[2:6]), lambda b: (b[:4], b[4:])):
        mine = torch.arange(40.0).view(8, 5)
        theirs = mine.clone()
        torch.testing.assert_close(compiled(*pick(mine)), function(*pick(theirs)))
        torch.testing.assert_close(mine, theirs)


def test_explain_tells_why_not():
    def function(x, y):
        old = torch.slice_scatter(x, y, 0, 1, 3)
        return old + x

    (update,) = dvm.explain(function, torch.randn(6, 5), torch.randn(2, 5)).updates
    assert not update["in_place"]
    assert "not the program's to change" in update["how"]
    text = str(dvm.explain(by_two, torch.randn(6, 5), torch.randn(2, 5)))
    assert "in place" in text
    assert "reads" in text
    assert "old = torch.slice_scatter" in text


def by_two(x, y):
    x[0] = y[0]
    base = x * 2
    old = torch.slice_scatter(base, y, 0, 1, 3)
    return old + base


class Step(torch.nn.Module):
    """Attention of new tokens to a cache of fixed length."""

    def __init__(self, length=64):
        super().__init__()
        self.register_buffer("keys", torch.zeros(1, 2, length, 8))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, x, at):
        self.keys.index_copy_(2, at, x.sin())
        self.seen.add_(at.shape[0])
        return torch.softmax(x @ self.keys.transpose(-1, -2), -1), self.seen * 1


def compiled_step():
    model, count = Step(), torch.export.Dim("count", min=1, max=64)
    example = (torch.randn(1, 2, 3, 8), torch.tensor([0, 1, 2]))
    shapes = {"x": {2: count}, "at": {0: count}}
    return model, dvm.compile(model, example, dynamic_shapes=shapes)


def run_steps(mine, theirs):
    for begin, count in [(0, 3), (3, 1), (4, 5)]:
        x, at = torch.randn(1, 2, count, 8), torch.arange(begin, begin + count)
        torch.testing.assert_close(mine(x, at), theirs(x, at))


def test_a_compiled_model_writes_its_cache_in_place(tmp_path):
    model, compiled = compiled_step()
    run_steps(compiled, Step())
    assert [update["in_place"] for update in compiled.explain().updates] == [True]
    assert moved(compiled, torch.randn(1, 2, 1, 8), torch.tensor([9])) < model.keys.numel()
    model.keys.zero_()
    model.seen.zero_()
    compiled.save(tmp_path / "step.dvm")
    loaded = dvm.load(tmp_path / "step.dvm")
    run_steps(loaded, Step())
    assert loaded.explain().updates == compiled.explain().updates


def test_a_changed_argument_may_share_no_memory():
    class Writes(torch.nn.Module):
        def forward(self, x, y):
            x[1:3] = y[0] * 2
            return x + y

    compiled = dvm.compile(Writes(), (torch.randn(4, 5), torch.randn(4, 5)))
    rows = torch.arange(40.0).view(8, 5)
    mine, theirs = rows.clone(), rows.clone()
    torch.testing.assert_close(compiled(mine[:4], mine[4:]), Writes()(theirs[:4], theirs[4:]))
    torch.testing.assert_close(mine, theirs)
    for x, y in [(rows[:4], rows[:4]), (rows[:4], rows[3:7]), (rows[4:], rows[1:5])]:
        with pytest.raises(ValueError, match="x, which the model changes, shares memory with y"):
            compiled(x, y)


def test_an_argument_that_lies_otherwise_than_the_example_is_changed():
    class Writes(torch.nn.Module):
        def forward(self, x):
            x.view(-1)[3:5] = 7
            x[1:, 1] += 1
            return x.sum(0)

    compiled = dvm.compile(Writes(), (torch.randn(4, 4),))
    mine = torch.randn(4, 4).t()
    theirs = mine.contiguous()
    torch.testing.assert_close(compiled(mine), Writes()(theirs))
    torch.testing.assert_close(mine.contiguous(), theirs)


def paged(cache, keys, slots):
    cache.view(-1, cache.shape[2])[slots] = keys
    return cache.amax(-1)


def test_paged_cache_is_written_in_place():
    slots = torch.tensor([17, 3, 40])
    all_in_place(agrees(paged, torch.randn(6, 16, 8), torch.randn(3, 8), slots, largest=24))


def test_a_static_cache_is_written_in_place():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=50,
    )
    model = transformers.LlamaModel(config).eval()

    def step(x, cache):
        return model(inputs_embeds=x, past_key_values=cache).last_hidden_state

    compiled = torch.compile(step, backend=backend, dynamic=True)
    mine, theirs = (transformers.StaticCache(config, max_cache_len=48) for _ in range(2))
    with record() as report:
        for tokens in (9, 1, 1, 1):
            x = torch.randn(1, tokens, 32)
            torch.testing.assert_close(compiled(x, mine), step(x, theirs), rtol=1e-4, atol=1e-5)
    updates = [update for one in report.compilations for update in one.account()["updates"]]
    assert {update["tensor"] for update in updates}
    all_in_place(updates)


def test_numpy_alone_writes_parts_in_place(tmp_path):
    import numpy as np

    class Window(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("rows", torch.zeros(6, 4))

        def forward(self, x):
            self.rows[2:4] = x.exp()
            self.rows[:, 3] = 5
            return self.rows * 2

    dvm.compile(Window(), (torch.randn(2, 4),)).save(tmp_path / "window.dvm")
    loaded = dvm.load(tmp_path / "window.dvm")
    assert loaded.framework == "numpy"
    x = torch.randn(2, 4)
    np.testing.assert_allclose(loaded(x.numpy()), Window()(x).numpy(), rtol=1e-6)


def test_gradients_do_not_pass_through_what_was_overwritten():
    def function(x, y):
        z = x * 2
        z[1:3] = y
        return (z * z).sum()

    with torch.enable_grad():
        given = [torch.randn(6, 5), torch.randn(2, 5)]
        mine, theirs = ([t.clone().requires_grad_() for t in given] for _ in range(2))
        torch.compile(function, backend=backend, dynamic=True)(*mine).backward()
        function(*theirs).backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
