"""Indexing in the kernel language: `x[:, 1:, None]`, which looks at a tensor in another way, and `k.gather`, which
picks elements that only the data know. A base of the Builder, like Composites, which makes new values of instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dvm.handles import Dim, Handle, Operand

if TYPE_CHECKING:
    from dvm.trace import Trace


class Indexing:
    """What of the Builder picks elements by their places."""

    _trace: Trace

    if TYPE_CHECKING:  # the Builder has them

        def _handle(self, where: str, value: Operand) -> Handle: ...
        def _axes(self, where: str, handle: Handle, axis: Any) -> tuple[int, ...]: ...
        def _reshaped(self, handle: Handle, sizes: Sequence[int | Dim]) -> Handle: ...

    def gather(self, value: Operand, index: Operand, axis: int = -1) -> Handle:
        """Of each place along `axis` the element of `value` at the index there, as NumPy's take_along_axis does.

        `index` holds integers and has as many axes as `value`; all but `axis` are broadcast. An index below 0 or
        beyond the end raises IndexError when the kernel is called.
        """
        handle, at = self._handle("gather", value), self._handle("gather", index)
        if at.dtype not in ("i64", "i32", "i16", "i8", "u8"):
            raise TypeError(f"[gather] an index of type {at.dtype} came; integers are wanted")
        if at.ndim != handle.ndim:
            raise ValueError(
                f"[gather] an index of rank {at.ndim} came for a tensor of rank {handle.ndim}"
            )
        (along,) = self._axes("gather", handle, axis)
        graph, places = self._trace.graph, self._trace.cast(at, "i64").node()
        size = handle.shape[along]
        count = graph.size(_spelled(size), "i64")
        low = graph.elementwise("ge", [places, graph.constant(0, "i64")])
        inside = graph.elementwise("bitwise_and", [low, graph.elementwise("lt", [places, count])])
        holds = graph.reduce("all", inside, list(range(at.ndim)))
        name = self._trace.name
        graph.check(graph.reshape(holds, []), f"[{name}] gather: an index is out of range")
        return Handle(self._trace, graph.gather(handle.node(), places, along))

    def index(self, value: Operand, index: Any) -> Handle:
        """`value[index]`, where an index is made of slices, `...` and None."""
        handle = self._handle("index", value)
        items = index if isinstance(index, tuple) else (index,)
        for item in items:
            if not (item is None or item is Ellipsis or isinstance(item, slice)):
                raise TypeError(
                    f"[index] {item!r} came; inside a kernel slices, `...` and None can index, "
                    "and k.gather picks elements"
                )
        given = sum(isinstance(item, slice) for item in items)
        if sum(item is Ellipsis for item in items) > 1 or given > handle.ndim:
            raise IndexError(f"[index] {len(items)} items came for a tensor of rank {handle.ndim}")
        if Ellipsis not in items:
            items = (*items, Ellipsis)
        handle = self._sliced(handle, items, given)
        sizes: list[int | Dim] = []
        left = list(handle.shape)
        for item in items:
            if item is Ellipsis:
                count = handle.ndim - given
                sizes += left[:count]
                del left[:count]
            else:
                sizes.append(1 if item is None else left.pop(0))
        return self._reshaped(handle, sizes)

    def _sliced(self, handle: Handle, items: Sequence[Any], given: int) -> Handle:
        axis = 0
        for item in items:
            if item is Ellipsis:
                axis += handle.ndim - given
            elif item is not None:
                if item != slice(None):
                    handle = self._slice(handle, axis, item)
                axis += 1
        return handle

    def _slice(self, handle: Handle, axis: int, item: slice) -> Handle:
        size = handle.shape[axis]
        step = 1 if item.step is None else item.step
        if not isinstance(step, int) or isinstance(step, bool) or step < 1:
            raise ValueError(f"[index] a step of {step!r} came; 1 or more is wanted")
        start = self._bound(0 if item.start is None else item.start, size)
        stop = self._bound(size if item.stop is None else item.stop, size)
        if all(isinstance(bound, int) for bound in (start, stop, size)):
            start, stop, _ = slice(start, stop).indices(size)
        if isinstance(start, int) and isinstance(stop, int):
            stop = max(start, stop)
        length = stop - start if step == 1 else (stop - start + (step - 1)) // step
        graph = self._trace.graph
        node = graph.slice(handle.node(), axis, _spelled(start), _spelled(length), step)
        return Handle(self._trace, node)

    def _bound(self, bound: Any, size: Any) -> Any:
        found = self._trace.size(bound)
        if isinstance(found, bool) or not isinstance(found, (int, Dim)):
            raise TypeError(f"[index] {bound!r} came as a bound; an integer or a size is wanted")
        return size + found if isinstance(found, int) and found < 0 else found


def _spelled(size: int | Dim) -> int | str:
    return size.text if isinstance(size, Dim) else size
