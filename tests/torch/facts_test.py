"""Facts that the user states of sizes decide fusion, are checked at calls, and go into the file."""

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

import dvm  # noqa: E402
from dvm.compiled.refusal import InputError  # noqa: E402


def shares(x, y):
    return y / x.exp().sum(1, keepdim=True)


def compiled(*facts):
    batch = torch.export.Dim("batch", max=64)
    rows, keys = torch.export.Dim("rows", max=4096), torch.export.Dim("keys", max=1000)
    shapes = ({0: batch, 1: rows}, {0: batch, 1: keys})
    args = torch.randn(4, 8), torch.randn(4, 8)
    return dvm.compile(shares, args, dynamic_shapes=shapes, facts=facts)


FACTS = [
    ("equal", "rows", "keys"),
    ("multiple", "rows", 8),
    ("likely", "batch", [1, 4]),
    ("range", "2 * batch", 2, 100),
]


@pytest.fixture(scope="module")
def model():
    return compiled(*FACTS)


def test_what_is_equal_is_one_kernel(model):
    assert len(compiled().explain().kernels) == 2
    assert len(model.explain().kernels) == 1
    x, y = torch.randn(3, 24), torch.randn(3, 24)
    torch.testing.assert_close(model(x, y), shares(x, y))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 8), (4, 16)), r"needs rows == keys, which fails for rows = 8, .* keys = 16"),
        (((4, 9), (4, 9)), r"input x: dimension 1 is 9, wanted .*a multiple of 8 \(rows\)"),
        (((64, 8), (64, 8)), r"needs 2 <= 2 \* batch <= 100, which fails for batch = 64"),
    ],
)
def test_a_call_that_breaks_a_fact_is_refused(model, shapes, message):
    with pytest.raises(InputError, match=message):
        model(*map(torch.randn, shapes))


def test_what_is_likely_demands_nothing(model):
    x, y = torch.randn(3, 8), torch.randn(3, 8)
    torch.testing.assert_close(model(x, y), shares(x, y))


def test_facts_are_in_the_file_with_their_source(model, tmp_path):
    model.save(tmp_path / "shares.dvm")
    loaded = dvm.load(tmp_path / "shares.dvm")
    facts = loaded.explain()["graphs"][0]["facts"]
    assert facts == model.explain()["graphs"][0]["facts"]
    assert [fact["kind"] for fact in facts if fact["source"] == "user"] == [f[0] for f in FACTS]
    assert "equal(rows, keys), from user" in str(loaded.explain())
    with pytest.raises(InputError, match="needs rows == keys"):
        loaded(np.ones((4, 8), np.float32), np.ones((4, 16), np.float32))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([("equal", "rows", "nothing")], "no dimension nothing, its names are: batch, keys, rows"),
        ([("range", "rows", 5000, 6000)], "contradicts"),
        ([("equal", "rows", "keys"), ("range", "rows", 2000, None)], "contradicts"),
        ([("equal", "rows", "rows + 1")], r"equal\(rows, \(rows\+1\)\) contradicts"),
        ([("multiple", "rows", 0)], "positive number"),
        ([("multiple", "rows", "8")], "expected an int"),
        ([("multiple", "rows", 7)], "rows % 7 == 0, the example arguments have rows = 8"),
        ([("same", "rows", "keys")], "no kind"),
        ([("range", "batch", 3)], "both ends"),
        ([("equal", "abs(rows)", "keys")], "functions other than min and max"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_when_compiling(facts, message):
    with pytest.raises(ValueError, match=message):
        compiled(*facts)


def test_what_is_no_fact_at_all():
    with pytest.raises(TypeError, match=r"wanted tuples such as"):
        compiled("rows")
