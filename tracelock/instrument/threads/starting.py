"""Threads of real code: those that workers start are workers too; user workers get pooled ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tracelock.errors import TracelockError
from tracelock.instrument.callers import call_text, called, caller
from tracelock.instrument.hub import Hub, ScheduleOver, contexts, get_ident
from tracelock.instrument.network.membership import on_host
from tracelock.instrument.patching import CONTROLLED, patch, replace
from tracelock.instrument.primitives import refuse, time_limit, too_long
from tracelock.instrument.threads import lives
from tracelock.instrument.threads.futures import put_in_order
from tracelock.instrument.threads.pool import GRACE
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import JOIN, SPAWN, Op

_real_join: Final = threading.Thread.join
#: Modules whose threads wait for more work after each job.
_POOLS: Final = frozenset({"concurrent.futures.thread", "trio._core._thread_cache"})
#: Of these the one whose threads work for everybody.
_SHARED: Final = "trio._core._thread_cache"


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
    place = caller(worker)
    worker.do(Op(SPAWN, number, place))
    shared = getattr(getattr(self, "_target", None), "__module__", "") == _SHARED
    run = self.run if shared else on_host(self.run)
    child = worker.thread_of(number, self)
    child.daemon = self.daemon or _idles(self)
    self._tracelock = (hub.schedule, child)
    lives.more_or_less(worker, place)
    started = _Started(self, child, run, place)
    del run  # it refers to the thread, which may die before this goes on
    hub.to_free.append(started)
    worker.launch_thread(child, partial(real, self))


class _Started:
    """A thread on its way through what ``threading`` does before and after its ``run``, all of
    which has it as an argument: so it and what only it has, a socket for instance, die after that.
    That is part of the life of its worker, and nobody else goes on before. From the moment that it
    runs it is as the program made it; else from the end of the schedule."""

    def __init__(self, thread: Any, child: Worker, run: Callable[[], object], place: str) -> None:
        self._thread = [thread]
        self._child = child
        had = vars(thread)
        self._own = {name: had[name] for name in ("run", "_bootstrap") if name in had}
        self._own["_daemonic"] = thread._daemonic
        thread._daemonic = True  # should it get stuck, the interpreter can end all the same
        thread._bootstrap, thread.run = self._begin, partial(self._work, run, place)

    def _begin(self) -> None:
        """What ``threading`` has the new thread call."""
        child, thread = self._child, self._thread
        type(thread[0])._bootstrap(thread[0])
        child.uncontrolled -= 1
        child.watched(thread.clear)
        child.finish()

    def _work(self, run: Callable[[], object], place: str) -> None:
        """What ``threading`` takes for ``run``."""
        child, thread = self._child, self._thread[0]
        self.free()
        child.work(partial(_run, thread, run, child.hub, child, place))
        child.uncontrolled += 1

    def free(self) -> None:
        """The schedule has ended."""
        for thread in self._thread:
            for name in ("run", "_bootstrap"):
                vars(thread).pop(name, None)
            vars(thread).update(self._own)


def _run(thread: Any, run: Callable[[], object], hub: Hub, worker: Worker, place: str) -> None:
    """What a thread raises is no failure where the program has set a hook of its own for that."""
    try:
        run()
    except BaseException as error:
        hook = threading.excepthook
        ours = isinstance(error, (ScheduleOver, TracelockError, KeyboardInterrupt))
        if ours or hook is hub.thread_hook or hub.unwinding:
            raise
        hook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))
    lives.ends(worker, thread, place)


def _label(thread: Any, parent: Worker) -> str:
    target, name = getattr(thread, "_target", None), thread._name
    told = ""
    if _idles(thread):
        base = "executor"
    elif isinstance(name, str) and not name.startswith(("Thread-", "ThreadPoolExecutor-")):
        base = name
    elif target is not None:
        base = getattr(target, "__name__", type(target).__name__)
        told = call_text(base, thread._args, thread._kwargs)
    else:
        base = type(thread).__name__
    label = parent.child_label(base, "thread")
    if told:
        called[label, told] = None
    return label


def _idles(thread: Any) -> bool:
    """Whether this is a thread of an executor, which waits for more work until it is shut down: no
    worker waits for it, and its waiting is no deadlock."""
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", "") in _POOLS


def _child(thread: Any, worker: Worker) -> Worker | None:
    schedule, child = thread.__dict__.get("_tracelock", (0, None))
    return child if schedule == worker.hub.schedule else None


def thread_join(self: Any, timeout: float | None = None) -> None:
    """``Thread.join``. While a schedule is unwound it is no matter who ends first."""
    worker: Worker | None = contexts.get(get_ident())
    child = None if worker is None or worker.uncontrolled else _child(self, worker)
    if worker is None or child is None or (child is worker and not worker.hub.unwinding):
        _real_join(self, timeout)  # raises for the thread itself
        return
    if worker.hub.unwinding:
        raise ScheduleOver  # it is ended after this one, or before
    timeout = time_limit(timeout)
    blocking = timeout is None or timeout > 0
    endless = too_long(timeout)
    if endless:
        timeout, blocking = None, False
    if timeout is not None:
        lives.asks(worker, self)
    op = Op(JOIN, child.number, caller(worker), None, timeout if blocking else None, blocking)
    if not worker.do(op):
        if endless:
            refuse()
    else:
        if child.number not in worker.hub.controller.gone:
            with Uncontrolled(worker):
                _real_join(self, GRACE)


replace("threading.Thread.join", thread_join, CONTROLLED)


@patch("threading.Thread.is_alive")
def thread_is_alive(worker: Worker, real: Any, self: Any) -> bool:
    child = _child(self, worker)
    if child is None:
        return bool(real(self))
    lives.asks(worker, self)
    return not worker.step(Op(JOIN, child.number, caller(worker), blocking=False))
