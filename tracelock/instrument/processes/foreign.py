"""Whether the process of a worker runs code that may keep something from schedule to schedule.

What workers call is recorded in some schedules only (``account``). A later one may come to other
code, so a process that is to stay looks at each piece of code that is entered, and at each function
in C that is called: once, where the interpreter can leave out what was looked at
(``sys.monitoring``), else each time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

from tracelock.instrument.account.known import CONTROLLED, HARMLESS, is_standard, root_of, trusted
from tracelock.instrument.account.monitoring import Monitored
from tracelock.instrument.account.profiling import CALL, OWN_FOLDER, Profile
from tracelock.instrument.contexts import identity, on_behalf

#: Modules of the standard library that workers may run code of: these keep nothing that was given
#: to them, and what they set up at first use makes no difference.
KEEP_NOTHING: Final = frozenset({
    "abc", "bisect", "codecs", "collections", "contextlib", "copy", "copyreg", "ctypes",
    "dataclasses", "datetime", "encodings", "enum", "fractions", "functools", "genericpath",
    "hashlib", "heapq", "json", "keyword", "math", "multiprocessing", "numbers", "operator", "os",
    "pickle", "posixpath", "random", "re", "reprlib", "statistics", "string", "struct", "textwrap",
    "time", "types", "typing",
})  # fmt: skip


def keeps_nothing(module: str, owns: Callable[[str], bool]) -> bool:
    """Whether code of a module leaves nothing behind that is not put back. ``owns`` tells modules
    whose state is."""
    return owns(module) or root_of(module) in KEEP_NOTHING


class ForeignCode:
    """``found``: the first such thing that has run, "" as long as there was none. On from ``on`` to
    ``off``, on one thread."""

    def __init__(self, owns: Callable[[str], bool]) -> None:
        self.found = ""
        self._owns = owns
        self._known: dict[int, CodeType] = {}
        unseen: dict[str, str] = {}
        told = Monitored(self._told, unseen, self._silent)
        self._told_by: Any = told.__enter__()  # until the process ends
        if not told.usable:
            self._told_by = Profile(self._told, unseen)
            if not Profile.usable:
                self.found = "calls, which this interpreter cannot tell"
        self._unseen = unseen

    def on(self) -> None:
        self._told_by.on()

    def off(self) -> None:
        self._told_by.off()
        self.found = self.found or next(iter(self._unseen.values()), "")

    def _silent(self, code: CodeType, what: int) -> bool:
        """A place that is looked at once: where code is entered, or in our own."""
        if what == CALL:
            return self._entered(code, sys._getframe(2))
        return code.co_filename.startswith(OWN_FOLDER)

    def _told(self, frame: FrameType, what: int, function: Any) -> None:
        if what == CALL:
            self._entered(frame.f_code, frame)
        elif not frame.f_code.co_filename.startswith(OWN_FOLDER):
            self._called(function)

    def _entered(self, code: CodeType, frame: FrameType) -> bool:
        """Look at code that is entered. Whether that need not be done again."""
        if identity(code) in self._known or code.co_filename.startswith(OWN_FOLDER):
            return True
        module = frame.f_globals.get("__name__")
        if type(module) is not str:
            self.found = self.found or "code of no module"
        elif not (trusted(module) or keeps_nothing(module, self._owns)):
            if is_standard(module) and _serves(frame):
                return False  # this time
            self.found = self.found or module
        self._known[identity(code)] = code
        return True

    def _called(self, function: Any) -> None:
        owner = function.__self__
        module = function.__module__ if owner is None else type(owner).__module__
        if type(owner) is type(os):
            module = owner.__name__
        root = root_of(module or "builtins")
        if not is_standard(root) and root not in HARMLESS and root not in CONTROLLED:
            self.found = self.found or root


def _serves(frame: FrameType) -> bool:
    """Whether code of the standard library is there for our own code, and not for the program."""
    there = frame.f_back
    while there is not None:
        if there.f_code.co_filename.startswith(OWN_FOLDER):
            return identity(there.f_code) not in on_behalf
        module = there.f_globals.get("__name__")
        if type(module) is not str or not is_standard(module):
            return False
        there = there.f_back
    return False
