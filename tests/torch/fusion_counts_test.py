"""Kernel counts of layers as goldens (fusion-counts.txt): ours must be what they were, and at most Inductor's, whose
numbers are recorded with the torch that gave them. `dvm bench fusion` prints all of them, `--launches` what they are.

When a count falls, write the new one down; when one rises, a fusion was lost.
"""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from dvm.bench import fusion  # noqa: E402

# What still is above Inductor, and why.
MORE_KERNELS = {
    "pooling": "two sums over rows that share no reader, and the norm of the result",
}
MORE_BYTES = {
    "pooling": MORE_KERNELS["pooling"],
}

_SLOW = {"qwen3-layer", "gpt2-block", "t5-layer", "whisper-layer", "mamba-block-step"}
_FILE = Path(__file__).with_name("fusion-counts.txt")


def _rows() -> dict[str, list[int]]:
    lines = [line.split() for line in _FILE.read_text(encoding="utf-8").splitlines()]
    return {words[0]: [int(word) for word in words[1:]] for words in lines if words[0] != "#"}


GOLDENS = _rows()

_NAMES = [pytest.param(name, marks=pytest.mark.slow if name in _SLOW else ()) for name in GOLDENS]


def _layer(name: str) -> fusion.Layer:
    layer = fusion.find(name)
    for package in layer.packages:
        pytest.importorskip(package)
    return layer


@pytest.mark.parametrize("name", _NAMES)
def test_a_layer_is_as_many_kernels_as_recorded(name: str) -> None:
    counts = fusion.count(_layer(name), ["dvm"]).engines["dvm"]
    launches = "\n".join(f"{each.by} {each.name} {each.bytes}" for each in counts.launches)
    assert [counts.kernels, counts.bytes] == GOLDENS[name][:2], launches


@pytest.mark.parametrize("name", list(GOLDENS))
def test_no_layer_is_more_kernels_or_bytes_than_with_inductor_but_those_listed(name: str) -> None:
    kernels, moved, inductor_kernels, inductor_bytes = GOLDENS[name]
    assert (kernels > inductor_kernels) == (name in MORE_KERNELS)
    assert (moved > inductor_bytes) == (name in MORE_BYTES)


def test_every_layer_of_the_catalogue_has_its_counts() -> None:
    assert list(GOLDENS) == list(fusion.CATALOGUE)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GOLDENS))
def test_inductor_has_the_counts_that_are_recorded(name: str) -> None:
    recorded = _FILE.read_text(encoding="utf-8").splitlines()[0].split()[-1]
    if recorded != torch.__version__:
        pytest.skip(f"the counts are those of torch {recorded}")
    counts = fusion.count(_layer(name), ["inductor"]).engines["inductor"]
    assert [counts.kernels, counts.bytes] == GOLDENS[name][2:]


def test_a_copy_that_torch_makes_counts_as_a_kernel_of_two_passes() -> None:
    x = torch.randn(3, 5)
    with fusion.Watched() as seen:
        x.t().reshape(-1)  # copies
        x.reshape(-1)  # looks
        x @ x.t()  # apart
    assert [launch.bytes for launch in seen.launches] == [2 * 15 * 4]


class _Sums(torch.nn.Module):
    """Products to which a bias is added, a bias and an activation, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(16, 32), torch.nn.Linear(32, 32)
        self.third = torch.nn.Linear(32, 16, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.third(torch.relu(self.second(self.first(x))))


def test_what_finishes_a_product_is_a_kernel_unless_it_adds_a_bias_and_no_more() -> None:
    layer = fusion.Layer("sums", _Sums, lambda: (torch.randn(3, 5, 16),), ((0, 1),))
    launches = fusion.count(layer, ["dvm"]).engines["dvm"].launches
    moved = {launch.name: launch.bytes for launch in launches}
    # The bias and the result, the residual and the result; none of the products.
    assert moved == {"add_relu": 4 * (32 + 15 * 32), "add": 4 * 2 * 15 * 16}


def test_of_a_table_only_the_rows_that_are_looked_up_count() -> None:
    table, ids = torch.randn(1000, 16), torch.arange(6).reshape(2, 3)

    def found(ids: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(ids, table) * 2

    layer = fusion.Layer("found", lambda: found, lambda: (ids, table), ((0, 1), ()))
    counts = fusion.count(layer, ["dvm"]).engines["dvm"]
    rows = 6 * 16 * 4
    assert max(launch.bytes for launch in counts.launches) == rows + 6 * 8 + rows
