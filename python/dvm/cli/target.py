"""What the user points at: `FILE.py:name`, a saved model, and shapes such as `128x768:f16` with examples of them."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvm.cli.output import CliError

# As in programs; beside each the name that NumPy (or ml_dtypes) and torch know it by.
DTYPES = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "bool": "bool",
}


@dataclass(frozen=True)
class Argument:
    """The shape and element type of one argument."""

    shape: tuple[int, ...]
    dtype: str = "f32"

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def parse_argument(text: str) -> Argument:
    """`128x768`, `128x768:f16`, `64` or `scalar:i64`."""
    shape, _, dtype = text.partition(":")
    dtype = dtype or "f32"
    if dtype not in DTYPES:
        raise CliError(f"{text}: unknown element type {dtype}, wanted one of {', '.join(DTYPES)}")
    if shape == "scalar":
        return Argument((), dtype)
    if not re.fullmatch(r"\d+(x\d+)*", shape):
        raise CliError(
            f"{text}: not a shape; wanted sizes joined by x, as in 128x768 or 128x768:f16"
        )
    return Argument(tuple(int(size) for size in shape.split("x")), dtype)


def load(target: str) -> Any:
    """The object that `FILE.py:name` names. Runs the file."""
    file, separator, name = target.rpartition(":")
    if not separator or not file.endswith(".py"):
        raise CliError(f"{target}: wanted FILE.py:name")
    path = Path(file)
    if not path.is_file():
        raise CliError(f"{target}: there is no file {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = (
        module  # so that what the file defines can be found by its module's name
    )
    sys.path.insert(0, str(path.parent.resolve()))
    spec.loader.exec_module(module)
    try:
        return getattr(module, name)
    except AttributeError:
        public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise CliError(f"{target}: {file} defines {', '.join(public)}; not {name}") from None


def load_saved(path: str) -> Any:
    """The model in a file of CompiledModel.save."""
    import dvm

    try:
        return dvm.load(path)
    except (OSError, ValueError, ImportError) as error:
        raise CliError(str(error)) from None


def as_callable(found: Any) -> Any:
    """A module's class stands for the module that its constructor makes without arguments."""
    import torch

    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        return found().eval()
    return found


def example(argument: Argument) -> Any:
    """A tensor of torch's: random floats, and ones of any other type, which are valid indices too."""
    import torch

    dtype = getattr(torch, DTYPES[argument.dtype])
    if dtype.is_floating_point:
        return torch.randn(argument.shape).to(dtype)
    return torch.ones(argument.shape, dtype=dtype)
