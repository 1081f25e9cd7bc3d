"""How tensors and numbers are nested in the arguments and results of a model: torch's pytrees, as plain data."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dvm.flow.json_form import Json, NotSaveableError


@dataclass(frozen=True)
class Custom:
    """A class that was registered with torch's pytrees: only the process that compiled knows it."""

    kind: type
    flatten: Callable[[Any], tuple[Sequence[Any], Any]]
    unflatten: Callable[[Sequence[Any]], Any]
    context: Any


@dataclass(frozen=True)
class Structure:
    """A leaf, or a container of further structures."""

    kind: str  # "leaf", "tuple", "list", "dict", "namedtuple" or "custom"
    children: tuple[Structure, ...] = ()
    keys: tuple[str | int, ...] = ()  # of a dict; fields of a namedtuple
    name: str = ""  # of a namedtuple
    type: Any = None  # of a namedtuple
    custom: Custom | None = None

    @property
    def leaves(self) -> int:
        """How many leaves there are."""
        return 1 if self.kind == "leaf" else sum(child.leaves for child in self.children)

    def paths(self, name: str) -> Iterator[str]:
        """What each leaf of an argument `name` is called: `cache[0]['key']`."""
        if self.kind == "leaf":
            yield name
        for number, child in enumerate(self.children):
            key = self.keys[number] if self.keys else number
            inner = f"{name}.{key}" if self.kind == "namedtuple" else f"{name}[{key!r}]"
            yield from child.paths(inner)

    def __str__(self) -> str:
        if self.kind == "leaf":
            return "a tensor or number"
        if self.kind == "dict":
            return f"a dict with the keys {', '.join(map(repr, self.keys))}"
        kind = self.custom.kind.__name__ if self.custom else self.name or self.kind
        return f"a {kind} of {len(self.children)}"

    def accepts(self, value: Any) -> bool:
        """Whether the outermost container of `value` is the one that is wanted."""
        match self.kind:
            case "leaf":
                return True
            case "tuple" | "list":
                right = isinstance(value, tuple if self.kind == "tuple" else list)
                return right and len(value) == len(self.children)
            case "namedtuple":
                return isinstance(value, tuple) and getattr(value, "_fields", ()) == self.keys
            case "dict":
                return isinstance(value, dict) and set(value) == set(self.keys)
            case _:
                assert self.custom is not None
                right = isinstance(value, self.custom.kind)
                return right and self.custom.flatten(value)[1] == self.custom.context

    def parts(self, value: Any) -> list[Any]:
        """The children of a container that is accepted."""
        if self.custom is not None:
            return list(self.custom.flatten(value)[0])
        return [value[key] for key in self.keys] if self.kind == "dict" else list(value)

    def flatten(self, value: Any) -> Iterator[Any]:
        """The leaves of a value, whose containers must all be as wanted."""
        if self.kind == "leaf":
            yield value
        else:
            for child, part in zip(self.children, self.parts(value), strict=True):
                yield from child.flatten(part)

    def build(self, leaves: Iterator[Any]) -> Any:
        """The value that these leaves are nested in, of which it takes as many as it has."""
        if self.kind == "leaf":
            return next(leaves)
        parts = [child.build(leaves) for child in self.children]
        match self.kind:
            case "tuple":
                return tuple(parts)
            case "list":
                return parts
            case "dict":
                return dict(zip(self.keys, parts, strict=True))
            case "namedtuple":
                return self.type(*parts)
            case _:
                assert self.custom is not None
                return self.custom.unflatten(parts)

    def to_json(self) -> Json:
        """Raises NotSaveableError for a custom container that is no mapping from text."""
        if self.kind == "leaf":
            return None
        kind = self.kind
        if self.custom is not None:
            if not _is_mapping(self):
                name = self.custom.kind.__name__
                raise NotSaveableError(f"a {name}, which is no builtin container")
            kind = "dict"
        children = [child.to_json() for child in self.children]
        return {"kind": kind, "keys": list(self.keys), "name": self.name, "children": children}

    @staticmethod
    def from_json(data: Json) -> Structure:
        """Raises ValueError, KeyError or TypeError for what is no structure."""
        if data is None:
            return LEAF
        kind, keys, name = data["kind"], tuple(data["keys"]), data["name"]
        children = tuple(Structure.from_json(child) for child in data["children"])
        if kind not in ("tuple", "list", "dict", "namedtuple"):
            raise ValueError(f"[load] {kind!r} is no container")
        if any(type(key) not in (str, int) for key in keys):
            raise TypeError(f"[load] {keys!r} are no keys")
        if len(keys) != (len(children) if kind in ("dict", "namedtuple") else 0):
            raise ValueError(f"[load] {len(keys)} keys for {len(children)} items")
        made = namedtuple(name, keys) if kind == "namedtuple" else None
        return Structure(kind, children, keys, name, made)


LEAF = Structure("leaf")


def _is_mapping(structure: Structure) -> bool:
    """Whether a custom container can be given back as a dict: a ModelOutput of transformers', for one."""
    assert structure.custom is not None
    return issubclass(structure.custom.kind, dict) and len(structure.keys) == len(
        structure.children
    )
