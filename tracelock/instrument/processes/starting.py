"""``multiprocessing.Process`` in a worker: what it starts is a worker too, in its own process."""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.patching import patch
from tracelock.instrument.processes.forking import Launch, end_worker, quietly
from tracelock.instrument.processes.relay import GRACE
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import JOIN, Op

_real_join: Final = BaseProcess.join


def _child(process: Any, worker: Worker) -> int | None:
    schedule, number = process.__dict__.get("_tracelock", (0, None))
    return number if schedule == worker.hub.schedule else None


@patch("multiprocessing.Process.start", of=BaseProcess)
def process_start(worker: Worker, real: Any, self: Any) -> None:
    if worker.hub.phase is not Phase.RUN or self._popen is not None:
        real(self)
        return
    from multiprocessing import get_start_method

    method = getattr(type(self), "_start_method", None) or get_start_method()
    if method != "fork":
        raise UsageError(f"a worker can start a process that is forked, not by {method}")
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
        end_worker(worker, number, "", lambda: real(self))


patch("multiprocessing.Process.terminate", of=BaseProcess)(_end)
patch("multiprocessing.Process.kill", of=BaseProcess)(_end)
