"""The whole product in a page: what a newcomer does first, in seconds."""

import json
import subprocess
import sys

import numpy as np
import pytest

import dvm


@dvm.kernel
def softmax(k, x):
    x = k.load(x)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True))


@dvm.kernel
def normalise(k, x, scale, *, eps=1e-5):
    x = k.load(x)
    mean = k.mean(x, axis=-1, keepdims=True)
    variance = k.var(x, axis=-1, keepdims=True, correction=0)
    return k.store((x - mean) * k.rsqrt(variance + eps) * scale), k.store(mean)


def softmax_in_numpy(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    "shape", [(4, 8), (3, 257), (1, 1), (128, 768), (2, 3, 1000), (5, 100_003), (0, 7)]
)
def test_a_kernel_serves_every_shape(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(softmax(x), softmax_in_numpy(x), rtol=2e-6, atol=1e-7)


def test_softmax_is_one_kernel_and_one_program():
    assert len(softmax.explain((128, 768))["kernels"]) == 1
    program = softmax.program((128, 768))
    text = program.disassemble()
    assert "sum_f32" in text
    assert dvm.assemble(text) == program
    assert dvm.Program.from_words(program.words) == program


def test_numbers_change_without_compiling_again():
    x = np.random.default_rng(1).standard_normal((6, 50)).astype(np.float32)
    for scale in (1.0, 2.5, -3.0):
        y, mean = normalise(x, scale)
        np.testing.assert_allclose(mean, x.mean(-1, keepdims=True), rtol=1e-5, atol=1e-6)
        expected = (
            (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale
        )
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    assert "1 compiled" in repr(normalise)


def test_an_array_of_the_caller_takes_the_result():
    x = np.ones((3, 5), np.float32)
    out = np.empty_like(x)
    assert softmax(x, out=out) is out
    np.testing.assert_allclose(out, 0.2, rtol=1e-6)


def test_torch_tensors_come_back_as_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.randn(7, 33)
    y = softmax(x)
    assert isinstance(y, torch.Tensor)
    torch.testing.assert_close(y, torch.softmax(x, -1))


def test_torch_compile_runs_a_model():
    torch = pytest.importorskip("torch")

    def block(x, w, b):
        return torch.nn.functional.gelu(x @ w + b).softmax(-1)

    compiled = torch.compile(block, backend="dvm", dynamic=True)
    w, b = torch.randn(16, 24), torch.randn(24)
    for length in (5, 9, 31):
        x = torch.randn(length, 16)
        torch.testing.assert_close(compiled(x, w, b), block(x, w, b))


def test_the_command_line_answers():
    done = subprocess.run(
        [sys.executable, "-m", "dvm", "info", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)
