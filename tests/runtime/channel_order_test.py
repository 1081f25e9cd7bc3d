"""Between convolutions of weights channels lie side by side, and results are what they are in any order."""

import numpy as np
import pytest
import torch

import dvm
from dvm import _core, graph_reference


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


class Network:
    """A Graph of convolutions over x [n, c, h, w], and its weights."""

    def __init__(self, channels, axes=2):
        self.graph = _core.Graph("network")
        self.axes, self.weights = axes, []
        self.x = self.graph.input("x", "f32", ["n", channels, *"hwd"[:axes]])
        self.value, self.channels = self.x, channels

    def convolve(self, outputs, taps, *, groups=1, transposed=False, **windows):
        across = (
            (self.channels, outputs // groups) if transposed else (outputs, self.channels // groups)
        )
        shape = [*across, *taps]
        weight = self.graph.input(f"w{len(self.weights)}", "f32", shape, weight=True)
        self.weights.append(random(*shape) / np.float32(np.prod(shape[1:]) ** 0.5))
        self.value = self.graph.convolve(
            self.value, weight, groups=groups, transposed=transposed, **windows
        )
        self.channels = outputs
        return self

    def op(self, name, *others):
        self.value = self.graph.elementwise(name, [self.value, *others])
        return self

    def end(self, value=None, **order):
        self.graph.output(self.value if value is None else value, **order)
        self.run = _core.Executable(self.graph)
        return self

    def check(self, *shape):
        """With packed weights, and with such as nobody would tell changes of."""
        x = random(*shape)
        (wanted, *_) = graph_reference.run(self.graph, [x, *self.weights])
        kept = [torch.from_numpy(weight) for weight in self.weights]
        before = dvm.packed_stats()["refused"]
        for came in (self.run(torch.from_numpy(x), *kept), self.run(x, *self.weights)):
            assert tuple(came.shape) == wanted.shape
            np.testing.assert_allclose(np.asarray(came), wanted, rtol=1e-4, atol=1e-5)
        return dvm.packed_stats()["refused"] - before


# Stride, padding, dilation and taps of the second convolution.
WINDOWS = [
    (1, 0, 1, (1, 1)),
    (2, 0, 1, (1, 1)),
    (1, 1, 1, (3, 3)),
    (2, 3, 1, (7, 7)),
    (1, 2, 2, (3, 3)),
    (3, 2, 1, (4, 5)),
]


@pytest.mark.parametrize("window", WINDOWS, ids=[f"{w[3]} by {w[0]}" for w in WINDOWS])
@pytest.mark.parametrize("channels", [(3, 17, 40), (40, 1, 9), (5, 36, 41)])
def test_all_windows_and_sizes(window, channels):
    stride, padding, dilation, taps = window
    first, inner, last = channels
    network = Network(first).convolve(inner, (3, 3), padding=[1, 1]).op("relu")
    moves = {"stride": [stride] * 2, "padding": [padding] * 2, "dilation": [dilation] * 2}
    network.convolve(last, taps, **moves).end()
    for size in ((1, 5, 5), (2, 8, 9), (5, 7, 6), (1, 19, 12), (0, 9, 9)):
        network.check(size[0], first, *size[1:])


@pytest.mark.parametrize("axes", [1, 3])
def test_one_axis_and_three(axes):
    network = Network(6, axes).convolve(24, (3, 2, 3)[:axes], stride=[2] * axes, padding=[1] * axes)
    network.op("relu").convolve(7, (3, 2, 3)[:axes], padding=[1] * axes).end()
    for size in ((9, 6, 11), (3, 5, 4), (33, 8, 3)):
        network.check(2, 6, *size[:axes])


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed(stride, groups):
    network = Network(3).convolve(8, (1, 1)).op("relu")
    network.convolve(
        10,
        (3, 2),
        stride=[stride] * 2,
        padding=[1, 0, 1, 1 - stride],
        groups=groups,
        transposed=True,
    )
    network.end()
    for size in ((2, 4, 7), (1, 13, 20), (3, 2, 1)):
        network.check(size[0], 3, *size[1:])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [7, 64, 83])
def test_windows_over_single_channels(stride, channels):
    network = Network(3).convolve(channels, (1, 1))
    network.convolve(channels, (3, 5), stride=[stride] * 2, padding=[1, 2], groups=channels)
    network.op("relu").convolve(9, (1, 1)).end()
    for size in ((1, 5, 5), (3, 7, 4), (1, 20, 33)):
        network.check(size[0], 3, *size[1:])


@pytest.mark.parametrize("op", ["max", "sum"])
def test_pools(op):
    network = Network(3).convolve(33, (3, 3), padding=[1, 1])
    network.value = network.graph.pool(op, network.value, [3, 2], stride=[2, 1], padding=[1, 1])
    network.convolve(8, (1, 1)).end()
    for size in ((1, 5, 5), (3, 7, 4), (1, 20, 33)):
        network.check(size[0], 3, *size[1:])


def test_what_joins_and_what_is_added():
    network = Network(3)
    first = network.convolve(16, (3, 3), padding=[1, 1]).op("relu").value
    second = network.convolve(24, (3, 3), padding=[1, 1]).value
    network.value, network.channels = network.graph.concat([first, second], 1), 40
    rest = network.convolve(16, (1, 1)).value
    network.value = network.graph.elementwise("add", [rest, first])
    network.convolve(5, (1, 1)).end()
    for size in ((1, 5, 5), (3, 7, 4), (2, 20, 33)):
        network.check(size[0], 3, *size[1:])


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 2, 3, 1], [3, 0, 1, 2]])
def test_results_lie_as_they_should(order):
    network = Network(3).convolve(16, (3, 3), padding=[1, 1]).op("relu").convolve(35, (1, 1))
    network.end(order=order)
    for size in ((1, 5, 5), (2, 20, 33)):
        network.check(size[0], 3, *size[1:])
        came = network.run(random(size[0], 3, *size[1:]), *network.weights)
        assert came.transpose(order).flags.c_contiguous


@pytest.mark.parametrize("shape", [["n", 640], ["n", 4, 10, "h", "w"], ["n", 2, "20*h", "w"]])
def test_reshapes_of_what_lies_so(shape):
    network = Network(3).convolve(40, (3, 3), padding=[1, 1])
    if len(shape) == 2:
        network.graph = (network := Network(3)).graph
        network.convolve(40, (3, 3), padding=[1, 1])
        shape = ["n", "40*(h*w)"]
    network.end(network.graph.reshape(network.op("relu").value, shape))
    for size in ((1, 5, 5), (2, 4, 4)):
        network.check(size[0], 3, *size[1:])


def test_a_changed_weight_is_packed_anew():
    network = Network(3).convolve(16, (3, 3)).op("relu").convolve(8, (3, 3)).end()
    x, kept = torch.from_numpy(random(1, 3, 9, 9)), [torch.from_numpy(w) for w in network.weights]
    before = network.run(x, *kept)
    kept[1] *= 2
    np.testing.assert_array_equal(network.run(x, *kept), np.asarray(before) * 2)
    kept[1].data.add_(1)  # which torch does not count
    changed = graph_reference.run(network.graph, [x.numpy(), *(w.numpy() for w in kept)])[0]
    np.testing.assert_allclose(np.asarray(network.run(x, *kept)), changed, rtol=1e-4, atol=1e-4)


def test_weights_of_any_layout():
    network = Network(4).convolve(16, (3, 3)).op("relu").convolve(8, (3, 3)).end()
    x, weights = random(1, 4, 9, 9), network.weights
    wanted = graph_reference.run(network.graph, [x, *weights])[0]
    for order in ((0, 2, 3, 1), (3, 2, 1, 0), (2, 0, 3, 1)):
        kept = [
            torch.from_numpy(np.ascontiguousarray(w.transpose(order)).transpose(np.argsort(order)))
            for w in weights
        ]
        came = network.run(torch.from_numpy(x), *kept)
        np.testing.assert_allclose(np.asarray(came), wanted, rtol=1e-4, atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    network = Network(3).convolve(64, (7, 7), stride=[2, 2], padding=[3, 3]).op("relu")
    network.convolve(64, (3, 3), groups=64).convolve(96, (3, 3), padding=[1, 1]).end()
    x, kept = torch.from_numpy(random(2, 3, 90, 70)), [torch.from_numpy(w) for w in network.weights]
    results = []
    for threads in (1, 2, 3):
        _core.set_threads(threads)
        try:
            results.append(np.asarray(network.run(x, *kept)))
        finally:
            _core.set_threads(None)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("channels", [64])
def test_errors_are_no_larger_than_those_of_torch(channels):
    network = Network(channels).convolve(channels, (3, 3), padding=[1, 1])
    network.convolve(64, (3, 3), padding=[1, 1]).end()
    x, kept = (
        torch.from_numpy(random(1, channels, 14, 14)),
        list(map(torch.from_numpy, network.weights)),
    )

    def run(x, first, second):
        return torch.conv2d(torch.conv2d(x, first, padding=1), second, padding=1)

    exact = run(x.double(), *(weight.double() for weight in kept))
    ours, theirs = torch.from_numpy(np.asarray(network.run(x, *kept))), run(x, *kept)
    assert (ours - exact).norm() <= 1.1 * (theirs - exact).norm()
