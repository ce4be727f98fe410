"""A look at the program in a process of its own, before any schedule runs in this one.

Whether what schedules change can be put back, and whether workers run through code in C, is seen
only when they have run; in this process that would be too late: what is to begin each schedule
would be lost, or the process. So the first look at a program in which either may be is in a forked
process, of which nothing remains but what it tells.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.engine.limits import Interrupted, TimeUp
from tracelock.instrument.contexts import contexts
from tracelock.instrument.processes.remote import die_with_parent

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: Schedules that are run, if they do not take longer than this together, in seconds.
TIMES: Final = 3
LONG: Final = 1.0
UNNAMED: Final = (
    "something that was not found: the first schedule passed, and the same again did not"
)


class Look:
    """What was seen: ``leaks``, state by its name that is not put back; ``extensions``, packages
    in C that workers run through; ``imported``, modules; ``died``: how the process did."""

    def __init__(self) -> None:
        self.leaks: list[str] = []
        self.extensions: list[str] = []
        self.imported: list[str] = []
        self.died = ""

    def hear(self, told: bytes) -> None:
        vars(self).update(json.loads(told))


def look(backend: PythonBackend, run: Callable[[], str], parent: int) -> bytes:
    """In the forked process: run the first schedule a few times, by ``run``, which returns how it
    ended, and tell what that did."""
    gc.freeze()
    faulthandler.disable()
    contexts.clear()
    die_with_parent(parent)
    with contextlib.suppress(OSError):  # what it prints is printed when it runs again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
    backend.begin_apart(False)
    modules = set(sys.modules)
    until = monotonic() + LONG
    first: dict[str, None] = {}
    leaks: dict[str, None] = {}
    seen = Look()
    with contextlib.suppress(Interrupted, TimeUp):
        for number in range(TIMES):
            ended = run()
            now = backend.kept.leaking()
            if not number:
                first = now
            leaks.update(now if number else {})
            if ended != "passed":
                # it cannot be told whether it is only set up at first use
                leaks.update({**first, **now})
                if number and not leaks:
                    leaks[UNNAMED] = None
                break
            if monotonic() > until:
                if not number:
                    leaks.update(first)
                break
    seen.leaks = list(leaks)
    seen.extensions = backend.account.extensions
    seen.imported = [name for name in sys.modules if name not in modules]
    return json.dumps(vars(seen)).encode()
