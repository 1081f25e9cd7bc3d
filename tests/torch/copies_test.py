"""Copies of whole tensors: made where results have to be tensors apart, and nothing is written to be overwritten."""

import pytest
import torch
from torch.nn import functional

from dvm.bench.fusion import count
from dvm.bench.layers import Layer

X = torch.randn(6, 10)


def compiled_equals_eager(function, *inputs):
    """The arguments afterwards, and the results."""
    torch._dynamo.reset()
    wanted, given = ([x.clone() for x in inputs] for _ in range(2))
    results = torch.compile(function, backend="dvm", dynamic=True)(*given)
    torch.testing.assert_close(results, function(*wanted))
    torch.testing.assert_close(given, wanted)
    return given, results


def launches(function, *inputs):
    layer = Layer("", lambda: function, lambda: inputs, tuple((0, 1) for _ in inputs))
    return [launch.name for launch in count(layer, ["dvm"]).engines["dvm"].launches]


@pytest.mark.parametrize("source", [lambda x: x, lambda x: x.double(), lambda x: x.exp()])
def test_what_is_copied_onto_a_whole_is_read_where_it_is(source):
    def function(x):
        return torch.zeros_like(x).copy_(source(x)) * 2

    compiled_equals_eager(function, X)
    assert len(launches(function, X)) == 1


def test_a_state_that_is_returned_and_read_is_written_once():
    def step(state, x, weight):
        kept = torch.zeros_like(state).copy_(state)
        new = kept * 0.5 + x
        kept.copy_(new)
        return new @ weight, kept

    inputs = X, X + 1, torch.randn(10, 3)
    compiled_equals_eager(step, *inputs)
    assert [name for name in launches(step, *inputs) if name != "matmul"] == ["mul_add"]


def test_results_stay_apart_from_arguments_and_from_each_other():
    def function(x):
        made = x.exp()
        first = torch.empty_like(x).copy_(x)
        second = torch.empty_like(x).copy_(made)
        return first, second, made, torch.empty_like(x).copy_(made).view(-1)

    given, results = compiled_equals_eager(function, X)
    places = {tensor.data_ptr() for tensor in (*given, *results)}
    assert len(places) == 5


def test_clones_that_are_results_stay_apart():
    def function(x):
        made = x.exp()
        return made, made.clone(), x.clone(), (x + 1).clone(), made.clone().view(-1)

    given, results = compiled_equals_eager(function, X)
    assert len({tensor.data_ptr() for tensor in (*given, *results)}) == 6


def test_a_clone_is_what_an_argument_was():
    def function(x):
        kept = x.clone()
        x.add_(1)
        return kept * 2, kept.view(-1)

    compiled_equals_eager(function, X)


def test_attention_reads_heads_where_a_product_left_them():
    def heads(x):
        return x.view(*x.shape[:2], 2, 4).transpose(1, 2).contiguous()

    def attend(x, y, z):
        made = functional.scaled_dot_product_attention(heads(x), heads(y.exp()), heads(z))
        return made.transpose(1, 2).contiguous().view(*x.shape[:2], 8) + 1

    inputs = tuple(torch.randn(3, 5, 8) for _ in range(3))
    with torch.inference_mode():
        compiled_equals_eager(attend, *inputs)
    assert not [name for name in launches(attend, *inputs) if "clone" in name]


def test_a_copy_that_is_changed_leaves_its_source_as_it_was():
    def function(x):
        kept = torch.empty_like(x).copy_(x)
        kept[:, 1] = 0
        return kept * 2, x + 1

    compiled_equals_eager(function, X)


def test_arguments_that_are_swapped_are_copied_before_they_change():
    def swap(a, b):
        kept = torch.zeros_like(a).copy_(a)
        a.copy_(b)
        b.copy_(kept)
        return kept + 1

    compiled_equals_eager(swap, X, X + 1)
