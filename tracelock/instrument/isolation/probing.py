"""A look at the program in a process of its own, before any schedule runs in this one.

Whether what schedules change can be put back, and whether workers run through code in C, is seen
only when they have run; in this process that would be too late: what is to begin each schedule
would be lost, or the process. So the first look at a program in which either may be is in a forked
process, of which nothing remains but what it tells.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.instrument.contexts import contexts
from tracelock.instrument.processes.remote import die_with_parent

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: Schedules that are run where state may leak, if they do not take longer than this together, in
#: seconds. What workers run through is seen in the first one.
TIMES: Final = 3
LONG: Final = 1.0
UNNAMED: Final = (
    "something that was not found: the first schedule passed, and the same again did not"
)


class Look:
    """What was seen: ``leaks``, state by its name that is not put back; ``extensions``, packages
    in C that workers run through; ``imported``, modules."""

    def __init__(self) -> None:
        self.leaks: list[str] = []
        self.extensions: list[str] = []
        self.imported: list[str] = []

    def hear(self, told: bytes) -> None:
        vars(self).update(json.loads(told))


def look(
    backend: PythonBackend, run: Callable[[], str], times: int, parent: int,
    alive: Callable[[], None],
) -> bytes:  # fmt: skip
    """In the forked process: run the first schedule so many times, by ``run``, which returns how it
    ended, and tell what that did. ``alive`` is called now and then."""
    gc.freeze()
    contexts.clear()
    die_with_parent(parent)
    with contextlib.suppress(OSError):  # what it prints is printed when it runs again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
    backend.begin_apart(False)
    backend.kept.faults_untold()
    backend.sees_to_it = alive
    modules = set(sys.modules)
    until = monotonic() + LONG
    seen = Look()
    seen.leaks = _leaks(backend, run, times, until)
    seen.extensions = backend.account.extensions
    seen.imported = [name for name in sys.modules if name not in modules]
    return json.dumps(vars(seen)).encode()


def _leaks(backend: PythonBackend, run: Callable[[], str], times: int, until: float) -> list[str]:
    """Run the schedule, and tell what of its state is not put back."""
    leaks: dict[str, None] = {}
    for number in range(times):
        backend.sees_to_it()
        try:
            ended = run()
        except BaseException:  # it is raised again by the first schedule that counts
            break
        leaks.update(backend.kept.leaking(first=not number))
        over = ended != "passed" or monotonic() > until
        if over and times > 1:  # no further one tells what is only set up at first use
            leaks.update(backend.kept.leaking())
        if over:
            if number and not leaks and ended != "passed":
                leaks[UNNAMED] = None
            break
    return list(leaks)
