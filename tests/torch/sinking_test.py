"""What nobody needs yet waits for the segment that reads it."""

import pytest

torch = pytest.importorskip("torch")

from dvm.torch.report import record  # noqa: E402


def runs_of(function, *args):
    """How often the compiled function calls the core, having given what eager does."""
    torch._dynamo.reset()
    with record() as report:
        came = torch.compile(function, backend="dvm", dynamic=True)(*args)
    torch.testing.assert_close(came, function(*args), rtol=1e-4, atol=1e-4)
    return sum(compilation.source.count("segment_") for compilation in report.compilations)


def arguments(rows=6):
    return torch.randint(9, (rows,)), torch.randn(rows, 8), torch.randn(8, 16), torch.randn(16, 16)


def test_products_of_arguments_wait_for_what_torch_computes():
    def layer(ids, x, w, w2):
        hidden = torch.nn.functional.layer_norm(x @ w, (w.shape[1],))
        query, key = hidden @ w2, torch.tanh(hidden @ w2.T)
        order = torch.sort(ids).values.to(x.dtype)
        return (query + key) * order[:, None] + hidden

    assert runs_of(layer, *arguments()) == 1


def test_what_torch_reads_does_not_wait():
    def layer(ids, x, w, w2):
        hidden = x @ w
        order = torch.sort(hidden, 0).values
        return order @ w2 + hidden.sum()

    assert runs_of(layer, *arguments()) == 2


def test_what_two_segments_read_is_there_for_the_first():
    def layer(ids, x, w, w2):
        hidden = torch.tanh(x @ w)
        first = torch.sort(ids).values.to(x.dtype)[:, None] * (hidden @ w2)
        second = torch.sort(first.sum(1)).values[:, None] * hidden
        return first + second

    assert runs_of(layer, *arguments()) == 2


def test_a_view_of_what_waits_is_taken_after_it():
    def layer(ids, x, w, w2):
        heads = (x @ w).view(x.shape[0], 4, 4)
        first = torch.sort(ids).values.to(x.dtype)[:, None, None] * heads.exp()
        second = torch.sort(first.sum((1, 2))).values[:, None, None] * heads
        return first, second

    assert runs_of(layer, *arguments()) == 2
