"""Sockets of trio that are in memory.

trio has taken the methods of ``socket.socket`` when it was imported: for such a socket it gets ours
here. Its tasks wait for one in trio's own way, and whoever makes it ready wakes them: a task of the
same run at once, another thread by what it sends to the run, which is a step.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import outcome
import trio
from trio import _socket

from tracelock.instrument.hub import Phase
from tracelock.instrument.network.ends import READABLE, WRITABLE, End
from tracelock.instrument.network.table import Network, used_outside
from tracelock.instrument.outside.pausing import pauses
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker, here

#: What a run of trio has to be woken by, which waits for a real socket.
_WAKES: Final = "trio._core._wakeup_socketpair"
_TYPE: Final[Any] = _socket._SocketType


def _end(worker: Worker, sock: Any) -> End | None:
    """The end in memory of a socket, or of its descriptor."""
    network = worker.hub.known(Network)
    descriptor = sock if isinstance(sock, int) else sock.fileno()
    return None if network is None else network.ends.get(descriptor)


def _tasks_of(worker: Worker) -> Any:
    """The run of trio that the code of ``worker`` is a part of."""
    tasks = getattr(worker, "tasks", None)
    if tasks is None:
        loops = [member for member in worker.hub.own_loops if worker.number in member.members]
        tasks = loops[0] if loops else None
    return tasks if getattr(tasks, "runner", None) is not None else None


class WaitingTask:
    """A task that waits for ``end`` to be ready for ``bit``."""

    def __init__(self, tasks: Any, end: End, bit: int) -> None:
        self.tasks, self.end, self.bit = tasks, end, bit
        self.task: Any = trio.lowlevel.current_task()
        self.told = False
        end.watchers.append(self)

    def changed(self, worker: Any, end: End) -> None:
        if self.told or not end.ready() & self.bit:
            return
        if worker.number in self.tasks.members:
            self.wake()
        else:
            self.told = True
            self.tasks.runner.entry_queue.run_sync_soon(self.wake)

    def wake(self, value: Any = None) -> None:
        """The task goes on; or raises, where ``value`` says so."""
        if self in self.end.watchers:
            self.leave()
            if value is None:
                trio.lowlevel.reschedule(self.task)
            else:
                trio.lowlevel.reschedule(self.task, value)

    def leave(self) -> None:
        """It waits no longer."""
        self.end.watchers = [one for one in self.end.watchers if one is not self]

    def abort(self, _: Any) -> trio.lowlevel.Abort:
        self.leave()
        return trio.lowlevel.Abort.SUCCEEDED


async def _wait(tasks: Any, end: End, bit: int) -> None:
    if end.ready() & bit:
        await trio.lowlevel.checkpoint()
        return
    if end.link is not None:
        await _from_outside(end)
        return
    waiting = WaitingTask(tasks, end, bit)
    await trio.lowlevel.wait_task_rescheduled(waiting.abort)


async def _from_outside(end: End) -> None:
    """What the peer sends, which is outside of the run."""
    worker: Any = here()
    for virtual, real in pauses(worker):
        await trio.sleep(virtual)
        if not end.link.empty or end.link.receive(here(), real):
            return
    end.link.give_up(worker)


def _waits(name: str, bit: int) -> None:
    @patch(f"trio.lowlevel.{name}")
    def wait(worker: Worker, real: Any, fd: Any) -> Awaitable[None]:
        end, tasks = _end(worker, fd), _tasks_of(worker)
        if end is None or tasks is None:
            asks = sys._getframe(2).f_globals.get("__name__", "")
            if asks != _WAKES and worker.hub.phase is Phase.RUN:
                used_outside(worker, f"trio.lowlevel.{name}", asks)
            found: Awaitable[None] = real(fd)
            return found
        return _wait(tasks, end, bit)


_waits("wait_readable", READABLE)
_waits("wait_writable", WRITABLE)


@patch("trio.lowlevel.notify_closing", SEEN)
def notify_closing(worker: Worker, real: Any, fd: Any) -> None:
    end = _end(worker, fd)
    for waiting in tuple(end.watchers) if end is not None else ():
        if isinstance(waiting, WaitingTask):
            error = trio.ClosedResourceError("another task closed this socket")
            waiting.wake(outcome.Error(error))
    real(fd)


@patch("trio.SocketType._nonblocking_helper", of=_TYPE, attribute="_nonblocking_helper")
def nonblocking_helper(
    worker: Worker, real: Any, self: Any, wait: Any, function: Callable[..., Any], *args: Any,
    **kwargs: Any,
) -> Awaitable[Any]:  # fmt: skip
    """What each operation does that may have to wait."""
    if _end(worker, self._sock) is not None:
        function = getattr(type(self._sock), function.__name__)
    found: Awaitable[Any] = real(self, wait, function, *args, **kwargs)
    return found
