"""A look at the program in a process of its own, before any schedule runs in this one.

Whether what schedules change can be put back is seen only when they have run; in this process that
would be too late: what each schedule is to begin from would be lost. So a program that reaches what
may not be put back is first run in a forked process, of which nothing remains but what it tells.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tracelock.instrument.contexts import contexts
from tracelock.instrument.processes.remote import die_with_parent

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: Schedules that are run: the first may set up what is there for all.
TIMES: Final = 2


class Look:
    """What was seen: ``leaks``, state by its name that is not put back; ``in_c``, packages written
    in C that workers use; ``imported``, modules."""

    def __init__(self) -> None:
        self.leaks: list[str] = []
        self.in_c: list[str] = []
        self.imported: list[str] = []

    def hear(self, told: bytes) -> None:
        vars(self).update(json.loads(told))


def look(
    backend: PythonBackend, run: Callable[[], object], parent: int, alive: Callable[[], None]
) -> bytes:
    """In the forked process: run the first schedule twice, by ``run``, and tell what that did.
    ``alive`` is called now and then."""
    gc.freeze()
    contexts.clear()
    die_with_parent(parent)
    with contextlib.suppress(OSError):  # what it prints is printed when it runs again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
    backend.begin_apart(False)
    backend.kept.begin_apart()
    backend.sees_to_it = alive
    backend.names.frozen = False  # so that it is recorded what workers run through
    modules = set(sys.modules)
    seen = Look()
    leaks: dict[str, None] = {}
    for number in range(TIMES):
        alive()
        try:
            run()
        except BaseException:  # it is raised again by the first schedule that counts
            break
        leaks.update(backend.kept.leaking(first=not number))
        if backend.stuck:
            break
    seen.leaks = list(leaks)
    seen.in_c = backend.account.in_c
    seen.imported = [name for name in sys.modules if name not in modules]
    return json.dumps(vars(seen)).encode()
