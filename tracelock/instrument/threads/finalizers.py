"""What finalizers raise while schedules run, where no code can catch it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from tracelock.instrument.failures import failure_of
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts, get_ident


@contextlib.contextmanager
def finalizers_heard(hub: Hub) -> Iterator[None]:
    """What a finalizer raises in a worker, where nobody can catch it, is a failure; when it is
    unwound, at the schedule's end, it is none."""
    before = sys.unraisablehook

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

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = before
