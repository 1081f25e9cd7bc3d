"""The statements of random_eager.py that make tensors of tensors, or change them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from random_eager import Nothing, RandomEager

FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int64", "int32", "uint8", "int8")
TYPES = (*FLOATS, *INTEGERS, "bool")
ROUNDING = (
    "exp", "sin", "tanh", "sigmoid", "cos", "square", "sqrt", "rsqrt", "log1p", "erf", "reciprocal", "expm1",
)  # fmt: skip
EXACT = ("neg", "abs", "relu", "sign", "floor", "ceil", "round", "clone", "isnan", "logical_not")
IN_PLACE = ("neg_", "abs_", "relu_", "zero_", "tanh_", "sigmoid_", "sin_", "square_", "floor_")


def is_float(x: torch.Tensor) -> bool:
    return x.is_floating_point()


def is_integer(x: torch.Tensor) -> bool:
    return not x.is_floating_point() and x.dtype != torch.bool


def is_bool(x: torch.Tensor) -> bool:
    return x.dtype == torch.bool


def has_axes(x: torch.Tensor) -> bool:
    return x.dim() > 0


def has_elements(x: torch.Tensor) -> bool:
    return x.numel() > 0


def writable(x: torch.Tensor) -> bool:
    """Whether eager may let it be written; most of what it refuses is tried elsewhere."""
    overlaps = any(s == 0 and n > 1 for n, s in zip(x.shape, x.stride(), strict=True))
    return not (x.is_leaf and x.requires_grad) and not overlaps


def sizes(p: RandomEager) -> str:
    c = p.choose
    return ", ".join(str(c.pick((*p.sizes, 1))) for _ in range(c.integer(0, 3) or c.integer(0, 2)))


def source(p: RandomEager) -> str:
    """A tensor of nothing."""
    c, name, shape = p.choose, p.fresh(), sizes(p)
    kind = c.pick(TYPES)
    whole = f"torch.randint(-4, 5, ({shape}{',' if shape else ''}), dtype=torch.{kind})"
    if kind in ("bool", "uint8"):
        whole = whole.replace("-4, 5", "0, 2")
    some = f"torch.randn(({shape}{',' if shape else ''}))"
    if kind in FLOATS and kind != "float32":
        some += f".to(torch.{kind})"
    drawn = some if kind in FLOATS else whole
    if shape.count(",") and c.chance(25):
        drawn = f"({drawn}).transpose(0, {c.pick((1, -1))})"
    n = c.pick(p.sizes)
    return f"{name} = " + c.pick(
        (
            drawn, drawn, drawn, drawn, drawn,
            f"{whole} * 0.25",
            f"torch.zeros(({shape}{',' if shape else ''}), dtype=torch.{kind})",
            f"torch.ones(({shape}{',' if shape else ''}), dtype=torch.{kind})",
            f"torch.full(({shape}{',' if shape else ''}), {p.number()})",
            f"torch.arange({n})", f"torch.arange({n}, dtype=torch.{c.pick(FLOATS)})",
            f"torch.linspace(-1, 1, {n})", f"torch.eye({n})",
            f"torch.tensor([{p.number()}, {p.number()}])", f"torch.tensor({p.number()})",
            f"torch.empty(({shape}{',' if shape else ''})).fill_({p.number()})",
        )
    )  # fmt: skip


def like(p: RandomEager) -> str:
    x = p.tensor()
    kind = p.choose.pick(TYPES)
    return f"{p.fresh()} = " + p.choose.pick(
        (
            f"torch.zeros_like({x})", f"torch.ones_like({x}, dtype=torch.{kind})",
            f"torch.full_like({x}, {p.number()})", f"{x}.new_zeros({x}.shape)",
            f"{x}.new_full((2, 3), {p.number()})", f"{x}.new_tensor([1, 2])",
        )
    )  # fmt: skip


def arithmetic(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    y = p.beside(x)
    op = c.pick(("+", "-", "*", "+", "*", "/"))
    return f"{p.fresh()} = " + c.pick(
        (
            f"{x} {op} {y}", f"{x} {op} {y}", f"{x} {op} {p.number()}", f"{p.number()} {op} {x}",
            f"torch.add({x}, {y}, alpha=2)", f"torch.maximum({x}, {y})", f"torch.minimum({x}, {y})",
            f"torch.sub({x}, {p.number()})", f"{x} * {p.number()} + {y}", f"-{x}",
            f"{x}.clamp(-1, {p.number()})", f"{x}.mul({y}).add({x})", f"torch.lerp({x}, {y}, 0.5)",
            f"{x} ** 2", f"torch.addcmul({x}, {y}, {y}, value=0.5)", f"torch.rsub({x}, {y})",
            f"(({x} + {y}) * 0.5 - {y}) * {x}", f"torch.atan2({x}, {y})", f"{x} % 3",
        )
    )  # fmt: skip


def unary(p: RandomEager) -> str:
    c = p.choose
    if c.chance(50):
        return f"{p.fresh()} = {p.tensor()}.{c.pick(EXACT)}()"
    x = p.tensor(is_float) if c.chance(80) else p.tensor()
    way = c.pick((f"{x}.{c.pick(ROUNDING)}()", f"torch.{c.pick(ROUNDING)}({x})",
                  f"F.{c.pick(('gelu', 'silu', 'softplus', 'elu', 'leaky_relu'))}({x})"))  # fmt: skip
    return f"{p.fresh()} = {way}"


def whole_numbers(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(is_integer)
    y = p.beside(x, is_integer)
    return f"{p.fresh()} = " + c.pick(
        (
            f"{x} & {y}", f"{x} | {y}", f"{x} ^ {y}", f"~{x}", f"{x} // 3", f"{x} % 4", f"{x} << 1",
            f"{x} // {y}", f"torch.bitwise_and({x}, 1)", f"{x} >> 1",
            f"torch.div({x}, {c.pick((2, -3))}, rounding_mode='{c.pick(('floor', 'trunc'))}')",
        )
    )  # fmt: skip


def comparison(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    y = c.pick((p.beside(x), p.number()))
    op = c.pick((">", "<", ">=", "==", "!="))
    return f"{p.fresh()} = " + c.pick(
        (f"{x} {op} {y}", f"{x} {op} {y}", f"({x} > 0) & ({x} < 1)", f"torch.isfinite({x})",
         f"torch.logical_or({x} > 0.5, {x} < {y})", f"~({x} > {y})"),
    )  # fmt: skip


def choice(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    y = p.beside(x)
    return f"{p.fresh()} = " + c.pick(
        (f"torch.where({x} > 0, {x}, {y})", f"torch.where({x} > 0, {x}, {p.number()})",
         f"{x}.masked_fill({x} > 0.5, {p.number()})", f"torch.where({y} == 0, {y}, {x})",
         f"{x}.masked_select({x} > 0)"),
    )  # fmt: skip


def reduction(p: RandomEager) -> str:
    c = p.choose
    x = p.tensor() if c.chance(40) else p.tensor(is_float)
    axis = p.axis(x)
    keep = c.pick(("", ", keepdim=True"))
    axes = f"({axis}, {axis - 1})" if c.chance(10) else str(axis)
    return f"{p.fresh()} = " + c.pick(
        (
            f"{x}.{c.pick(('sum', 'mean', 'amax', 'amin'))}({axes}{keep})",
            f"{x}.{c.pick(('sum', 'mean', 'max', 'min', 'prod', 'any', 'all', 'norm', 'argmax'))}()",
            f"{x}.{c.pick(('argmax', 'argmin', 'any', 'all', 'logsumexp', 'prod'))}({axis}{keep})",
            f"{x}.{c.pick(('max', 'min', 'median'))}({axis}{keep}).values", f"{x}.sum({axes}{keep})",
            f"{x}.{c.pick(('var', 'std'))}({axis}{keep})", f"{x}.sum({axis}, dtype=torch.float64)",
            f"{x}.cumsum({axis})", f"{x}.sort({axis}).{c.pick(('values', 'indices'))}",
            f"{x}.norm(dim={axis}{keep})", f"{x}.topk(1, {axis})[{c.integer(0, 1)}]", f"{x}.count_nonzero()",
        )
    )  # fmt: skip


def normalisation(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(is_float, has_axes)
    axis = p.axis(x)
    return f"{p.fresh()} = " + c.pick(
        (f"torch.softmax({x}, {axis})", f"F.log_softmax({x}, {axis})", f"F.normalize({x}, dim={axis})",
         f"F.layer_norm({x}, {x}.shape[-1:])", f"{x}.softmax({axis}, dtype=torch.float64)",
         f"F.rms_norm({x}, {x}.shape[-1:])", f"({x} - {x}.mean({axis}, keepdim=True)) * 2"),
    )  # fmt: skip


def product(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(is_float, lambda x: x.dim() >= 2)
    kind, columns = p.value(x).dtype, p.value(x).shape[-1]
    options = [
        f"{x} @ {x}.mT",
        f"torch.einsum('...ij,...kj->...ik', {x}, {x})",
        f"{x}.mT.matmul({x}) * 0.5",
    ]
    alike = [n for n in p.names if p.value(n).dtype == kind]
    other = [n for n in alike if p.value(n).dim() == 2 and p.value(n).shape[0] == columns]
    if other:
        options += [f"{x} @ {c.pick(other)}", f"torch.relu({x} @ {c.pick(other)} + 1)"] * 2
    weight = [n for n in alike if p.value(n).dim() == 2 and p.value(n).shape[1] == columns]
    if weight:
        options += [f"F.linear({x}, {c.pick(weight)})", f"F.gelu(F.linear({x}, {c.pick(weight)}))"]
    return f"{p.fresh()} = {c.pick(options)}"


def view(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    shape = p.value(x).shape
    rank = len(shape)
    options = [f"{x}.unsqueeze({c.integer(0, rank)})", f"{x}.expand(2, *{x}.shape)", f"{x}.view({x}.shape)",
               f"{x}.detach()", f"{x}[...]", f"{x}[None]", f"{x}.reshape(-1)", f"{x}.flatten()"]  # fmt: skip
    if rank:
        axis = p.axis(x)
        options += [
            f"{x}[{part(p)}]", f"{x}[{part(p)}]", f"{x}.select({axis}, 0)", f"{x}.transpose({axis}, 0)",
            f"{x}.T" if rank == 2 else f"{x}.movedim({axis}, 0)", f"{x}[..., {part(p)}]", f"{x}.squeeze()",
            f"{x}.unbind({axis})[0]", f"{x}.chunk(2, {axis})[0]", f"{x}.narrow({axis}, 0, 1)",
            f"{x}.split(1, {axis})[-1]", f"{x}.view(-1)", f"{x}[0]", f"{x}[-1]", f"{x}.contiguous()",
        ] * 2  # fmt: skip
        if c.chance(25):
            options = [f"{x}.as_strided((2, 2), (1, 1))", f"{x}.unfold({axis}, 1, 1)", f"{x}.diagonal()",
                       f"{x}.reshape(1, -1).expand(3, -1)", f"{x}.view_as({x})"]  # fmt: skip
    return f"{p.fresh()} = {c.pick(options)}"


def part(p: RandomEager) -> str:
    """A slice of one axis."""
    return str(p.choose.pick(("1:", ":2", ":-1", "1:3", "::2", "-2:", "1:-1", ":1")))


def picking(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(has_axes, has_elements)
    axis = p.axis(x)
    count = p.value(x).shape[axis]
    index = f"torch.tensor({[c.integer(0, count - 1) for _ in range(c.integer(1, 3))]})"
    along = f"torch.zeros_like({x}, dtype=torch.int64)"
    return f"{p.fresh()} = " + c.pick(
        (
            f"{x}.index_select({axis}, {index})", f"{x}[torch.tensor([0, -1])]", f"{x}[{x} > 0]",
            f"{x}.gather({axis}, {along})", f"{x}.take_along_dim({along}, {axis})", f"{x}[..., [0]]",
            f"{x}.take(torch.tensor([0, 0]))", f"{x}.nonzero()", f"{x}[{x}.argmax() % {x}.shape[0]]",
        )
    )  # fmt: skip


def joining(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(has_axes)
    axis, shape = p.axis(x), p.value(x).shape
    y = p.tensor(lambda other: other.shape == shape)
    return f"{p.fresh()} = " + c.pick(
        (
            f"torch.cat([{x}, {y}], {axis})", f"torch.stack([{x}, {y}])", f"torch.cat([{x}, {y} * 2, {x}], {axis})",
            f"F.pad({x}, (1, 0))", f"{x}.repeat_interleave(2, {axis})", f"{x}.flip({axis})", f"{x}.roll(1, {axis})",
            f"torch.stack({x}.unbind({axis}), {axis})", f"torch.cat({x}.split(1, {axis})[::-1], {axis})",
            f"torch.tril({x})", f"{x}.tile((2,))",
        )
    )  # fmt: skip


def conversion(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    return f"{p.fresh()} = " + c.pick(
        (f"{x}.to(torch.{c.pick(TYPES)})", f"{x}.float()", f"{x}.double()", f"{x}.long()", f"{x}.bool()",
         f"{x}.half()", f"{x}.to({p.tensor()})", f"{x}.type_as({p.tensor()})", f"{x}.bfloat16().float()",
         f"{x}.to(torch.float32, copy=True)"),
    )  # fmt: skip


def change(p: RandomEager) -> str:
    """A tensor, or a part of it, in place."""
    c, x = p.choose, p.tensor(writable)
    target = x
    if p.value(x).dim() and c.chance(60):
        turned = f"{x}.T" if p.value(x).dim() == 2 else f"{x}[-1]"
        target = c.pick((f"{x}[{part(p)}]", f"{x}[0]", f"{x}[..., {part(p)}]", turned, f"{x}.detach()",
                         f"{x}.data", f"{x}.view(-1)"))  # fmt: skip
    y = p.beside(x)
    whole = c.pick((f"{target}[...] = {p.number()}", f"{target}.fill_({p.number()})"))
    return str(
        c.pick(
            (
                f"{target}.{c.pick(IN_PLACE)}()", f"{target}.mul_({p.number()})", f"{target}.add_({y})", whole,
                f"{target}.{c.pick(('add_', 'sub_', 'mul_', 'copy_'))}({y})", f"{target}.copy_({y})",
                f"{target}.masked_fill_({target} > 0, {p.number()})", f"{target}.clamp_(-1, 1)",
                f"{target}.add_({p.number()}, alpha=0.5)" if c.chance(50) else f"{target}.add_({y}, alpha=2)",
                f"{target}.lerp_({target} * 0, 0.25)", f"{target}.addcmul_({y}, {y}, value=0.5)",
            )
        )
    )  # fmt: skip


def assignment(p: RandomEager) -> str:
    """Of a part, of what a mask or an index picks, or by an operator that changes a name or what it stands for."""
    c, x = p.choose, p.tensor(writable, has_axes)
    y = p.beside(x)
    return str(
        c.pick(
            (
                f"{x}[{part(p)}] = {p.number()}", f"{x}[0] = {x}[-1]", f"{x}[{x} > 0] = {p.number()}",
                f"{x}[torch.tensor([0])] = {p.number()}", f"{x}[..., 0] += {p.number()}", f"{x} += {y}",
                f"{x} *= {p.number()}", f"{x} -= {x} * 0.5", f"{x}[{part(p)}] *= {p.number()}", f"{x}[...] = {y}",
                f"{x}.index_fill_({p.axis(x)}, torch.tensor([0]), {p.number()})", f"{x}[None, ..., {part(p)}] += 1",
                f"{x}.scatter_(0, torch.zeros_like({x}[:1], dtype=torch.int64), 2)", f"{x} /= 2", f"{x}[-1].zero_()",
                f"{x}.index_add_(0, torch.tensor([0]), {x}[:1].clone())", f"{x}[:1], {x}[-1:] = {x}[-1:], {x}[:1]",
            )
        )
    )  # fmt: skip


def shape_in_place(p: RandomEager) -> str:
    c, x = p.choose, p.tensor(writable)
    return str(c.pick((f"{x}.unsqueeze_(0)", f"{x}.squeeze_()", f"{x}.t_()", f"{x}.transpose_(0, -1)",
                       f"{x}.resize_({x}.numel() // 2)", f"{x}.swapaxes_(0, -1)")))  # fmt: skip


def out(p: RandomEager) -> str:
    """A result that goes into a tensor which is there."""
    c, x = p.choose, p.tensor()
    y = p.beside(x)
    shape = torch.broadcast_shapes(p.value(x).shape, p.value(y).shape)
    z = c.pick((p.tensor(lambda z: z.shape == shape, writable), p.tensor(writable), x))
    other = z if z != x else f"torch.empty(0, dtype={x}.dtype)"  # a sum is zeroed before it reads
    return str(
        c.pick(
            (f"torch.add({x}, {y}, out={z})", f"torch.mul({x}, {y}, out={z})", f"torch.exp({x}, out={z})",
             f"torch.sum({x}, 0, out={other})", f"torch.maximum({x}, {y}, out={z})",
             f"torch.cat([{x}, {x}], out=torch.empty(0, dtype={x}.dtype))", f"torch.clamp({x}, -1, 1, out={z})",
             f"v_out = torch.add({x}, 1, out={z}); log(v_out is {z})"),
        )
    )  # fmt: skip


def rebinding(p: RandomEager) -> str:
    c, x = p.choose, p.tensor()
    if len(p.names) < 3:
        raise Nothing
    return str(c.pick((f"del {x}", f"{x} = {x} + 1", f"{x} = {x} * 0.5", f"{x} = {p.tensor()}",
                       f"{x} = ({x} * 2).relu() - {p.beside(x)}", f"{p.fresh()} = {x}")))  # fmt: skip


STATEMENTS: tuple[tuple[int, Callable[[RandomEager], str]], ...] = (
    (3, source), (1, like), (7, arithmetic), (5, unary), (1, whole_numbers), (2, comparison), (2, choice),
    (4, reduction), (2, normalisation), (2, product), (6, view), (2, picking), (2, joining), (2, conversion),
    (6, change), (4, assignment), (1, shape_in_place), (1, out), (2, rebinding),
)  # fmt: skip
