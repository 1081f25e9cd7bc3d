"""What is joined is made where it lies in the result; only what exists already is copied."""

import numpy as np
import pytest

from dvm import _core, graph_reference


def check(graph, *arrays):
    executable = _core.Executable(graph)
    came = executable(*arrays)
    came = came if isinstance(came, tuple) else (came,)
    for mine, wanted in zip(came, graph_reference.run(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-6)
    return executable


def rows(count, width=5):
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


@pytest.mark.parametrize("sizes", [(3, 4), (1, 1), (0, 3), (3, 0), (0, 0), (257, 1021)])
@pytest.mark.parametrize("axis", [0, 1])
def test_computed_parts_are_not_copied(sizes, axis):
    graph = _core.Graph("join")
    shapes = (["a", "n"], ["b", "n"]) if axis == 0 else (["n", "a"], ["n", "b"])
    x, y = (graph.input(name, "f32", shape) for name, shape in zip("xy", shapes, strict=True))
    parts = [graph.elementwise("exp", [x]), graph.elementwise("neg", [y])]
    graph.output(graph.concat(parts, axis))
    a, b = rows(sizes[0]), rows(sizes[1])
    arrays = (a, b) if axis == 0 else (a.T.copy(), b.T.copy())
    executable = check(graph, *arrays)
    assert executable.explain()["concats"][0]["copied"] == []
    launches = len(executable.programs([array.shape for array in arrays]))
    assert launches == sum(size > 0 for size in sizes)


def test_an_input_is_the_only_part_that_is_copied():
    graph = _core.Graph("append")
    cache, new = graph.input("cache", "f32", ["past", 5]), graph.input("new", "f32", ["now", 5])
    fresh = graph.elementwise("mul", [new, graph.constant(2.0, "f32")])
    graph.output(graph.concat([cache, fresh], 0))
    explained = check(graph, rows(7), rows(1)).explain()
    assert explained["concats"][0]["copied"] == [cache]


def test_a_part_that_is_a_result_too_is_copied_once():
    graph = _core.Graph("both")
    x = graph.input("x", "f32", ["n", 5])
    y = graph.elementwise("exp", [x])
    graph.output(y)
    graph.output(graph.concat([y, y], 1))
    check(graph, rows(6))


def test_joins_nest_in_one_memory():
    graph = _core.Graph("nested")
    x = graph.input("x", "f32", ["n", 5])
    inner = graph.concat([graph.elementwise("exp", [x]), graph.elementwise("neg", [x])], 0)
    turned = graph.permute(inner, [1, 0])
    graph.output(graph.concat([turned, graph.elementwise("abs", [turned])], 0))
    executable = check(graph, rows(6))
    assert [concat["copied"] for concat in executable.explain()["concats"]] == [[], []]


def test_what_reads_a_join_and_one_of_its_parts_sees_both():
    graph = _core.Graph("read again")
    x = graph.input("x", "f32", ["n", 5])
    y = graph.elementwise("exp", [x])
    whole = graph.concat([x, y], 0)
    graph.output(graph.reduce("sum", whole, [0]))
    graph.output(graph.elementwise("mul", [y, y]))
    check(graph, rows(33))


def test_one_number_fills_its_part():
    graph = _core.Graph("pad")
    x = graph.input("x", "f32", ["n", 5])
    border = graph.expand(graph.constant(-1.0, "f32"), [2, 5])
    graph.output(graph.concat([border, graph.elementwise("exp", [x]), border], 0))
    check(graph, rows(4))


def test_a_join_reads_back_from_its_text():
    graph = _core.Graph("text")
    x, y = graph.input("x", "f32", ["a", "n"]), graph.input("y", "f32", ["b", "n"])
    graph.output(graph.concat([x, y], -2))
    assert str(_core.Graph.parse(str(graph))) == str(graph)
    assert graph.shape(graph.outputs[0]) == ["(a+b)", "n"]


def test_what_does_not_fit_is_refused():
    graph = _core.Graph("wrong")
    x, y = graph.input("x", "f32", [2, 3]), graph.input("y", "f32", [4, 5])
    with pytest.raises(ValueError, match=r"\[concat\] shapes \[2, 3\] and \[4, 5\] differ"):
        graph.concat([x, y], 0)
    with pytest.raises(ValueError, match=r"\[concat\] operands of the types f32 and i64"):
        graph.concat([x, graph.input("z", "i64", [2, 3])], 0)
    with pytest.raises(ValueError, match=r"\[concat\] no operands"):
        graph.concat([], 0)
    with pytest.raises(ValueError, match=r"\[concat\] axis 2 is out of range"):
        graph.concat([x, x], 2)
