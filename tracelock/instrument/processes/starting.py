"""``multiprocessing.Process`` in a worker: what it starts is a worker too, in its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.processes import relay as relays
from tracelock.instrument.processes import remote
from tracelock.instrument.processes.forking import Launch, ends, flush, name_for, quietly, spawns
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import JOIN, Op


def originals() -> dict[str, Any]:
    """What the class of processes has itself."""
    from multiprocessing.process import BaseProcess

    names = ("start", "join", "is_alive", "terminate", "kill", "exitcode")
    return {name: BaseProcess.__dict__[name] for name in names}


ORIGINAL: Final[dict[str, Any]] = originals()


def _child(process: Any, worker: Worker | None) -> int | None:
    if worker is None:
        return None
    schedule, number = process.__dict__.get("_tracelock", (0, None))
    return number if schedule == worker.hub.schedule else None


def process_start(self: Any) -> None:
    worker = here()
    if worker is None or worker.hub.phase is not Phase.RUN or self._popen is not None:
        ORIGINAL["start"](self)
        return
    from multiprocessing import get_start_method

    method = getattr(type(self), "_start_method", None) or get_start_method()
    if method != "fork":
        raise UsageError(f"a worker can start a process that is forked, not by {method}")
    base = self._target.__name__ if hasattr(self._target, "__name__") else type(self).__name__
    if not self.name.startswith("Process-") and not self.name.startswith("ForkProcess-"):
        base = self.name
    name = name_for(worker, base)
    spawns(worker, name)
    launch = Launch(worker, name, bool(self.daemon))
    run = self.run

    def controlled() -> None:
        made = launch.become()
        failed: BaseException | None = None
        try:
            launch.begin()
            run()
        except BaseException as error:
            failed = error
        if remote.forked_away(made, failed):
            return
        made.error = failed
        flush()
        made.finish()
        if isinstance(made.error, SystemExit):
            raise made.error
        if made.error is not None:
            raise SystemExit(1)  # the failure is told of; here it would only be printed

    self.run = controlled
    try:
        with Uncontrolled(worker), quietly():
            ORIGINAL["start"](self)
    finally:
        del self.run
    self._tracelock = (worker.hub.schedule, launch.number)
    launch.complete(self.pid)


def process_join(self: Any, timeout: float | None = None) -> None:
    worker = here()
    number = _child(self, worker)
    if worker is None or number is None:
        ORIGINAL["join"](self, timeout)
        return
    limit = None if timeout is None else max(0.0, timeout)
    if worker.do(Op(JOIN, number, caller(worker), None, limit)):
        _over(self, worker)


def _over(process: Any, worker: Worker) -> None:
    """Its worker has ended, and so will it any moment."""
    with Uncontrolled(worker):
        ORIGINAL["join"](process, relays.GRACE * 5)
    worker.hub.pids.pop(process.pid, None)


def _ended(process: Any, worker: Worker, number: int) -> bool:
    if not worker.step(Op(JOIN, number, caller(worker), blocking=False)):
        return False
    _over(process, worker)
    return True


def process_is_alive(self: Any) -> bool:
    worker = here()
    number = _child(self, worker)
    if worker is None or number is None:
        return bool(ORIGINAL["is_alive"](self))
    return not _ended(self, worker, number)


def _exitcode(self: Any) -> Any:
    worker = here()
    number = _child(self, worker)
    if worker is not None and number is not None and not _ended(self, worker, number):
        return None
    return ORIGINAL["exitcode"].__get__(self)


def _ends(name: str) -> Callable[[Any], None]:
    def end(self: Any) -> None:
        worker = here()
        number = _child(self, worker)
        if worker is None or number is None:
            ORIGINAL[name](self)
            return
        ends(worker, number, "", lambda: ORIGINAL[name](self))

    end.__name__ = name
    return end


process_terminate, process_kill = _ends("terminate"), _ends("kill")


def replacements() -> list[tuple[str, Any, str, Any, Any]]:
    """Name, owner, attribute, original, and ours, of each patch."""
    from multiprocessing.process import BaseProcess

    found: list[tuple[str, Any, str, Any, Any]] = []
    for name, by in (
        ("start", process_start), ("join", process_join), ("is_alive", process_is_alive),
        ("terminate", process_terminate), ("kill", process_kill),
        ("exitcode", property(_exitcode)),
    ):  # fmt: skip
        label = f"multiprocessing.Process.{name}"
        found.append((label, BaseProcess, name, ORIGINAL[name], by))
    return found
