"""cat, stack and pad: parts are computed where they lie in the result, in no more kernels than there are spaces."""

import pytest
import torch

import dvm


def compiled_equals_eager(function, *shapes_of_calls, kernels=None):
    compiled = torch.compile(function, backend="dvm", dynamic=True)
    for shapes in shapes_of_calls:
        inputs = [torch.randn(shape) for shape in shapes]
        torch.testing.assert_close(compiled(*inputs), function(*inputs))
    explained = dvm.explain(function, *inputs)
    assert not explained.fallbacks
    if kernels is not None:
        assert len(explained.kernels) == kernels
    return explained


def test_parts_of_any_length_are_made_in_place():
    def join(x, y):
        return torch.cat([x.exp(), y * 2, x.sum(0, keepdim=True)])

    calls = [((3, 4), (5, 4)), ((1, 7), (33, 7)), ((8, 1), (2, 1))]
    compiled_equals_eager(join, *calls, kernels=2)


def test_a_growing_cache_is_one_kernel_and_one_copy():
    def append(cache, x, cos):
        return torch.cat([cache, x * cos + x.neg() * cos], dim=-2)

    sizes = [((2, past, 8), (2, 1, 8), (8,)) for past in (3, 4, 17)]
    compiled_equals_eager(append, *sizes, kernels=1)


def test_halves_that_are_only_looked_at_fuse_with_their_reader():
    def rotate(x, cos):
        return torch.cat([-x[..., 4:8], x[..., :4]], -1) * cos

    compiled_equals_eager(rotate, ((2, 5, 8), (8,)), ((3, 7, 8), (8,)), kernels=1)


def test_costly_halves_are_not_computed_twice():
    def halves(x):
        return torch.cat([x.exp().sin().cos(), x.tanh().sigmoid().erf()], -1) + 1

    compiled_equals_eager(halves, ((2, 5),), ((3, 7),), kernels=2)


@pytest.mark.parametrize("mode", [torch.cat, torch.stack])
def test_three_parts(mode):
    compiled_equals_eager(
        lambda x: mode([x.exp(), x + 1, x.sin()], dim=1), ((2, 5),), ((3, 7),), ((1, 1),), kernels=1
    )


@pytest.mark.parametrize(
    "padding", [(1, 2), (0, 0, 3, 1), (1, -2), (-1, -1, 2, 0), (2, 2, 1, 1, -1, 0)]
)
def test_padding_and_cutting(padding):
    def pad(x):
        return torch.nn.functional.pad(x.exp(), padding, value=0.5)

    with torch._dynamo.config.patch(specialize_int=True):  # of the closure's
        compiled_equals_eager(pad, ((3, 4, 5),), ((2, 6, 9),))


def test_padding_to_a_multiple():
    def pad(x):
        return torch.nn.functional.pad(x * 2, (0, 0, 0, -x.shape[0] % 8)) + 1

    compiled_equals_eager(pad, ((3, 4),), ((8, 5),), ((17, 2),))


def test_types_are_promoted():
    def mixed(x, y):
        return torch.cat([x.to(torch.bfloat16), y.to(torch.float16), y > 0])

    compiled = torch.compile(mixed, backend="dvm", dynamic=True)
    x, y = torch.randn(3, 4), torch.randn(2, 4)
    torch.testing.assert_close(compiled(x, y), mixed(x, y))
