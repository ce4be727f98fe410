"""``multiprocessing.Process`` in a worker: what it starts is a worker too, in its own process."""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from typing import Any, Final, NoReturn

from tracelock.errors import LimitReached, UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.patching import patch
from tracelock.instrument.processes.forking import Launch, end_worker, quietly
from tracelock.instrument.processes.relay import GRACE
from tracelock.instrument.processes.remote import RemoteWorker
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import JOIN, Op

_real_join: Final = BaseProcess.join


def _child(process: Any, worker: Worker) -> int | None:
    schedule, number = process.__dict__.get("_tracelock", (0, None))
    return number if schedule == worker.hub.schedule else None


#: Functions that processes run which take their work from pipes: whose they are, and what to use.
_SERVED: Final = {
    ("concurrent.futures.process", "_process_worker"): (
        "the processes of a ProcessPoolExecutor", "use a ThreadPoolExecutor in its place",
    ),
    ("multiprocessing.pool", "worker"): (
        "the processes of a multiprocessing.Pool",
        "use a multiprocessing.pool.ThreadPool, or processes of its own, in its place",
    ),
    ("multiprocessing.managers", "_run_server"): (
        "the process of a multiprocessing.Manager",
        "use the locks, queues and values of multiprocessing itself",
    ),
}  # fmt: skip


def refuse_processes(worker: Worker, what: str, instead: str) -> NoReturn:
    """``worker`` wants what is not under control: nothing is claimed of this schedule, also where
    the program catches what is raised here."""
    at = caller(worker, 3)
    why = f"{worker.label} starts {what} at {at}, which is not under control: {instead}"
    if worker.hub.phase is not Phase.RUN:
        raise UsageError(why)
    worker.hub.controller.limit = why
    if isinstance(worker, RemoteWorker):
        worker.notes.append(("limit", why))
    raise LimitReached(why)


@patch("multiprocessing.Process.start", of=BaseProcess)
def process_start(worker: Worker, real: Any, self: Any) -> None:
    target = self._target
    served = _SERVED.get((getattr(target, "__module__", ""), getattr(target, "__name__", "")))
    if served is not None:
        refuse_processes(worker, *served)
    if worker.hub.phase is not Phase.RUN or self._popen is not None:
        real(self)
        return
    from multiprocessing import get_start_method

    given = getattr(type(self), "_start_method", None)
    method = given or get_start_method()
    if method != "fork":
        refuse_processes(
            worker,
            f"a process by {method}",
            "start it by fork (multiprocessing.get_context('fork')"
            + ("" if given else ", or set_start_method('fork') for all")
            + "), or call what it is to do in threads",
        )
    base = self._target.__name__ if hasattr(self._target, "__name__") else type(self).__name__
    if not self.name.startswith("Process-") and not self.name.startswith("ForkProcess-"):
        base = self.name
    launch = Launch(worker, base, bool(self.daemon))
    run = self.run

    def controlled() -> None:
        child = launch.become()
        child.live(run)
        if isinstance(child.error, SystemExit):
            raise child.error
        if child.error is not None:
            raise SystemExit(1)  # the failure is reported; here it would only be printed

    self.run = controlled
    try:
        with Uncontrolled(worker), quietly():
            real(self)
    finally:
        del self.run
    self._tracelock = (worker.hub.schedule, launch.number)
    launch.complete(self.pid)


@patch("multiprocessing.Process.join", of=BaseProcess)
def process_join(worker: Worker, real: Any, self: Any, timeout: float | None = None) -> None:
    number = _child(self, worker)
    if number is None:
        real(self, timeout)
        return
    limit = None if timeout is None else max(0.0, timeout)
    if worker.do(Op(JOIN, number, caller(worker), None, limit)):
        _over(self, worker)


def _over(process: Any, worker: Worker) -> None:
    """Its worker has ended, and so will it any moment."""
    with Uncontrolled(worker):
        _real_join(process, GRACE * 5)
    worker.hub.pids.pop(process.pid, None)


def _ended(process: Any, worker: Worker, number: int) -> bool:
    ended = worker.step(Op(JOIN, number, caller(worker), blocking=False))
    if ended:
        _over(process, worker)
    return bool(ended)


@patch("multiprocessing.Process.is_alive", of=BaseProcess)
def process_is_alive(worker: Worker, real: Any, self: Any) -> bool:
    number = _child(self, worker)
    return bool(real(self)) if number is None else not _ended(self, worker, number)


@patch("multiprocessing.Process.exitcode", of=BaseProcess)
def process_exitcode(worker: Worker, real: Any, self: Any) -> Any:
    number = _child(self, worker)
    return real(self) if number is None or _ended(self, worker, number) else None


def _end(worker: Worker, real: Any, self: Any) -> None:
    number = _child(self, worker)
    if number is None:
        real(self)
    else:
        end_worker(worker, number, self.pid, "", lambda: real(self))


patch("multiprocessing.Process.terminate", of=BaseProcess)(_end)
patch("multiprocessing.Process.kill", of=BaseProcess)(_end)
