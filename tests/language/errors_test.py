"""Whatever can go wrong says what came and what was wanted."""

import numpy as np
import pytest

import dvm

X = np.ones((3, 4), np.float32)


def fails(error, pattern, function, *args, **named):
    with pytest.raises(error, match=pattern) as caught:
        dvm.kernel(function)(*args, **named)
    assert str(caught.value).startswith("["), "an error names its operation first"


def kernel_add(k, x, y):
    return k.store(k.load(x) + k.load(y))


def test_wrong_counts_and_names_of_arguments():
    fails(TypeError, r"1 argument came, 2 \(x, y\) are wanted", kernel_add, X)
    fails(TypeError, r"3 arguments came, 2", kernel_add, X, X, X)
    fails(TypeError, r"unknown argument z", kernel_add, X, X, z=1)
    fails(TypeError, r"x came twice", kernel_add, X, X, x=X)
    fails(
        TypeError, r"the constant axis is missing", lambda k, x, *, axis: k.store(k.sum(x, axis)), X
    )
    fails(
        TypeError,
        r"unknown argument axs came; did you mean axis",
        lambda k, x, *, axis=0: k.sum(x, axis),
        X,
        axs=1,
    )
    fails(
        TypeError,
        r"constant axis is not hashable",
        lambda k, x, *, axis=0: k.sum(x, axis),
        X,
        axis=[1],
    )


def test_wrong_arguments():
    fails(TypeError, r"x is a list; an array .* or a number is wanted", kernel_add, [1.0], X)
    fails(TypeError, r"x is a NoneType", kernel_add, None, X)
    fails(TypeError, r"complex64 came; one of f32", kernel_add, X.astype(np.complex64), X)
    fails(TypeError, r"k.load wants an array", kernel_add, X, 2.0)
    fails(TypeError, r"type >f4 came", kernel_add, X.astype(">f4"), X)


def test_wrong_shapes():
    fails(ValueError, r"\[", kernel_add, X, np.ones((3, 5), np.float32))
    fails(ValueError, r"\[", kernel_add, X, np.ones((2, 4), np.float32))
    fails(ValueError, r"\[", lambda k, x: k.reshape(k.load(x), 5, 5), X)
    fails(ValueError, r"one size may be -1", lambda k, x: k.reshape(k.load(x), -1, -1), X)
    fails(ValueError, r"\[", lambda k, x: k.expand(k.load(x), 3, 5), X)
    fails(ValueError, r"size .* 1 is wanted", lambda k, x: k.squeeze(k.load(x), 0), X)


def test_wrong_axes():
    fails(
        ValueError,
        r"\[sum\] axis 2 came for a tensor of rank 2",
        lambda k, x: k.sum(k.load(x), 2),
        X,
    )
    fails(ValueError, r"names an axis twice", lambda k, x: k.sum(k.load(x), (1, -1)), X)
    fails(TypeError, r"an integer is wanted", lambda k, x: k.sum(k.load(x), "rows"), X)
    fails(ValueError, r"one axis is wanted", lambda k, x: k.argmax(k.load(x), (0, 1)), X)
    fails(ValueError, r"\[", lambda k, x: k.permute(k.load(x), 0, 0), X)


def test_wrong_types():
    fails(TypeError, r"\[bitwise_and\] f32 came; one of .*i32", lambda k, x: x & 1, X)
    fails(TypeError, r"\[cast\] the type float31 came", lambda k, x: x.astype("float31"), X)
    fails(ValueError, r"300 came; u8 holds 0 to 255", lambda k, x: x + 300, np.ones(3, np.uint8))
    fails(TypeError, r"\[add\] str came", lambda k, x: x + "1", X)


def test_wrong_outputs():
    fails(ValueError, r"returned nothing; return k.store", lambda k, x: None, X)
    fails(ValueError, r"returned nothing", lambda k, x: (), X)
    fails(TypeError, r"returned a int", lambda k, x: 3, X)

    def forgets(k, x):
        k.store(x + 1)
        return k.store(x)

    fails(ValueError, r"2 values were stored and 1 of them returned", forgets, X)
    fails(TypeError, r"a stored value came", lambda k, x: k.store(k.store(x)), X)
    fails(TypeError, r"a stored value came", lambda k, x: k.exp(k.store(x)), X)
    fails(AttributeError, r"k.store only marks outputs", lambda k, x: k.store(x).T, X)


def test_control_flow_on_values():
    fails(
        TypeError,
        r"control flow on values is not possible inside a kernel",
        lambda k, x: x if x > 0 else -x,
        X,
    )
    fails(TypeError, r"control flow", lambda k, x: x and x, X)
    fails(TypeError, r"k.sum|loop over a handle", lambda k, x: sum(x), X)
    fails(TypeError, r"float\(\) of a handle", lambda k, x: float(x), X)
    fails(TypeError, r"k.any\(x == item\)", lambda k, x: 1 in x, X)
    fails(ValueError, r"a size as a condition", lambda k, x: x if x.shape[0] else -x, X)
    fails(
        ValueError,
        r"known only when the kernel is called",
        lambda k, x: x if x.shape[0] > 5 else -x,
        X,
    )
    fails(
        ValueError,
        r"known only when the kernel is called",
        lambda k, x: [x for _ in range(x.shape[0])],
        X,
    )


def test_what_a_kernel_cannot_say():
    fails(TypeError, r"slices, `...` and None can index, and k.gather", lambda k, x: x[0], X)
    fails(ValueError, r"a step of -1 came; 1 or more", lambda k, x: x[:, ::-1], X)
    fails(TypeError, r"1.5 came as a bound", lambda k, x: x[1.5:], X)
    fails(TypeError, r"an index of type f32 came", lambda k, x: k.gather(x, x), X)
    fails(IndexError, r"3 items came for a tensor of rank 2", lambda k, x: x[:, :, :], X)
    fails(TypeError, r"k.where\(condition, value, x\)", lambda k, x: x.__setitem__(0, 1), X)
    fails(TypeError, r"make it a parameter", lambda k, x: x + X, X)
    fails(TypeError, r"make it a parameter", lambda k, x: X + x, X)
    fails(TypeError, r"\[", lambda k, x: x.astype(np.array([1])), X)


def test_unknown_instructions_come_with_suggestions():
    fails(
        AttributeError,
        r"k.sofmax is not in the kernel language; did you mean softmax",
        lambda k, x: k.sofmax(x),
        X,
    )
    fails(AttributeError, r"did you mean .*argmax", lambda k, x: k.arg_max(x), X)
    fails(TypeError, r"\[exp\] 2 operands came, 1 are wanted", lambda k, x: k.exp(x, x), X)


def test_handles_of_other_traces():
    kept = []

    @dvm.kernel
    def leaks(k, x):
        kept.append(k.load(x))
        return k.store(x * 2)

    leaks(X)
    fails(ValueError, r"a handle of the kernel leaks came", lambda k, x: x + kept[0], X)
    with pytest.raises(ValueError, match="after the trace of leaks had ended"):
        kept[0] + 1


def test_functions_that_cannot_be_kernels():
    with pytest.raises(TypeError, match=r"its first parameter is k"):
        dvm.kernel(lambda: 1)
    with pytest.raises(TypeError, match=r"a kernel names all its parameters"):
        dvm.kernel(lambda k, *xs: xs)
    with pytest.raises(TypeError, match=r"called out"):
        dvm.kernel(lambda k, out: out)


def test_out_that_does_not_fit():
    double = dvm.kernel(lambda k, x: k.store(k.load(x) * 2))
    for out in (
        np.empty((3, 5), np.float32),
        np.empty(4, np.float32),
        np.empty((3, 4), np.float64),
    ):
        with pytest.raises((ValueError, TypeError), match=r"^\["):
            double(X, out=out)
    with pytest.raises((ValueError, TypeError), match=r"^\["):
        double(X, out=[1, 2])
    frozen = np.empty((3, 4), np.float32)
    frozen.flags.writeable = False
    with pytest.raises((ValueError, TypeError), match=r"^\["):
        double(X, out=frozen)


def test_out_that_overlaps_an_input():
    flip = dvm.kernel(lambda k, x: k.store(k.load(x).T + 0))
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    with pytest.raises(ValueError, match=r"^\["):
        flip(square, out=square)


def test_shapes_for_programs():
    softmax = dvm.kernel(lambda k, x: k.store(k.softmax(k.load(x))))
    with pytest.raises(ValueError, match=r"descriptions came|shapes came"):
        softmax.program((3, 4), (4,))
    with pytest.raises(ValueError, match=r"shapes came|descriptions came"):
        softmax.program()
    with pytest.raises(TypeError, match=r"sizes are integers"):
        softmax.program((3, -4))
    with pytest.raises(TypeError, match=r"the type f31 came"):
        softmax.program((3, 4), dtype="f31")


def test_text_that_is_no_program():
    for text in ("", "programme", "add_f32 tile", "\0\0", "add_f33"):
        with pytest.raises(ValueError, match=r"^\["):
            dvm.assemble(text)


def test_explain_of_nothing_to_explain():
    with pytest.raises(TypeError, match=r"\[explain\] a int came"):
        dvm.explain(3)
