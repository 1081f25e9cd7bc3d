"""Values of a Graph that are made again: of other operands, or in another Graph."""

import pytest

from dvm import _core


def of_every_kind() -> _core.Graph:
    graph = _core.Graph("all")
    x = graph.input("x", "f32", ["n", 8])
    image = graph.input("image", "f32", [1, 4, "h", "w"])
    taps = graph.input("taps", "f32", [6, 2, 3, 3])
    weight = graph.input("weight", "i8", [8, 16])
    heads = graph.input("heads", "f32", ["b", "m", 8])
    slope = graph.scalar("slope", "f32")
    scaled = graph.elementwise("mul", [x, slope])
    halved = graph.elementwise("mul", [scaled, graph.constant(0.5, "f32")])
    length = graph.cast(graph.size("(n*2)", "i64"), "f32")
    mean = graph.elementwise("div", [graph.reduce("sum", halved, [0]), length])
    joined = graph.concat([halved, graph.expand(mean, ["n", 8])], 0)
    part = graph.slice(joined, 0, "((n+1)//2)", "n", 2)
    turned = graph.permute(graph.reshape(part, ["n", 2, 4]), [1, 0, 2])
    index = graph.iota([1, "n", 1], 1)
    graph.output(graph.gather(turned, index, 1), [1, 0, 2])
    graph.output(graph.matmul(x, graph.permute(x, [1, 0])))
    scales = graph.expand(graph.constant(2.0, "f32"), [2, 16])
    graph.output(graph.matmul_scaled(x, weight, scales, 8))
    graph.output(graph.attention(heads, heads, heads, scale=0.25, causal=True, order=[1, 0, 2]))
    convolved = graph.convolve(image, taps, [2, 1], [1, 1], groups=2)
    graph.output(graph.pool("max", convolved, [2, 2], [2, 2]))
    return graph


def test_a_graph_that_is_copied_value_by_value_reads_the_same() -> None:
    source = of_every_kind()
    copy = _core.Graph("all")
    places = {}
    for value in source.inputs:
        node = source.node(value)
        places[value] = copy.input(node["name"], node["type"], node["shape"])
    for value in source.scalars:
        places[value] = copy.scalar(source.node(value)["name"], source.type(value))
    made = copy.copy(source, range(len(source)), places, {})
    assert made == list(range(len(source)))
    orders = [[1, 0, 2], [], [], [], []]
    for value, order in zip(source.outputs, orders, strict=True):
        copy.output(made[value], order)
    assert str(copy) == str(source)


def test_a_copy_may_have_other_operands() -> None:
    source = _core.Graph("wide")
    x = source.input("x", "f32", ["n"])
    narrow = source.cast(x, "bf16")
    wide = source.cast(narrow, "f32")
    root = source.elementwise("sqrt", [wide])
    copy = _core.Graph("copy")
    here = copy.input("x", "f32", ["n"])
    assert copy.copy(source, [x, wide, root], {x: here}, {wide: [x]}) == [here, here, here + 1]


def test_what_made_a_value_is_done_to_another() -> None:
    graph = _core.Graph("again")
    x, y = graph.input("x", "f32", ["n", "m"]), graph.input("y", "f64", ["n", "m"])
    turned = graph.permute(x, [1, 0])
    other = graph.remake(turned, [y])
    assert (graph.kind(other), graph.operands(other)) == ("permute", [y])
    assert (graph.type(other), graph.shape(other)) == ("f64", ["m", "n"])
    flat = graph.reshape(turned, ["(n*m)"])
    assert graph.shape(graph.remake(flat, [x])) == graph.shape(flat)


def test_what_cannot_be_made_again_is_said() -> None:
    graph = _core.Graph("faults")
    x = graph.input("x", "f32", ["n"])
    y = graph.elementwise("exp", [x])
    with pytest.raises(ValueError, match="is an argument"):
        graph.remake(x, [])
    with pytest.raises(ValueError, match="2 operands came, 1 are wanted"):
        graph.remake(y, [x, x])
    with pytest.raises(ValueError, match="no value %7"):
        graph.remake(7, [x])
    with pytest.raises(ValueError, match="%9 is not in this graph"):
        graph.remake(y, [9])
    with pytest.raises(IndexError):
        _core.Graph("other").copy(graph, [y], {}, {})
