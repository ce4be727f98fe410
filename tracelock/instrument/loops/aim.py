"""Whom cancellations may reach: workers, what these start, and blocks of the program's own.

A cancellation that comes in anywhere tests code that nobody ever cancels as well. So a program may
say whom it means: ``cancellable=`` names workers, and ``with tracelock.cancellable():`` is a block
in the code. Where a program has such blocks only awaits inside of them are cancelled, of the task
that is in the block and of tasks that are created there. Whether it has any is found out in the
first schedule of an exploration, in which nothing is cancelled; a block that is first entered later
counts from the next schedule on, and a systematic search begins again.
"""

from __future__ import annotations

import inspect
from _thread import get_ident
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar, Token
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.contexts import class_names, contexts, module_names

_NOTHING: Final = nullcontext()
#: Whether what runs in this context is a worker that may be cancelled, or was started by one; and
#: whether it is inside of a block, or was created in one. Tasks inherit both.
AIMED: Final[ContextVar[bool]] = ContextVar("tracelock_aimed", default=False)
INSIDE: Final[ContextVar[bool]] = ContextVar("tracelock_inside", default=False)


class Aim:
    """Whom the cancellations of one program may reach.

    ``budget``: how many a schedule may have. ``chosen``: the workers, by number; None: all.
    ``names``: of all workers.
    ``blocks``: whether the program has blocks, ``pending``: that one was found since.
    ``scopes``: whether its code speaks of ``cancel_scope``, so that those of groups of tasks count
    among what it may cancel; ``anyio``: whether it uses anyio. ``places``: how often a cancellation
    could have come in. ``pools``: queues from which some worker has taken an item and put it back
    in the first schedule, ``learned``: that was looked at. ``plain``: only workers that were given
    are cancelled, not what they start, and by ``Task.cancel()`` alone.
    """

    def __init__(
        self, budget: int = 0, chosen: frozenset[int] | None = None, names: Sequence[str] = ()
    ) -> None:
        self.budget = budget
        self.chosen = chosen
        self.names = names
        self.blocks = False
        self.pending = False
        self.scopes = False
        self.anyio = False
        self.places = 0
        self.pools: set[str] = set()
        self.learned = False
        self.plain = False

    def means(self, worker: int) -> bool:
        """Whether this one of the workers that were given may be cancelled."""
        return bool(self.budget) and (self.chosen is None or worker in self.chosen)

    def means_label(self, label: str) -> bool:
        """The same for a thread: that of such a worker, or one that it has started."""
        root = label.split("/")[0]
        named = [number for number, name in enumerate(self.names) if name == root]
        return any(map(self.means, named or [-1]))  # -1: means all, or nobody

    def entered(self) -> None:
        """A worker is in a block."""
        self.pending = bool(self.budget) and not self.blocks

    def apply(self) -> None:
        """Between two schedules: the blocks that were found count."""
        self.blocks = self.blocks or self.pending
        self.pending = False

    def look(self, modules: Iterable[ModuleType]) -> None:
        """See what the program uses of its library."""
        for module in modules:
            for value in list(module_names(module).values()):
                self.anyio = self.anyio or _home(value).partition(".")[0] == "anyio"
                is_class = issubclass(type(value), type)
                parts = list(class_names(value).values()) if is_class else [value]
                self.scopes = self.scopes or any(map(_speaks_of_scopes, parts))

    def admits(self, context: Context | None) -> bool:
        """Whether what runs in ``context`` may be cancelled now."""
        if context is None or not context.get(AIMED, False):
            return False
        return not self.blocks or context.get(INSIDE, False)

    def misses(self, context: Context | None) -> bool:
        """Whether what runs in ``context`` is in a block, and is cancelled by nobody: it is not
        for the choice of workers that it is not."""
        inside = context is not None and context.get(INSIDE, False)
        return inside and self.chosen is None and not self.admits(context)


def _home(value: Any) -> str:
    """The module that a module, function or class of a program's names is of."""
    cls = type(value)
    if issubclass(cls, ModuleType):
        return str(module_names(value).get("__name__", ""))
    if cls is FunctionType:
        return str(value.__module__)
    return str(class_names(value).get("__module__", "")) if issubclass(cls, type) else ""


def _speaks_of_scopes(value: Any) -> bool:
    """Whether the code of a function has ``cancel_scope`` in it."""
    todo = [value.__code__] if isinstance(value, FunctionType) else []
    while todo:
        code = todo.pop()
        if "cancel_scope" in (*code.co_names, *code.co_consts):
            return True
        todo += [one for one in code.co_consts if isinstance(one, CodeType)]
    return False


def chosen_of(
    cancellable: Sequence[Any] | None, workers: Sequence[Callable[..., Any]], names: Sequence[str]
) -> frozenset[int] | None:
    """The numbers of the workers that ``cancellable`` means: by the function, the name (of one
    instance, or of all of a function) or the number. Raises UsageError for what is none of them."""
    if cancellable is None:
        return None
    if isinstance(cancellable, str) or not isinstance(cancellable, Sequence):
        raise UsageError(
            "cancellable is a list of workers (functions, names or numbers): "
            f"cancellable=[{cancellable!r}]"
        )
    found: set[int] = set()
    for one in cancellable:
        if isinstance(one, bool) or (not isinstance(one, (int, str)) and not callable(one)):
            raise UsageError(f"cancellable has functions, names or numbers, not {one!r}")
        if isinstance(one, int):
            numbers = [one] if 0 <= one < len(workers) else []
        elif isinstance(one, str):
            numbers = [n for n, name in enumerate(names) if one in (name, name.partition("[")[0])]
        else:
            mine = inspect.unwrap(one)
            numbers = [n for n, work in enumerate(workers) if inspect.unwrap(work) is mine]
        if not numbers:
            told = getattr(one, "__name__", one)
            raise UsageError(
                f"cancellable names {told!r}, which is none of the workers ({', '.join(names)})"
            )
        found.update(numbers)
    if not found:
        raise UsageError("cancellable names no worker: leave it out, and all may be cancelled")
    return frozenset(found)


def cancellable() -> AbstractContextManager[None]:
    """A block in which tracelock may cancel the task that runs it, and tasks created inside.

    Where a program has such blocks, ``cancellations=`` reaches nothing outside of them. When no
    exploration is at work this does nothing.
    """
    if not contexts:
        return _NOTHING
    worker: Any = contexts.get(get_ident())
    hub = getattr(worker, "hub", None)
    if hub is None or not hub.running:
        return _NOTHING
    return CancellableBlock(hub.aim)


class CancellableBlock:
    """One block, while it is entered."""

    __slots__ = ("aim", "token")

    def __init__(self, aim: Aim) -> None:
        self.aim = aim
        self.token: Token[bool]

    def __enter__(self) -> None:
        self.aim.entered()
        self.token = INSIDE.set(True)

    def __exit__(self, *error: object) -> None:
        try:
            INSIDE.reset(self.token)
        except ValueError:  # an async generator that another task closes
            INSIDE.set(False)
