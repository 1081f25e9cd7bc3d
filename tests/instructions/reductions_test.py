"""Every reduction of the table over rows, columns and everything, against its reference in NumPy."""

import zlib

import numpy as np
import pytest
from instruction_cases import ROWS, draw, specials

from dvm import _core, reference

CASES = [
    pytest.param(name, element, id=f"{name}_{element}")
    for name, row in ROWS.items()
    if row["family"] == "reduce"
    for element in row["types"]
    if row["arity"] == 1
]
# Reductions of two operands, and the elementwise instruction whose sum fusion makes into them.
OF_TWO = {"sum_products": "mul", "sum_square_diff": "square_diff"}
SHAPES = [(1, 1), (3, 16), (7, 1), (1, 1009), (37, 53), (500, 3), (3, 5003), (64, 256), (257, 67)]
HAVE_NO_IDENTITY = {"argmax", "argmin"}


def reduce(name, array, axes):
    graph = _core.Graph(name)
    value = graph.input(
        "a", next(t for t in TYPE_NAMES if TYPE_NAMES[t] == array.dtype.name), ["m", "n"]
    )
    graph.output(graph.reduce(name, value, axes))
    return _core.Executable(graph)(array)


TYPE_NAMES = {row["name"]: row["numpy"] for row in _core.element_types()}


def expected(name, array, axes):
    """The reference, and the error that adding up n terms in any order may have."""
    axis = tuple(axes) if len(axes) == 2 else axes[0]
    if name in HAVE_NO_IDENTITY and len(axes) == 2:
        want = reference.evaluate(name, array.reshape(1, -1), axis=1)
    else:
        want = reference.evaluate(name, array, axis=axis)
    if array.dtype.kind != "f" or name in ("max", "min"):
        return want, 0.0
    wide = array.astype(np.longdouble)
    count = array.shape[0] * array.shape[1] if len(axes) == 2 else array.shape[axes[0]]
    unit = np.finfo(array.dtype).eps * (count**0.5 + 4)
    with np.errstate(all="ignore"):
        if name == "sum":
            return want, np.sum(np.abs(wide), axis, keepdims=True) * unit
        return want, np.abs(want.astype(np.longdouble)) * unit


def check(name, array):
    for axes in ([0], [1], [0, 1]):
        got = reduce(name, array, axes)
        want, slack = expected(name, array, axes)
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        with np.errstate(all="ignore"):
            error = np.abs(got.astype(np.longdouble) - want.astype(np.longdouble))
            near = (got == want) | (error <= slack) | ((got != got) & (want != want))
        assert near.all(), (name, array.shape, axes, got[~near][:3], want[~near][:3])


@pytest.mark.parametrize(("name", "element"), CASES)
def test_shapes(name, element):
    for shape in SHAPES:
        random = np.random.default_rng(zlib.crc32(f"{name}{element}{shape}".encode()))
        array = draw(random, element, shape)
        if element in ("f32", "f64"):
            low, high = (0.9, 1.1) if name == "prod" else (-3, 3)
            array = random.uniform(low, high, shape).astype(array.dtype)
        check(name, array)


@pytest.mark.parametrize("element", ["f32", "f64"])
@pytest.mark.parametrize("name", OF_TWO)
def test_of_two_operands(name, element):
    """The second one as large as the first, or a broadcast along either axis, or transposed."""
    random = np.random.default_rng(5)
    dtype = reference.dtype_of(element)
    for m, n in SHAPES:
        a = random.uniform(-3, 3, (m, n)).astype(dtype)
        for shape in ((m, n), (m, 1), (1, n), (1, 1), (n, m)):
            b = random.uniform(-3, 3, shape).astype(dtype)
            b = b.T if shape == (n, m) and shape != (m, n) else b
            for axes in ([0], [1], [0, 1]):
                graph = _core.Graph(name)
                left = graph.input("a", element, ["m", "n"])
                right = graph.input(
                    "b", element, [d if k > 1 else 1 for d, k in zip("mn", b.shape, strict=True)]
                )
                graph.output(
                    graph.reduce("sum", graph.elementwise(OF_TWO[name], [left, right]), axes)
                )
                executable = _core.Executable(graph)
                if min(m, n) > 1:
                    assert name in executable.explain()["kernels"][0]["ops"]
                axis = tuple(axes) if len(axes) == 2 else axes[0]
                wide = [value.astype(np.longdouble) for value in np.broadcast_arrays(a, b)]
                want = reference.evaluate(name, *wide, axis=axis)
                size = reference.evaluate(name, *(np.abs(wide[0]), -np.abs(wide[1])), axis=axis)
                got = executable(a, b)
                assert (np.abs(got - want) <= np.abs(size) * np.finfo(dtype).eps * 8).all()


def test_only_fusion_makes_reductions_of_two_operands():
    graph = _core.Graph("direct")
    with pytest.raises(ValueError, match="made by fusion alone"):
        graph.reduce("sum_products", graph.input("a", "f32", ["n"]), [0])


@pytest.mark.parametrize(("name", "element"), CASES)
def test_special_values(name, element):
    """Rows that hold one special value each, at every place of a vector and beyond it."""
    values = specials(element)
    size = 37
    ordinary = draw(np.random.default_rng(1), "i32", (len(values), size)) % 5
    array = ordinary.astype(values.dtype)
    array[np.arange(len(values)), np.arange(len(values)) * 5 % size] = values
    array[:, -1] = np.roll(values, 3)
    if name in ("prod", "sum_squares"):  # what overflows on the way depends on the order
        with np.errstate(all="ignore"):
            array = np.where(np.abs(array) > 1e6, 3, array) if values.dtype.kind == "f" else array
            array = np.where(np.abs(array) < 1e-6, 0, array) if values.dtype.kind == "f" else array
        array = array.astype(values.dtype)
    if name == "sum" and values.dtype.kind == "f":
        array = np.where(np.abs(array) < 1e38, array, np.copysign(np.inf, array)).astype(
            values.dtype
        )
    check(name, array)


@pytest.mark.parametrize(("name", "element"), CASES)
def test_nothing_gives_the_identity(name, element):
    dtype = reference.dtype_of(element)
    if name in HAVE_NO_IDENTITY:
        return
    low, high = (
        (-np.inf, np.inf)
        if dtype.kind == "f"
        else (False, True)
        if dtype.kind == "b"
        else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    )
    identity = {"sum": 0, "prod": 1, "max": low, "min": high, "any": 0, "all": 1, "sum_squares": 0}
    for shape, axes in [((0, 5), [0]), ((5, 0), [1]), ((0, 3), [0, 1])]:
        got = reduce(name, np.zeros(shape, dtype), axes)
        np.testing.assert_array_equal(got, np.full(got.shape, identity[name], dtype))
        assert got.size == (1 if len(axes) == 2 else 5)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all"])
def test_no_rows(name):
    element = "bool" if name in ("any", "all") else "f32"
    array = np.zeros((0, 9), reference.dtype_of(element))
    assert reduce(name, array, [1]).shape == (0, 1)


@pytest.mark.parametrize("element", ["f32", "i64"])
def test_the_first_of_equal_extremes_wins(element):
    array = np.zeros((3, 1000), reference.dtype_of(element))
    array[0, [3, 700]] = 5
    array[1, [999, 998]] = 5
    np.testing.assert_array_equal(reduce("argmax", array, [1]), [[3], [998], [0]])
    np.testing.assert_array_equal(reduce("argmin", -array, [1]), [[3], [998], [0]])


def test_the_first_nan_is_the_extreme():
    array = np.arange(3000, dtype=np.float32).reshape(3, 1000)
    array[0, [700, 20]] = np.nan
    array[1, 0] = np.nan
    for name in ("argmax", "argmin"):
        np.testing.assert_array_equal(reduce(name, array, [1])[:2], [[20], [0]])
    assert np.isnan(reduce("max", array, [1])[:2]).all()
    assert np.isnan(reduce("min", array, [0])[0, [20, 700, 0]]).all()
