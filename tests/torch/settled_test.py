"""Floats that tracing has settled: what Dynamo traces once, and what stays an argument."""

from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.utils import clear_compilation_metrics, get_compilation_metrics


class Norms(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 8)
        self.layer = torch.nn.LayerNorm(8)
        self.batch = torch.nn.BatchNorm1d(8).eval()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.batch(self.layer(self.embedding(ids)))


def compiled(function: Callable[..., Any]) -> Any:
    torch._dynamo.reset()
    clear_compilation_metrics()
    return torch.compile(function, backend="dvm", dynamic=True)


def restarts() -> list[Any]:
    return [metrics.restart_reasons for metrics in get_compilation_metrics()]


def test_epsilons_are_settled_in_one_trace() -> None:
    module = Norms().eval()
    call = compiled(module)
    for rows in (3, 7):
        ids = torch.randint(10, (rows,))
        torch.testing.assert_close(call(ids), module(ids))
    assert [set(reasons or ()) for reasons in restarts()] == [set()]


def test_another_epsilon_is_another_program() -> None:
    module = Norms().eval()
    call = compiled(module)
    ids = torch.randint(10, (5,))
    call(ids)
    module.layer.eps = 0.5
    torch.testing.assert_close(call(ids), module(ids))
    assert len(restarts()) == 2


def test_factors_stay_arguments() -> None:
    def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x * factor, (8,), eps=1e-3)

    call = compiled(scaled)
    x = torch.randn(5, 8)
    for factor in (0.25, 3.5, 7.0):
        torch.testing.assert_close(call(x, factor), scaled(x, factor))
    assert len(restarts()) == 1
