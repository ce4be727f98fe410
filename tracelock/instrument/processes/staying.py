"""Whether the process of a worker may go on to the next schedule, and how it begins that.

It may where it is, as far as anybody can tell, what a process would be that was forked in its
place: its worker has come to its end by itself; what the program's modules, classes and closures
hold was put back, and so was what ``setup`` returned; nothing else that a program can change of a
process differs. What is not looked at here are the libraries' own Python objects and what code in
C keeps: so the program's workers have to be seen to run no other code than that of the program
and of modules that keep nothing of their callers (``bars``).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import abc
import atexit
import collections
import contextvars
import copyreg
import gc
import operator
import os
import random
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import util as _util
from typing import Any, Final

from tracelock.instrument.files.access import paths_of
from tracelock.instrument.hub import Hub, Phase
from tracelock.instrument.processes.foreign import ForeignCode, keeps_nothing
from tracelock.instrument.processes.likeness import Likeness
from tracelock.instrument.processes.remote import RemoteWorker

util: Final[Any] = _util
_OF_PROCESSES: Final = (
    "multiprocessing.process._current_process", "multiprocessing.context._default_context",
)  # fmt: skip
_BOXES: Final = (dict, list, set, collections.deque, bytearray)
#: From which new contexts of ``decimal`` are made.
_TEMPLATES: Final = ("DefaultContext", "BasicContext", "ExtendedContext")
#: Objects of ``ctypes`` that processes share are no more than memory.
_MEMORY: Final = "ctypes"
_FOLDER: Final = "/proc/self/fd"
_mask: Final = _signal.pthread_sigmask
_BLOCK: Final = _signal.SIG_BLOCK
_listed: Final = os.listdir
_open: Final = os.open
_close: Final = os.close
_stat: Final = os.stat
_fstat: Final = os.fstat


def descriptors() -> frozenset[str]:
    """The open descriptors of this process. Raises OSError where they cannot be had."""
    ours = _open(_FOLDER, os.O_RDONLY)  # the next one that is opened has the same number
    _close(ours)
    return frozenset(_listed(_FOLDER)) - {str(ours)}


class OpenFiles:
    """The open descriptors of this process, as they are now, and what each stands for. Raises
    OSError where they cannot be had."""

    def __init__(self) -> None:
        self.names = descriptors()
        self._files = [(number, self._file(number)) for number in map(int, self.names)]
        # newer systems tell here how many there are
        self._told = _stat(_FOLDER).st_size == len(self._files)

    def _file(self, number: int) -> tuple[int, int]:
        found = _fstat(number)
        return found.st_dev, found.st_ino

    def same(self) -> bool:
        """Whether they are what they were."""
        if self._told:
            if _stat(_FOLDER).st_size != len(self._files):
                return False
        elif descriptors() != self.names:
            return False
        try:
            return all(self._file(number) == file for number, file in self._files)
        except OSError:
            return False


def bars(hub: Hub, owns: Callable[[str], bool]) -> list[str]:
    """What speaks against staying, of what workers were seen to call. ``owns``: tells modules
    whose state is put back."""
    account = hub.account.account
    ran = {
        name for name in account.looked | account.unlooked
        if not keeps_nothing(name, owns)
    }  # fmt: skip
    return sorted(ran | {*account.unseen, *account.outside} | ({*hub.account.in_c} - {_MEMORY}))


def _names(local: Any) -> tuple[list[str], list[Any]]:
    """What a thread-local object has in this thread."""
    names = vars(local)
    return [*names], [*names.values()]


class Stay:
    """Of one process of a worker. ``kept``: what puts the program's state back; ``alike``: what
    ``setup`` returned; ``begun`` with the process that has just been forked."""

    def __init__(self, hub: Hub, kept: Any, alike: Likeness, locals: Any) -> None:
        self.hub = hub
        self.kept = kept
        self.alike = alike
        self.locals = [(one, *_names(one)) for one in locals]
        #: None in a schedule that is recorded, after which it does not stay.
        self._foreign: Any = None if hub.recorder is not None else ForeignCode(kept.owns)
        kept.begin_staying()
        self.context = contextvars.copy_context()
        decimal = sys.modules.get("decimal")
        self._decimal: Any = decimal
        self._numbers: Any = None if decimal is None else decimal.getcontext().copy()
        #: A variable of a context may hold what every schedule changes in place.
        variables = {*self.context, *kept.variables()}
        self.apart = all(map(self._apart, variables))
        self.controller = {
            name: value for name, value in vars(hub.controller).items()
            if name in ("now", "parked", "limit")
        }  # fmt: skip
        modules = sys.modules
        self._process: Any = modules.get("multiprocessing.process")
        resource: Any = modules.get("resource")
        self._limit: Any = getattr(resource, "getrlimit", None)
        self._limits = [
            getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
        ]  # fmt: skip
        uuid = modules.get("uuid")
        self._uuid: dict[str, Any] = {} if uuid is None else vars(uuid)
        self._lasts = [name for name in self._uuid if name.startswith("_last")]
        self._counters = [
            (owner, name) for owner, name in (
                (threading, "_counter"), (ThreadPoolExecutor, "_counter"),
                (self._process, "_process_counter"),
            ) if owner is not None
        ]  # fmt: skip
        #: What a program may set that is not its own: attributes of modules that it names, of the
        #: current process and thread, and of the contexts of multiprocessing.
        objects = (threading.current_thread(), *map(self._attribute, _OF_PROCESSES))
        held = [vars(one) for one in (*kept.others(), *objects) if one is not None]
        self.held = [(names, [*names.values()]) for names in held]
        self.layout = self._layout()
        self.marks = self._marks()
        self.files = OpenFiles()

    def _apart(self, variable: contextvars.ContextVar[Any]) -> bool:
        """Whether what a variable of the context has is no part of the program's state."""
        cls = type(variable.get(None))
        return not issubclass(cls, _BOXES) and not self.kept.owns(str(cls.__module__))

    def run(self, live: Callable[[Callable[[], object]], None], work: Callable[[], object]) -> None:
        """Call ``live(work)`` in a context as the process had it at the beginning."""

        def begin() -> None:
            if self._decimal is not None:
                self._decimal.setcontext(self._numbers.copy())
            live(work if self._foreign is None else partial(self._watched, work))

        self.context.copy().run(begin)

    def _watched(self, work: Callable[[], object]) -> None:
        self._foreign.on()
        try:
            work()
        finally:
            self._foreign.off()

    def _attribute(self, name: str) -> Any:
        module, _, attribute = name.rpartition(".")
        return getattr(sys.modules.get(module), attribute, None)

    def _layout(self) -> tuple[Any, ...]:
        """What a worker that has met anything new has changed."""
        hub = self.hub
        layout, paths = hub.layout, paths_of(hub)
        return (
            len(layout.names), len(layout._places), len(hub.bound), len(hub.interprocess),
            len(hub.hashed), len(hub.at_exit), len(hub.stores), len(hub.relays), len(hub.pids),
            len(hub.imported), len(hub.numbered), len(hub.names.lasting), len(hub.names.doubts),
            paths.opened, len(paths._labels), len(paths.random), len(paths.handles),
            [len(numbers) for numbers in hub.numbered.values()], hub.wings.kept(),
        )  # fmt: skip

    def _marks(self) -> tuple[Any, ...]:
        """What a program can change of its process and ``kept`` does not look at."""
        names, decimal = self._uuid, self._decimal
        return (
            decimal and [repr(vars(decimal)[name]) for name in _TEMPLATES],
            threading.active_count(), len(sys._current_frames()), len(sys.modules),
            gc.isenabled(), gc.get_debug(), atexit._ncallbacks(), sys.gettrace(),
            sys.getprofile(), os.getsid(0), os.getpgrp(), os.getresuid(), os.getresgid(),
            os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), _mask(_BLOCK, ()),
            len(copyreg.dispatch_table), abc.get_cache_token(), len(util._finalizer_registry),
            len(util._afterfork_registry),
            [repr(getattr(vars(owner).get(name), "__self__", vars(owner).get(name)))
             for owner, name in self._counters],
            len(getattr(self._process, "_children", ())),
            [names[name] for name in self._lasts],
            [self._limit(one) for one in self._limits],
        )  # fmt: skip

    def may(self, worker: RemoteWorker) -> bool:
        """Whether the process of ``worker``, which has ended, may go on. Puts back what can be."""
        hub = self.hub
        if (
            not self.apart
            or worker.error is not None
            or hub.phase is not Phase.RUN
            or hub.recorder is not None
            or self._foreign is None
            or self._foreign.found
        ):
            return False
        if self._layout() != self.layout or self._marks() != self.marks or not self.files.same():
            return False
        for holds, then in self.held:
            if len(holds) != len(then) or not all(map(operator.is_, holds.values(), then)):
                return False
        for one, names, values in self.locals:
            now = _names(one)
            if now[0] != names or any(a is not b for a, b in zip(now[1], values, strict=True)):
                return False
        if not self.kept.put_back_here():
            return False
        return self.alike.put_back()

    def again(self, before: RemoteWorker) -> RemoteWorker:
        """The worker of the next schedule, in this process."""
        hub = self.hub
        hub.phase = Phase.RUN
        hub.over = False
        hub.error = None
        controller = hub.controller
        controller.log = []
        vars(controller).update(self.controller)
        worker = RemoteWorker(hub, before.number, before.channel, before.process, before.base)
        worker.stay = self
        random.seed(zlib.crc32(before.process.encode()))
        return worker
