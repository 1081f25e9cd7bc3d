"""Random programs of eager PyTorch do under a scope what they do without, and the judge of that can tell."""

from __future__ import annotations

import contextlib
import functools

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from broken_scopes import BROKEN, OtherRounding  # noqa: E402
from choosing import Seeded  # noqa: E402
from eager_judge import failing, judge  # noqa: E402
from eager_outcome import HEADER  # noqa: E402
from random_eager import RandomEager  # noqa: E402

import dvm.torch  # noqa: E402

SCOPES = {
    "eager": contextlib.nullcontext,
    "fused": dvm.torch.fuse,
    "fused however small": functools.partial(dvm.torch.fuse, least_elements=0),
}


@pytest.fixture(scope="module")
def programs():
    return [program(seed) for seed in range(200)]


def program(seed):
    return RandomEager(Seeded(seed), statements=8 + seed % 3 * 6, seed=seed)


def check(programs, scope):
    """Each of some programs."""
    for each in programs:
        found = failing(each.parts, each.seed, scope)
        assert found is None, f"seed {each.seed}\n{found}"


@pytest.mark.parametrize("scope", ["eager", "fused"])
def test_random_programs(programs, scope):
    check(programs, SCOPES[scope])


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("block", range(100))
def test_many_random_programs(block, scope):
    first = 100_000 + 500 * block
    check((program(seed) for seed in range(first, first + 500)), SCOPES[scope])


# Who looks for faults must be able to find some.


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_scope_is_found(broken, programs):
    assert any(judge(each.text, broken).differences for each in programs)


def test_other_rounding_is_no_fault(programs):
    programs = programs[:80]
    verdicts = [judge(each.text, OtherRounding) for each in programs]
    assert not [verdict for verdict in verdicts if verdict.differences]
    assert sum(verdict.unclear > 0 for verdict in verdicts) < len(programs) / 20


def test_a_failure_is_made_small():
    found = [failing(each.parts, each.seed, BROKEN[0]) for each in map(program, range(20))]
    smallest = min(filter(None, found), key=len)
    assert "sum(" in smallest
    assert len(smallest.removeprefix(HEADER).splitlines()) < 10
