"""Slices, selected elements and parts of a split are read where they lie: no copy, no call of torch, no kernel more."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch._dynamo.utils import counters  # noqa: E402

from dvm.torch import dvm, explain  # noqa: E402

TOKENS = [(5, 12), (7, 20), (3, 12), (4, 9)]  # torch compiles a part of one row apart


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    counters.clear()


def agrees(function, shapes=TOKENS):
    """Every shape equals eager, after one compilation."""
    compiled = torch.compile(function, backend=dvm, dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in shapes:
            x = torch.randn(shape)
            torch.testing.assert_close(compiled(x), function(x))
    assert counters["dvm"]["graphs"] == 1


def in_one_kernel(function):
    """Nothing stands beside the one call of the one segment."""
    torch._dynamo.reset()
    graph = explain(function, torch.randn(5, 12))["graphs"][0]
    assert len(graph["kernels"]) == 1
    assert "slice" not in graph["source"]
    assert "select" not in graph["source"]


def halves(x):
    first, second = torch.chunk(x, 2, dim=1)
    return torch.tanh(first) * second


def thirds(x):
    a, b, c = x.split([4, 2, 3], dim=1)
    return a[:, :2].exp() + b * c[:, 1:]


def neighbours(x):
    return x[1:] - x[:-1]


def every_other(x):
    return x[:, ::2].relu() + x[:, :1]


def last_row(x):
    return x[-1].exp() + x[0] * x[:, 3].sum()


def last_columns(x):
    return x[:, -4:].sigmoid() * x[:, -8:-4]


@pytest.mark.parametrize("function", [neighbours, every_other, last_row, last_columns])
def test_parts_of_an_argument(function):
    agrees(function)


def test_parts_of_a_split():
    agrees(halves, [(5, 12), (3, 12), (2, 12)])
    counters.clear()
    agrees(thirds, [(5, 9), (3, 9), (2, 9)])


@pytest.mark.parametrize("function", [neighbours, every_other, last_columns])
def test_are_read_by_the_kernel(function):
    in_one_kernel(function)


def test_parts_of_what_a_kernel_makes():
    def function(x):
        y = torch.softmax(x, dim=1)
        return y[:, 1:] * y[:, :-1], y

    agrees(function)


def test_a_part_of_a_part_of_a_transposed_tensor():
    agrees(lambda x: x.t()[2:, :][1:7:2].exp())


def test_a_start_that_the_program_computes():
    def function(x, start):
        return x[start:].exp() - x[start]

    compiled = torch.compile(function, backend=dvm, dynamic=True)
    for rows, start in [(9, 4), (12, 3), (7, 5), (30, 29), (8, -3)]:
        x = torch.randn(rows, 6)
        torch.testing.assert_close(compiled(x, start), function(x, start))


def test_more_is_wanted_than_there_is():
    def function(x):
        return x[:, :20] * 2, x[-6:] + 1, x[10:].exp()

    compiled = torch.compile(function, backend=dvm, dynamic=True)
    for shape in [(5, 12), (12, 30), (6, 20), (10, 21), (2, 3)]:
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), function(x))


def test_a_part_is_returned_as_a_tensor_of_its_own_size():
    agrees(lambda x: (x[1:], x.exp()[1:], x.exp()))


def test_gradients_flow_to_the_parts():
    x = torch.randn(5, 12, requires_grad=True)
    torch.compile(halves, backend=dvm, dynamic=True)(x).sum().backward()
    y = x.detach().clone().requires_grad_()
    halves(y).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_what_is_joined_with_nothing_is_not_copied():
    def grown(cache, new):
        return torch.cat([torch.cat([torch.tensor([]), cache], dim=1), new], dim=1).exp()

    cache, new = torch.randn(3, 5, 4), torch.randn(3, 7, 4)
    compiled = torch.compile(grown, backend=dvm, dynamic=True)
    torch.testing.assert_close(compiled(cache, new), grown(cache, new))
    assert counters["dvm"]["fallbacks"] == 0


def test_what_is_joined_with_nothing_and_returned_is_a_tensor_of_its_own():
    def joined(x):
        return torch.cat([torch.tensor([]), x])

    x = torch.randn(5, 4)
    made = torch.compile(joined, backend=dvm, dynamic=True)(x)
    made.fill_(7)
    assert not (x == 7).any()
