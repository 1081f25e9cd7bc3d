"""cumsum and cumprod through torch.compile: exactly eager's, for every type, and no reason to leave the core."""

import pytest

torch = pytest.importorskip("torch")

import dvm  # noqa: E402
from dvm.torch.backend import dvm as backend  # noqa: E402

TYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32,
    torch.int64, torch.bool,
]  # fmt: skip


def same(function, *arguments, strict=True):
    torch._dynamo.reset()
    compiled = torch.compile(function, backend=backend, dynamic=True, options={"strict": strict})
    came, wanted = compiled(*arguments), function(*arguments)
    torch.testing.assert_close(came, wanted, rtol=0, atol=0, equal_nan=True)
    return compiled


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", TYPES)
def test_all_types_are_gathered_as_eager_does(name, dtype):
    x = (torch.randn(3, 41) * 2).to(dtype)

    def function(x):
        along = getattr(torch, name)
        return along(x, 1), along(x, -2), along(x, 0, dtype=torch.float64)

    compiled = same(function, x)
    for shape in [(1, 1), (0, 3), (7, 130)]:
        y = torch.ones(shape).to(dtype)
        for came, wanted in zip(compiled(y), function(y), strict=True):
            torch.testing.assert_close(came, wanted, rtol=0, atol=0)


def test_a_number_is_what_it_gathers():
    same(lambda x: torch.cumsum(x, 0) + torch.cumprod(x, -1), torch.tensor(3.5))


def test_nothing_is_left_to_torch_between_a_mask_and_its_positions():
    def positions(mask):
        return (mask.long().cumsum(-1) - 1).masked_fill(mask == 0, 1)

    mask = (torch.rand(4, 33) > 0.3).long()
    account = dvm.explain(positions, mask)
    assert account.fallbacks == []
    assert [scan["op"] for scan in account.scans] == ["sum"]
    assert len(account["graphs"][0]["graphs"]) == 1
    assert "scan " in str(account)
    assert "Scans" in account.html()
    same(positions, mask)


def test_places_of_tokens_among_experts():
    def places(scores):
        chosen = torch.nn.functional.one_hot(scores.argmax(-1), 8)
        return (chosen.cumsum(0) * chosen).sum(-1) - 1

    same(places, torch.randn(77, 8))


def test_nuclei_of_a_distribution():
    def nucleus(logits):
        shares = torch.softmax(logits, -1)
        return torch.cumsum(shares, -1) < 0.9

    compiled = torch.compile(nucleus, backend=backend, dynamic=True, options={"strict": True})
    logits = torch.randn(3, 101)
    assert (compiled(logits) == nucleus(logits)).float().mean() > 0.99


def test_gradients_flow_through():
    x = torch.randn(5, 12, requires_grad=True)
    torch._dynamo.reset()
    function = torch.compile(
        lambda x: (torch.cumsum(x * 2, 1) ** 2).sum(), backend=backend, dynamic=True
    )
    function(x).backward()
    y = x.detach().clone().requires_grad_()
    (torch.cumsum(y * 2, 1) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
