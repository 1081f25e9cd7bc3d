"""Writes the function that a call of a compiled model is: takes the arguments apart, checks them in one condition, runs
the Flow and puts the results together. What is wrong, should the condition fail, is left to refusal.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dvm.compiled.framework import Framework
from dvm.compiled.refusal import bind, refuse
from dvm.compiled.signature import Fixed, Number, Signature, Symbol, Tensor
from dvm.compiled.structure import Structure
from dvm.flow.arithmetic import FUNCTIONS, parse
from dvm.flow.function import Function


def write_call(signature: Signature, framework: Framework, run: Function) -> Callable[..., Any]:
    """The function of the model's own arguments."""
    return _Writer(signature, framework, run).write()


class _Writer:
    """The source under construction. Its variables are numbered, so that they meet no name of the scope."""

    def __init__(self, signature: Signature, framework: Framework, run: Function) -> None:
        self.signature = signature
        self.framework = framework
        self.scope: dict[str, Any] = {
            "run": run,
            "bind": lambda args, kwargs: bind(signature, args, kwargs),
            "refuse": lambda args: refuse(signature, framework, args),
        }
        self.lines: list[str] = []
        self.count = 0
        self.symbols = {s.name: f"size_{n}" for n, s in enumerate(signature.symbols)}

    def write(self) -> Callable[..., Any]:
        parameters = self.signature.parameters
        count = f"len(args) != {len(parameters)}"
        if self.signature.positional < len(parameters):
            count = "True"  # some come by name
        self.lines = [
            "def call(*args, **kwargs):",
            f"    if kwargs or {count}:",
            "        args = bind(args, kwargs)",
        ]
        variables = [self._variable() for _ in parameters]
        if variables:
            self.lines.append(f"    {', '.join(variables)}, = args")
        leaves: list[str] = []
        for parameter, variable in zip(parameters, variables, strict=True):
            leaves += self._unpack(parameter.structure, variable)
        conditions = self._conditions(leaves)
        if conditions:
            self.lines.append(f"    if not ({' and '.join(conditions)}):")
            self.lines.append("        refuse(args)")
        self._results(f"run([{', '.join(leaves)}])")
        source = "\n".join(self.lines) + "\n"
        exec(compile(source, "<dvm call>", "exec"), self.scope)  # noqa: S102 - our own source
        call: Callable[..., Any] = self.scope["call"]
        return call

    def _variable(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def _object(self, value: Any) -> str:
        name = f"object_{len(self.scope)}"
        self.scope[name] = value
        return name

    def _unpack(self, structure: Structure, variable: str) -> list[str]:
        """Takes a container apart; the variables of its leaves."""
        if structure.kind == "leaf":
            return [variable]
        accepts = self._object(structure.accepts)
        self.lines += [f"    if not {accepts}({variable}):", "        refuse(args)"]
        if not structure.children:
            return []
        parts = [self._variable() for _ in structure.children]
        taken = variable
        if structure.kind == "dict":
            taken = ", ".join(f"{variable}[{key!r}]" for key in structure.keys)
        elif structure.kind == "custom":
            taken = f"{self._object(structure.parts)}({variable})"
        comma = "" if structure.kind == "dict" and len(parts) > 1 else ","
        right = f"{taken}," if structure.kind == "dict" and len(parts) == 1 else taken
        self.lines.append(f"    {', '.join(parts)}{comma} = {right}")
        found: list[str] = []
        for child, part in zip(structure.children, parts, strict=True):
            found += self._unpack(child, part)
        return found

    def _conditions(self, variables: list[str]) -> list[str]:
        conditions: list[str] = []
        for leaf, variable in zip(self.signature.leaves, variables, strict=True):
            match leaf:
                case Tensor():
                    found, named = self.framework.conditions(leaf, variable)
                    conditions += found
                    self.scope.update(named)
                case Number(kind=kind):
                    conditions.append(f"{variable}.__class__ is {kind}")
                case Fixed(value=None):
                    conditions.append(f"{variable} is None")
                case Fixed(value=value):
                    wanted = self._object(value)
                    same = f"{variable}.__class__ is {wanted}.__class__ and {variable} == {wanted}"
                    conditions.append(same)
        shapes = {symbol.leaf: f"shape_{symbol.leaf}" for symbol in self.signature.symbols}
        for number, leaf in enumerate(self.signature.leaves):
            if isinstance(leaf, Tensor) and number in shapes:
                shape = f"({shapes[number]} := {variables[number]}.shape)"
                conditions.append(f"len({shape}) == {len(leaf.shape)}")
        told: set[tuple[int, int]] = set()
        for symbol in self.signature.symbols:
            name, size = self.symbols[symbol.name], variables[symbol.leaf]
            if symbol.axis is not None:
                size = f"{shapes[symbol.leaf]}[{symbol.axis}]"
                told.add((symbol.leaf, symbol.axis))
            limits = f"{symbol.low} <= ({name} := {_solved(size, symbol)})"
            conditions.append(limits if symbol.high is None else f"{limits} <= {symbol.high}")
            if symbol.multiple != 1:
                conditions.append(f"not {name} % {symbol.multiple}")
            if symbol.multiplier != 1:
                conditions.append(f"{name} * {symbol.multiplier} + {symbol.offset} == {size}")
        for number, leaf in enumerate(self.signature.leaves):
            if not isinstance(leaf, Tensor):
                continue
            sizes = [self._wanted(size) for size in leaf.shape]
            if number in shapes:
                conditions += [
                    f"{shapes[number]}[{axis}] == {size}"
                    for axis, size in enumerate(sizes)
                    if (number, axis) not in told
                ]
            else:
                whole = "".join(f"{size}, " for size in sizes)
                conditions.append(f"{variables[number]}.shape == ({whole})")
        shares = self._object(self.framework.shares_memory) if self.signature.changed else ""
        conditions += [
            f"not {shares}({variables[leaf]}, {variables[other]})"
            for leaf, other in self.signature.apart
        ]
        conditions += [self._arithmetic(condition) for condition in self.signature.conditions]
        return conditions

    def _wanted(self, size: int | str) -> str:
        return str(size) if isinstance(size, int) else self._arithmetic(size)

    def _arithmetic(self, text: str) -> str:
        parsed = parse(text)
        functions = {name: self._object(FUNCTIONS[name]) for name in parsed.functions}
        return f"({parsed.python(functions, self.symbols)})"

    def _results(self, run: str) -> None:
        structure = self.signature.returns
        if structure.kind == "leaf":
            self.lines.append(f"    return {run}[0]")
            return
        results = [self._variable() for _ in range(structure.leaves)]
        self.lines.append(f"    {', '.join(results)}, = {run}" if results else f"    {run}")
        self.lines.append(f"    return {self._pack(structure, iter(results))}")

    def _pack(self, structure: Structure, leaves: Any) -> str:
        if structure.kind == "leaf":
            return str(next(leaves))
        parts = [self._pack(child, leaves) for child in structure.children]
        inside = ", ".join(parts)
        match structure.kind:
            case "tuple":
                return f"({inside},)" if parts else "()"
            case "list":
                return f"[{inside}]"
            case "dict":
                items = zip(structure.keys, parts, strict=True)
                return "{" + ", ".join(f"{key!r}: {part}" for key, part in items) + "}"
            case "namedtuple":
                return f"{self._object(structure.type)}({inside})"
            case _:
                assert structure.custom is not None
                return f"{self._object(structure.custom.unflatten)}([{inside}])"


def _solved(size: str, symbol: Symbol) -> str:
    """The code of a symbol's value from that of the size that tells it."""
    shifted = f"({size} - {symbol.offset})" if symbol.offset else size
    return shifted if symbol.multiplier == 1 else f"{shifted} // {symbol.multiplier}"
