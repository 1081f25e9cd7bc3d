"""`@dvm.kernel`: a Python function over tensors, fused into kernels and run by the virtual machine.

A kernel traces its function once per *class* of arguments (element types, ranks, which sizes are 1, and the values of
keyword-only parameters) and compiles what it recorded; sizes stay symbols. Afterwards calls of that class run in C++
(`KernelFunction`, the base of `Kernel`), and only what it does not know comes to `Kernel._miss`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from dvm import _core, element_types
from dvm.element_types import Kind
from dvm.explanation import Explanation
from dvm.handles import Handle, Stored
from dvm.instructions import suggestion
from dvm.trace import ArgumentClass, Parameter, ScalarClass, TensorClass, Trace

_SCALARS = {
    bool: ScalarClass(Kind.BOOL),
    int: ScalarClass(Kind.INTEGER),
    float: ScalarClass(Kind.FLOAT),
}
_MOST_SPECIALISATIONS = (
    128  # the oldest go first: a keyword constant that changes at every call must not fill memory
)


@dataclass(frozen=True)
class Specialisation:
    """A kernel compiled for one class of arguments."""

    executable: _core.Executable
    classes: tuple[ArgumentClass, ...]  # of the parameters
    order: tuple[int, ...]  # the parameter behind every argument of the Executable
    tuple_of_one: bool  # the function returned a tuple of a single result

    @property
    def inputs(self) -> tuple[int, ...]:
        """The parameters behind the Graph's inputs."""
        return tuple(index for index in self.order if isinstance(self.classes[index], TensorClass))

    def __call__(self, *args: Any, out: Any = None) -> Any:
        """Runs the Executable with the arguments of the kernel."""
        result = self.executable(*(args[index] for index in self.order), out=out)
        return (result,) if self.tuple_of_one and out is None else result


class Kernel(_core.KernelFunction):
    """A compiled function. Call it with arrays (NumPy, torch, anything with DLPack) and numbers.

    It returns one array or a tuple, of the library that the first array came from; `out=` takes arrays to fill
    instead. Keyword-only parameters are constants: each value of theirs compiles its own version.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = function.__name__
        self.parameters, self.defaults, self.constants = _signature(function)
        super().__init__(self.name, self.parameters, tuple(self.defaults.values()))
        functools.update_wrapper(self, function)
        self.function = function
        self._specialisations: dict[Any, Specialisation] = {}
        self._lock = threading.Lock()

    def graph(self, *args: Any, dtype: Any = "f32", **constants: Any) -> _core.Graph:
        """The Graph for these shapes or arrays."""
        return self._described(args, dtype, constants)[0].executable.graph

    def programs(self, *args: Any, dtype: Any = "f32", **constants: Any) -> list[_core.Program]:
        """The Programs that these shapes run, one after the other. Arguments as for `program`."""
        specialisation, shapes, numbers = self._described(args, dtype, constants)
        return list(specialisation.executable.programs(shapes, numbers))

    def program(self, *args: Any, dtype: Any = "f32", **constants: Any) -> _core.Program:
        """The Program for these shapes: one shape (or array) per loaded parameter, in the order of the parameters.

        `dtype` is the element type of all inputs, or a sequence with one for each. Numbers need not be given.
        """
        programs = self.programs(*args, dtype=dtype, **constants)
        if len(programs) != 1:
            raise ValueError(
                f"[{self.name}] {len(programs)} programs run for these shapes; use programs() to get all"
            )
        return programs[0]

    def explain(self, *args: Any, dtype: Any = "f32", **constants: Any) -> Explanation:
        """What was fused and what was not, for these arrays or shapes; without any, for all that was compiled."""
        if not args and self._specialisations and self.parameters:
            found = [
                (str(s.executable.graph), s.executable.explain())
                for s in self._specialisations.values()
            ]
            return Explanation.of_many(self.name, found)
        specialisation, shapes, numbers = self._described(args, dtype, constants)
        executable = specialisation.executable
        programs = executable.programs(shapes, numbers)
        return Explanation.of_one(self.name, str(executable.graph), executable.explain(), programs)

    def clear_cache(self) -> None:
        """Forgets everything that was compiled."""
        with self._lock:
            for specialisation in self._specialisations.values():
                self.unregister(specialisation.executable)
            self._specialisations.clear()

    def __repr__(self) -> str:
        return f"<dvm.kernel {self.name}({', '.join(self.parameters)}), {len(self._specialisations)} compiled>"

    # ---- the way of a call that is not like an earlier one

    def _miss(self, *args: Any, out: Any = None, **named: Any) -> Any:
        args, constants = self._bind(args, named)
        if any(isinstance(argument, Handle) for argument in args):
            return self._inline(args, out, constants)
        args = tuple(
            argument.item() if isinstance(argument, np.generic) else argument for argument in args
        )
        classes = tuple(map(self._classify, self.parameters, args))
        return self._specialisation(classes, constants)(*args, out=out)

    def _bind(
        self, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional arguments with their defaults, and all constants."""
        constants = dict(self.constants)
        by_name: dict[str, Any] = {}
        for name, value in named.items():
            if name in constants:
                constants[name] = value
            elif name in self.parameters[len(args) :]:
                by_name[name] = value
            elif name in self.parameters:
                raise TypeError(f"[{self.name}] {name} came twice")
            else:
                known = [*constants, *self.parameters, "out"]
                raise TypeError(
                    f"[{self.name}] the unknown argument {name} came{suggestion(name, known)}"
                )
        for name, value in constants.items():
            if value is inspect.Parameter.empty:
                raise TypeError(f"[{self.name}] the constant {name} is missing")
        if len(args) > len(self.parameters):
            self._wrong_count(len(args))
        values = list(args)
        for name in self.parameters[len(args) :]:
            if name not in by_name and name not in self.defaults:
                self._wrong_count(len(args) + len(by_name))
            values.append(by_name[name] if name in by_name else self.defaults[name])
        return tuple(values), constants

    def _wrong_count(self, count: int) -> NoReturn:
        wanted = len(self.parameters)
        listed = f" ({', '.join(self.parameters)})" if wanted else ""
        least = wanted - len(self.defaults)
        raise TypeError(
            f"[{self.name}] {count} argument{'s' * (count != 1)} came, "
            f"{wanted if least == wanted else f'{least} to {wanted}'}{listed} {'is' if wanted == 1 else 'are'} wanted"
        )

    def _classify(self, name: str, argument: Any) -> ArgumentClass:
        scalar = _SCALARS.get(type(argument))
        if scalar is not None:
            return scalar
        if isinstance(argument, (int, float)):  # subclasses, such as enumerations
            return _SCALARS[int if isinstance(argument, int) else float]
        if not (hasattr(argument, "shape") and hasattr(argument, "dtype")):
            if not hasattr(argument, "__dlpack__"):
                raise TypeError(
                    f"[{self.name}] {name} is a {type(argument).__name__}; an array (NumPy, torch, DLPack) or a number "
                    "is wanted"
                )
            argument = np.from_dlpack(argument)
        dtype = element_types.name_of(argument.dtype, f"{self.name}: {name}")
        return TensorClass(dtype, tuple(size == 1 for size in argument.shape))

    def _specialisation(
        self, classes: Sequence[ArgumentClass], constants: dict[str, Any]
    ) -> Specialisation:
        key: Any = tuple(classes)
        if constants:
            # With its type: 1, 1.0 and True are equal as keys, and not as constants.
            key = key, tuple((type(value), value) for value in constants.values())
        try:
            found = self._specialisations.get(key)
        except TypeError:
            bad = [name for name, value in constants.items() if type(value).__hash__ is None]
            raise TypeError(
                f"[{self.name}] the constant {', '.join(bad)} is not hashable; keyword-only parameters are compiled "
                "in. Arrays and changing numbers go before the *"
            ) from None
        if found is not None:
            return found
        with self._lock:
            if key not in self._specialisations:
                found = self._compile(*self._trace(classes, constants))
                while len(self._specialisations) >= _MOST_SPECIALISATIONS:
                    oldest = self._specialisations.pop(next(iter(self._specialisations)))
                    self.unregister(oldest.executable)
                self._specialisations[key] = found
                if constants == self.constants:
                    keys = [_key(argument) for argument in classes]
                    self.register(found.executable, keys, found.order, found.tuple_of_one)
            return self._specialisations[key]

    # ---- from the function to an Executable

    def _trace(
        self,
        classes: Sequence[ArgumentClass],
        constants: dict[str, Any],
        next_tensor: Callable[[Parameter], TensorClass] | None = None,
    ) -> tuple[Trace, list[Handle], bool]:
        trace = Trace(self.name, self.parameters, classes, next_tensor)
        result = self.function(trace.builder, *trace.parameters, **constants)
        returned = list(result) if isinstance(result, (tuple, list)) else [result]
        if result is None or not returned:
            raise ValueError(
                f"[{self.name}] the function returned nothing; return k.store(...), or several of them"
            )
        outputs = []
        for value in returned:
            if not isinstance(value, (Stored, Handle)):
                raise TypeError(
                    f"[{self.name}] the function returned a {type(value).__name__}; return k.store(...)"
                )
            outputs.append(
                trace.strong(
                    trace.handle(value.handle if isinstance(value, Stored) else value, "return")
                )
            )
        lost = [stored for stored in trace.stored if not any(stored is value for value in returned)]
        if lost:
            raise ValueError(
                f"[{self.name}] {len(trace.stored)} values were stored and {len(trace.stored) - len(lost)} of them "
                "returned; return everything that k.store gives"
            )
        return trace, outputs, not isinstance(result, (tuple, list))

    def _compile(self, trace: Trace, outputs: Sequence[Handle], single: bool) -> Specialisation:
        for output in outputs:
            trace.graph.output(output.node())
        trace.open = False
        executable = _core.Executable(trace.graph)
        arguments = tuple(parameter.argument for parameter in trace.parameters)
        wrapped = not single and len(outputs) == 1
        return Specialisation(executable, arguments, tuple(trace.order), wrapped)

    def _inline(self, args: tuple[Any, ...], out: Any, constants: dict[str, Any]) -> Any:
        """Called inside another kernel: its operations become part of that kernel's Graph."""
        trace = next(argument._trace for argument in args if isinstance(argument, Handle))
        if out is not None:
            raise TypeError(
                f"[{self.name}] out= came inside the kernel {trace.name}; only arrays can be written"
            )
        before = len(trace.stored)
        result = self.function(trace.builder, *args, **constants)
        del trace.stored[before:]
        if isinstance(result, (tuple, list)):
            return tuple(value.handle if isinstance(value, Stored) else value for value in result)
        return result.handle if isinstance(result, Stored) else result

    # ---- descriptions: shapes in the place of arrays

    def _described(
        self, args: Sequence[Any], dtype: Any, named: dict[str, Any]
    ) -> tuple[Specialisation, list[tuple[int, ...]], list[int]]:
        """The specialisation, the shapes of its inputs, and its scalars (those that may be sizes)."""
        _, constants = self._bind((0,) * len(self.parameters), named)
        described = [self._describe(entry) for entry in args]
        names = list(dtype) if isinstance(dtype, (tuple, list)) else None
        if names is not None and len(names) != sum(shape is not None for shape, _ in described):
            raise ValueError(f"[{self.name}] {len(names)} dtypes came for {len(args)} shapes")

        entries: list[tuple[tuple[int, ...] | None, ArgumentClass]] = []
        for shape, argument in described:
            if shape is not None and argument is None:
                wanted = element_types.name_of(names.pop(0) if names else dtype, self.name)
                argument = TensorClass(wanted, tuple(size == 1 for size in shape))
            elif shape is not None and names:
                names.pop(0)
            entries.append((shape, argument))

        if len(entries) == len(self.parameters):
            classes = [argument for _, argument in entries]
        else:
            classes = self._find_loaded([argument for _, argument in entries], constants)
        specialisation = self._specialisation(classes, constants)
        given = [shape for shape, _ in entries if shape is not None]
        position = {index: i for i, index in enumerate(sorted(specialisation.inputs))}
        shapes = [given[position[index]] for index in specialisation.inputs]
        scalars = [index for index in specialisation.order if index not in position]
        numbers = args if len(args) == len(self.parameters) else [1] * len(self.parameters)
        return (
            specialisation,
            shapes,
            [numbers[i] if type(numbers[i]) is int else 1 for i in scalars],
        )

    def _describe(self, entry: Any) -> tuple[tuple[int, ...] | None, ArgumentClass]:
        """The shape of an entry, and its class as far as it says one."""
        if isinstance(entry, (tuple, list)):
            if not all(
                isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in entry
            ):
                raise TypeError(
                    f"[{self.name}] the shape {entry!r} came; sizes are integers from 0 on"
                )
            return tuple(entry), None
        argument = self._classify("an argument", entry)
        return (None if isinstance(argument, ScalarClass) else tuple(entry.shape)), argument

    def _find_loaded(
        self, given: Sequence[ArgumentClass], constants: dict[str, Any]
    ) -> list[ArgumentClass]:
        """Matches descriptions with the parameters that the function loads; the other parameters are floats."""
        tensors = [argument for argument in given if isinstance(argument, TensorClass)]
        loaded: list[int] = []

        def in_order_of_loads(parameter: Parameter) -> TensorClass:
            if len(loaded) == len(tensors):
                raise ValueError(
                    f"[{self.name}] {len(tensors)} shapes came; {parameter.name} is loaded too and needs one"
                )
            loaded.append(parameter.index)
            return tensors[len(loaded) - 1]

        unknown: list[ArgumentClass] = [None] * len(self.parameters)
        try:
            self._trace(unknown, constants, in_order_of_loads)
        except ValueError:
            # Shapes given in the order of parameters may clash in the order of loads: judge by the final trace.
            if loaded == sorted(loaded) or len(loaded) != len(tensors):
                raise
        if len(loaded) != len(tensors) or len(given) != len(tensors):
            raise ValueError(
                f"[{self.name}] {len(given)} descriptions came; one shape for each of the {len(loaded)} loaded "
                f"parameters is wanted, or one description for each of {', '.join(self.parameters)}"
            )
        matched = dict(zip(sorted(loaded), tensors, strict=True))
        return [matched.get(i, ScalarClass(Kind.FLOAT)) for i in range(len(self.parameters))]


def kernel(function: Callable[..., Any]) -> Kernel:
    """Makes a kernel of `function(k, x, ..., *, constant=...)`; docs/language.md tells what it may say."""
    return Kernel(function)


def _signature(
    function: Callable[..., Any],
) -> tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]:
    """Positional parameters after `k`, their defaults, and keyword-only constants with theirs."""
    name = function.__name__
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise TypeError(f"[{name}] *args and **kwargs came; a kernel names all its parameters")
    if not positional:
        raise TypeError(
            f"[{name}] the function takes nothing; its first parameter is k, the kernel language"
        )
    if any(p.name == "out" or (p.name == "dtype" and p.kind is p.KEYWORD_ONLY) for p in parameters):
        raise TypeError(
            f"[{name}] a parameter is called out or dtype; the names belong to the call and to program()"
        )
    defaults = {p.name: p.default for p in positional[1:] if p.default is not p.empty}
    constants = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return tuple(p.name for p in positional[1:]), defaults, constants


def _key(argument: ArgumentClass) -> Any:
    """A class of arguments as KernelFunction reads it."""
    if isinstance(argument, TensorClass):
        return argument.dtype, list(argument.ones)
    return str(argument)
