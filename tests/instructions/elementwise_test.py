"""Every elementwise row of the table, on every engine's types, against its reference in NumPy."""

import zlib

import numpy as np
import pytest
from instruction_cases import ROWS, check, draw, inner_error, operand_types, run, settled, specials

from dvm import _core, reference

CONVERSIONS = {name for name in ROWS if name.startswith("to_")}
CASES = [
    pytest.param(name, element, id=f"{name}_{element}")
    for name, row in ROWS.items()
    if row["family"] == "elementwise" and name not in CONVERSIONS
    for element in row["types"]
]
SIZES = [0, 1, 7, 16, 17, 1000, 4099]
FULL, ROW, COL, ONE = (5, 37), (1, 37), (5, 1), (1, 1)
SHAPES = {
    1: [[FULL], [(37, 1)], [(1, 300)]],
    2: [[FULL, ROW], [FULL, COL], [FULL, ONE], [ROW, FULL], [COL, FULL], [ONE, FULL], [ROW, COL]],
    3: [[FULL, ROW, COL], [FULL, ONE, ONE], [COL, FULL, ROW], [FULL, COL, FULL], [ROW, COL, ONE]],
}


def slack(name, element, operands):
    """The absolute error that rounding on the way to the result may cause, where that is not in its last place."""
    if element not in ("f32", "f64"):
        return 0.0
    half = np.finfo(element.replace("f", "float")).eps / 2
    wide = [operand.astype(np.longdouble) for operand in operands]
    with np.errstate(all="ignore"):
        if name == "multiply_add":
            bound = np.abs(wide[0] * wide[1]) * half
        elif name == "exp_sub":  # the difference rounds before the exponential magnifies it
            difference = wide[0] - wide[1]
            bound = np.abs(difference) * half * np.exp(difference) * 1.1
        else:
            bound = inner_error(name, element, wide[-1])
    return np.where(np.isfinite(bound), bound, 0)


def compare(name, element, *operands):
    got = run(name, *operands)
    want = reference.evaluate(name, *operands)
    check(name, element, got, want, slack(name, element, np.broadcast_arrays(*operands)))
    return got, want


def operands_for(name, element, shapes):
    random = np.random.default_rng(zlib.crc32(f"{name}{element}{shapes}".encode()))
    types = operand_types(ROWS[name], element)
    return [draw(random, kind, shape) for kind, shape in zip(types, shapes, strict=True)]


@pytest.mark.parametrize(("name", "element"), CASES)
def test_sizes(name, element):
    for size in SIZES:
        compare(name, element, *operands_for(name, element, [(size,)] * ROWS[name]["arity"]))


@pytest.mark.parametrize(("name", "element"), CASES)
def test_broadcasting(name, element):
    for shapes in SHAPES[ROWS[name]["arity"]]:
        compare(name, element, *operands_for(name, element, shapes))


@pytest.mark.parametrize(("name", "element"), CASES)
def test_scalar_arguments_and_constants(name, element):
    types = operand_types(ROWS[name], element)
    if len(types) == 1:
        return
    operands = operands_for(name, element, [(50,)] + [()] * (len(types) - 1))
    graph = _core.Graph(name)
    values = [graph.input("a", types[0], ["n"])]
    values += [graph.scalar(text, kind) for text, kind in zip("bc", types[1:], strict=False)]
    graph.output(graph.elementwise(name, values))
    got = _core.Executable(graph)(operands[0], *(operand.item() for operand in operands[1:]))
    want = reference.evaluate(name, *operands)
    check(name, element, got, want, slack(name, element, np.broadcast_arrays(*operands)))


@pytest.mark.parametrize(("name", "element"), CASES)
def test_special_values(name, element):
    kinds = operand_types(ROWS[name], element)
    grids = np.meshgrid(*[specials(kind) for kind in kinds[:2]], indexing="ij")
    operands = [grid.ravel() for grid in grids]
    if len(kinds) == 3:  # all pairs of a and b, each with a few of c
        values = specials(element)
        operands.append(np.resize(values[:: max(1, len(values) // 7)], operands[0].shape))
    clear = settled(name, element, operands)
    got, want = compare(name, element, *(operand[clear] for operand in operands))
    if want.dtype.kind == "f" and name not in UNSIGNED_ZERO:
        zero = (want == 0) & (got == 0)
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


# Which of 0 and -0 is larger is left open, as PyTorch does; so is a product that underflows before it is added to.
UNSIGNED_ZERO = {"maximum", "minimum", "fmax", "fmin", "clamp", "multiply_add"}


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "fmod", "remainder"])
def test_one_hard_operand_leaves_its_neighbours_alone(name):
    """Guarded functors take another path for a whole block: that must not show."""
    random = np.random.default_rng(3)
    operands = [random.uniform(-9, 9, 700).astype(np.float32) for _ in range(ROWS[name]["arity"])]
    plain = run(name, *operands)
    operands[0][300] = 3e7
    mixed = run(name, *operands)
    others = np.arange(700) != 300
    np.testing.assert_array_equal(plain[others], mixed[others])
    check(name, "f32", mixed, reference.evaluate(name, *operands))


@pytest.mark.parametrize(
    "name", [name for name, row in ROWS.items() if "commutative" in row["properties"]]
)
def test_commutative_rows_commute(name):
    for element in ROWS[name]["types"]:
        values = specials(element)
        a, b = (grid.ravel() for grid in np.meshgrid(values, values))
        rest = [values[np.arange(a.size) % len(values)]] * (ROWS[name]["arity"] - 2)
        np.testing.assert_array_equal(run(name, a, b, *rest), run(name, b, a, *rest))


@pytest.mark.parametrize(
    "name", [name for name, row in ROWS.items() if "monotone" in row["properties"]]
)
def test_monotone_rows_are_monotone(name):
    for element in ROWS[name]["types"]:
        values = np.unique(specials(element))
        values = values[~np.isnan(values)] if element in ("f32", "f64") else values
        others = [np.resize(values[2:3], values.shape)] * (ROWS[name]["arity"] - 1)
        results = run(name, values, *others)
        results = results[~np.isnan(results)] if element in ("f32", "f64") else results
        assert (results[1:] >= results[:-1]).all()
