"""What is patched of trio: its objects tell what happens to them, and threads that they send."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import trio
from trio._core import _entry_queue

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.loops.recording import Recorder, notified
from tracelock.instrument.loops.trio_tasks import TrioTasks
from tracelock.instrument.patching import CONTROLLED, NOT_CONTROLLED, SEEN, listed, patch
from tracelock.instrument.worker import Worker
from tracelock.ops import ACQUIRE, GET, NOTIFY, PUT, RELEASE, SET, WAIT, WAKE, Op

#: The tasks of the run that is under way.
_current: list[TrioTasks] = []


@patch("trio.EntryQueue.run_sync_soon", of=_entry_queue.EntryQueue)
def run_sync_soon(worker: Worker, real: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """A thread sends something to the loop: a scheduling point of the thread."""
    tasks = _current[-1] if _current else None
    ours = tasks is not None and worker.hub.phase is Phase.RUN
    if tasks is None or not ours or tasks.runner.entry_queue is not self:
        real(self, *args, **kwargs)
        return
    if worker.own_thread:
        worker.step(Op(NOTIFY, tasks.gate.number, caller(), 1))
    real(self, *args, **kwargs)
    tasks.system_ready(tasks.run_queue.count)


_rows: Final = Recorder("trio", __name__)
for _owner, _kind in (
    (trio.Lock, "lock"), (trio.Condition, "condition"), (trio.Semaphore, "semaphore"),
):  # fmt: skip
    _rows.names(_owner, _kind)
_rows.after(trio.Lock, "acquire", ACQUIRE)
_rows.before(trio.Lock, "release", RELEASE)
_rows.after(trio.Semaphore, "acquire", ACQUIRE)
_rows.before(trio.Semaphore, "release", RELEASE, 1)
_rows.after(trio.Condition, "wait", WAKE)
_rows.before(trio.Condition, "notify", NOTIFY, notified)
_rows.before(trio.Condition, "notify_all", NOTIFY, -1)
_rows.before(trio.Event, "set", SET)
_rows.after(trio.Event, "wait", WAKE)
# what the controlled run does itself
listed(
    __name__, CONTROLLED, "trio.Nursery.start_soon", "trio.sleep", "trio.move_on_after",
    "trio.to_thread.run_sync", "trio.MemorySendChannel.send", "trio.MemoryReceiveChannel.receive",
)  # fmt: skip
listed(__name__, SEEN, "trio.current_time")
listed(__name__, NOT_CONTROLLED, "trio.SocketStream.receive_some", "trio.run_process")

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
        _current.pop()
