"""PyTorch's own database of operators, with its sample inputs, through torch.compile(backend="dvm") against eager.

Three tiers. The fast one takes each elementwise operation and reduction in f32 and one more type, with its first
samples. The slow one (`make test-all`) takes every entry of the database in every type, with samples spread over all
there are, reference inputs of elementwise operations and reductions among them, and their error inputs. With
DVM_FULL=1 the slow one leaves no sample out; it then runs for hours, and holds the lines of opinfo-xfails.txt, the
known mismatches with their reasons, to be true: one that passes is a failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
import zlib
from pathlib import Path
from unittest import mock

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("expecttest", reason="torch's operator database needs expecttest")

from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402
from torch.testing._internal.opinfo.core import (  # noqa: E402
    BinaryUfuncInfo,
    ReductionOpInfo,
    UnaryUfuncInfo,
)
from torch.utils._pytree import tree_flatten, tree_map  # noqa: E402

from dvm.torch import dvm  # noqa: E402

DTYPES = {
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "bool": torch.bool,
}

# (rtol, atol). Our transcendental functions are not eager's bit for bit.
TOLERANCE = {
    torch.float32: (2e-5, 1e-5),
    torch.float64: (1e-7, 1e-7),
    torch.float16: (2e-3, 1e-3),
    torch.bfloat16: (1.6e-2, 1e-2),
    torch.complex32: (2e-3, 1e-3),
    torch.complex64: (2e-5, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}

# Entries that are elementwise or reductions though the database has no class for them.
MORE = """
addcdiv addcmul aminmax arange clamp clone fill full full_like lerp log_softmax logaddexp2 logsumexp
masked_fill max.binary max.reduction_no_dim max.reduction_with_dim min.binary min.reduction_no_dim
min.reduction_with_dim native_layer_norm native_group_norm nn.functional.batch_norm nn.functional.gelu
nn.functional.glu nn.functional.group_norm nn.functional.hardswish nn.functional.huber_loss
nn.functional.instance_norm nn.functional.layer_norm nn.functional.leaky_relu nn.functional.mse_loss
nn.functional.l1_loss nn.functional.smooth_l1_loss nn.functional.soft_margin_loss
nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits nn.functional.kl_div
nn.functional.normalize nn.functional.rms_norm nn.functional.softmin norm norm.fro norm.inf linalg.vector_norm
softmax std_mean std_mean.unbiased var_mean var_mean.unbiased to tril triu where ones_like zeros_like permute
transpose expand reshape unsqueeze squeeze
"""

MORE_NAMES = frozenset(MORE.split())

# What these return is not determined.
UNDETERMINED = {
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
}

FULL = os.environ.get("DVM_FULL") == "1"
SPREAD = 8  # samples per entry and type in the slow tier

XFAILS = Path(__file__).parent / "opinfo-xfails.txt"


def read_xfails():
    """(entry, type) -> reason, from lines `entry type reason`; the type may be `*`."""
    found = {}
    for line in XFAILS.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            entry, dtype, reason = line.split(maxsplit=2)
            for name in DTYPES if dtype == "*" else [dtype]:
                found[entry, name] = reason
    return found


def is_ours(op):
    return (
        isinstance(op, (UnaryUfuncInfo, BinaryUfuncInfo, ReductionOpInfo))
        or op.full_name in MORE_NAMES
    )


def full_cases():
    for op in op_db:
        for name, dtype in DTYPES.items():
            if dtype in op.supported_dtypes("cpu") and op.full_name not in UNDETERMINED:
                yield op, name


def fast_cases():
    for op in op_db:
        if not is_ours(op) or op.full_name.startswith(("special.", "masked.")):
            continue
        supported = [name for name in DTYPES if DTYPES[name] in op.supported_dtypes("cpu")]
        others = [name for name in supported if name != "f32"]
        if "f32" in supported:
            yield op, "f32"
        if others:
            yield op, others[zlib.crc32(op.full_name.encode()) % len(others)]


def identify(case):
    return case.full_name if hasattr(case, "full_name") else case


def samples_of(op, dtype, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "reference":
            yield from op.reference_inputs("cpu", dtype, requires_grad=False)
        else:
            yield from op.sample_inputs("cpu", dtype, requires_grad=False)


def fresh(value):
    """The same tensors once more, for an operation that may write to them."""
    return tree_map(
        lambda leaf: leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf, value
    )


@contextlib.contextmanager
def one_operation():
    """Dynamo forgets what it knew, and never gives up to run eager instead. Nor does it time every guard that it makes
    with empty caches, which is half of what a compilation takes here."""
    torch._dynamo.reset()
    with (
        mock.patch.object(torch._dynamo.guards, "profile_guard_manager", return_value=0.0),
        torch._dynamo.config.patch(recompile_limit=100_000, accumulated_recompile_limit=100_000),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def run(function, sample):
    torch.manual_seed(0)
    return function(*fresh([sample.input, *sample.args]), **fresh(sample.kwargs))


def check(op, dtype, samples):
    """Raises the first difference; answers how many samples were compared."""
    compared = 0
    with one_operation():
        compiled = torch.compile(lambda *a, **k: op.op(*a, **k), backend=dvm, dynamic=True)
        for sample in samples:
            try:
                expected = run(op.op, sample)
            except Exception:
                continue
            try:
                compare(run(compiled, sample), expected, op, sample)
            except Exception as error:
                raise AssertionError(f"{op.full_name}({describe(sample)}): {error}") from error
            compared += 1
    return compared


def compare(actual, expected, op, sample):
    actual_leaves, actual_tree = tree_flatten(actual)
    expected_leaves, expected_tree = tree_flatten(expected)
    assert actual_tree == expected_tree
    for index, (mine, wanted) in enumerate(zip(actual_leaves, expected_leaves, strict=True)):
        if not isinstance(wanted, torch.Tensor):
            assert mine == wanted or (mine != mine and wanted != wanted)
            continue
        rtol, atol = TOLERANCE.get(wanted.dtype, (0, 0))
        try:
            torch.testing.assert_close(mine, wanted, rtol=rtol, atol=atol, equal_nan=True)
        except AssertionError:
            if (
                not wanted.is_floating_point()
                or mine.shape != wanted.shape
                or mine.dtype != wanted.dtype
            ):
                raise
            if not no_worse(mine, wanted, index, op, sample):
                raise


def no_worse(mine, wanted, index, op, sample):
    """Whether our result is at least as near to that of double precision as eager's."""

    def widen(leaf):
        wide = isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
        return leaf.double() if wide else leaf

    try:
        arguments, named = tree_map(
            widen, (fresh([sample.input, *sample.args]), fresh(sample.kwargs))
        )
        truth = tree_flatten(op.op(*arguments, **named))[0][index].double()
    except Exception:
        return False
    slack = torch.finfo(mine.dtype).eps * truth.abs()
    mine, wanted = mine.double(), wanted.double()
    if not torch.equal(mine.isnan(), truth.isnan()):
        return False
    nearer = (mine - truth).abs() <= (wanted - truth).abs() + slack
    return bool((nearer | (mine == wanted) | mine.isnan()).all())


def describe(sample):
    def short(leaf):
        if isinstance(leaf, torch.Tensor):
            return f"{str(leaf.dtype).removeprefix('torch.')}{list(leaf.shape)}"
        return leaf

    arguments = tree_map(short, [sample.input, *sample.args])
    named = [f"{key}={value}" for key, value in tree_map(short, sample.kwargs).items()]
    return ", ".join([*map(str, arguments), *named])


@pytest.mark.parametrize(("op", "dtype"), list(fast_cases()), ids=identify)
def test_first_samples(op, dtype):
    if (op.full_name, dtype) in read_xfails():
        pytest.skip("a known mismatch, checked in the slow tier")
    check(op, dtype, itertools.islice(samples_of(op, DTYPES[dtype], "sample"), 2))


def slow_samples(op, dtype):
    samples = list(samples_of(op, DTYPES[dtype], "sample"))
    if is_ours(op):
        with contextlib.suppress(NotImplementedError):
            samples += samples_of(op, DTYPES[dtype], "reference")
    return samples if FULL else samples[:: max(1, len(samples) // SPREAD)]


@pytest.mark.slow
@pytest.mark.parametrize(("op", "dtype"), list(full_cases()), ids=identify)
def test_all_samples(op, dtype):
    reason = read_xfails().get((op.full_name, dtype))
    try:
        check(op, dtype, slow_samples(op, dtype))
    except AssertionError:
        if reason is None:
            raise
        pytest.xfail(reason)
    if FULL:
        assert reason is None, f"passes, so its line in {XFAILS.name} is to be removed: {reason}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "op", [op for op in op_db if op.error_inputs_func is not None and is_ours(op)], ids=identify
)
def test_error_inputs(op):
    for case in op.error_inputs("cpu"):
        if not refuses(op.op, case.sample_input):
            continue  # this eager accepts it
        with one_operation():
            refused = refuses(torch.compile(op.op, backend=dvm, dynamic=True), case.sample_input)
        if not refused:  # some inputs torch.compile accepts by itself, whatever the backend
            with one_operation():
                assert not refuses(
                    torch.compile(op.op, backend="aot_eager", dynamic=True), case.sample_input
                )


def refuses(function, sample):
    try:
        run(function, sample)
    except Exception:
        return True
    return False


def test_every_xfail_names_an_entry_and_a_reason():
    entries = {op.full_name for op in op_db}
    for entry, dtype in read_xfails():
        assert entry in entries
        assert dtype in DTYPES
