"""The threads that run the workers of a program, from schedule to schedule."""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import ctypes
import sys
import threading
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial
from typing import Any, Final

from tracelock.errors import InternalError, TracelockError
from tracelock.instrument.hub import ScheduleOver, contexts, get_ident, new_baton
from tracelock.instrument.worker import Uncontrolled, Worker

LOCAL: Final[Any] = _thread._local
#: Where the thread-local objects of a thread are not in a dictionary that can be seen.
HIDDEN_LOCALS: Final = sys.version_info >= (3, 13)
#: Libraries whose subclasses of ``threading.local`` set nothing up for a thread.
_SIMPLE: Final = frozenset({"asyncio", "trio", "sniffio"})
#: How long the end of a thread that has done its work may take, in seconds.
GRACE: Final = 5.0


class PooledThread:
    """A thread that runs one worker after the other.

    ``locals``: the thread-local objects of the program, which each schedule must find empty.
    """

    def __init__(self, locals: Sequence[Any] = ()) -> None:
        self.wake = new_baton()
        self.wake.acquire()
        self.job: Callable[[], object] | None = None
        self.closing = False
        self.idle = new_baton()
        self.locals = locals
        # a subclass may set attributes up once for each thread: then each worker needs a new one
        self.once = HIDDEN_LOCALS and any(
            type(one) is not LOCAL and type(one).__module__.partition(".")[0] not in _SIMPLE
            for one in locals
        )
        self._start()

    def _start(self) -> None:
        # where a worker starts another, this thread is none of the program's
        worker: Worker | None = contexts.get(get_ident())
        with contextlib.nullcontext() if worker is None else Uncontrolled(worker):
            self.thread = threading.Thread(target=self._serve, name="tracelock", daemon=True)
            self.thread.start()
        self.thread._tracelock_own = True  # type: ignore[attr-defined]
        # Threads that its workers start are not daemons unless they say so.
        self.thread._daemonic = False  # type: ignore[attr-defined]

    def take(self, worker: Worker, run: Callable[[], object]) -> None:
        """Run ``run`` as ``worker``, from its first op to its end."""
        if not self.idle.acquire(timeout=GRACE):
            raise InternalError(f"the thread of {self.thread.name} has not come back")
        self._start_job(worker, lambda: worker.live(partial(_excused, worker, run)))

    def lend(self, worker: Worker, run: Callable[[], object]) -> None:
        """Run ``run`` in the name of ``worker``; it attaches workers to the thread itself."""
        self.idle.acquire()
        self._start_job(worker, partial(contextvars.Context().run, run))

    def _start_job(self, worker: Worker, job: Callable[[], object]) -> None:
        if self.once and self.thread.name != "tracelock":
            self._start()
        # not by its setter: where that is looked into it would be a step of whoever comes here
        self.thread._name = worker.label  # type: ignore[attr-defined]
        self.job = job
        self.wake.release()

    def _serve(self) -> None:
        self._locals = thread_locals()
        self._clean = set(self._locals)
        while True:
            try:
                self.wake.acquire()
            except ScheduleOver:
                continue  # it was raised in a worker that had just ended
            job, self.job = self.job, None
            if self.closing or job is None:
                return
            job()
            del job
            self.tidy()
            self.idle.release()
            if self.once or self.closing:
                return

    def tidy(self) -> None:
        """Remove what the program has left in thread-local objects, and what it has asked to be
        told of asynchronous generators, which keeps alive whoever is told. In this thread."""
        sys.set_asyncgen_hooks(None, None)
        for key in [key for key in self._locals if key not in self._clean]:
            del self._locals[key]
        if HIDDEN_LOCALS and not self.once:
            for one in self.locals:
                vars(one).clear()

    def close(self) -> None:
        """End the thread, if it is not stuck in a worker's code."""
        self.closing = True
        if self.idle.acquire(timeout=0.2) and self.thread.is_alive():
            self.wake.release()
            self.thread.join(GRACE)


def _excused(worker: Worker, run: Callable[[], object]) -> None:
    """Run ``run``, which an expected exception may end. What its frames have dies then and there,
    as where a thread ends so, and is not kept with the exception."""
    try:
        contextvars.Context().run(run)
    except worker.hub.expected as error:
        if isinstance(error, TracelockError):  # a limit, say, though every Exception is expected
            raise


def thread_locals() -> MutableMapping[Any, Any]:
    """Where CPython, up to 3.12, keeps the thread-local objects of this thread."""
    try:
        get = ctypes.pythonapi.PyThreadState_GetDict
    except AttributeError:  # another implementation
        return {}
    get.restype = ctypes.c_void_p  # a borrowed reference, which ``py_object`` would take over
    address = get()
    found = None if address is None else ctypes.cast(address, ctypes.py_object).value
    return found if isinstance(found, dict) else {}
