"""PyTorch's own database of operators inside of dvm.torch.fuse(): the results, and the errors, are eager's.

opinfo_test.py asks the same of torch.compile. Nothing is too small to be recorded here. The fast tier takes some
entries in f32, the slow one all of them in every type.
"""

from __future__ import annotations

import zlib

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("expecttest", reason="torch's operator database needs expecttest")

from opinfo_test import (  # noqa: E402
    DTYPES,
    compare,
    describe,
    full_cases,
    identify,
    is_ours,
    run,
    samples_of,
)
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

import dvm.torch  # noqa: E402

SPREAD = 3  # samples of an entry


def fast_cases():
    return [
        (op, "f32")
        for op, name in full_cases()
        if name == "f32" and is_ours(op) and zlib.crc32(op.full_name.encode()) % 6 == 0
    ]


def outcome(op, sample):
    """What a call gives, or the type and text of what it raises."""
    try:
        return run(op.op, sample), None
    except Exception as error:
        return None, (type(error), str(error))


def check(op, dtype):
    """Raises the first difference, be it of errors."""
    samples = list(samples_of(op, DTYPES[dtype], "sample"))
    scope = dvm.torch.fuse(least_elements=0)
    for sample in samples[:: max(1, len(samples) // SPREAD)]:
        expected, wanted = outcome(op, sample)
        with scope:
            actual, came = outcome(op, sample)
        try:
            assert came == wanted
            if wanted is None:
                compare(actual, expected, op, sample)
        except AssertionError as error:
            raise AssertionError(f"{op.full_name}({describe(sample)}): {error}") from error


@pytest.mark.parametrize(("op", "dtype"), fast_cases(), ids=identify)
def test_some_samples(op, dtype):
    check(op, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "dtype"), list(full_cases()), ids=identify)
def test_all_entries(op, dtype):
    check(op, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(
    "op", [op for op in op_db if op.error_inputs_func is not None], ids=identify
)
def test_error_inputs(op):
    for case in op.error_inputs("cpu"):
        _, wanted = outcome(op, case.sample_input)
        with dvm.torch.fuse(least_elements=0):
            _, came = outcome(op, case.sample_input)
        assert came == wanted
