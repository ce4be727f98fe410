"""The table of backends: what each one's objects and switches are like, and what it refuses.

Constants only: importing this imports no backend.
"""

from __future__ import annotations

import sys
from typing import Final

from tracelock.objects import Rules
from tracelock.ops import ACQUIRE, CHECKPOINT, GET, JOIN, PUT, SLEEP, WAKE

THREADING_RULES: Final = Rules(
    backend="threading",
    refuses={
        "crash": "a thread cannot die alone",
        "cancel": "a thread cannot be cancelled from outside",
        "timeout": "a thread's block cannot be cut off from outside",
    },
)

MULTIPROCESSING_RULES: Final = Rules(
    backend="multiprocessing",
    notify_any=True,
    event_rechecks=True,
    over_release="ValueError",
    not_owner="AssertionError",
    refuses={
        "cancel": "a process cannot be cancelled from outside",
        "timeout": "a process's block cannot be cut off from outside",
        "queue:lifo": "a queue between processes is a pipe: first in, first out",
        "queue:priority": "a queue between processes is a pipe: first in, first out",
        "release:n": "a semaphore between processes is released once at a time",
    },
)

# CPython 3.13 fixed two losses in asyncio.Condition and asyncio.Semaphore: of a notification
# whose task is cancelled before it runs, and of permits that came while others were in line.
_FIXED: Final = sys.version_info >= (3, 13)

ASYNCIO_RULES: Final = Rules(
    backend="asyncio",
    family="asyncio",
    cooperative=True,
    before=frozenset({SLEEP, CHECKPOINT, JOIN}),
    passes_notify_on=_FIXED,
    wakes_all=_FIXED,
    refuses={
        "crash": "a task cannot die without unwinding",
        "rlock": "asyncio has no reentrant lock",
    },
)

# trio lets others run at the end of an acquire that did not wait, and of a condition's wait that
# found the lock free; a memory stream does so before it sends or receives.
TRIO_RULES: Final = Rules(
    backend="trio",
    family="anyio",
    cooperative=True,
    before=frozenset({SLEEP, CHECKPOINT, JOIN, PUT, GET}),
    after=frozenset({ACQUIRE, WAKE}),
    level_triggered=True,
    leaves=True,
    refuses={
        "crash": "a task cannot die without unwinding",
        "rlock": "anyio has no reentrant lock",
        "barrier": "anyio has no barrier",
        "queue:lifo": "a memory object stream is first in, first out",
        "queue:priority": "a memory object stream is first in, first out",
        "clear": "an event of trio cannot be cleared once it is set",
    },
)

#: By name, the backends on which something really runs; the simulated one follows any of these.
RULES: Final = {
    rules.backend: rules
    for rules in (THREADING_RULES, MULTIPROCESSING_RULES, ASYNCIO_RULES, TRIO_RULES)
}


def rules_name(backend: str) -> str:
    """The name in ``RULES`` for a backend: the simulated one follows threading unless told
    otherwise, and its traces have the same kinds of events in the same places."""
    return "threading" if backend == "simulated" else backend
