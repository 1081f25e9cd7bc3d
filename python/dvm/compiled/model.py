"""CompiledModel: what dvm.compile returns and dvm.load reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvm.compiled import artifact
from dvm.compiled.account import account
from dvm.compiled.call import write_call
from dvm.compiled.container import ArtifactError
from dvm.compiled.examples import examples
from dvm.compiled.explanation import Explanation, plural
from dvm.compiled.framework import find
from dvm.compiled.parts import Parts
from dvm.compiled.signature import Symbol, Tensor
from dvm.flow.function import write
from dvm.flow.steps import Run


class CompiledModel:
    """A model that is compiled once, for all sizes that its arguments may have.

    A call takes the model's own arguments and returns what the model returns. Arguments that do not fit what it was
    compiled for raise InputError, a ValueError, which names the argument and dimension. A call computes no gradients.
    It may be called from several threads at once, unless the model changes buffers or arguments of its own.
    """

    def __init__(self, parts: Parts, framework: str) -> None:
        self._parts = parts
        self._framework = find(framework)
        run, self._source = write(
            parts.flow, parts.executables, parts.constants, self._framework.dialect, parts.name
        )
        self._call = write_call(parts.signature, self._framework, run)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    @property
    def framework(self) -> str:
        """Whose tensors it takes and returns: "torch" or "numpy"."""
        return self._framework.name

    def explain(self, *tensors: Any) -> Explanation:
        """Which kernels there are, and what torch runs and why. Bytes are told for the sizes that `tensors` have,
        all tensors among the arguments or what else has a `shape`; without any for those that it
        was compiled with. Raises ValueError for examples of other ranks."""
        parts = self._parts
        sizes = parts.signature.sizes_of([tuple(t.shape) for t in tensors])
        graph = account(
            parts.flow,
            parts.executables,
            parts.types,
            parts.fallbacks,
            parts.updates,
            sizes=sizes if tensors else parts.sizes,
            framework=self.framework,
            facts=parts.facts,
            kind="inference",
            ms=parts.milliseconds,
            source=self._source,
            symbols=[
                {"name": symbol.name, "label": symbol.title, "range": symbol.range,
                 "at": _place(symbol, parts.signature.paths)}
                for symbol in parts.signature.symbols
            ],
            conditions=list(parts.signature.conditions),
        )  # fmt: skip
        return Explanation(name=parts.name, compiles=1, graphs=[graph])

    def examples(self, *shapes: Sequence[int]) -> list[Any]:
        """Arguments to try it on: random floats, and ones of any other type. `shapes` are those of all tensors among
        the arguments; without any they are those that it was compiled with. Raises ValueError for other ranks."""
        signature = self._parts.signature
        sizes = self._parts.sizes | signature.sizes_of([tuple(shape) for shape in shapes])
        return examples(signature, self._framework, sizes, shapes)

    def save(self, path: str | Path) -> None:
        """Writes everything, weights included, into one file, which dvm.load reads on any machine with this version
        of dvm. Raises NotSaveableError, a ValueError, when the model holds what no file can."""
        artifact.save(self._parts, self._framework, Path(path))

    def __repr__(self) -> str:
        parts = self._parts
        kernels = [len(executable.explain()["kernels"]) for executable in parts.executables]
        count = sum(kernels[step.graph] for step in parts.flow.steps if isinstance(step, Run))
        calls = sum(fallback["count"] for fallback in parts.fallbacks)
        lines = [
            f"CompiledModel {parts.name}: {plural(count, 'kernel')}, "
            f"{plural(calls, 'operation')} in torch, {plural(len(parts.constants), 'constant')}"
        ]
        labels = {symbol.name: symbol for symbol in parts.signature.symbols}
        shown: Counter[str] = Counter()
        for path, leaf in zip(parts.signature.paths, parts.signature.leaves, strict=True):
            text = str(leaf)
            if isinstance(leaf, Tensor):
                sizes = ", ".join(_size_text(size, labels, shown) for size in leaf.shape)
                text = f"{leaf.dtype}[{sizes}]"
            lines.append(f"  {path}: {text}")
        return "\n".join(lines)


def _place(symbol: Symbol, paths: list[str]) -> str:
    """Where the value of a symbol is found."""
    path = paths[symbol.leaf]
    return path if symbol.axis is None else f"{path}, dimension {symbol.axis}"


def _size_text(size: int | str, labels: dict[str, Symbol], shown: Counter[str]) -> str:
    """A size as the user knows it, with its range where it is met first."""
    symbol = labels.get(str(size))
    if symbol is None:
        for name, known in labels.items():
            size = str(size).replace(name, known.title)
        return str(size)
    shown[symbol.name] += 1
    return symbol.title + (f" {symbol.range}" if shown[symbol.name] == 1 else "")


def load(path: str | Path, *, framework: str | None = None) -> CompiledModel:
    """Reads what CompiledModel.save wrote. Weights stay in the file and are mapped into memory: processes share them,
    and what a model changes in its buffers is its own and does not reach the file.

    `framework` is "torch" or "numpy", whose tensors the model then takes and returns. None is "numpy" when no
    operation of the model needs torch, which then is not imported.

    Raises ArtifactError, a ValueError, for a file that is damaged, of another version or of other instructions.
    """
    if framework not in (None, "torch", "numpy"):
        raise ValueError(f"[load] framework {framework!r} came, wanted 'torch' or 'numpy'")
    try:
        return CompiledModel(*artifact.load(Path(path), framework))
    except artifact.NONSENSE as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"[load] {path}: {error}") from error
