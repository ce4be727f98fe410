"""The controller's side of a worker in another process: a thread that asks on its behalf.

To the hub such a worker is one like any other: it has a baton, comes to ops and ends. All that its
thread does is to take a message from the process, make the step, and send the answer.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import LimitReached
from tracelock.instrument import callers
from tracelock.instrument.files.access import Touching
from tracelock.instrument.hub import Abandon, Hub, Phase
from tracelock.instrument.processes import wire as process_wire
from tracelock.instrument.processes.remote import LOOK
from tracelock.instrument.processes.wire import Channel, wrapped
from tracelock.instrument.worker import Through, Worker
from tracelock.objects.files import FileLockModel
from tracelock.objects.locks import LockModel
from tracelock.ops import ATOMIC, CRASH, GET, ON_WORKER, PUT, READ, ObjectSpec, Op, Value

if TYPE_CHECKING:
    from tracelock.instrument.threads.starting import Pooled

real_waitpid: Final = os.waitpid
real_kill: Final = os.kill
real_close: Final = os.close
#: How long a process may take to unwind and to exit, in seconds.
GRACE: Final = 1.0


class Relay:
    """Serves ``worker`` over ``channel``. ``pid``: its process; ``reaps``: that is to be awaited
    here, and not by the program."""

    def __init__(
        self, hub: Hub, worker: Worker, channel: Channel, stall: float, reaps: bool = False
    ) -> None:
        self.hub = hub
        self.worker = worker
        self.channel = channel
        self.stall = stall
        self.reaps = reaps
        self.pid = 0
        self.status: int | None = None
        worker.through = 1  # what this thread calls is not the program's doing

    # --- its life ---------------------------------------------------------------------------
    def serve(self) -> None:
        """Serve until the worker has ended. Raises what ended it."""
        self.channel.sock.settimeout(self.stall)
        try:
            self.channel.send(process_wire.BEGIN)
            while self._message(*self._receive()):
                pass
        except (EOFError, OSError):
            self._died()
        except Abandon:
            self.dismiss()
            raise

    def _receive(self) -> Any:
        try:
            return self.channel.receive()
        except TimeoutError:
            raise LimitReached(f"is stuck outside tracelock's control:\n{self._where()}") from None

    def _where(self) -> str:
        """Where a process is that does not come to an op. It does not live on."""
        where = "its process does not answer"
        with contextlib.suppress(OSError, EOFError):
            real_kill(self.pid, LOOK)
            self.channel.sock.settimeout(GRACE)
            kind, _, *more = self.channel.receive()
            if kind == process_wire.LOOKS:
                where = more[0]
        self.kill()
        return where

    def _message(self, kind: str, notes: Any, *more: Any) -> bool:
        """Do what a message asks; whether more will come."""
        for note in notes:
            self._note(*note)
        if kind == process_wire.ASK:
            self._step(*more)
        elif kind == process_wire.LAUNCH:
            self._launch(*more)
        elif kind == process_wire.END:
            self._end(*more)
            return False
        return True

    def _note(self, what: str, *about: Any) -> None:
        if what == "record":
            self.worker.record(about[0])
        elif what == "seen":
            self.worker.seen(*about)
        elif what == "at":
            callers.functions.setdefault(*about)
        elif what == "pid":
            self.pid = about[0]
        elif what == "killed":
            end_of(self.hub, *about)

    # --- steps ------------------------------------------------------------------------------
    def _step(self, fields: tuple[Any, ...], payload: Any) -> None:
        op = self._op(*fields)
        result = self.worker.step(op, self._parked)
        extra = None
        if op.target >= 0 and op.kind in (PUT, GET, READ):
            extra = stored(self.hub, op, result, payload)
        self.channel.send(process_wire.GRANT, wrapped(result), self.hub.controller.now, extra)

    def _parked(self) -> None:
        self.channel.send(process_wire.PARKED)
        _, notes = self._receive()
        for note in notes:
            self._note(*note)

    def _op(self, kind: int, target: Any, at: str, value: Value, timeout: float | None,
            blocking: bool, expect: Any, body: Any) -> Op:  # fmt: skip
        if kind == ATOMIC:
            reads, writes, shown = body
            body = Touching(map(self._number, reads), map(self._number, writes), shown)
        elif kind in ON_WORKER:
            target = self.hub.layout.worker(target)
            body = tuple(map(self._number, body)) if body else None
        else:
            target = self._number(target)
        return Op(kind, target, at, value, timeout, blocking, expect, body)

    def _number(self, target: Any) -> int:
        return self._thing(*target) if target.__class__ is tuple else int(target)

    def _thing(self, name: str, rest: Any, holders: list[str], process: str) -> int:
        """The number of a thing that the process has told all about."""
        hub = self.hub
        number = hub.layout.number_of(name)
        if number is not None and name in hub.foreign:
            return number
        type_, value, lock, parties, maxsize, order = rest
        if lock.__class__ is tuple:
            lock = self._thing(*lock)
        hub.foreign.add(name)
        if name.endswith(f" in {process}"):
            hub.copied.add(name)
        number = hub.thing(ObjectSpec(name, type_, value, lock, parties, maxsize, order))
        model = hub.controller.models[number]
        for holder in holders:
            if isinstance(model, LockModel):
                model.take_back(hub.layout.worker(holder), 1)
                hub.controller.remarks[number] = (
                    f"{name} is a copy from the fork: {holder} held the lock then, and does not "
                    f"exist in {process}, so that nobody can release it"
                )
        return number

    # --- its children -----------------------------------------------------------------------
    def _launch(self, name: str, daemon: bool) -> None:
        hub = self.hub
        child = Worker(hub, hub.layout.worker(name))
        child.daemon = daemon
        self.channel.send(process_wire.GO)
        _, descriptors, _, _ = socket.recv_fds(self.channel.sock, 1, 1)
        relay = Relay(hub, child, Channel(socket.socket(fileno=descriptors[0])), self.stall)
        launch(self.worker, relay)
        self.channel.send(process_wire.GO)

    # --- its end ----------------------------------------------------------------------------
    def _end(self, fields: tuple[Any, ...], held: list[str]) -> None:
        if held:  # what its files hold is given up when it exits, and not before
            _over(self.pid)
            self._drop()
        self.channel.close()
        error = process_wire.ended(fields)
        if error is not None:
            raise error

    def _drop(self) -> None:
        process = self.worker.label
        for model in self.hub.controller.models:
            if isinstance(model, FileLockModel):
                model.drop(process)

    def _died(self) -> None:
        """The process is gone without a word."""
        self.channel.close()
        if self.hub.phase is Phase.UNWIND:
            return
        how = self.hub.killed.get(self.worker.number)
        if how != "":
            self.hub.controller.crash(self.worker.number, how or self._how())
        self._drop()

    def _how(self) -> str:
        if self.reaps:
            self.reap()
        elif self.pid and self.status is None and hasattr(os, "waitid"):
            with contextlib.suppress(OSError):  # looked at only: the program may wait for it
                _over(self.pid)
                found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
                if found is not None:
                    exited = found.si_code == os.CLD_EXITED
                    self.status = found.si_status if exited else -found.si_status
        if self.status is None:
            return "its process ended"
        if self.status < 0:
            return signal.Signals(-self.status).name
        return f"exit status {self.status}"

    def dismiss(self) -> None:
        """The schedule is over: let the process unwind, or end it."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.sock.settimeout(GRACE)
            self.channel.send(process_wire.OVER)
            while self.channel.receive()[0] != process_wire.END:
                self.channel.send(process_wire.OVER)
        self.channel.close()

    def kill(self) -> None:
        """End the process at once."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                real_kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the end of the process, which is killed where it takes too long."""
        if self.status is None and self.pid:
            self.status = reaped(self.pid)


def reaped(pid: int) -> int | None:
    """The exit status of a child that ends, or is killed; None where it is no child of ours."""
    try:
        if not _over(pid):
            real_kill(pid, signal.SIGKILL)
        _, status = real_waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        return None
    return os.waitstatus_to_exitcode(status)


def _over(pid: int) -> bool:
    """Wait for the end of a process. Whether it has come in time."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                return bool(select.select([descriptor], [], [], GRACE)[0])
            finally:
                real_close(descriptor)
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                return True
        time.sleep(0.001)
    return False


def launch(parent: Worker, relay: Relay) -> None:
    """Let ``relay`` serve its worker; returns when that has come to its first op."""
    hub = relay.hub
    hub.relays.append(relay.channel)
    with Through(parent):
        pooled: Pooled = hub.pool(relay.worker.number)
        run: Callable[[], object] = partial(pooled.take, relay.worker, relay.serve)
        hub.launch(relay.worker, parent.baton, run)
        parent.baton.acquire()
    if hub.phase is Phase.UNWIND:
        raise Abandon


def stored(hub: Hub, op: Op, result: Value, payload: Any) -> Any:
    """Move an item of a queue, after its put or get: what a get got, or how many there are."""
    store = hub.stores.get(hub.layout.names[op.target])
    if store is None:
        return None
    if op.kind == PUT:
        if result is True:
            store.append(payload)
        return None
    if op.kind == GET:
        return store.popleft() if result is None else None
    return len(store)


def end_of(hub: Hub, name: str, how: str, at: str) -> None:
    """A worker was killed by another: ``how`` is "" where that is the program's own way.

    Its next step is its death: another worker may go on before that, it itself may not.
    """
    number = hub.layout.worker(name)
    controller = hub.controller
    if controller.ended[number] or controller.pending[number] is None:
        return
    hub.killed[number] = how
    controller.waiting[number] = False
    controller.timers.pop(number, None)
    controller.pending[number] = Op(CRASH, -1, at)
