"""torch.compile(backend="dvm"): shapes, mutation, views, layouts, options and errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch._dynamo.utils import counters  # noqa: E402
from torch.nn import functional  # noqa: E402

from dvm.torch import backend, dvm, explain  # noqa: E402
from dvm.torch.report import record  # noqa: E402


@pytest.fixture(autouse=True)
def forget():
    """Dynamo starts every test with nothing compiled."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)


def compiled(function, **options):
    return torch.compile(function, backend=dvm, dynamic=True, **options)


def same(function, *arguments, **tolerance):
    """Compiled and eager, each on tensors of its own, give the same results and leave the same arguments."""

    def fresh():
        return [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]

    mine, theirs = fresh(), fresh()
    actual, expected = compiled(function)(*mine), function(*theirs)
    torch.testing.assert_close(actual, expected, **tolerance)
    torch.testing.assert_close(mine, theirs, **tolerance)
    return actual


def test_one_compilation_serves_every_length():
    def normalised(x, residual, weight):
        return functional.softmax(functional.layer_norm(x + residual, (24,), weight), dim=1) * 2.0

    function, weight = compiled(normalised), torch.randn(24)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for length in range(2, 201):
            x, residual = torch.randn(3, length, 24), torch.randn(3, length, 24)
            torch.testing.assert_close(
                function(x, residual, weight), normalised(x, residual, weight)
            )
    assert counters["dvm"]["graphs"] == 1
    assert counters["dvm"]["fallbacks"] == 0


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("columns", [0, 1, 2])
def test_sizes_0_and_1(rows, columns):
    x = torch.randn(rows, columns)
    same(
        lambda x: (x * 2 + 1, x.sum(0), x.sum(1), x.mean(), torch.softmax(x, -1)), x, equal_nan=True
    )


def test_compiling_adds_no_guards(monkeypatch):
    compile_graph, grown = backend.compile_graph, []

    def watched(*arguments, **named):
        environment = torch._guards.TracingContext.get().fake_mode.shape_env
        before = len(environment.guards)
        run = compile_graph(*arguments, **named)
        grown.append(len(environment.guards) - before)
        return run

    monkeypatch.setattr(backend, "compile_graph", watched)
    backend.reset()
    norm, x = torch.nn.GroupNorm(2, 6), torch.randn(3, 6, 7)
    same(
        lambda x: (
            functional.silu(norm(x)).flatten(1).softmax(-1),
            x.mT.contiguous() + x.shape[2],
            x.argmax(),
        ),
        x,
    )
    backend.reset()
    assert grown
    assert not any(grown)


def test_a_changing_float_is_no_reason_to_compile_again():
    def scaled(x, factor):
        return (x * factor).relu()

    function, x = compiled(scaled), torch.randn(8)
    function(x, 1.5), function(x, 2.5)
    before = counters["dvm"]["graphs"]
    for step in range(20):
        torch.testing.assert_close(function(x, step / 7 + 3), scaled(x, step / 7 + 3))
    assert counters["dvm"]["graphs"] == before


def test_numbers_from_sizes():
    same(
        lambda x: x / x.shape[0] + x.shape[1] - (x.shape[0] * x.shape[1]) ** 0.5, torch.randn(3, 7)
    )
    same(lambda x, k: x * k, torch.arange(5), -3)


def test_mutated_inputs():
    def step(weights, gradient):
        weights.mul_(0.9).add_(gradient, alpha=-0.1)
        return weights.square().sum()

    same(step, torch.randn(5, 3), torch.randn(5, 3))


def test_mutation_through_a_view():
    def step(x):
        x[1:].add_(1)
        x.t()[0].zero_()
        return x * 2

    same(step, torch.randn(4, 3))


def test_an_output_that_is_an_input():
    x = torch.randn(3, 4)
    result, doubled = compiled(lambda x: (x, x * 2))(x)
    assert result is x
    torch.testing.assert_close(doubled, x * 2)


def test_outputs_that_are_views_of_inputs_share_their_memory():
    x = torch.randn(4, 6)
    transposed, row, rest = compiled(lambda x: (x.t(), x[1], x.exp()))(x)
    x.add_(1)
    torch.testing.assert_close(transposed, x.t())
    torch.testing.assert_close(row, x[1])
    assert not torch.equal(rest, x.exp())


def test_outputs_that_share_memory_with_each_other():
    def both(x):
        y = x * 2
        return y, y.view(-1), y[0]

    whole, flat, first = compiled(both)(torch.ones(3, 4))
    whole.zero_()
    assert flat.sum() == 0
    assert first.sum() == 0


def test_equal_outputs_have_memory_of_their_own():
    first, second = compiled(lambda x: (x + 1, x + 1))(torch.zeros(4))
    first.zero_()
    assert second.sum() == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_have_the_strides_of_eager(dtype):
    def layouts(x):
        return x.transpose(0, 1) + 1, x.permute(2, 0, 1).exp(), (x * 2).contiguous(), x.mT.relu()

    x = torch.randn(3, 4, 5).to(dtype)
    for actual, expected in zip(same(layouts, x), layouts(x), strict=True):
        assert actual.stride() == expected.stride()


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    result = compiled(lambda x: functional.silu(x) + 1)(x)
    torch.testing.assert_close(result, functional.silu(x) + 1)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_strided_and_expanded_inputs():
    same(lambda x: x.sin() + x, torch.randn(8, 12)[::2, 1::3])
    same(lambda x, y: x * y, torch.randn(4, 1).expand(4, 5), torch.randn(5))
    same(lambda x: torch.softmax(x, -1), torch.randn(6, 5).t())


def test_arguments_are_released_as_soon_as_they_are_used():
    from dvm.torch.backend import compile_graph
    from dvm.torch.options import Options

    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda x: (x + 1,), tracing_mode="fake")(
        torch.ones(3)
    )
    run = compile_graph(graph, [], kind="inference", options=Options())
    arguments = [torch.ones(3)]
    (result,) = run(arguments)
    assert run._boxed_call
    assert arguments == []
    torch.testing.assert_close(result, torch.full((3,), 2.0))


def test_random_numbers_are_drawn_as_eager_draws_them():
    def noisy(x):
        return x + torch.rand_like(x) * torch.randn_like(x)

    x = torch.zeros(5, 7)
    torch.manual_seed(3)
    actual = compiled(noisy)(x)
    torch.manual_seed(3)
    torch.testing.assert_close(actual, noisy(x))


def test_control_flow_and_graph_breaks():
    def branching(x):
        y = x * 2
        if y.sum() > 0:
            return y + 1
        return y - 1

    same(branching, torch.ones(4))
    same(branching, -torch.ones(4))


def test_created_tensors():
    same(
        lambda x: (torch.arange(x.shape[0]) * 2 + x, torch.zeros_like(x), torch.ones(3) + x),
        torch.randn(3),
    )
    same(
        lambda x: (torch.arange(x.shape[0], dtype=torch.float32), torch.full((2, x.shape[0]), 7)),
        torch.randn(5),
    )


def test_double_precision_and_integers():
    same(lambda x: x.softmax(0).log(), torch.randn(9, dtype=torch.float64))
    same(
        lambda x, y: (x // 3, x % y, x & y, x << 2, x.clamp(2, 9)),
        torch.arange(12),
        torch.arange(12) + 1,
    )
    narrow = torch.arange(-128, 127, dtype=torch.int8)
    same(lambda x: (x * 3, x + x, -x, x.sum(), x > 0), narrow)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    layer, norm = torch.nn.Linear(16, 8), torch.nn.LayerNorm(8)

    def model(x):
        with torch.autocast("cpu", dtype=dtype):
            return functional.gelu(norm(layer(x))) + 1

    with torch.no_grad():
        x = torch.randn(4, 16)
        actual, expected = compiled(model)(x), model(x)
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=2e-2, atol=2e-2)


def test_numerics_eager_rounds_after_every_operation():
    def chain(x):
        return ((x + 1.0) * 1.01 - 1.0) * 3.3

    x = torch.randn(1000).bfloat16()
    exact = compiled(chain, options={"numerics": "eager"})(x)
    torch.testing.assert_close(exact, chain(x), rtol=0, atol=0)


def test_complex_numbers_run_in_torch():
    x = torch.randn(4, dtype=torch.complex64)
    same(lambda x: (x * 2 + 1).abs() + 1, x)
    assert counters["dvm"]["fallbacks"] > 0


# Options and errors.


def test_strict_names_the_operation_the_reason_and_the_line():
    function = compiled(lambda x: torch.logcumsumexp(x, 0) + 1, options={"strict": True})
    with pytest.raises(
        Exception,
        match=r"aten\.logcumsumexp\.default: the core has no such operation, at File .*backend_test",
    ):
        function(torch.ones(3))


def test_strict_accepts_what_is_covered():
    function = compiled(lambda x: functional.gelu(x).sum(-1), options={"strict": True})
    x = torch.randn(3, 4)
    torch.testing.assert_close(function(x), functional.gelu(x).sum(-1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stric": True}, r"unknown option 'stric'.*numerics, strict; did you mean 'strict'\?"),
        ({"strict": 1}, r"option 'strict' is 1, a int, wanted a bool"),
        ({"numerics": "exact"}, r"option 'numerics' is 'exact', wanted 'fast' or 'eager'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(Exception, match=message):
        compiled(lambda x: x + 1, options=options)(torch.ones(3))


def test_a_mode_is_refused():
    with pytest.raises(Exception, match=r"mode 'max-autotune' came"):
        torch.compile(lambda x: x + 1, backend=dvm, mode="max-autotune")(torch.ones(3))


def test_a_wrong_shape_is_eagers_own_error():
    with pytest.raises(Exception, match="size of tensor"):
        compiled(lambda x, y: x + y)(torch.ones(3), torch.ones(4))


def test_the_name_is_registered():
    entry = "dvm" in torch.compiler.list_backends()
    if not entry:
        pytest.skip("dvm is not installed, only on the path")
    function = torch.compile(lambda x: x + 1, backend="dvm", dynamic=True)
    torch.testing.assert_close(function(torch.ones(3)), torch.full((3,), 2.0))


def test_without_torch_the_error_says_what_to_install():
    script = "import sys; sys.modules['torch'] = None; import dvm; dvm.torch"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "[dvm.torch] PyTorch is not installed" in result.stderr


def test_fallbacks_are_counted():
    compiled(lambda x: torch.logcumsumexp(x, 0) + 1)(torch.ones(3))
    assert counters["dvm"]["fallbacks"] == 1
    assert counters["dvm"]["fallback aten.logcumsumexp.default"] == 1


def test_the_code_runs_no_torch_operation_between_fused_ones():
    with record() as report:
        compiled(lambda x: torch.relu(torch.logcumsumexp(x, 0)) * 2 + 1)(torch.ones(3, 3))
    (compilation,) = report.compilations
    assert len(compilation.segments) == 1
    assert compilation.source.count("function(") == 1


def test_products_of_matrices_part_no_segments():
    with record() as report:
        compiled(lambda x: torch.relu((x + 1) @ x) * 2 + 1)(torch.ones(3, 3))
    (compilation,) = report.compilations
    assert len(compilation.segments) == 1
    assert compilation.source.count("function(") == 0


def test_products_of_integers_run_in_torch():
    account = explain(lambda x: x @ x, torch.arange(9).reshape(3, 3))
    assert [(item["name"], item["reason"]) for item in account.fallbacks] == [
        ("aten.mm.default", "the core multiplies no matrices of torch.int64")
    ]


def test_explain_tells_of_fallbacks():
    account = explain(lambda x: torch.logcumsumexp(x * 2, 0).exp(), torch.ones(4))
    (fallback,) = account.fallbacks
    assert fallback["name"] == "aten.logcumsumexp.default"
    assert "backend_test.py" in fallback["line"]
    assert len(account.kernels) == 2
    assert account["compiles"] == 1
    assert "aten.logcumsumexp.default: the core has no such operation" in str(account)


def test_the_garbage_collector_waits_while_a_graph_is_compiled(monkeypatch):
    import gc

    from dvm.torch import lower

    seen = []
    partition = lower.partition
    monkeypatch.setattr(
        lower, "partition", lambda *args: (seen.append(gc.isenabled()), partition(*args))[1]
    )
    torch.compile(lambda x: x * 2 + 1, backend=dvm, dynamic=True)(torch.ones(5))
    assert seen == [False]
    assert gc.isenabled()
