"""Conversions between all pairs of element types, and narrow integers, which wrap as if computed in their own type."""

import numpy as np
import pytest
from instruction_cases import LIMITS, NARROW_INTEGERS, ROWS, SPECIAL, TYPES, element_of

from dvm import _core, reference

ml_dtypes = pytest.importorskip("ml_dtypes")


def values(element):
    """Values of any element type, all of them for those of 8 and 16 bits."""
    dtype = reference.dtype_of(element)
    if element == "bool":
        return np.array([False, True])
    if dtype.itemsize <= 2:
        return np.arange(256**dtype.itemsize).astype(f"u{dtype.itemsize}").view(dtype)
    random = np.random.default_rng(5)
    if dtype.kind == "i":
        info = np.iinfo(dtype)
        drawn = random.integers(info.min, info.max, 3000, dtype=dtype, endpoint=True)
        return np.concatenate([drawn, np.array(LIMITS, dtype), drawn >> (dtype.itemsize * 8 - 12)])
    scales = np.exp(random.uniform(-100, 100, 4000)) * random.choice([-1, 1], 4000)
    near = np.concatenate([random.uniform(-300, 300, 2000), np.arange(-70000, 70000, 31.5)])
    with np.errstate(over="ignore"):
        return np.concatenate([scales, near, SPECIAL]).astype(dtype)


def convert(array, to):
    graph = _core.Graph("convert")
    graph.output(graph.cast(graph.input("a", element_of(array), ["n"]), to))
    return _core.Executable(graph)(array)


def same(got, want):
    assert got.dtype == want.dtype
    with np.errstate(invalid="ignore"):  # a signalling nan becomes a quiet one
        nan = np.isnan(want.astype(np.float64))
        np.testing.assert_array_equal(np.isnan(got.astype(np.float64)), nan)
    bits = f"u{want.dtype.itemsize}"
    np.testing.assert_array_equal(got.view(bits)[~nan], want.view(bits)[~nan])


@pytest.mark.parametrize("to", TYPES)
@pytest.mark.parametrize("source", TYPES)
def test_all_pairs(source, to):
    array = values(source)
    same(convert(array, to), reference.convert(array, to))


def test_halves_round_to_even():
    """Every f32 next to the middle of two neighbouring f16 or bf16 numbers."""
    for element in ("f16", "bf16"):
        halves = np.arange(2**15 - 1, dtype=np.uint16)
        with np.errstate(over="ignore", invalid="ignore"):
            low = halves.view(reference.dtype_of(element)).astype(np.float64)
            high = (halves + 1).view(reference.dtype_of(element)).astype(np.float64)
            middle = ((low + high) / 2).astype(np.float32)
        middle = middle[np.isfinite(middle)]
        for array in (
            middle,
            np.nextafter(middle, 0),
            np.nextafter(middle, np.float32(np.inf)),
            -middle,
        ):
            same(convert(array, element), reference.convert(array, element))


@pytest.mark.parametrize("name", ["round_f16", "round_bf16", "wrap_i8", "wrap_u8", "wrap_i16"])
def test_narrowing_in_place_is_a_round_trip(name):
    element = name.split("_")[1]
    array = values(ROWS[name]["types"][0])
    graph = _core.Graph(name)
    graph.output(graph.elementwise(name, [graph.input("a", element_of(array), ["n"])]))
    same(_core.Executable(graph)(array), convert(convert(array, element), element_of(array)))


WRAPPING = [
    name
    for name, row in ROWS.items()
    if "wraps" in row["properties"] and "i32" in row["types"] and row["arity"] <= 2
]


@pytest.mark.parametrize("element", NARROW_INTEGERS)
@pytest.mark.parametrize("name", WRAPPING)
def test_narrow_integers_wrap(name, element):
    """All operands of one byte, many of two: the low bits of what the instruction gives in i32."""
    every = values(element) if element != "i16" else values(element)[::199]
    arity = ROWS[name]["arity"]
    operands = [grid.ravel() for grid in np.meshgrid(*[every] * arity)]
    graph = _core.Graph(name)
    inputs = [graph.input("ab"[i], element, ["n"]) for i in range(arity)]
    result = graph.elementwise(name, inputs)
    assert graph.type(result) == element
    graph.output(result)
    graph.output(graph.cast(result, "i64"))  # wrapped before anyone else sees it
    stored, seen = _core.Executable(graph)(*operands)
    wide = reference.evaluate(name, *[operand.astype(np.int32) for operand in operands])
    np.testing.assert_array_equal(stored, wide.astype(stored.dtype))
    np.testing.assert_array_equal(seen, stored.astype(np.int64))


def test_parts_of_a_long_row_convert_as_they_read():
    graph = _core.Graph("mean")
    value = graph.cast(graph.input("x", "u8", ["n"]), "f32")
    graph.output(
        graph.reduce("sum", graph.elementwise("mul", [value, graph.constant(0.5, "f32")]), [0])
    )
    array = np.random.default_rng(0).integers(0, 255, 700_000).astype(np.uint8)
    got = _core.Executable(graph)(array)
    np.testing.assert_allclose(got, [array.sum(dtype=np.float64) / 2], rtol=1e-6)
