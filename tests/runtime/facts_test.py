"""Facts about sizes: what they let kernels share, how they are told and printed, and what breaks them."""

import re
import time

import numpy as np
import pytest

from dvm import _core


def ones(*shape):
    return np.ones(shape, np.float32)


def negated(*facts, shape=("n",)):
    graph = _core.Graph("g")
    x = graph.input("x", "f32", list(shape))
    for fact in facts:
        graph.fact(*fact)
    graph.output(graph.elementwise("neg", [x]))
    return graph


@pytest.mark.parametrize(
    ("fact", "good", "bad"),
    [
        (("multiple", "n", 8), (0, 8, 64), (1, 12)),
        (("range", "n", 2, 5), (2, 5), (1, 6)),
        (("range", "n", None, 5), (0, 5), (6,)),
        (("multiple", "(n+2)", 4), (2, 6), (1, 4)),
        (("equal", "(n%3)", 0), (0, 3, 9), (1, 8)),
    ],
    ids=str,
)
def test_a_call_that_breaks_a_fact_is_told_which(fact, good, bad):
    executable = _core.Executable(negated(fact))
    for n in good:
        np.testing.assert_array_equal(executable(ones(n)), -ones(n))
    for n in bad:
        message = rf"\[g\] the fact {fact[0]}\(.*\) of the user does not hold: n is {n} from dimension 0 of input x"
        with pytest.raises(ValueError, match=message):
            executable(ones(n))


def test_a_size_that_a_fact_fixes_is_expected():
    executable = _core.Executable(negated(("equal", "n", 4)))
    executable(ones(4))
    with pytest.raises(
        ValueError, match=re.escape("dimension 0 is 5, expected 4 (equal(n, 4), says the user)")
    ):
        executable(ones(5))


def test_unequal_sizes_declared_equal():
    executable = _core.Executable(negated(("equal", "a", "b"), shape=("a", "b")))
    executable(ones(3, 3))
    message = (
        "dimension 1 is 4, but a is 3 from dimension 0 of input x (equal(a, b), says the user)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        executable(ones(3, 4))


def test_a_size_given_as_an_expression_tells_its_symbol():
    graph = _core.Graph("g")
    x = graph.input("x", "f32", ["(s*2)", "(t-s)"])
    graph.output(graph.elementwise("neg", [x]))
    graph.output(graph.iota(["s"], 0))
    graph.output(graph.iota(["t"], 0))
    executable = _core.Executable(graph)
    _, s, t = executable(ones(6, 4))
    assert (len(s), len(t)) == (3, 7)
    with pytest.raises(
        ValueError, match=re.escape("input x: dimension 0 is 5, which (s*2) cannot be")
    ):
        executable(ones(5, 4))


@pytest.mark.parametrize(
    ("fact", "error", "message"),
    [
        (("odd", "n"), ValueError, '[fact] there is no kind "odd": use one of equal, multiple, range, likely'),
        (("multiple", "n", 0), ValueError, "[fact] multiple(n, 0): a multiple is of one positive number"),
        (("multiple", "n"), ValueError, "[fact] multiple wants a dimension and a number, got 0 values"),
        (("range", "n", 5), ValueError, "[fact] range wants a dimension and both ends, got 1 values"),
        (("range", "n", 5, 2), ValueError, "[fact] range(n, 5, 2) contradicts what is known"),
        (("range", "n", 5, 2.5), TypeError, "[fact] expected an int, got float"),
        (("equal", "n", "(n+1)"), ValueError, "[fact] equal(n, (n+1)) contradicts what is known"),
        (("likely", "n", []), ValueError, "[fact] likely(n): likely values are wanted"),
        (("multiple", "(n", 2), ValueError, '[dim] cannot read "(n"'),
    ],
    ids=str,
)  # fmt: skip
def test_facts_that_cannot_be(fact, error, message):
    with pytest.raises(error, match=re.escape(message)):
        negated(fact)


def test_facts_are_part_of_the_text():
    graph = negated(
        ("multiple", "n", 8), ("range", "n", 8, 512), ("likely", "n", [8, 64]), ("equal", "n", "m")
    )
    again = _core.Graph.parse(str(graph))
    assert str(again) == str(graph)
    assert [fact["text"] for fact in again.facts] == [
        "multiple(n, 8)", "range(n, 8, 512)", "likely(n, 8, 64)", "equal(n, m)",
    ]  # fmt: skip
    with pytest.raises(
        ValueError, match=r"multiple\(n, 8\) of the graph text does not hold: n is 12"
    ):
        _core.Executable(again)(ones(12))


def test_each_fact_tells_where_it_came_from():
    graph = _core.Graph("g")
    a, b = graph.input("a", "f32", ["m"]), graph.input("b", "f32", ["n"])
    graph.fact("multiple", "m", 4, source="export")
    graph.output(graph.elementwise("add", [a, b]))
    assert [(fact["text"], fact["source"], fact["given"]) for fact in graph.facts] == [
        ("multiple(m, 4)", "export", True),
        ("equal(m, n)", "%2 = add", False),
    ]


def kernels(graph):
    return len([step for step in _core.fuse(graph)["steps"] if step[0] == "kernel"])


def test_products_in_any_order_are_one_size():
    graph = _core.Graph("g")
    x, y = graph.input("x", "f32", ["b", "s", "h"]), graph.input("y", "f32", ["s", "b", "h"])
    flat = [graph.reshape(x, ["(b*s)", "h"]), graph.reshape(y, ["(s*b)", "h"])]
    total = graph.elementwise("add", [graph.elementwise("exp", [v]) for v in flat])
    peak = graph.reduce("max", total, [1])
    graph.output(graph.elementwise("sub", [graph.reshape(total, ["(s*b)", "h"]), peak]))
    assert kernels(graph) == 1
    u, v = ones(2, 3, 4), 2 * ones(3, 2, 4)
    np.testing.assert_allclose(_core.Executable(graph)(u, v), np.zeros((6, 4)), atol=1e-6)


def test_a_multiple_lets_a_split_be_undone():
    """(n//8)*8 is n only where 8 divides n."""

    def graph(*facts):
        graph = negated(*facts)
        x = graph.input("y", "f32", ["((n//8)*8)"])
        y = graph.elementwise("exp", [graph.reshape(graph.elementwise("exp", [x]), ["n"])])
        graph.output(y)
        return graph

    assert kernels(graph(("multiple", "n", 8))) == kernels(graph()) - 1


def layers(count):
    """`count` operations: normalisations, reshapes there and back, residual connections."""
    graph = _core.Graph("layers")
    x, w = graph.input("x", "f32", ["b", "s", "h"]), graph.input("w", "f32", ["h"])
    first = x
    while len(graph) < count:
        centred = graph.elementwise("sub", [x, graph.reduce("sum", x, [2])])
        scale = graph.reduce("max", graph.elementwise("mul", [centred, centred]), [2])
        y = graph.elementwise("mul", [graph.elementwise("div", [centred, scale]), w])
        flat = graph.elementwise("tanh", [graph.reshape(y, ["(b*s)", "h"])])
        x = graph.elementwise("add", [graph.reshape(flat, ["b", "s", "h"]), x])
        x = graph.elementwise("add", [x, first])
    graph.output(x)
    return graph


def chain(count):
    graph = _core.Graph("chain")
    x, w = graph.input("x", "f32", ["b", "h"]), graph.input("w", "f32", ["h"])
    while len(graph) < count:
        x = graph.elementwise("add", [x, w])
    graph.output(x)
    return graph


def siblings(count):
    graph = _core.Graph("siblings")
    x = graph.input("x", "f32", ["b", "h"])
    while len(graph) < count:
        graph.output(graph.reduce("max", graph.elementwise("exp", [x]), [1]))
    return graph


def compile_seconds(graph):
    begin = time.thread_time()
    _core.Executable(graph)
    return time.thread_time() - begin


@pytest.mark.parametrize("make", [layers, chain, siblings])
def test_compile_time_grows_with_the_graph(make):
    """Four times the operations may take ten times as long where caches are shared; quadratic would be sixteen."""
    graphs = make(2500), make(10_000)
    rounds = [[compile_seconds(graph) for graph in graphs] for _ in range(7)]
    small, large = (min(seconds) for seconds in zip(*rounds, strict=True))
    assert large < 0.5
    assert large < 10 * small
