"""A result is written over an operand that nothing needs afterwards, and only where no element is read too late."""

import numpy as np
import pytest

from dvm import _core, graph_reference

M, N = 40, 48


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


class Program:
    """A graph over x[m, n] and square weights, built in a few words."""

    def __init__(self):
        self.graph = _core.Graph("program")
        self.x = self.graph.input("x", "f32", ["m", "n"])
        self.arrays = [random(M, N)]

    def op(self, name, *operands):
        return self.graph.elementwise(name, list(operands))

    def product(self, value):
        """With a weight of its own. Nothing that reduces what it gives is done on its tiles."""
        number = len(self.arrays)
        self.arrays.append(random(N, N) / N)
        return self.graph.matmul(value, self.graph.input(f"w{number}", "f32", ["n", "n"]))

    def norm(self, value, axis=1):
        scale = self.graph.reduce("sum", self.op("abs", value), [axis])
        return self.op("div", value, self.op("add", scale, self.graph.constant(1.0, "f32")))

    def check(self, arrays=None):
        """Compares with the reference, on any number of threads; the blocks of x's size in the arena."""
        arrays = self.arrays if arrays is None else arrays
        executable = _core.Executable(self.graph)
        wanted = graph_reference.run(self.graph, arrays)
        threads = _core.threads()
        try:
            for count in (1, 2, 4):
                _core.set_threads(count)
                for _ in range(3):
                    came = executable(*arrays)
                    came = came if isinstance(came, tuple) else (came,)
                    for mine, right in zip(came, wanted, strict=True):
                        np.testing.assert_allclose(mine, right, rtol=2e-4, atol=2e-5)
        finally:
            _core.set_threads(threads)
        return executable.plan([array.shape for array in arrays])["arena_bytes"] / arrays[0].nbytes


def test_a_norm_lies_where_its_operand_did():
    program = Program()
    program.graph.output(program.product(program.norm(program.product(program.x))))
    assert program.check() == 1


def test_a_residual_stream_stays_where_it_is():
    program = Program()
    stream = program.product(program.x)
    for _ in range(4):
        stream = program.op("add", program.product(program.product(stream)), stream)
    program.graph.output(program.product(stream))
    assert program.check() == 2  # it, and what is multiplied


def test_a_stream_and_its_norm_lie_where_both_operands_did():
    program = Program()
    stream = program.norm(program.product(program.x))
    for _ in range(4):
        stream = program.op("add", program.product(program.norm(stream)), stream)
    program.graph.output(program.product(program.norm(stream)))
    assert program.check() == 3  # it, its norm, and the product that is added


def test_a_gate_is_finished_where_its_first_product_lies():
    program = Program()
    x = program.norm(program.x)
    gate, up = program.product(x), program.product(x)
    program.graph.output(program.product(program.op("mul", program.op("sigmoid", gate), up)))
    assert program.check() == 2  # the norm and the gate


def test_what_the_product_itself_multiplies_stays():
    program = Program()
    y = program.norm(program.x)
    program.graph.output(program.norm(program.op("add", program.product(y), y)))
    program.check()


def test_what_is_read_later_stays():
    program = Program()
    first = program.product(program.x)
    second = program.norm(first)
    third = program.product(program.product(second))
    program.graph.output(program.norm(program.op("add", third, first)))
    program.graph.output(second)
    program.check()


def test_what_is_read_in_another_order_stays():
    program = Program()
    program.arrays[0] = random(N, N)
    y = program.product(program.x)
    turned = program.graph.permute(y, [1, 0])
    program.graph.output(program.product(program.norm(program.op("sub", y, turned))))
    assert program.check() > 1


def test_what_is_read_at_other_places_stays():
    graph = _core.Graph("shift")
    x = graph.input("x", "f32", ["m", "n"])
    w = graph.input("w", "f32", ["n", "n"])
    y = graph.matmul(x, w)
    reversed_ = graph.elementwise("sub", [graph.size("m", "i64"), graph.iota(["m", "n"], 0)])
    index = graph.elementwise("sub", [reversed_, graph.constant(1, "i64")])
    graph.output(graph.matmul(graph.elementwise("add", [y, graph.gather(y, index, 0)]), w))
    program = Program()
    program.graph, program.arrays = graph, [random(M, N), random(N, N) / N]
    assert program.check() > 1


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 30000), (3000, 5)])
def test_rows_and_columns_of_any_length(axis, shape):
    """Resident, streamed and split over several launches."""
    graph = _core.Graph("reduced")
    x = graph.input("x", "f32", ["m", "n"])
    w = graph.input("w", "f32", ["n", 3])
    back = graph.input("back", "f32", [3, "n"])
    y = graph.matmul(graph.matmul(x, w), back)
    total = graph.reduce("sum", graph.elementwise("abs", [y]), [axis])
    scaled = graph.elementwise(
        "div", [y, graph.elementwise("add", [total, graph.constant(1.0, "f32")])]
    )
    graph.output(graph.matmul(scaled, w))
    m, n = shape
    program = Program()
    program.graph, program.arrays = graph, [random(m, n) / n, random(n, 3), random(3, n)]
    program.check()


@pytest.mark.parametrize("target", ["i32", "f16", "f64"])
def test_other_types(target):
    program = Program()
    y = program.graph.cast(
        program.op(
            "mul", program.norm(program.product(program.x)), program.graph.constant(100.0, "f32")
        ),
        target,
    )
    again = program.graph.cast(program.graph.permute(y, [1, 0]), "f32")
    program.graph.output(program.graph.permute(program.norm(again), [1, 0]))
    program.check()


def test_several_results_of_one_kernel():
    program = Program()
    a, b = program.product(program.x), program.product(program.x)
    total, product = program.op("add", a, b), program.op("mul", a, b)
    program.graph.output(program.product(program.norm(total)))
    program.graph.output(program.product(program.norm(product)))
    program.graph.output(program.product(program.op("sub", program.op("tanh", total), b)))
    program.check()


def test_launches_at_once_do_not_overwrite_what_another_reads():
    program = Program()
    y = program.product(program.x)
    columns = program.graph.reduce("max", y, [0])  # not one kernel with what reduces rows
    rows = program.norm(y)
    program.graph.output(program.op("add", program.product(rows), columns))
    for m in (1, 2, 5, M):
        program.arrays[0] = random(m, N)
        program.check()


def program_of(seed):
    """Products, norms and sums of values that were made before, transposed or not, of which some are returned."""
    rng = np.random.default_rng(seed)
    program = Program()
    size = int(rng.choice([1, 2, 7, 16, 33]))
    program.graph = _core.Graph("random")
    values = [program.graph.input(f"x{i}", "f32", ["n", "n"]) for i in range(2)]
    arrays = [random(size, size + i)[:, :size] / 4 for i in range(2)]
    for _ in range(int(rng.integers(4, 14))):
        a, b = (values[-1 - min(int(rng.geometric(0.5)) - 1, len(values) - 1)] for _ in range(2))
        kind = rng.integers(6)
        if kind == 0:
            value = program.op("tanh", program.graph.matmul(a, b))
        elif kind == 1:
            value = program.norm(a, int(rng.integers(2)))
        elif kind == 2:
            value = program.op("sub", a, program.graph.permute(b, [1, 0]))
        elif kind == 3:
            value = program.op("mul", program.graph.matmul(a, b), program.op("tanh", b))
        else:
            value = program.op(("add", "maximum")[kind - 4], a, b)
        values.append(value)
    for value in {values[-1], *rng.choice(values[2:], 1).tolist()}:
        program.graph.output(value)
    return program, [np.ascontiguousarray(array) for array in arrays]


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    program, arrays = program_of(seed)
    program.check(arrays)
