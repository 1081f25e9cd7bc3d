"""The steps of a Flow and what they are made of: plain values, which json_form.py turns into JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dvm.flow.arithmetic import parse


@dataclass(frozen=True, slots=True)
class Name:
    """What a variable holds."""

    text: str


@dataclass(frozen=True, slots=True)
class Expression:
    """Arithmetic on the sizes and numbers that variables hold (arithmetic.py)."""

    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """A constant that frameworks have a name for: Word("dtype", "float32")."""

    kind: str  # "dtype", "device", "layout" or "memory_format"
    text: str


@dataclass(frozen=True, slots=True)
class Held:
    """An object of this process, which no file can hold."""

    value: Any


# Besides the above: None, bool, int, float, complex, str, and lists, tuples, dicts and slices of arguments.
Argument = Any


@dataclass(slots=True)
class Run:
    """Calls an Executable, that of `graphs[graph]`."""

    kernel: str  # its name in the code
    graph: int
    arguments: list[Argument]
    results: list[str]
    into: list[Argument] = field(
        default_factory=list
    )  # what it writes, for each result, if not new tensors


@dataclass(slots=True)
class Call:
    """Calls an operation of torch's by its qualified name, `aten::add.Tensor`, or any function that is held."""

    operation: str | Held
    arguments: list[Argument]
    named: dict[str, Argument]
    result: str
    optional: bool = False  # it only makes another way to look at its operand


@dataclass(slots=True)
class Item:
    """Takes one of several results."""

    source: str
    index: int
    result: str


@dataclass(slots=True)
class Fill:
    """Makes a tensor with the same number everywhere, or with anything where that is None."""

    shape: list[Argument]
    strides: list[Argument]
    dtype: str
    number: Argument
    result: str


@dataclass(slots=True)
class Restride:
    """Copies a tensor into other strides than an Executable can write."""

    name: str
    shape: list[Argument]
    strides: list[Argument]


@dataclass(slots=True)
class Size:
    """Reads a size of a tensor."""

    tensor: str
    axis: int
    result: str


@dataclass(slots=True)
class Compute:
    """Arithmetic on sizes and numbers."""

    expression: Expression
    result: str


@dataclass(slots=True)
class Update:
    """Copies a tensor into one that was given, which the program changed."""

    target: str
    source: str


@dataclass(slots=True)
class Free:
    """Lets go of tensors."""

    names: list[str]


Step = Run | Call | Item | Fill | Restride | Size | Compute | Update | Free


@dataclass(slots=True)
class Flow:
    """A straight line from arguments to results."""

    inputs: list[str]
    constants: list[str]  # tensors that are there before the first call
    graphs: list[Any]  # the Graphs that the Executables are made of, or their texts
    steps: list[Step] = field(default_factory=list)
    returns: Argument = None

    @property
    def operations(self) -> list[str]:
        """The operations of torch's that are called, each once."""
        return list(
            dict.fromkeys(
                step.operation
                for step in self.steps
                if isinstance(step, Call) and isinstance(step.operation, str)
            )
        )


def names_in(argument: Argument) -> list[str]:
    """The variables that an argument reads, in their order."""
    if isinstance(argument, Name):
        return [argument.text]
    if isinstance(argument, Expression):
        return list(parse(argument.text).names)
    if isinstance(argument, slice):
        argument = (argument.start, argument.stop, argument.step)
    elif isinstance(argument, dict):
        argument = list(argument.values())
    if isinstance(argument, (list, tuple)):
        return [name for item in argument for name in names_in(item)]
    return []


def reads(step: Step) -> set[str]:
    """The variables that a step reads."""
    match step:
        case Run(arguments=arguments, into=into):
            return set(names_in([arguments, into]))
        case Call(arguments=arguments, named=named):
            return {*names_in(arguments), *names_in(named)}
        case Item(source=name) | Size(tensor=name):
            return {name}
        case Fill(shape=shape, strides=strides, number=number):
            return set(names_in((shape, strides, number)))
        case Restride(name=name, shape=shape, strides=strides):
            return {name, *names_in((shape, strides))}
        case Compute(expression=expression):
            return set(names_in(expression))
        case Update(target=target, source=source):
            return {target, source}
        case Free(names=names):
            return set(names)


def writes(step: Step) -> list[str]:
    """The variables that a step sets."""
    match step:
        case Run(results=results):
            return results
        case Restride(name=name):
            return [name]
        case Update() | Free():
            return []
        case _:
            return [step.result]


def is_optional(step: Step) -> bool:
    """Whether nothing is lost without the step when nobody reads its result."""
    return isinstance(step, Item | Size | Compute) or (isinstance(step, Call) and step.optional)


def tidy(flow: Flow, tensors: set[str]) -> None:
    """Leaves out steps whose results nothing reads, and frees each of `tensors` after its last use."""
    steps: list[Step] = []  # the last one first
    read = {*flow.constants, *names_in(flow.returns)}  # further down
    for step in reversed(flow.steps):
        if is_optional(step) and read.isdisjoint(writes(step)):
            continue
        mine = reads(step)
        dying = sorted(mine & tensors - read)
        steps += [Free(dying), step] if dying else [step]
        read |= mine
    steps.reverse()
    flow.steps = steps
