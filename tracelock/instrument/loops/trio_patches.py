"""What is patched of trio: its objects tell what happens to them, and threads that they send."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import trio
from trio import _signals
from trio._core import _entry_queue, _thread_cache

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.loops.losing.jobs import HostedJob, ThreadJob, of_host
from tracelock.instrument.loops.recording import Recorder
from tracelock.instrument.loops.trio_tasks import TrioTasks
from tracelock.instrument.network.trio_sockets import WaitingTask
from tracelock.instrument.patching import CONTROLLED, SEEN, listed, patch
from tracelock.instrument.worker import Worker
from tracelock.ops import ACQUIRE, GET, NOTIFY, PUT, WAIT, Op

#: The tasks of the runs that are under way.
_current: list[TrioTasks] = []


@patch("trio.EntryQueue.run_sync_soon", of=_entry_queue.EntryQueue)
def run_sync_soon(
    worker: Worker, real: Any, self: Any, call: Any, *args: Any, **kwargs: Any
) -> None:
    """A thread sends something to the loop: a scheduling point of the thread."""
    running = worker.hub.phase is not Phase.IDLE
    ours = next((one for one in _current if running and one.runner.entry_queue is self), None)
    if ours is not None and (worker.own_thread or getattr(worker, "tasks", ours) is not ours):
        worker.step(Op(NOTIFY, ours.gate.number, caller(), 1))
    if (
        ours is not None
        and not kwargs
        and not isinstance(getattr(call, "__self__", 0), WaitingTask)
    ):
        call = of_host(worker.hub, HostedJob, call)  # the others tell somebody else's task
    real(self, call, *args, **kwargs)
    if ours is not None:
        ours.system_ready(ours.run_queue.count)


@patch("trio.lowlevel.start_thread_soon", SEEN, of=_thread_cache.ThreadCache)
def start_thread_soon(
    worker: Worker, real: Any, self: Any, fn: Any, deliver: Any, name: str | None = None
) -> None:
    """A thread that works for everybody is on the host of whom it works for."""
    real(self, of_host(worker.hub, ThreadJob, fn), deliver, name)


@patch("trio.open_signal_receiver", SEEN)
def open_signal_receiver(worker: Worker, real: Any, *signals: Any) -> Any:
    """What it gives never gets one: no signal comes in while a schedule runs."""
    tasks = getattr(worker, "tasks", None)
    return real(*signals) if tasks is None or not signals else _no_signals(tasks)


@contextlib.contextmanager
def _no_signals(tasks: TrioTasks) -> Iterator[Any]:
    tasks.receivers += 1
    try:
        yield _signals.SignalReceiver()
    finally:
        tasks.receivers -= 1


_rows: Final = Recorder("trio", __name__)
_rows.common(trio)
_rows.before(trio.Condition, "notify_all", NOTIFY, -1)
# what the controlled run does itself
listed(
    __name__, CONTROLLED, "trio.Nursery.start_soon", "trio.sleep", "trio.move_on_after",
    "trio.to_thread.run_sync", "trio.MemorySendChannel.send", "trio.MemoryReceiveChannel.receive",
    "trio.SocketStream.receive_some",
)  # fmt: skip
listed(__name__, SEEN, "trio.current_time")
listed(__name__, SEEN, "trio.run_process")

#: What coroutine methods of trio wait for.
WAITING: Final = (
    (trio.Lock, "acquire", ACQUIRE),
    (trio.Semaphore, "acquire", ACQUIRE),
    (trio.CapacityLimiter, "acquire_on_behalf_of", ACQUIRE),
    (trio.Condition, "wait", WAIT),
    (trio.Event, "wait", WAIT),
    (trio.MemoryReceiveChannel, "receive", GET),
    (trio.MemorySendChannel, "send", PUT),
)


@contextlib.contextmanager
def sends_to(tasks: TrioTasks) -> Iterator[None]:
    """What threads send is for these tasks."""
    _current.append(tasks)
    try:
        yield
    finally:
        _current.remove(tasks)
