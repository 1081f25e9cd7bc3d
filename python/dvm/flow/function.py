"""Writes the Python function of a Flow: its steps in a straight line, so that a call interprets nothing. All that a
call need not decide again is decided here. What differs between frameworks is asked of a Dialect.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any, Protocol

from dvm.flow import timing
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

MANY = 8
"""For fewer constants a call is faster that names each."""


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
    flow: Flow,
    executables: Sequence[Any],
    constants: Mapping[str, Any],
    dialect: Dialect,
    title: str = "call",
) -> tuple[Function, str]:
    """The function, which takes the inputs in a list and empties it, and its source. `executables` are those of
    `flow.graphs`, `constants` the tensors of `flow.constants`; `title` is what a profile calls all of it."""
    writer = _Writer(flow, executables, constants, dialect)
    source = writer.source(writer.plain())
    scope = {**writer.scope}
    exec(compile(source, "<dvm>", "exec"), scope)  # noqa: S102 - our own source
    function: Function = scope.pop(writer.run)  # what is registered must not hold it
    timing.register(function, lambda: writer.timed(title, scope))
    return function, source


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
        self.constants = constants
        self.groups: dict[tuple[str, ...], tuple[Any, ...]] = {}  # constants, by their names
        self.scope: dict[str, Any] = {name: constants[name] for name in flow.constants}
        self.named: dict[tuple[str, int], str] = {}  # what the scope has already
        self.words: dict[Word, Any] = {}

        self.run, self.args = self._name("run", None), self._name("args", None)

    def source(self, statements: Iterator[str]) -> str:
        """The definition of a function of these statements."""
        lines = [f"def {self.run}({self.args}):", *(f"    {line}" for line in statements)]
        return "\n".join(lines) + "\n"

    def plain(self) -> Iterator[str]:
        """The statements of a call."""
        yield from self._taken()
        yield from map(self._statement, self.flow.steps)
        yield f"return {self._code(self.flow.returns)}"

    def timed(self, title: str, scope: dict[str, Any]) -> CodeType:
        """The code of a call that tells what its steps take; what it names besides goes into `scope`."""
        source = self.source(self._timed_statements(title))
        for name, value in self.scope.items():
            scope.setdefault(name, value)
        module = compile(source, "<dvm profile>", "exec")
        return next(code for code in module.co_consts if isinstance(code, CodeType))

    def _taken(self) -> Iterator[str]:
        if self.flow.inputs:
            yield f"{', '.join(self.flow.inputs)}, = {self.args}"
        yield f"{self.args}.clear()"

    def _timed_statements(self, title: str) -> Iterator[str]:
        now = self._name("now", time.perf_counter_ns)
        note = self._name("note", timing.note)
        entered, began, returned = (self._name(n, None) for n in ("entered", "began", "returned"))
        yield f"{entered} = {now}()"
        yield from self._taken()
        for step in self.flow.steps:
            if not timing.is_timed(step):
                yield self._statement(step)
                continue
            yield f"{began} = {now}()"
            yield self._statement(step)
            called = ""
            values = [*sorted(reads(step)), *writes(step)]
            if isinstance(step, Run):
                values = [*self._arguments(step)]
                called = f", {self._name(step.kernel, self.executables[step.graph])}"
            told = "".join(f"{value}, " for value in values)
            yield f"{note}({self._name('step', step)}, {began}, {now}(), ({told}){called})"
        yield f"{returned} = {self._code(self.flow.returns)}"
        yield f"{note}({title!r}, {entered}, {now}())"
        yield f"return {returned}"

    def _statement(self, step: Step) -> str:
        match step:
            case Run():
                kernel = self._name(step.kernel, self.executables[step.graph])
                arguments = ", ".join(self._arguments(step))
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

    def _arguments(self, step: Run) -> Iterator[str]:
        """The code of arguments. Many constants in a row, as weights are, have one name together: Python takes a
        millisecond for hundreds of names."""
        for constant, group in itertools.groupby(step.arguments, self._is_constant):
            arguments = [*group]
            if constant and len(arguments) >= MANY:
                names = tuple(name.text for name in arguments)
                yield f"*{self._name('constants', self._together(names))}"
            else:
                yield from map(self._code, arguments)

    def _is_constant(self, argument: Argument) -> bool:
        return isinstance(argument, Name) and argument.text in self.constants

    def _together(self, names: tuple[str, ...]) -> tuple[Any, ...]:
        if names not in self.groups:
            self.groups[names] = tuple(self.constants[name] for name in names)
        return self.groups[names]

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
