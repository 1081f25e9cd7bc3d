"""Random torch programs give what eager gives, in results and in what they change, with one graph for many sizes."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from choosing import Drawn, Seeded  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from random_programs import RandomProgram, check, check_compiled  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from dvm.torch.decompositions import decompositions  # noqa: E402
from dvm.torch.lower import lower  # noqa: E402
from dvm.torch.options import Options  # noqa: E402

SLOW = os.environ.get("DVM_PROPERTIES") == "slow"


@pytest.fixture(autouse=True)
def no_gradients():
    torch._dynamo.reset()
    with torch.no_grad():
        yield


def check_seeds(first, count, lines=12):
    """Checks that many programs, each with up to six assignments of sizes."""
    served = 0
    for seed in range(first, first + count):
        program = RandomProgram(Seeded(seed), lines)
        try:
            served += check(program)
        except BaseException as error:
            error.add_note(f"seed {seed}, {lines} lines\n{program.text}")
            raise
    assert served >= 3 * count


@given(st.data())
@settings(max_examples=2000 if SLOW else 15)
def test_random_programs(data):
    check(RandomProgram(Drawn(data.draw)))


def test_seeded_programs():
    check_seeds(0, 20)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(40))
def test_many_seeded_programs(block):
    check_seeds(100_000 + 500 * block, 500, lines=8 + block % 3 * 6)


def test_through_torch_compile():
    check_compiled(RandomProgram(Seeded(1), 12))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_many_through_torch_compile(block):
    for seed in range(50 * block, 50 * block + 50):
        torch._dynamo.reset()
        check_compiled(RandomProgram(Seeded(seed), 12))


# What random programs found, made small.


def of_a_shape_alone(x):
    return torch.softmax(torch.zeros_like(x - 1), 1)


def a_part_that_can_only_have_one_column(x):
    return torch.maximum(x @ x.t(), torch.chunk(x[:, :-6], 2, 1)[1])


def joined_on_one_axis_and_stacked_on_another(x):
    y = torch.cat([x, x], 1)
    return torch.stack([y, y]) - y


def joined_and_only_then_reduced(x):
    y = torch.nn.functional.pad(x, (0, 2)).flatten()
    z = torch.cat([y, y, y])
    y.index_add_(0, torch.arange(2), torch.ones(2))
    return z.logsumexp(0), y


FOUND = [
    of_a_shape_alone,
    a_part_that_can_only_have_one_column,
    joined_on_one_axis_and_stacked_on_another,
    joined_and_only_then_reduced,
]


@pytest.mark.parametrize("function", FOUND, ids=lambda function: function.__name__)
def test_what_was_found(function):
    compiled = torch.compile(function, backend="dvm", dynamic=True)
    for rows in (5, 7):
        x = torch.randn(rows, 9)
        torch.testing.assert_close(compiled(x), function(x))


def check_traced(function, x):
    """What the backend makes of a function traced as random programs are, against the function."""
    functional = torch.func.functionalize(function, remove="mutations")
    traced = make_fx(functional, decompositions(), tracing_mode="symbolic")(x.clone())
    run = lower(traced, "inference", Options()).run
    mine, theirs = x.clone(), x.clone()
    torch.testing.assert_close((run([mine]), mine), ([*function(theirs)], theirs))


def test_several_results_of_one_operation_stay_together():
    def function(x):
        y, first = torch.nn.functional.layer_norm(x, x.shape), x.select(0, 1)
        z = torch.where((torch.arange(y.shape[0]) % 3 == 0)[:], y, first)
        picked = y.index_select(0, (torch.arange(z.shape[0]) * 3 + 1) % y.shape[0])
        return picked.cumsum(0), first

    check_traced(function, torch.randn(8))


def test_what_is_picked_from_arithmetic_is_picked_before_its_operand_changes():
    def function(x):
        x.mul_(x.clone())
        rows, columns = x.shape
        picked = (torch.arange(rows) * 3 + 1) % columns
        y = x.gather(1, picked.view(1, -1).expand(rows, -1))
        picked = (torch.arange(rows) * 3 + 1) % rows
        return (y.gather(0, picked.view(-1, 1).expand(-1, y.shape[1])).square(),)

    check_traced(function, torch.randn(5, 6))


def test_a_part_of_a_copy_is_what_was_copied():
    def function(x):
        first = x.clone().unbind(0)[0]
        x[torch.arange(x.shape[0]).flip(0)[:2]] = 0.25
        return (first,)

    check_traced(function, torch.randn(1))


def test_what_torch_has_joined_is_read_where_its_parts_have_changed():
    def function(x):
        y = x.sin()
        x[:2].mul_(0.5)
        z = torch.cat([y, x])
        picked = z.gather(0, (torch.arange(x.shape[0]) * 3 + 1) % z.shape[0])
        z.scatter_(0, torch.zeros_like(z[:1], dtype=torch.long), 3.0)
        return picked, z

    check_traced(function, torch.randn(5))
