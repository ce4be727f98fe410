"""What each backend's objects and switches are like, and what it does not have.

Constants only: importing this imports no backend.
"""

from __future__ import annotations

from typing import Final

from tracelock.objects import Rules

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
