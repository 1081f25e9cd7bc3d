"""A graph with calls is cut into as few runs as its calls allow."""

import numpy as np

from dvm import _core


def run(graph, inputs, calls):
    """Runs the segments of a graph, with NumPy functions for the calls, and returns its outputs and the kinds of
    its segments."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    sizes = {
        dim: size
        for value in graph.inputs
        for dim, size in zip(graph.shape(value), values[value].shape, strict=True)
    }
    kinds = []
    for kind, *rest in _core.segment(graph):
        kinds.append(kind)
        if kind == "run":
            subgraph, arguments, outputs = rest
            executable = _core.Executable(subgraph)
            results = executable(
                *[values[a] if isinstance(a, int) else sizes[a] for a in arguments]
            )
            results = results if isinstance(results, tuple) else (results,)
            values.update(zip(outputs, results, strict=True))
        elif kind == "view":
            node = graph.node(rest[0])
            operand = values[node["operands"][0]]
            if node["kind"] == "permute":
                values[rest[0]] = operand.transpose(node["axes"])
            else:
                shape = [d if isinstance(d, int) else sizes[d] for d in node["shape"]]
                values[rest[0]] = (np.broadcast_to if node["kind"] == "expand" else np.reshape)(
                    operand, shape
                )
        else:
            node = graph.node(rest[0])
            results = calls[node["name"]](*[values[v] for v in node["operands"]])
            for value in range(len(graph)):
                result = graph.node(value)
                if result["kind"] == "result" and result["operands"] == [rest[0]]:
                    values[value] = results[result.get("axes", [0])[0]]
    return [values[v] for v in graph.outputs], kinds


def matmul(graph, a, b, shape):
    return graph.result(graph.call("matmul", [a, b]), 0, "f32", shape)


CALLS = {"matmul": lambda a, b: (a @ b,)}


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_a_layer():
    graph = _core.Graph("layer")
    x = graph.input("x", "f32", ["n", 8])
    w = graph.input("w", "f32", [8, 8])
    b = graph.input("b", "f32", [8])
    h = graph.elementwise("neg", [x])
    h = matmul(graph, h, graph.permute(w, [1, 0]), ["n", 8])
    h = graph.elementwise("tanh", [graph.elementwise("add", [h, b])])
    h = matmul(graph, h, w, ["n", 8])
    graph.output(graph.elementwise("add", [h, x]))
    x, w, b = random(3, 8), random(8, 8), random(8)
    (result,), kinds = run(graph, (x, w, b), CALLS)
    np.testing.assert_allclose(result, np.tanh(-x @ w.T + b) @ w + x, rtol=1e-5, atol=1e-5)
    assert kinds == ["run", "view", "call", "run", "call", "run"]


def test_independent_work_shares_a_run():
    graph = _core.Graph("wide")
    x = graph.input("x", "f32", ["n", "n"])
    a = graph.elementwise("neg", [x])
    first = matmul(graph, a, a, ["n", "n"])
    b = graph.elementwise("abs", [x])
    second = matmul(graph, b, b, ["n", "n"])
    graph.output(graph.elementwise("add", [first, second]))
    x = random(4, 4)
    (result,), kinds = run(graph, (x,), CALLS)
    np.testing.assert_allclose(result, x @ x + abs(x) @ abs(x), rtol=1e-5)
    assert kinds == ["run", "call", "call", "run"]


def test_what_is_cheap_is_made_again():
    graph = _core.Graph("again")
    x = graph.input("x", "f32", ["n", "n"])
    two = graph.constant(2.0, "f32")
    size = graph.size("n", "f32")
    product = matmul(graph, graph.elementwise("mul", [x, two]), x, ["n", "n"])
    h = graph.elementwise("div", [graph.elementwise("mul", [product, two]), size])
    h = graph.elementwise("add", [h, graph.permute(x, [1, 0])])
    graph.output(h)
    x = random(4, 4)
    (result,), kinds = run(graph, (x,), CALLS)
    np.testing.assert_allclose(result, (2 * x @ x) * 2 / 4 + x.T, rtol=1e-5)
    assert kinds == ["run", "call", "run"]
    first, _, second = _core.segment(graph)
    assert (first[2], second[2]) == (graph.inputs, [product, *graph.inputs])


def test_constants_and_sizes_that_a_call_reads():
    graph = _core.Graph("filled")
    x = graph.input("x", "f32", ["n", "n"])
    ones = graph.expand(graph.constant(1.0, "f32"), ["n", "n"])
    h = matmul(graph, x, ones, ["n", "n"])
    graph.output(matmul(graph, h, ones, ["n", "n"]))
    x = random(3, 3)
    (result,), kinds = run(graph, (x,), CALLS)
    np.testing.assert_allclose(result, x @ np.ones((3, 3)) @ np.ones((3, 3)), rtol=1e-5)
    assert kinds == ["run", "call", "call"]
    assert _core.segment(graph)[0][2] == ["n"], "a subgraph without tensors is told its sizes"


def test_views_of_views_for_a_call():
    graph = _core.Graph("heads")
    x = graph.input("x", "f32", ["n", 6])
    heads = graph.permute(graph.reshape(x, ["n", 2, 3]), [1, 0, 2])
    graph.output(matmul(graph, heads, graph.permute(heads, [0, 2, 1]), [2, "n", "n"]))
    x = random(4, 6)
    h = x.reshape(4, 2, 3).transpose(1, 0, 2)
    (result,), kinds = run(graph, (x,), CALLS)
    np.testing.assert_allclose(result, h @ h.transpose(0, 2, 1), rtol=1e-5)
    assert kinds == ["view", "view", "view", "call"]


def test_without_calls_it_is_one_run():
    graph = _core.Graph("plain")
    x = graph.input("x", "f32", ["n"])
    graph.output(graph.elementwise("neg", [x]))
    (segment,) = _core.segment(graph)
    assert segment[0] == "run"
    assert segment[2:] == (graph.inputs, graph.outputs)
