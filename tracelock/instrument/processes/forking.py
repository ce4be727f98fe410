"""``os.fork`` and ``multiprocessing.Process`` in a worker: the new process is a worker too.

It has a copy of the memory as it was at the fork, locks with their holders included, and only the
thread that forked. So a lock that another thread held then is held in it for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from tracelock.engine.verdicts import EndOfProcess
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Hub, Phase, contexts, get_ident
from tracelock.instrument.patching import CONTROLLED, patch, replace
from tracelock.instrument.processes.dying import dies, killed_by
from tracelock.instrument.processes.relay import Relay, connect, over, reaped, was_killed
from tracelock.instrument.processes.remote import RemoteWorker, enter
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import CANCEL, JOIN, SPAWN, Op

real_fork: Final = os.fork
real_exit: Final = os._exit
real_waitpid: Final = os.waitpid
real_kill: Final = os.kill

# a forked process has but one thread, which is none of those in the table
os.register_at_fork(after_in_child=contexts.clear)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warning that the new process has no other threads: those of the pool do not
    matter, and a bug by those of the program is what is looked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


class Launch:
    """The launching of a process by a worker. ``number``: of the worker that it is."""

    def __init__(self, worker: Worker, base: str, daemon: bool) -> None:
        """``base``: what the process is called. Makes the step that its start is."""
        hub = worker.hub
        self.worker = worker
        self.name = worker.child_label(base, "process")
        self.number = hub.layout.worker(self.name)
        spawn(worker, self.number)
        self.parent = os.getpid()
        self.relay: Relay | None = None
        if isinstance(worker, RemoteWorker):
            self.channel = worker.launching(self.name, daemon)
            self.base = worker.base
        else:
            child = Worker(hub, self.number)
            child.daemon = daemon
            self.relay, self.channel = connect(hub, child)
            self.base = len(hub.layout.names)

    def become(self) -> RemoteWorker:
        """In the new process: be that worker."""
        hub = self.worker.hub
        child = enter(hub, self.number, self.channel, self.name, self.base, self.parent)
        child.notes.append(("pid", os.getpid()))
        return child

    def complete(self, pid: int) -> None:
        """In the old process: wait until the new worker has come to its first op."""
        worker = self.worker
        worker.hub.pids[pid] = self.number
        self.channel.close()
        if isinstance(worker, RemoteWorker):
            worker.launched()
        elif self.relay is not None:
            self.relay.pid = pid
            self.relay.launch(worker)


def pose_as(name: str) -> None:
    """In a process that was forked without ``multiprocessing``: be one of its, of this name."""
    from multiprocessing import process, util

    parent, me = process._current_process, process.BaseProcess(name=name)  # type: ignore
    process._parent_process = process._ParentProcess(  # type: ignore[attr-defined]
        parent.name, os.getppid(), None
    )
    process._current_process = me  # type: ignore[attr-defined]
    process._children.clear()  # type: ignore[attr-defined]
    me.__dict__["_parent_pid"] = os.getppid()
    util._finalizer_registry.clear()  # type: ignore[attr-defined]
    util._run_after_forkers()  # type: ignore[attr-defined]


#: What has a state that is copied by a fork, and can keep a worker waiting.
_LOCKS: Final = frozenset({"lock", "rlock", "semaphore", "bounded_semaphore"})


def spawn(worker: Worker, number: int) -> None:
    """The step that a fork is: it starts a worker and reads the state of every lock of this
    process, which is copied. It comes right before the fork itself."""
    hub = worker.hub
    elsewhere = hub.interprocess | hub.fork_copies
    locks = tuple(
        at
        for at, spec in enumerate(hub.layout.objects)
        if spec.type in _LOCKS and spec.name not in elsewhere
    )
    worker.do(Op(SPAWN, number, caller(worker), body=locks))


# --- os ------------------------------------------------------------------------------------
@patch("os.fork")
def fork(worker: Worker, real: Any) -> int:
    if worker.hub.phase is not Phase.RUN:
        return int(real())
    launch = Launch(worker, "fork", False)
    with quietly(), Uncontrolled(worker):  # what is done at a fork takes locks, and so would it
        pid: int = real()
    if not pid:
        child = launch.become()
        child.by_fork = True
        child.attach()
        child.await_begin()
        return 0
    launch.complete(pid)
    return pid


def leave(status: int) -> None:
    """``os._exit``: the normal end of a process made by ``os.fork``, a crash of any other."""
    worker = contexts.get(get_ident())
    if isinstance(worker, RemoteWorker) and worker.by_fork and not worker.hub.unwinding:
        worker.leave()
    dies(EndOfProcess.by_exit(status & 0xFF))
    real_exit(status)


replace("os._exit", leave, CONTROLLED)


@patch("os.waitpid")
def waitpid(worker: Worker, real: Any, pid: int, options: int, /) -> tuple[int, int]:
    number = worker.hub.pids.get(pid)
    if pid == -1 and worker.hub.pids:
        return _wait(worker, options)
    reaped: tuple[int, int] = 0, 0
    if number is None:
        reaped = real(pid, options)
    elif worker.step(Op(JOIN, number, caller(worker), blocking=not options & os.WNOHANG)):
        worker.hub.pids.pop(pid, None)
        reaped = real(pid, options & ~os.WNOHANG)
    return reaped


@patch("os.wait")
def wait(worker: Worker, real: Any) -> Any:
    return _wait(worker, 0) if worker.hub.pids else real()


def _wait(worker: Worker, options: int) -> tuple[int, int]:
    """Wait for any child: the first that has ended, or else the first that was forked."""
    pids = worker.hub.pids
    for pid, number in list(pids.items()):
        if worker.step(Op(JOIN, number, caller(worker), blocking=False)):
            del pids[pid]
            return real_waitpid(pid, options & ~os.WNOHANG)
    if options & os.WNOHANG:
        return 0, 0
    found: tuple[int, int] = waitpid(next(iter(pids)), options)
    return found


def kill(pid: int, sig: int, /) -> None:
    """``os.kill``: what kills another worker's process is a crash of it, what kills this one ends
    all."""
    if pid == os.getpid():
        dies(killed_by(sig))
    worker = here()
    number = None if worker is None else worker.hub.pids.get(pid)
    if worker is None or number is None or sig not in (signal.SIGKILL, signal.SIGTERM):
        if worker is not None and sig and worker.hub.account is not None:
            worker.hub.account.account.outside.add("os.kill")  # a handler runs at any time
        real_kill(pid, sig)
        return
    end_worker(worker, number, pid, f"{signal.Signals(sig).name} from {worker.label}",
               lambda: real_kill(pid, signal.SIGKILL))  # fmt: skip


replace("os.kill", kill, CONTROLLED)


def end_worker(worker: Worker, number: int, pid: int, how: str, end: Callable[[], object]) -> None:
    """``worker`` ends another's process, by ``end``; ``how`` is "" where that is no crash."""
    at = caller(worker)
    worker.step(Op(CANCEL, number, at))
    with Uncontrolled(worker):
        end()
        over(pid)  # what it holds is held until then
    name = worker.hub.layout.workers[number].name
    if isinstance(worker, RemoteWorker):
        worker.notes.append(("killed", name, how, at))
    else:
        was_killed(worker.hub, name, how, at)


def reap(hub: Hub) -> None:
    """Between two schedules: no process of the last one is left."""
    for pid in list(hub.pids):
        with contextlib.suppress(ProcessLookupError):
            real_kill(pid, signal.SIGKILL)
        reaped(pid)
    # it would take those that nobody has joined for alive, where it has been imported
    children: set[Any] = getattr(sys.modules.get("multiprocessing.process"), "_children", set())
    for child in [one for one in children if getattr(one._popen, "pid", -1) in hub.pids]:
        children.discard(child)
    hub.pids.clear()
    hub.relays.clear()
