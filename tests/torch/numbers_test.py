"""Tensors without axes: made again by each kernel that reads them, never by a kernel of their own."""

import pytest
import torch

import dvm

X = torch.randn(6, 10)


def compiled_equals_eager(function, *inputs):
    """The arguments afterwards are equal too. Returns the kernels."""
    torch._dynamo.reset()
    wanted, given = ([x.clone() for x in inputs] for _ in range(2))
    results = torch.compile(function, backend="dvm", dynamic=True)(*given)
    torch.testing.assert_close(results, function(*wanted))
    torch.testing.assert_close(given, wanted)
    return dvm.explain(function, *inputs).kernels


@pytest.mark.parametrize(
    "number",
    [
        lambda x, n: (2.0 / n).sqrt(),
        lambda x, n: torch.full((), x.shape[-1], dtype=torch.float32).rsqrt() + n,
        lambda x, n: torch.full((), x.shape[0] * 0.5, dtype=torch.float64).sqrt().float(),
    ],
)
def test_a_number_that_several_kernels_read_is_not_written(number):
    def function(x, n):
        scale = number(x, n)
        return (x * scale).sort(-1)[0] * scale

    kernels = compiled_equals_eager(function, X, torch.tensor(3.0))
    assert len(kernels) == 2
    assert all(output["shape"] for kernel in kernels for output in kernel["outputs"])


def test_a_number_is_what_it_was_before_its_operand_changed():
    def function(x, n):
        scale = n * 2
        ordered = (x * scale).sort(-1)[0]
        n.add_(1)
        return ordered * scale

    compiled_equals_eager(function, X, torch.tensor(3.0))


def test_a_number_of_a_reduction_is_made_once():
    def function(x, n):
        scale = x.sum() * n
        return (x * scale).sort(-1)[0] * scale

    kernels = compiled_equals_eager(function, X, torch.tensor(3.0))
    assert sum("sum" in kernel["ops"] for kernel in kernels) == 1


def test_a_number_that_torch_reads_or_that_is_returned_is_there():
    def function(x, n):
        scale = (n * 2).sqrt()
        return scale, (x.sort(-1)[0] * scale), torch.sort(x + scale)[0] * scale

    compiled_equals_eager(function, X, torch.tensor(3.0))
