"""The scope: `with dvm.torch.fuse():` and what an unmodified program gets by `dvm.torch.enable_fusion()`."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dvm import _core
from dvm.torch.eager.account import Account
from dvm.torch.eager.foreach import one_by_one
from dvm.torch.eager.functions import Treatment, treatment
from dvm.torch.eager.template import ComputesNothing, NotRecorded, is_change, template

P = ParamSpec("P")
R = TypeVar("R")

LIMIT = 1024
"""Operations that are recorded before they are computed whether somebody needs them or not."""


LEAST_ELEMENTS = 256
"""Operations on fewer elements, all of which are there, run in torch: recording them takes as long."""


# Threads of these modules draw progress bars, or fetch batches that nobody has computed with.
_HARMLESS = ("tqdm", "rich.", "torch.utils.data", "torch._inductor")


class fuse:  # noqa: N801 - used like a function
    """Inside, PyTorch's operations are recorded when they are issued, and computed together, fused, when a value is
    needed: for `.item()`, `bool()`, printing, NumPy, an operation that DVM does not cover, and at the end. Results
    are the same tensors, with the same contents, as without it.

    Works as a context and as a decorator. `limit` is the number of operations after which they are computed in
    any case. Operations of which each tensor has fewer than `least_elements` elements, and which need nothing that is
    recorded, run in torch.
    """

    def __init__(self, *, limit: int = LIMIT, least_elements: int = LEAST_ELEMENTS) -> None:
        if limit < 1:
            raise ValueError(f"[fuse] limit is {limit}, wanted 1 or more")
        if least_elements < 0:
            raise ValueError(f"[fuse] least_elements is {least_elements}, wanted 0 or more")
        self._limits = limit, least_elements
        self._helper: _Helper | None = None

    def __enter__(self) -> fuse:
        if self._helper is None:
            _attend()
            self._helper = _Helper(*self._limits)
        _thread.scopes.append(self)
        if len(_thread.scopes) == 1:
            self._helper.enter()
        return self

    def __exit__(self, *exception: object) -> None:
        _thread.scopes.pop()
        helper = (_thread.scopes or [self])[0]._helper
        assert helper is not None
        helper.recorder.flush("the end of the scope")
        if not _thread.scopes:
            helper.exit()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """`function`, run inside of the scope."""

        @functools.wraps(function)
        def fused(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return fused

    def explain(self) -> Account:
        """What was recorded so far, what ended each segment, and what ran in torch."""
        if self._helper is None:
            return Account({}, {})
        return Account(self._helper.recorder.account(), dict(self._helper.refused))


def enable_fusion(*, limit: int = LIMIT, least_elements: int = LEAST_ELEMENTS) -> fuse:
    """Switches fusion on for the calling thread until the process ends, or until `disable_fusion()`."""
    global _enabled
    if _enabled is None:
        _enabled = fuse(limit=limit, least_elements=least_elements)
        _enabled.__enter__()
    return _enabled


def disable_fusion() -> None:
    """Ends what enable_fusion() began."""
    global _enabled
    if _enabled is not None:
        _enabled.__exit__()
        _enabled = None


_enabled: fuse | None = None


class _Functions(TorchFunctionMode):
    """Sees every call of a function of torch's."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self._call = call

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._call(func, args, kwargs, False)


class _Operations(TorchDispatchMode):
    """Sees every operation of the dispatcher, below autograd."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else every call goes through a wrapper that takes longer than recording

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._call = call

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._call(func, args, kwargs or None, True)


class _Helper:
    """What the recorder asks of Python."""

    def __init__(self, limit: int, least_elements: int) -> None:
        self.refused: dict[str, str] = {}
        self.recorder = _core.Recorder(
            self, torch.Tensor, torch.nn.Parameter, limit, least_elements
        )
        self._functions = _Functions(self.recorder.call)
        self._operations = _Operations(self.recorder.call)

    def enter(self) -> None:
        self._functions.__enter__()  # type: ignore[no-untyped-call]
        _recorders.append(self.recorder)

    def exit(self) -> None:
        self._functions.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        _recorders.remove(self.recorder)

    # Called by the recorder.

    def classify(self, function: Any) -> int:
        return int(treatment(function))

    def others_run(self) -> bool:
        mine = threading.current_thread()
        return any(
            thread is not mine and not type(thread).__module__.startswith(_HARMLESS)
            for thread in threading.enumerate()
        )

    def make(
        self,
        function: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None,
        dispatched: bool,
        numbers: bool,
        sizes: bool,
    ) -> Any:
        try:
            made, guarded = _elsewhere(
                lambda: template(function, args, kwargs or {}, numbers=numbers, sizes=sizes)
            )
        except ComputesNothing:
            return int(Treatment.DIRECT)
        except NotRecorded as why:
            self.refused[_name(function)] = str(why)
            if not dispatched:
                return int(Treatment.THROUGH)
            return int(Treatment.FLUSH if is_change(function, kwargs or {}) else Treatment.READ)
        if guarded and not sizes:
            return int(Treatment.SIZES)
        return made

    def through(
        self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None
    ) -> Any:
        outer, _engine.functions = _engine.functions, self._functions
        try:
            # What entering a mode does besides is for torch.compile, and takes as long as recording.
            torch._C._push_on_torch_dispatch_stack(self._operations)
            try:
                return function(*args, **(kwargs or {}))
            finally:
                torch._C._pop_torch_dispatch_stack(None)
        finally:
            _engine.functions = outer

    def foreach(
        self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None
    ) -> Any:
        def call(part: Any, given: tuple[Any, ...], named: Mapping[str, Any] | None) -> Any:
            return self.recorder.call(part, given, named, False)

        return one_by_one(call, function, args, kwargs)

    def is_lent(self, tensor: torch.Tensor) -> bool:
        """Whether torch did not allocate the memory: whose it is may write it."""
        return not tensor.untyped_storage().resizable()

    def make_resizable(self, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> bool:
        """Gives tensors among the arguments memory of torch's. Whether there were such in memory of ours."""
        found = False
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor) and self.is_lent(tensor):
                copy = tensor.detach().clone()
                tensor.set_(copy.untyped_storage(), 0, copy.size(), copy.stride())
                found = True
        return found

    def changed(self, tensor: torch.Tensor) -> None:
        torch.autograd.graph.increment_version(tensor)


class _Engine(threading.local):
    """Hooks of autograd's are the user's code, so that functions are looked at again while its engine runs."""

    functions: _Functions | None = None


_engine = _Engine()


def _with_functions(run: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run)
    def seen(*args: Any, **kwargs: Any) -> Any:
        functions = _engine.functions
        if functions is None:
            return run(*args, **kwargs)
        with functions:
            return run(*args, **kwargs)

    return seen


def _elsewhere(make: Callable[[], R]) -> R:
    """`make()` in a thread of its own, without the modes and the keys that the dispatcher is in the middle of."""
    made: list[R] = []
    raised: list[BaseException] = []

    def run() -> None:
        level = _complaints.level
        _complaints.setLevel(logging.CRITICAL)  # of what cannot be traced, torch runs
        try:
            made.append(make())
        except BaseException as error:
            raised.append(error)
        finally:
            _complaints.setLevel(level)

    thread = threading.Thread(target=run)
    _start_thread(thread)
    thread.join()
    if raised:
        raise raised[0]
    return made[0]


_start_thread = threading.Thread.start
_complaints = logging.getLogger("torch._subclasses.fake_tensor")


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))


@functools.cache
def _attend() -> None:
    """Once in a process, when the first scope begins."""
    threading.Thread.start = _start(threading.Thread.start)  # type: ignore[method-assign, assignment]
    torch.autograd._engine_run_backward = _with_functions(  # type: ignore[attr-defined]
        torch.autograd._engine_run_backward  # type: ignore[attr-defined]
    )
    register_optimizer_step_pre_hook(_step_begins)
    register_optimizer_step_post_hook(_step_ends)


def _step_begins(optimizer: Any, args: Any, kwargs: Any) -> None:
    # A closure is the user's code.
    if len(args) < 2 and not kwargs.get("closure"):
        for recorder in _recorders:
            recorder.trusting = True


def _step_ends(optimizer: Any, args: Any, kwargs: Any) -> None:
    for recorder in _recorders:
        recorder.trusting = False
        recorder.flush("the end of an optimizer's step")


class _Thread(threading.local):
    """The scopes that a thread is in: the outermost records."""

    def __init__(self) -> None:
        self.scopes: list[fuse] = []


_thread = _Thread()
_recorders: list[_core.Recorder] = []


def _flush_all(why: str) -> None:
    for recorder in _recorders:
        recorder.flush(why)


def _start(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """A thread may read what was recorded in another one, so all of it is computed first."""

    @functools.wraps(start)
    def flushed(thread: threading.Thread) -> None:
        _flush_all("a thread starts")
        start(thread)

    return flushed
