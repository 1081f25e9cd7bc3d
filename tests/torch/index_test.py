"""Picking by index under torch.compile: equal to eager, one kernel with what reads it, and the same errors."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

import dvm

TABLE = torch.randn(50, 33)
IDS = torch.randint(0, 50, (4, 7))
LONG = torch.randint(-50, 50, (4, 7))
X = torch.randn(6, 40, 5)

CASES = {
    "embedding": (lambda t, i: F.layer_norm(F.embedding(i, t), (33,)), (TABLE, IDS)),
    "embedding of int32": (lambda t, i: F.embedding(i, t) * 2, (TABLE, IDS.int())),
    "embedding of bf16": (lambda t, i: F.embedding(i, t) * 2, (TABLE.bfloat16(), IDS)),
    "index_select": (lambda x, i: torch.relu(x.index_select(1, i)), (X, torch.tensor([3, 3, 39]))),
    "gather": (lambda x, i: x.gather(2, i) + 1, (X, torch.randint(0, 5, (6, 40, 9)))),
    "index": (lambda x, i: x[i] * 2, (TABLE, LONG)),
    "index of an inner axis": (lambda x, i: x[:, i] * 2, (X, torch.tensor([[0, -1], [5, 7]]))),
    "two indices": (
        lambda x, i, j: x[i, j] * 2,
        (X, torch.tensor([0, -1, 5]), torch.tensor([[1], [-2]])),
    ),
    "two inner indices": (
        lambda x, i, j: x[:, i, j].exp(),
        (X, torch.tensor([0, -1, 5]), torch.tensor([4, 0, -5])),
    ),
    "each row's own": (
        lambda x, i: x[torch.arange(x.shape[0]), i] + 1,
        (X, torch.tensor([0, -1, 5, 3, 3, 39])),
    ),
    "each row's own, computed": (
        lambda x, i: x.exp()[torch.arange(x.shape[0]), i] + 1,
        (X, torch.tensor([0, -1, 5, 3, 3, 39])),
    ),
    "of what is computed, whole rows": (
        lambda x, i: x.exp()[:, i] + 1,
        (X, torch.tensor([0, -1, 5])),
    ),
    "each column's own": (
        lambda x, i: x[:, i, torch.arange(x.shape[2])] + 1,
        (X, torch.tensor([[0, -1, 5, 3, 3]])),
    ),
    "all positions": (
        lambda x: x.exp()[torch.arange(x.shape[0])[:, None], torch.arange(x.shape[1])] + 1,
        (X,),
    ),
    "positions the other way round": (
        lambda x: x[torch.arange(x.shape[0]), torch.arange(x.shape[1])[:, None]] + 1,
        (X,),
    ),
    "one element": (lambda x, i: x[i] + 1, (X, torch.tensor(-2))),
    "of what is computed": (
        lambda t, i: F.log_softmax(t, -1).gather(1, i),
        (TABLE, IDS.repeat(13, 1)[:50] % 33),
    ),
    "cross entropy": (
        lambda x, t: F.cross_entropy(x, t, reduction="none"),
        (TABLE, torch.randint(0, 33, (50,))),
    ),
    "mean cross entropy": (
        lambda x, t: F.cross_entropy(x, t),
        (TABLE, torch.where(torch.arange(50) % 3 == 0, -100, torch.arange(50) % 33)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_eager(name):
    function, arguments = CASES[name]
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="dvm", dynamic=True, options={"strict": True})
    torch.testing.assert_close(compiled(*arguments), function(*arguments), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["embedding", "cross entropy"])
def test_picking_is_part_of_one_kernel(name):
    function, arguments = CASES[name]
    account = dvm.explain(function, *arguments)
    picking = [kernel for kernel in account.kernels if "gather" in kernel["ops"]]
    assert len(picking) == 1
    assert "sum" in " ".join(picking[0]["ops"])
    others = [kernel for kernel in account.kernels if kernel not in picking]
    assert all("all" in kernel["ops"] for kernel in others), "nothing but the check besides"


@pytest.mark.parametrize("name", ["embedding", "index_select", "gather", "index", "cross entropy"])
@pytest.mark.parametrize("bad", [-1000, 1000])
def test_an_index_out_of_range_raises_as_in_eager(name, bad):
    function, (table, index) = CASES[name]
    index = index.clone()
    index.view(-1)[-1] = bad
    compiled = torch.compile(function, backend="dvm", dynamic=True)
    with pytest.raises((IndexError, RuntimeError)):
        function(table, index)
    with pytest.raises(IndexError, match="out of range"):
        compiled(table, index)


def test_one_compile_serves_all_numbers_of_indices():
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    compiled = torch.compile(CASES["embedding"][0], backend="dvm", dynamic=True)
    for shape in [(2, 3), (5, 17), (9, 2)]:
        ids = torch.randint(0, 50, shape)
        torch.testing.assert_close(
            compiled(TABLE, ids), CASES["embedding"][0](TABLE, ids), rtol=2e-5, atol=2e-5
        )
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1


def checks(function, *arguments):
    """The kernels that check indices."""
    torch._dynamo.reset()
    return [
        kernel for kernel in dvm.explain(function, *arguments).kernels if "all" in kernel["ops"]
    ]


def test_numbers_that_are_known_to_be_in_range_are_not_checked():
    assert not checks(lambda t, i: F.embedding(torch.zeros_like(i), t) * 2, TABLE, IDS)
    assert not checks(lambda x: x[torch.arange(x.shape[0]), 3] * 2, X)
    assert not checks(lambda t, i: F.embedding(i % len(t), t) * 2, TABLE, IDS)
    assert checks(lambda t, i: F.embedding(i % (len(t) + 1), t) * 2, TABLE, IDS)


def test_an_index_of_several_tables_is_checked_once():
    def both(t, u, i):
        return F.embedding(i, t) + F.embedding(i, u) + u[i]

    (check,) = checks(both, TABLE, TABLE + 1, IDS)
    assert check["ops"].count("lt") == 1


def test_a_smaller_table_is_checked_too():
    def both(t, u, i):
        return F.embedding(i, t) + F.embedding(i, u)

    compiled = torch.compile(both, backend="dvm", dynamic=True)
    with pytest.raises(IndexError, match="out of range"):
        compiled(TABLE, TABLE[:20].clone(), torch.tensor([[3, 30]]))


def test_several_indices_are_checked_by_one_kernel():
    def words(t, u, i, j):
        return F.layer_norm(F.embedding(i, t) + F.embedding(j, u), (33,))

    assert len(checks(words, TABLE, TABLE + 1, IDS, IDS + 0)) == 1
    compiled = torch.compile(words, backend="dvm", dynamic=True)
    for bad in [(IDS, IDS + 50), (IDS - 51, IDS)]:
        with pytest.raises(IndexError, match="out of range"):
            compiled(TABLE, TABLE, *bad)
