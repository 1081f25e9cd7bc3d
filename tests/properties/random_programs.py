"""Random torch programs that compute, look at tensors in other ways and change them in place, with random sizes.

A program is Python text, a line an operation, so that what fails can be pasted into a file. While it grows it is run
for three assignments of sizes at once: sizes that are equal in all three count as equal, and a line that any of them
refuses is left out. Beside it stands what the backend makes of the functional graph that torch traces with symbolic
sizes. random_graphs.py is the same for Graphs of the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from choosing import Chooser
from sympy import sympify
from torch.fx.experimental.proxy_tensor import make_fx

from dvm.torch.decompositions import decompositions
from dvm.torch.lower import lower
from dvm.torch.options import Options

# Three assignments; traced with the first. No size of a symbol equals that of another, "c" is divisible by 4.
SAMPLES = {"a": (5, 8, 13), "b": (6, 11, 4), "c": (8, 4, 12)}
LARGEST = 4000  # elements of a value in the first sample
LARGEST_RUN = 4_000_000  # in any assignment that is run
UNARY = ("sin", "tanh", "sigmoid", "neg", "abs", "relu", "cos", "square")
IN_PLACE = ("sin_", "tanh_", "neg_", "abs_", "relu_", "zero_")


class RandomProgram:
    """The text of a function `program(x0, ...)` that returns a tuple, and inputs for it."""

    def __init__(self, choose: Chooser, lines: int = 10) -> None:
        self.choose = choose
        self.wide = choose.chance(50)
        self.shapes: list[list[int | str]] = []
        self.orders: list[list[int]] = []  # of the axes in memory
        for _ in range(choose.integer(1, 3)):
            self._add_input()
        self.names = [f"x{i}" for i in range(len(self.shapes))]
        self.merged: dict[str, tuple[str, int]] = {}  # what flattened two axes of what, and which
        self.runs = [self._environment(sample) for sample in range(3)]
        self.lines: list[str] = []
        for _ in range(choose.integer(1, lines)):
            line = choose.pick(
                (self._compute, self._compute, self._view, self._view, self._change, self._change,
                 self._change, self._reduce, self._join, self._pick, self._create)
            )()  # fmt: skip
            if line is not None:
                self._try(line)
        results = [self.names[-1]]
        results += [choose.pick(self.names) for _ in range(choose.integer(0, 2))]
        self.lines.append(f"return ({', '.join(dict.fromkeys(results))},)")

    @property
    def text(self) -> str:
        arguments = ", ".join(f"x{i}" for i in range(len(self.shapes)))
        return "\n    ".join([f"def program({arguments}):", *self.lines])

    @property
    def function(self) -> Callable[..., tuple[torch.Tensor, ...]]:
        scope: dict[str, Any] = {"torch": torch, "F": F}
        exec(self.text, scope)
        program: Callable[..., tuple[torch.Tensor, ...]] = scope["program"]
        return program

    def inputs(self, sizes: dict[str, int], seed: int = 0) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        tensors = []
        for shape, order in zip(self.shapes, self.orders, strict=True):
            known = [size if isinstance(size, int) else sizes[size] for size in shape]
            kind = torch.float64 if self.wide else torch.float32
            laid_out = [known[axis] for axis in order]
            tensor = torch.rand(laid_out, generator=generator, dtype=kind) * 4 - 2
            tensors.append(tensor.permute([order.index(axis) for axis in range(len(order))]))
        return tensors

    # ---- construction

    def _add_input(self) -> None:
        c = self.choose
        shape: list[int | str] = [
            c.pick(("a", "b", "c", "a", "b", "c", 1, 3)) for _ in range(c.integer(1, 3))
        ]
        order = list(range(len(shape)))
        if c.chance(20):
            order.reverse()
        self.shapes.append(shape)
        self.orders.append(order)

    def _environment(self, sample: int) -> dict[str, Any]:
        sizes = {symbol: known[sample] for symbol, known in SAMPLES.items()}
        tensors = self.inputs(sizes)
        return {"torch": torch, "F": F} | {f"x{i}": tensor for i, tensor in enumerate(tensors)}

    def _try(self, line: str) -> None:
        """Keeps a line that every sample can run."""
        for number, run in enumerate(self.runs):
            try:
                exec(line, run)
            except (RuntimeError, IndexError, ValueError):
                if number:  # an earlier sample has run it
                    self.runs = [self._environment(sample) for sample in range(3)]
                    for kept in self.lines:
                        for each in self.runs:
                            exec(kept, each)
                return
        self.lines.append(line)
        name = line.split(" = ")[0]
        if name.isidentifier() and name not in self.names:
            first = self.runs[0][name]
            if first.numel() <= LARGEST and first.dim() <= 5:
                self.names.append(name)

    def _new(self, expression: str) -> str:
        return f"v{len(self.lines)} = {expression}"

    def _recent(self) -> str:
        return self.names[max(0, len(self.names) - 1 - self.choose.integer(0, 4))]

    def _dims(self, name: str) -> list[tuple[int, ...]]:
        """Each size as it is in the three samples."""
        return list(zip(*(run[name].shape for run in self.runs), strict=True))

    def _axis(self, name: str, wanted: Callable[[tuple[int, ...]], bool] = bool) -> int | None:
        axes = [axis for axis, size in enumerate(self._dims(name)) if wanted(size)]
        return self.choose.pick(axes) if axes else None

    def _fitting(self, name: str, *, into: bool = False) -> list[str]:
        """The values that broadcast with one, or to its shape."""
        mine = self._dims(name)[::-1]
        found = []
        for other in self.names:
            dims = self._dims(other)[::-1]
            if into and len(dims) > len(mine):
                continue
            one = (1, 1, 1)
            if all(a in (b, one) or (b == one and not into)
                   for a, b in zip(dims, mine, strict=False)):  # fmt: skip
                found.append(other)
        return found

    # ---- lines

    def _compute(self) -> str | None:
        c, x = self.choose, self._recent()
        y = c.pick(self._fitting(x) or [x])
        return self._new(
            c.pick(
                (
                    f"{x}.{c.pick(UNARY)}()",
                    f"{x} {c.pick('+-*')} {y}",
                    f"torch.maximum({x}, {y})",
                    f"{x} * {c.pick((0.5, -1, 2))} + 1",
                    f"torch.where({self._mask(x)}, {x}, {y})",
                    f"{x}.{c.pick(('double', 'float', 'clone'))}()",
                )
            )
        )

    def _mask(self, name: str) -> str:
        axis = self._axis(name)
        if axis is None:
            return "torch.ones((), dtype=torch.bool)"
        after = ", None" * (len(self._dims(name)) - axis - 1)
        mask = f"(torch.arange({name}.shape[{axis}]) % 3 == {self.choose.integer(0, 2)})"
        return f"{mask}[:{after}]"

    def _reduce(self) -> str | None:
        c, x = self.choose, self._recent()
        axis = self._axis(x)
        if axis is None:
            return None
        keep = c.pick((True, False))
        axes = f"({axis}, {axis - 1})" if axis and c.chance(30) else axis
        return self._new(
            c.pick(
                (
                    f"{x}.{c.pick(('sum', 'mean', 'amax', 'amin'))}({axes}, keepdim={keep})",
                    f"{x}.{c.pick(('sum', 'mean'))}()",
                    f"torch.softmax({x}, {axis})",
                    f"{x}.{c.pick(('var', 'logsumexp'))}({axis}, keepdim={keep})",
                    f"{x}.cumsum({axis})",
                    f"F.layer_norm({x}, {x}.shape[-1:])",
                )
            )
        )

    def _view(self) -> str | None:
        c, x = self.choose, self._recent()
        rank, axis = len(self._dims(x)), self._axis(x)
        if x in self.merged and c.chance(60):
            base, first = self.merged[x]
            sizes = f"({base}.shape[{first}], {base}.shape[{first + 1}])"
            return self._new(f"{x}.unflatten({first}, {sizes})")
        if axis is None:
            return self._new(f"{x}.unsqueeze(0)")
        options = [
            f"{x}.transpose({axis}, {c.integer(0, rank - 1)})",
            f"{x}[{self._part(x, axis)}]",
            f"{x}.select({axis}, {c.pick((0, 1, -1))})",
            f"{x}.unsqueeze({c.integer(0, rank)})",
            f"{x}.unbind({axis})[{c.pick((0, -1))}]",
            f"{x}.narrow({axis}, 1, 2)",
            f"{x}.movedim({axis}, 0)",
            f"{x}.flip({axis})",
            f"{x}.flatten()",
            f"torch.chunk({x}, 2, {axis})[{c.integer(0, 1)}]",
        ]
        if rank >= 2:
            first = c.integer(0, rank - 2)
            self.merged[f"v{len(self.lines)}"] = (x, first)
            return self._new(c.pick((*options, *[f"{x}.flatten({first}, {first + 1})"] * 4)))
        even = self._axis(x, lambda size: all(n % 2 == 0 and n for n in size))
        if even is not None:
            options += [f"{x}.unflatten({even}, ({c.pick(('2, -1', '-1, 2'))}))"] * 2
        single = self._axis(x, lambda size: size == (1, 1, 1))
        if single is not None:
            other = self._recent()
            size = f"{other}.shape[0]" if self._dims(other) else "3"
            sizes = ", ".join(size if i == single else "-1" for i in range(rank))
            options += [f"{x}.squeeze({single})", f"{x}.expand({sizes})"]
        return self._new(c.pick(options))

    def _part(self, name: str, axis: int) -> str:
        """A slice of an axis, as text between brackets."""
        c = self.choose
        part = c.pick(
            ("1:", ":2", ":-1", "1:3", "::2", "-2:", f"{name}.shape[{axis}] // 2:", "1:-1")
        )
        return ":, " * axis + part

    def _join(self) -> str | None:
        c, x = self.choose, self._recent()
        axis = self._axis(x)
        if axis is None:
            return None
        mine = self._dims(x)
        alike = [y for y in self.names if self._dims(y) == mine]
        rest = [*mine[:axis], *mine[axis + 1 :]]
        joined = [
            y for y in self.names
            if len(self._dims(y)) == len(mine)
            and [*self._dims(y)[:axis], *self._dims(y)[axis + 1 :]] == rest
        ]  # fmt: skip
        repeats = ", ".join("2" if i == axis else "1" for i in range(len(mine)))
        return self._new(
            c.pick(
                (
                    f"torch.cat([{x}, {c.pick(joined)}], {axis})",
                    f"torch.cat([{x}, {c.pick(joined)}, {x}], {axis})",
                    f"torch.stack([{c.pick(alike)}, {x}], {c.integer(0, len(mine))})",
                    f"F.pad({x}, ({c.integer(0, 2)}, {c.integer(0, 2)}), value={c.pick((0.0, 1.5))})",
                    f"{x}.repeat({repeats})",
                    f"{x}.roll(1, {axis})",
                )
            )
        )

    def _index(self, name: str, axis: int, count: str | None = None) -> str:
        """Positions along an axis, some of them twice if `count` is more than there are."""
        size = f"{name}.shape[{axis}]"
        step = self.choose.pick((1, 3))
        return f"(torch.arange({count or size}) * {step} + 1) % {size}"

    def _pick(self) -> str | None:
        c, x = self.choose, self._recent()
        axis = self._axis(x)
        if axis is None:
            return None
        other = self._recent()
        count = f"{other}.shape[0]" if self._dims(other) else None
        index = self._index(x, axis, count)
        axes = range(len(self._dims(x)))
        along = ", ".join("-1" if i == axis else "1" for i in axes)
        sizes = ", ".join("-1" if i == axis else f"{x}.shape[{i}]" for i in axes)
        full = f"({index}).view({along}).expand({sizes})"
        return self._new(
            c.pick(
                (
                    f"{x}.index_select({axis}, {index})",
                    f"{x}[{':, ' * axis}{index}]",
                    f"{x}.gather({axis}, {full})",
                )
            )
        )

    def _create(self) -> str | None:
        c, x = self.choose, self._recent()
        sizes = "".join(f"{c.pick((f'{x}.shape[{i}]', f'{x}.shape[{i}]', 3))}, "
                        for i in range(len(self._dims(x))))  # fmt: skip
        return self._new(
            c.pick(
                (
                    f"torch.zeros_like({x})",
                    f"torch.full_like({x}, 0.5)",
                    f"torch.zeros(({sizes}), dtype={x}.dtype)",
                    f"torch.empty_like({x}).fill_(2)",
                    f"{x}.new_ones(({sizes}))",
                )
            )
        )

    def _change(self) -> str | None:
        """Something that changes a tensor in place, or a part of one."""
        c, x = self.choose, self._recent()
        axis = self._axis(x)
        target = x
        if axis is not None and c.chance(60):
            part = c.pick((self._part(x, axis), ":, " * axis + c.pick(("0", "1", "-1"))))
            target = f"{x}[{part}]"
            if c.chance(20):
                target = f"{x}.transpose(0, {axis})[{c.pick(('0', '1:', ':2'))}]"
        source = self._source(target)
        options = [f"{target}.{c.pick(IN_PLACE)}()", f"{target}.mul_(0.5)", f"{target}.fill_(1.5)"]
        if source is not None:
            options += [
                f"{target}.copy_({source})",
                f"{target}.{c.pick(('add_', 'sub_', 'mul_'))}({source})",
                f"{target}[...] = {source}",
            ] * 2
        if axis is not None:
            unique = f"torch.arange({x}.shape[{axis}]).flip(0)[:2]"
            whole = f"{x}[{':, ' * axis}:2].clone()"
            options += [
                f"{x}.index_copy_({axis}, {unique}, {whole} + 1)",
                f"{x}.index_add_({axis}, {self._index(x, axis)}, {x}.clone())",
                f"{x}.index_fill_({axis}, {unique}, -0.5)",
                f"{x}[{':, ' * axis}{unique}] = {whole}.neg()",
                f"{x}[{':, ' * axis}{unique}] = 0.25",
                f"{x}.masked_fill_({self._mask(x)}, 0.75)",
                f"{x}.scatter_({axis}, torch.zeros_like({x}[{':, ' * axis}:1], dtype=torch.long), 3.0)",
            ]
        return c.pick(options)

    def _source(self, target: str) -> str | None:
        """A value that can be written into a target; a copy where it lies in the same memory."""
        try:
            parts = [eval(target, run) for run in self.runs]
        except (RuntimeError, IndexError):
            return None
        for run, part in zip(self.runs, parts, strict=True):
            run["target"] = part
        fitting = self._fitting("target", into=True)
        if not fitting:
            return None
        source = self.choose.pick(fitting)
        run, part = self.runs[0], parts[0]
        same = run[source].untyped_storage().data_ptr() == part.untyped_storage().data_ptr()
        return f"{source}.clone()" if same else source

    # ---- sizes

    def sizes(self) -> dict[str, int]:
        """Random sizes, within what the program was made for."""
        c = self.choose
        sizes = {"a": c.integer(4, 20), "b": c.integer(4, 24), "c": 4 * c.integer(1, 8)}
        if c.chance(10):
            sizes[c.pick("ab")] = c.pick((33, 64, 130))
        return sizes


def _trace(program: RandomProgram) -> Any:
    """The program as a functional ATen graph with symbolic sizes, as AOTAutograd would make it."""
    first = program.inputs({symbol: sizes[0] for symbol, sizes in SAMPLES.items()})
    functional = torch.func.functionalize(program.function, remove="mutations")
    # What torch remembers of operations on symbolic sizes never serves another program, and costs a third of the time.
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False):
        return make_fx(functional, decompositions(), tracing_mode="symbolic")(*first)


class Compiled:
    """What the backend makes of a program, traced once."""

    def __init__(self, program: RandomProgram) -> None:
        traced = _trace(program)
        self.places = [node for node in traced.graph.nodes if node.op == "placeholder"]
        self.shapes = [node.meta["val"].shape for node in self.places]
        environments = [node.meta["val"].fake_mode.shape_env for node in self.places]
        self.guards = [guard.expr for guard in environments[0].guards]
        self.graph = str(traced.graph)
        values = [node.meta.get("val") for node in traced.graph.nodes]
        self.counts = {sympify(v.numel()) for v in values if isinstance(v, torch.Tensor)}
        lowered = lower(traced, "inference", Options())
        self.run, self.source = lowered.run, lowered.compilation.source

    def serves(self, inputs: Sequence[torch.Tensor]) -> bool:
        """Whether tracing relied on nothing that these sizes break, and no value becomes very large."""
        known = {}
        for tensor, shape in zip(inputs, self.shapes, strict=True):
            for size, symbolic in zip(tensor.shape, shape, strict=True):
                if isinstance(symbolic, torch.SymInt):
                    known[symbolic.node.expr] = size
                elif symbolic != size:
                    return False
        if not all(guard.xreplace(known) == True for guard in self.guards):  # noqa: E712 - sympy's
            return False
        return all(count.xreplace(known) <= LARGEST_RUN for count in self.counts)


def check(program: RandomProgram, shapes: int = 3) -> int:
    """Compares results and changed inputs with eager's for several sizes. How many of them the graph was made for."""
    try:
        compiled = Compiled(program)
    except ValueError as error:
        # Tracing by torch forgets the strides of an input that was changed; backend="aot_eager" fails alike.
        if "Cannot view a tensor" in str(error):
            return 0
        raise
    function, served = program.function, 0
    assignments = [{s: sizes[i] for s, sizes in SAMPLES.items()} for i in range(3)]
    assignments += [program.sizes() for _ in range(shapes)]
    for number, sizes in enumerate(assignments):
        mine, theirs = program.inputs(sizes, number), program.inputs(sizes, number)
        if not compiled.serves(mine):
            continue
        try:
            wanted = function(*theirs)
        except (RuntimeError, IndexError):
            assert number > 2, "a program runs with the sizes that it was made for"
            continue
        served += 1
        came = compiled.run(list(mine))
        try:
            _compare([*came, *mine], [*wanted, *theirs], sizes, program, compiled)
        except AssertionError:
            # functionalize, unlike AOTAutograd, forgets the strides of an input that was changed, and then takes
            # a copy for a view: what we are given is another program.
            given = program.inputs(sizes, number)
            _compare([*came, *mine], [*_trace(program)(*given), *given], sizes, program, compiled)
            served -= 1
    return served


def check_compiled(program: RandomProgram) -> None:
    """The same through torch.compile, where sizes that are no longer served are compiled again."""
    function = program.function
    compiled = torch.compile(function, backend="dvm", dynamic=True)
    for sample in range(3):
        sizes = {symbol: known[sample] for symbol, known in SAMPLES.items()}
        mine, theirs = program.inputs(sizes), program.inputs(sizes)
        came, wanted = compiled(*mine), function(*theirs)
        _compare([*came, *mine], [*wanted, *theirs], sizes, program, None)


def _compare(
    came: Sequence[Any],
    wanted: Sequence[Any],
    sizes: dict[str, int],
    program: RandomProgram,
    by: Compiled | None,
) -> None:
    for a, b in zip(came, wanted, strict=True):
        narrow = torch.float32 in (a.dtype, b.dtype)
        limits = {"rtol": 2e-3, "atol": 2e-3} if narrow else {"rtol": 1e-6, "atol": 1e-6}
        try:
            torch.testing.assert_close(a, b, equal_nan=True, **limits)
        except AssertionError as error:
            shapes = f"{program.shapes} {program.orders} {sizes}"
            error.add_note(f"{program.text}\n{shapes}")
            if by is not None:
                error.add_note(f"{by.graph}\n{by.source}")
            raise
