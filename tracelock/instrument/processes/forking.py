"""``os.fork`` and ``multiprocessing.Process`` in a worker: the new process is a worker too.

It has a copy of the memory as it was at the fork, locks with their holders included, and only the
thread that forked. So a lock that another thread held then is held in it for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Hub, Phase, contexts, get_ident
from tracelock.instrument.patching import CONTROLLED, patch, replace
from tracelock.instrument.processes import relay as relays
from tracelock.instrument.processes import remote
from tracelock.instrument.processes.remote import RemoteWorker
from tracelock.instrument.processes.wire import BEGIN, Channel
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import CANCEL, JOIN, SPAWN, Op

real_fork: Final = os.fork
real_exit: Final = os._exit
real_waitpid: Final = os.waitpid
real_kill: Final = os.kill

# whatever is forked, it is not what the table says that is on its threads
os.register_at_fork(after_in_child=contexts.clear)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warning that other threads do not live on in the new process: ours do not
    matter, and of the program's own that is what is looked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def flush() -> None:
    """Write out what is in the buffers of the standard streams, which a fork would double."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


class Launch:
    """The launching of one worker by another: ``channel`` is the end that the new one has."""

    def __init__(self, worker: Worker, name: str, daemon: bool) -> None:
        self.worker = worker
        hub = worker.hub
        self.number = hub.layout.worker(name)
        self.name = name
        self.parent = os.getpid()
        self._relay: relays.Relay | None = None
        if isinstance(worker, RemoteWorker):
            self.channel = worker.launching(name, daemon)
            self.base = worker.base
            return
        ours, theirs = socket.socketpair()
        self.channel = Channel(theirs)
        child = Worker(hub, self.number)
        child.daemon = daemon
        self._relay = relays.Relay(hub, child, Channel(ours), hub.stall)
        hub.relays.append(self._relay.channel)
        self.base = len(hub.layout.names)

    def become(self, process: str = "") -> RemoteWorker:
        """In the new process: be that worker."""
        hub = self.worker.hub
        made = remote.enter(
            hub, self.number, self.channel, process or self.name, self.base, self.parent
        )
        made.notes.append(("pid", os.getpid()))
        made.attach()
        return made

    def begin(self) -> None:
        """In the new process: wait until it is to begin."""
        try:
            if self.channel.receive()[0] == BEGIN:
                return
        except EOFError:
            pass
        real_exit(1)

    def complete(self, pid: int = 0) -> None:
        """In the old process: wait until the new worker has come to its first op."""
        worker = self.worker
        if pid:
            worker.hub.pids[pid] = self.number
        if isinstance(worker, RemoteWorker):
            if pid:
                self.channel.close()
            worker.launched()
            return
        self.channel.close()
        assert self._relay is not None
        self._relay.pid = pid
        relays.launch(worker, self._relay)


def pose(name: str) -> None:
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


def spawns(worker: Worker, name: str) -> None:
    """The step that a fork is: it starts a worker and reads the state of every lock of this
    process, which is copied. It comes right before the fork itself."""
    hub = worker.hub
    locks = [
        number
        for number, spec in enumerate(hub.layout.objects)
        if spec.type in _LOCKS
        and spec.name not in hub.interprocess
        and spec.name not in hub.fork_copies
    ]
    worker.do(Op(SPAWN, hub.layout.worker(name), caller(worker, 3), body=tuple(locks)))


#: What has a state that is copied by a fork, and can keep somebody waiting.
_LOCKS: Final = frozenset({"lock", "rlock", "semaphore", "bounded_semaphore"})


def name_for(worker: Worker, base: str) -> str:
    """The name of what ``worker`` starts."""
    if worker.label != "setup":
        base = f"{worker.label}/{base}"
    number = worker.count((base, "process"))
    return base if number == 1 else f"{base}#{number}"


# --- os ------------------------------------------------------------------------------------
@patch("os.fork")
def fork(worker: Worker, real: Any) -> int:
    if worker.hub.phase is not Phase.RUN:
        return int(real())
    name = name_for(worker, "fork")
    spawns(worker, name)
    launch = Launch(worker, name, False)
    with quietly(), Uncontrolled(worker):  # what is done at a fork takes locks, and so would it
        pid: int = real()
    if not pid:
        made = launch.become()
        made.bare = True
        launch.begin()
        return 0
    launch.complete(pid)
    return pid


def leave(status: int) -> None:
    """``os._exit``: the way for what was made by ``os.fork`` to end; of others it is a crash."""
    worker = contexts.get(get_ident())
    if isinstance(worker, RemoteWorker) and worker.bare and not worker.hub.unwinding:
        worker.leave()
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


@patch("os.kill")
def kill(worker: Worker, real: Any, pid: int, sig: int, /) -> None:
    """What kills another worker's process is a crash of it."""
    number = worker.hub.pids.get(pid)
    if number is None or sig not in (signal.SIGKILL, signal.SIGTERM):
        real(pid, sig)
        return
    ends(worker, number, f"{signal.Signals(sig).name} from {worker.label}",
         lambda: real(pid, signal.SIGKILL))  # fmt: skip


def ends(worker: Worker, number: int, how: str, end: Callable[[], object]) -> None:
    """``worker`` ends another's process, by ``end``; ``how`` is "" where that is no crash."""
    at = caller(worker)
    worker.step(Op(CANCEL, number, at))
    with Uncontrolled(worker):
        end()
    name = worker.hub.layout.workers[number].name
    if isinstance(worker, RemoteWorker):
        worker.notes.append(("killed", name, how, at))
    else:
        relays.end_of(worker.hub, name, how, at)


# --- threads of a forked process -----------------------------------------------------------
def start_thread(thread: Any, worker: RemoteWorker, name: str, start: Callable[[Any], Any]) -> None:
    """A worker in a forked process starts a thread, which is a worker too."""
    hub = worker.hub
    worker.do(Op(SPAWN, hub.layout.worker(name), caller(worker)))
    launch = Launch(worker, name, bool(thread.daemon))
    child = RemoteWorker(hub, launch.number, launch.channel, worker.process, worker.base)
    child.leads = False
    child.thread = thread
    child.notes.append(("pid", os.getpid()))
    hub.relays.append(launch.channel)
    run = thread.run

    def controlled() -> None:
        child.attach()
        failed: BaseException | None = None
        try:
            launch.begin()
            run()
        except BaseException as error:
            failed = error
        if not remote.forked_away(child, failed):
            child.error = failed
            child.finish()

    thread.run = controlled
    thread._tracelock = (hub.schedule, child)
    with Uncontrolled(worker):
        start(thread)
    launch.complete()


def reap(hub: Hub) -> None:
    """Between two schedules: no process of the last one is left."""
    for pid in list(hub.pids):
        with contextlib.suppress(ProcessLookupError):
            real_kill(pid, signal.SIGKILL)
        relays.reaped(pid)
    hub.pids.clear()
    hub.relays.clear()
