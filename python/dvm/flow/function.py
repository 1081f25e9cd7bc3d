"""Writes the Python function of a Flow: its steps in a straight line, so that a call interprets nothing. All that a
call need not decide again is decided here. What differs between frameworks is asked of a Dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dvm.flow.arithmetic import FUNCTIONS, parse
from dvm.flow.steps import (
    Argument,
    Call,
    Compute,
    Expression,
    Fill,
    Flow,
    Free,
    Held,
    Item,
    Name,
    Restride,
    Run,
    Size,
    Step,
    Update,
    Word,
    names_in,
    reads,
    writes,
)

Function = Callable[[list[Any]], Any]


class Dialect(Protocol):
    """How a framework does what Executables do not."""

    def size(self, tensor: str, axis: int) -> str:
        """The code that reads a size."""

    def call(self, operation: str) -> str | Callable[..., Any]:
        """What does an operation of torch's: the name of a method of its first argument, or a function."""

    def word(self, word: Word) -> Any:
        """The object that a word stands for."""

    def fill(self, name: Callable[[str, Any], str], code: Sequence[str]) -> str:
        """The code that makes a tensor; `code` is that of its shape, strides, element type and number, which may be
        None."""

    @property
    def restride(self) -> Callable[[Any, Any, Any], Any]:
        """Copies a tensor into a new one of a shape and strides."""

    def update(self, target: str, source: str) -> str:
        """The code that copies one tensor into another."""


def write(
    flow: Flow, executables: Sequence[Any], constants: Mapping[str, Any], dialect: Dialect
) -> tuple[Function, str]:
    """The function, which takes the inputs in a list and empties it, and its source. `executables` are those of
    `flow.graphs`, `constants` the tensors of `flow.constants`."""
    return _Writer(flow, executables, constants, dialect).write()


class _Writer:
    """The source of one function and the objects it names."""

    def __init__(
        self,
        flow: Flow,
        executables: Sequence[Any],
        constants: Mapping[str, Any],
        dialect: Dialect,
    ) -> None:
        self.flow = flow
        self.executables = executables
        self.dialect = dialect
        self.taken = {*flow.inputs, *flow.constants, *names_in(flow.returns)}
        for step in flow.steps:
            self.taken.update(reads(step), writes(step))
        self.scope: dict[str, Any] = {name: constants[name] for name in flow.constants}
        self.named: dict[tuple[str, int], str] = {}  # what the scope has already
        self.words: dict[Word, Any] = {}

    def write(self) -> tuple[Function, str]:
        run, args = self._name("run", None), self._name("args", None)
        lines = [f"def {run}({args}):"]
        if self.flow.inputs:
            lines.append(f"    {', '.join(self.flow.inputs)}, = {args}")
        lines.append(f"    {args}.clear()")
        lines += [f"    {self._statement(step)}" for step in self.flow.steps]
        lines.append(f"    return {self._code(self.flow.returns)}")
        source = "\n".join(lines) + "\n"
        exec(compile(source, "<dvm>", "exec"), self.scope)  # noqa: S102 - our own source
        function: Function = self.scope[run]
        return function, source

    def _statement(self, step: Step) -> str:
        match step:
            case Run():
                kernel = self._name(step.kernel, self.executables[step.graph])
                arguments = ", ".join(map(self._code, step.arguments))
                if step.into:
                    into = self._code(tuple(step.into))
                    return f"{', '.join(step.results)}, = {kernel}({arguments}, out={into})"
                return f"{', '.join(step.results)} = {kernel}({arguments})"
            case Call():
                return f"{step.result} = {self._call(step)}"
            case Item():
                return f"{step.result} = {step.source}[{step.index}]"
            case Fill():
                parts = [tuple(step.shape), tuple(step.strides), Word("dtype", step.dtype)]
                code = [self._code(part) for part in (*parts, step.number)]
                return f"{step.result} = {self.dialect.fill(self._name, code)}"
            case Restride():
                function = self._name("restride", self.dialect.restride)
                shape, strides = self._code(tuple(step.shape)), self._code(tuple(step.strides))
                return f"{step.name} = {function}({step.name}, {shape}, {strides})"
            case Size():
                return f"{step.result} = {self.dialect.size(step.tensor, step.axis)}"
            case Compute():
                return f"{step.result} = {self._code(step.expression)}"
            case Update():
                return self.dialect.update(step.target, step.source)
            case Free():
                return f"del {', '.join(step.names)}"

    def _call(self, step: Call) -> str:
        arguments = [self._code(argument) for argument in step.arguments]
        named = [f"{key}={self._code(value)}" for key, value in step.named.items()]
        operation = step.operation
        target = operation.value if isinstance(operation, Held) else self.dialect.call(operation)
        if isinstance(target, str):
            first, *rest = arguments
            return f"{first}.{target}({', '.join([*rest, *named])})"
        function = self._name(f"{step.result}_function", target)
        return f"{function}({', '.join([*arguments, *named])})"

    def _name(self, wanted: str, value: Any) -> str:
        """A name for an object that no variable and no other object has."""
        known = self.named.get((wanted, id(value)))
        if known is not None:
            return known
        name = wanted
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        self.named[wanted, id(value)] = name
        self.scope[name] = value
        return name

    def _word(self, word: Word) -> Any:
        if word not in self.words:
            self.words[word] = self.dialect.word(word)
        return self.words[word]

    def _code(self, value: Argument) -> str:
        match value:
            case Name(text=text):
                return text
            case Expression(text=text):
                return self._arithmetic(text)
            case Word(kind=kind, text=text):
                plain = text.replace(":", "_")
                return self._name(f"{kind}_{plain}", self._word(value))
            case Held(value=held):
                return self._name(f"constant_{len(self.scope)}", held)
            case complex():
                return self._name(f"constant_{len(self.scope)}", value)
            case list():
                return f"[{', '.join(map(self._code, value))}]"
            case tuple():
                inside = ", ".join(map(self._code, value))
                return f"({inside},)" if len(value) == 1 else f"({inside})"
            case dict():
                return "{" + ", ".join(f"{k!r}: {self._code(v)}" for k, v in value.items()) + "}"
            case slice():
                parts = (self._code(part) for part in (value.start, value.stop, value.step))
                return f"{self._name('slice', slice)}({', '.join(parts)})"
            case float() if value - value != 0:
                return f"{self._name('float', float)}({str(value)!r})"
            case _:
                return repr(value)

    def _arithmetic(self, text: str) -> str:
        parsed = parse(text)
        names = {
            name: self._name(name.removeprefix("math."), FUNCTIONS[name])
            for name in parsed.functions
        }
        code = parsed.python(names)
        return code if code.isidentifier() else f"({code})"
