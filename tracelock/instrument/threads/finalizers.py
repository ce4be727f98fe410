"""What finalizers raise while schedules run, where no code can catch it, and what is told of
coroutines that die before they have begun."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Final

from tracelock.instrument.failures import failure_of
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident

#: What the interpreter calls of the module ``warnings`` for a coroutine that was never awaited.
_UNAWAITED: Final = "_warn_unawaited_coroutine"


@contextlib.contextmanager
def finalizers_heard(hub: Hub) -> Iterator[None]:
    """What a finalizer raises in a worker, where nobody can catch it, is a failure; when it is
    unwound, at the schedule's end, it is none. Nor is it the program's fault that a coroutine was
    never awaited where the schedule was cut."""
    before = sys.unraisablehook
    tell: Any = vars(warnings).get(_UNAWAITED)

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if isinstance(error, ScheduleOver) or hub.unwinding:
            return
        worker: Any = contexts.get(get_ident())
        mine = getattr(worker, "hub", None) is hub and hub.phase in (Phase.RUN, Phase.CHECK)
        if not mine or not isinstance(error, Exception):
            before(unraisable)
        elif not isinstance(error, hub.expected) and hub.controller.failure is None:
            hub.controller.failure = (worker.number, failure_of(error))

    def unawaited(coro: Any) -> None:
        if hub.phase in (Phase.SETUP, Phase.RUN, Phase.CHECK):
            tell(coro)

    sys.unraisablehook = hook
    if tell is not None:
        setattr(warnings, _UNAWAITED, unawaited)
    try:
        yield
    finally:
        if tell is not None:
            setattr(warnings, _UNAWAITED, tell)
        if sys.unraisablehook is hook:
            sys.unraisablehook = before
