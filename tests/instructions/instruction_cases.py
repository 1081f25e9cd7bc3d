"""What the tests of instructions share: operands, how to run one instruction, and how near its result must come."""

from dataclasses import dataclass

import numpy as np

from dvm import _core, reference

ROWS = {row["name"]: row for row in _core.instructions()}
TYPES = {row["name"]: row for row in _core.element_types()}
FLOATS = {"f32": np.float32, "f64": np.float64}
NARROW_INTEGERS = ["i8", "u8", "i16"]


@dataclass
class Tolerance:
    """The largest error in units in the last place of the result, or of `floor` where the result is smaller."""

    f32: float
    f64: float = 1.0
    floor: float = 0.0


# Rows that are not here are exact. The references of erf and its relatives are no better than f64. tools/ulp.py
# measures the f32 column over all floats.
TOLERANCES = {
    "rsqrt": Tolerance(1.6, 1.6),
    "hypot": Tolerance(0.6, 1.1),
    "floor_div": Tolerance(0.0, 1.1),
    "multiply_add": Tolerance(0.6, 0.6),
    "square_diff": Tolerance(2.1, 2.1),
    "exp": Tolerance(1.6),
    "exp_sub": Tolerance(1.6),
    "exp2": Tolerance(1.6),
    "expm1": Tolerance(2.6, 1.1),
    "log": Tolerance(1.6),
    "log2": Tolerance(2.1),
    "log10": Tolerance(2.1, 2.1),
    "log1p": Tolerance(2.1, 1.1),
    "sin": Tolerance(2.1),
    "cos": Tolerance(2.1),
    "tan": Tolerance(3.1, 1.1),
    "asin": Tolerance(2.1),
    "acos": Tolerance(2.1),
    "atan": Tolerance(2.1),
    "atan2": Tolerance(2.6, 1.1),
    "sinh": Tolerance(2.6, 2.1),
    "cosh": Tolerance(2.1, 2.1),
    "tanh": Tolerance(2.6, 2.1),
    "asinh": Tolerance(2.1, 2.1),
    "acosh": Tolerance(2.1, 2.1),
    "atanh": Tolerance(2.6, 2.1),
    "erf": Tolerance(2.1, 2.1),
    "erfc": Tolerance(6.3, 4.1),
    "erfinv": Tolerance(3.1, 16.0),
    "sigmoid": Tolerance(2.6, 2.6),
    "softplus": Tolerance(2.6, 2.6),
    "silu": Tolerance(3.1, 3.1, floor=1e-36),
    "gelu": Tolerance(52.0, 80.0, floor=1e-8),
    "gelu_tanh": Tolerance(32.0, 40.0, floor=1e-8),
    "pow": Tolerance(0.6, 1.1),
}


def tolerance(name, element):
    """The largest error of an instruction in ULP, and the size below which that is counted as if it were there."""
    halves = ROWS[name]["pair"]
    if halves:
        errors = [tolerance(half, element) for half in halves]
        return sum(error for error, _ in errors), max(floor for _, floor in errors)
    row = TOLERANCES.get(name, Tolerance(0, 0))
    return (row.f32 if element == "f32" else row.f64), row.floor


def inner_error(name, element, values):
    """The absolute error of a pair's first instruction where it is below its floor, and is multiplied by `values`."""
    halves = ROWS[name]["pair"]
    allowed, floor = tolerance(halves[0], element) if halves else (0, 0)
    return allowed * np.abs(values) * float(np.spacing(FLOATS[element](floor))) if floor else 0.0


def settled(name, element, operands):
    """Where the definition leaves no choice of overflow: everywhere but in what follows from a step in between."""
    halves = ROWS[name]["pair"]
    with np.errstate(all="ignore"):
        if (
            name == "multiply_add" and element in FLOATS
        ):  # the product overflows, unless the sum is fused to it
            product = operands[0] * operands[1]
            return np.isfinite(product) | ~np.isfinite(operands[0]) | ~np.isfinite(operands[1])
        if halves and tolerance(halves[0], element)[1]:  # 0 or nearly 0, times inf
            inner = reference.evaluate(halves[0], *operands[: ROWS[halves[0]]["arity"]])
            return ~((np.abs(inner) < tolerance(halves[0], element)[1]) & np.isinf(operands[-1]))
    return np.ones(operands[0].shape, bool)


def check(name, element, got, want, slack=0.0):
    """Asserts that `got` is `want` within the instruction's tolerance; `slack` is an absolute error allowed besides."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    allowed, floor = tolerance(name, element)
    with np.errstate(all="ignore"):
        finite = np.isfinite(want) & np.isfinite(got)
        size = np.maximum(np.abs(np.where(finite, want, 1)), max(floor, np.finfo(want.dtype).tiny))
        unit = np.spacing(size.astype(want.dtype)).astype(np.longdouble)
        error = np.abs(got.astype(np.longdouble) - want.astype(np.longdouble))
        # Against a rounded reference half a unit comes on top, unless nothing may differ at all.
        near = finite & (error <= unit * (allowed + 0.5 if allowed else 0) + slack)
        # Where the truth is about to overflow, a neighbour of the largest number may have.
        edge = np.abs(np.where(np.isfinite(want), want, got)) >= np.finfo(want.dtype).max * 0.999999
        same = (got == want) | (np.isnan(got) & np.isnan(want)) | (edge & (allowed > 0))
    wrong = np.flatnonzero(~(near | same))
    assert not wrong.size, (
        f"{name}_{element}: {wrong.size} of {got.size} differ, first at {wrong[0]}: "
        f"{got.flat[wrong[0]]!r} came, {want.flat[wrong[0]]!r} is right"
    )


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    3.0,
    -3.0,
    0.1,
    np.inf,
    -np.inf,
    np.nan,
    1e-10,
    1e10,
    -1e10,
    2.5,
    1.5,
]
SPECIAL += [
    88.7,
    88.8,
    -87.4,
    -103.9,
    -104.1,
    709.7,
    709.8,
    -745.2,
    1e-40,
    -1e-40,
    1e-310,
    1e30,
    -1e30,
    1e300,
    3.9,
    9.0,
]
SPECIAL += [
    2.0**31,
    -(2.0**31),
    2.0**63,
    -(2.0**63),
    8388607.5,
    4503599627370495.5,
    0.99999994,
    1.0000001,
    127.0,
    65504.0,
]
SPECIAL += [1e5, 2e6, 1e22, np.pi, np.pi / 2, 128.0, -149.0, 20.0, -14.0, 3e38, -3e38]
LIMITS = [
    0,
    1,
    -1,
    2,
    3,
    -3,
    7,
    31,
    32,
    33,
    63,
    64,
    65,
    -64,
    100,
    127,
    -128,
    255,
    32767,
    2**31 - 1,
    -(2**31),
]


def specials(element):
    """The values of a type at which something happens."""
    if element == "bool":
        return np.array([False, True])
    if element in FLOATS:
        info = np.finfo(FLOATS[element])
        more = [info.max, -info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal]
        with np.errstate(over="ignore"):
            return np.array(SPECIAL + more).astype(FLOATS[element])
    more = [2**63 - 1, -(2**63), 2**32, 2**40 + 5] if element == "i64" else []
    return np.array(LIMITS + more, reference.dtype_of(element))


def draw(random, element, shape):
    """Values of a type: most of them of ordinary size, some of any."""
    if element == "bool":
        return random.random(shape) < 0.5
    if element in FLOATS:
        ordinary = random.uniform(-12, 12, shape)
        wide = random.choice([-1.0, 1.0], shape) * np.exp(random.uniform(-80, 80, shape))
        return np.where(random.random(shape) < 0.8, ordinary, wide).astype(FLOATS[element])
    dtype = reference.dtype_of(element)
    info = np.iinfo(dtype)
    small = random.integers(-20, 20, shape)
    any_ = random.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return np.where(random.random(shape) < 0.5, small.astype(dtype), any_)


def operand_types(row, element):
    """The types of the operands of a row's instruction for `element`."""
    types = [element] * row["arity"]
    if "condition" in row["properties"]:
        types[0] = "bool"
    return types


def run(name, *operands, elements=None):
    """One instruction through the core: a graph of one node, its dimensions symbols except those of size 1."""
    graph = _core.Graph(name)
    values = []
    for i, array in enumerate(operands):
        element = elements[i] if elements else element_of(array)
        names = ("m", "n")[2 - array.ndim :]
        shape = [1 if size == 1 else names[k] for k, size in enumerate(array.shape)]
        values.append(graph.input("abc"[i], element, shape))
    graph.output(graph.elementwise(name, values))
    return _core.Executable(graph)(*operands)


def element_of(array):
    """Our name of an array's type."""
    return next(name for name, row in TYPES.items() if row["numpy"] == array.dtype.name)
