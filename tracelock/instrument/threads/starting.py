"""Threads of real code: those that workers start are workers too; user workers get pooled ones."""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import InternalError
from tracelock.instrument.callers import caller
from tracelock.instrument.contexts import WorkerContext
from tracelock.instrument.hub import ScheduleOver, contexts, get_ident, new_baton
from tracelock.instrument.patching import CONTROLLED, patch, replace
from tracelock.instrument.threads.futures import put_in_order
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import JOIN, SPAWN, Op

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_real_join: Final = threading.Thread.join
#: Modules whose threads wait for more work when they have done theirs.
_POOLS: Final = frozenset({"concurrent.futures.thread", "trio._core._thread_cache"})
LOCAL: Final[Any] = _thread._local
#: Where the thread-local objects of a thread are not in a dictionary that can be seen.
HIDDEN_LOCALS: Final = sys.version_info >= (3, 13)
#: Libraries whose subclasses of ``threading.local`` set nothing up for a thread.
_SIMPLE: Final = frozenset({"asyncio", "trio", "sniffio"})
#: How long the end of a thread that has done its work may take, in seconds.
GRACE: Final = 5.0


@patch("threading.Thread.__init__")
def thread_init(worker: Worker, real: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    put_in_order(self, worker)
    with Uncontrolled(worker):
        real(self, *args, **kwargs)


@patch("threading.Thread.start")
def thread_start(worker: Worker, real: Any, self: Any) -> None:
    if self._started._flag:
        real(self)  # raises
        return
    hub = worker.hub
    number = hub.layout.worker(_label(self, worker))
    if _idles(self):
        hub.controller.lingering.add(number)
    worker.do(Op(SPAWN, number, caller(worker)))
    run = self.run
    child = worker.thread_of(number, self)
    child.daemon = self.daemon or _idles(self)
    child.thread = self
    self._tracelock = (hub.schedule, child)
    self.run = lambda: child.live(run)
    worker.launch_thread(child, self, real)


def _label(thread: Any, parent: Worker) -> str:
    target = getattr(thread, "_target", None)
    name = thread._name
    if isinstance(name, str) and not name.startswith(("Thread-", "ThreadPoolExecutor-")):
        base = name
    elif target is not None:
        base = getattr(target, "__name__", type(target).__name__)
    else:
        base = type(thread).__name__
    if _idles(thread):
        base = "executor"
    return parent.child_label(base, "thread")


def _idles(thread: Any) -> bool:
    """Whether this is a thread of an executor, which waits for more work until it is told not to:
    nobody waits for it, and its waiting is no deadlock."""
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", "") in _POOLS


def _child(thread: Any, worker: Worker) -> Worker | None:
    schedule, child = thread.__dict__.get("_tracelock", (0, None))
    return child if schedule == worker.hub.schedule else None


def thread_join(self: Any, timeout: float | None = None) -> None:
    """``Thread.join``. While a schedule is unwound it is no matter who ends first."""
    worker: Worker | None = contexts.get(get_ident())
    controlled = worker is not None and not worker.uncontrolled
    child = _child(self, worker) if worker is not None and controlled else None
    if worker is None or child is None:
        _real_join(self, timeout)
        return
    if worker.hub.unwinding:
        raise ScheduleOver  # it is ended after this one, or before
    if child is worker:
        _real_join(self, timeout)  # raises
        return
    blocking = timeout is None or timeout > 0
    op = Op(JOIN, child.number, caller(worker), None, timeout if blocking else None, blocking)
    if worker.do(op):
        with Uncontrolled(worker):
            _real_join(self, GRACE)


replace("threading.Thread.join", thread_join, CONTROLLED)


@patch("threading.Thread.is_alive")
def thread_is_alive(worker: Worker, real: Any, self: Any) -> bool:
    child = _child(self, worker)
    if child is None:
        return bool(real(self))
    return not worker.step(Op(JOIN, child.number, caller(worker), blocking=False))


# --- the pool --------------------------------------------------------------------------------
class Pooled:
    """A thread that serves one worker after the other.

    ``locals``: the thread-local objects that there are. What a schedule has left in them is not to
    be seen by the next.
    """

    def __init__(self, locals: Sequence[Any] = ()) -> None:
        self.wake = new_baton()
        self.wake.acquire()
        self.job: tuple[Worker | None, Callable[[], object]] | None = None
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
        # a worker may be the one that starts the next: to it this is no thread of the program
        worker: Worker | None = contexts.get(get_ident())
        with contextlib.nullcontext() if worker is None else Uncontrolled(worker):
            self.thread = threading.Thread(target=self._serve, name="tracelock", daemon=True)
            self.thread.start()
        # Threads that its workers start are not daemons unless they say so.
        self.thread._daemonic = False  # type: ignore[attr-defined]

    def take(self, worker: Worker, run: Callable[[], object]) -> None:
        """Let this thread be ``worker``'s."""
        if not self.idle.acquire(timeout=GRACE):
            raise InternalError(f"the thread of {self.thread.name} has not come back")
        if self.once and self.thread.name != "tracelock":
            self._start()
        self.thread.name = worker.label
        worker.thread = self.thread
        self.job = (worker, run)
        self.wake.release()

    def lend(self, worker: Worker, run: Callable[[], object]) -> None:
        """Let this thread run ``run``, which sees to everything itself."""
        self.idle.acquire()
        if self.once and self.thread.name != "tracelock":
            self._start()
        self.thread.name = worker.label
        worker.thread = self.thread
        self.job = (None, run)
        self.wake.release()

    def _serve(self) -> None:
        self._locals = thread_locals()
        self._clean = set(self._locals)
        while True:
            self.wake.acquire()
            job, self.job = self.job, None
            if self.closing or job is None:
                return
            worker, run = job
            context = contextvars.Context()
            if worker is None:
                context.run(run)
            else:
                worker.live(partial(context.run, run))
            del worker, run, job
            self.tidy()
            self.idle.release()
            if self.once:
                return

    def tidy(self) -> None:
        """Forget what the program has left in thread-locals. In this thread."""
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


def interrupt(worker: WorkerContext) -> None:
    """Raise ScheduleOver in a thread that runs Python code without coming to an op."""
    try:
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except AttributeError:
        return
    raise_in(ctypes.c_ulong(worker.ident), ctypes.py_object(ScheduleOver))
