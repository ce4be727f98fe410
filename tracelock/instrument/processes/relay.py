"""The controller's side of a worker in another process: who asks on its behalf.

To the hub such a worker is one like any other: it comes to ops and ends. All that is done here is
to take a message from the process, make the step, and send the answer: on a thread of the pool,
with a baton, as other workers have it (``serve``), or all of them on one thread (``turns``).
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
from typing import Any, Final

from tracelock.errors import LimitReached, TracelockError
from tracelock.instrument import callers
from tracelock.instrument.hub import Hub, Phase, ScheduleOver
from tracelock.instrument.processes import wire
from tracelock.instrument.processes.remote import LOOK
from tracelock.instrument.processes.wire import Channel, wrapped
from tracelock.instrument.steps import VariablesStep
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.objects.files import FileLockModel
from tracelock.objects.locks import LockModel
from tracelock.ops import (
    ATOMIC,
    CHOOSE,
    CRASH,
    GET,
    ON_WORKER,
    PUT,
    READ,
    Alternatives,
    ObjectSpec,
    Op,
    Value,
)

real_waitpid: Final = os.waitpid
real_kill: Final = os.kill
real_close: Final = os.close
#: How long a process may take to unwind and to exit, in seconds.
GRACE: Final = 1.0
#: How often one that awaits a message looks at what else there is, in seconds.
LOOKS: Final = 0.25


class Relay:
    """Serves ``worker`` over ``channel``.

    ``pid``: its process; ``reaps``: that is to be awaited here, and not by the program; ``thread``:
    the worker is one of several of its process. ``op``: at which it is; ``over``: it has ended;
    ``stays``: its process waits for another schedule. ``bars``: what it has called that keeps it
    from that, None where nobody has looked. ``glance`` is called now and then while a message is
    awaited.
    """

    def __init__(self, hub: Hub, worker: Worker, channel: Channel, reaps: bool = False) -> None:
        self.hub = hub
        self.worker = worker
        self.channel = channel
        self.reaps = reaps
        self.pid = 0
        self.status: int | None = None
        self.ends_itself = False
        self.over = False
        self.thread = False
        self.op: Any = None
        self.payload: Any = None
        self.launches: tuple[Any, ...] = ()
        self.glance: Callable[[], object] = lambda: None
        self._told_parked = False
        self.stays = False
        self.bars: list[str] | None = None
        worker.uncontrolled = 1  # what this thread calls is not the program's doing
        hub.relays.append(self.channel)

    def launch(self, parent: Worker) -> None:
        """Serve a worker that ``parent`` starts; returns when it has come to its first op."""
        with Uncontrolled(parent):
            pooled = self.hub.pool(self.worker.number)
        parent.launch(self.worker, partial(pooled.take, self.worker, self.serve))

    # --- its life ---------------------------------------------------------------------------
    def serve(self) -> None:
        """Serve until the worker has ended. Raises what ended it."""
        self._served(self.begin)

    def go_on(self) -> None:
        """The same for one that another thread has served so far, and that waits at its op."""
        self._served(self._go_on)

    def go_on_launching(self) -> None:
        """The same for one whose turn it is, and that launches another."""
        self._served(lambda: self._launch(*self.launches))

    def _served(self, first: Callable[[], object]) -> None:
        try:
            first()
            while self._message(*self.receive()):
                pass
        except (EOFError, OSError):
            self._died()
        except ScheduleOver:
            self.dismiss()
            raise

    def begin(self) -> None:
        """Let the worker begin. Raises OSError where its process is gone."""
        self.channel.bound(LOOKS)
        self.channel.send(wire.BEGIN)

    def _go_on(self) -> None:
        hub, worker = self.hub, self.worker
        worker.wait()
        while hub.controller.parked:
            self.parked()
            to = hub.decide()
            if to != worker.number:
                hub.hand_over(to)
                worker.wait()
        self.grant()

    def receive(self) -> Any:
        """The next message. Raises LimitReached where none comes."""
        waited = 0.0
        while True:
            try:
                return self.channel.receive()
            except TimeoutError:
                self.glance()
                waited += LOOKS
                if waited >= self.hub.stall:
                    raise LimitReached(
                        f"is stuck outside tracelock's control:\n{self._where()}"
                    ) from None

    def _where(self) -> str:
        """The stack of a process that comes to no op. Kills it."""
        where = "its process does not answer"
        with contextlib.suppress(OSError, EOFError):
            real_kill(self.pid, LOOK)
            self.channel.bound(GRACE)
            kind, _, *more = self.channel.receive()
            if kind == wire.STACK:
                where = more[0]
        self.kill()
        return where

    def _message(self, kind: str, notes: Any, *more: Any) -> bool:
        """Do what a message asks; whether more will come."""
        self._take(notes)
        self._MESSAGES[kind](self, *more)
        return kind != wire.END

    def _take(self, notes: Any) -> None:
        for what, *about in notes:
            self._NOTES[what](self, *about)

    # --- steps ------------------------------------------------------------------------------
    def come(self) -> bool:
        """Take messages until the worker has come to an op; False where it has ended. It may also
        be about to launch another (``launches``). Where one thread serves all."""
        hub, worker = self.hub, self.worker
        try:
            while True:
                kind, notes, *more = self.receive()
                if notes:
                    self._take(notes)
                if kind == wire.ASK:
                    self._asks(*more)
                    hub.controller.ask(worker.number, self.op)
                    return True
                if kind == wire.LAUNCH:
                    self.launches = tuple(more)
                    return True
                self._MESSAGES[kind](self, *more)
                if kind == wire.END:
                    break
        except (EOFError, OSError):
            self._died()
        except Exception as error:
            worker.error = error
        self.over = True
        try:
            hub.ended(worker)
        except Exception as error:
            hub.error = error
        return False

    def _asks(self, fields: tuple[Any, ...], payload: Any) -> None:
        self.op, self.payload, self._told_parked = self._op(*fields), payload, False

    def _step(self, fields: tuple[Any, ...], payload: Any) -> None:
        self._asks(fields, payload)
        self.worker.step(self.op, self.parked)
        self.grant()

    def grant(self) -> None:
        """Tell the worker what its op has come to."""
        op, controller = self.op, self.hub.controller
        extra, result = None, controller.result
        if op.target >= 0 and op.kind in (PUT, GET, READ):
            extra = self.hub.exchanged(op, result, self.payload)
        self.channel.send(wire.GRANT, wrapped(result), controller.now, extra)

    def parked(self) -> None:
        """Tell the worker, the first time, that its op has begun to wait."""
        if self._told_parked:
            return
        self._told_parked = True
        self.channel.send(wire.PARKED)
        _, notes = self.receive()
        self._take(notes)

    def _op(self, kind: int, target: Any, at: str, value: Value, timeout: float | None,
            blocking: bool, expect: Any, body: Any) -> Op:  # fmt: skip
        if kind == ATOMIC:
            reads, writes, shown = body
            body = VariablesStep(map(self._number, reads), map(self._number, writes), shown)
        elif kind == CHOOSE:
            body = Alternatives(*body)
        elif kind in ON_WORKER:
            target = self.hub.layout.worker(target)
            body = tuple(map(self._number, body)) if body else None
        else:
            target = self._number(target)
        return Op(kind, target, at, value, timeout, blocking, expect, body)

    def _number(self, target: Any) -> int:
        return self._described(*target) if target.__class__ is tuple else int(target)

    def _described(self, name: str, rest: Any, holders: list[str], process: str) -> int:
        """The number of an object that the process has described."""
        hub = self.hub
        number = hub.layout.number_of(name)
        if number is not None and name in hub.described:
            return number
        type_, value, lock, parties, maxsize, order = rest
        if lock.__class__ is tuple:
            lock = self._described(*lock)
        hub.described.add(name)
        if name.endswith(f" in {process}"):
            hub.fork_copies.add(name)
        number = hub.number_for(ObjectSpec(name, type_, value, lock, parties, maxsize, order))
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
        self.channel.send(wire.GO)
        _, descriptors, _, _ = socket.recv_fds(self.channel.sock, 1, 1)  # type: ignore[arg-type]
        Relay(hub, child, Channel(wire.RawSocket(fileno=descriptors[0]))).launch(self.worker)
        self.channel.send(wire.GO)

    def _dies(self) -> None:
        self.ends_itself = True
        self.channel.expect_end()

    # --- its end ----------------------------------------------------------------------------
    def _end(self, fields: tuple[Any, ...], held: list[str], stays: bool) -> None:
        if held:  # what its files hold is given up when it exits, and not before
            over(self.pid)
            self._drop()
        self.stays = stays
        if not self.thread:
            self.hub.gone.add(self.pid)
        if not stays:
            self.channel.close()
        error = wire.ended(fields)
        if error is not None:
            raise error

    def _home(self, key: str, name: str, about: tuple[Any, ...]) -> None:
        """A method of a wing is called on behalf of the worker."""
        result, fields = None, ()
        try:
            result = getattr(self.hub.wing(Wing.kinds[key]), name)(self.worker, *about)
        except TracelockError as error:
            fields = wire.ending(error)  # type: ignore[assignment]
        self.channel.send(wire.RETURN, result, fields)

    def _drop(self) -> None:
        process = self.worker.label
        for model in self.hub.controller.models:
            if isinstance(model, FileLockModel):
                model.drop(process)

    def _died(self) -> None:
        """The process has ended without a message."""
        self.channel.close()
        if self.hub.phase is Phase.UNWIND or (self.thread and self.pid in self.hub.gone):
            return
        how = self.hub.killed.get(self.worker.number)
        if how is None:
            how = self._how()
            if self.status == -signal.SIGKILL and not self.ends_itself:
                self._ended_from_outside()
        if how:
            self.hub.controller.crash(self.worker.number, how)
        self._drop()
        if self.status is None:
            over(self.pid)
        self.hub.wings.died(self.worker)

    def _ended_from_outside(self) -> None:
        """Nothing that the program has asked for: the user, or the system without memory. What the
        process did of its last step nobody knows, and so how the others would go on."""
        controller = self.hub.controller
        controller.ended_outside(self.worker.number, "SIGKILL")
        controller.limit = controller.limit or controller.killed

    def _how(self) -> str:
        if self.reaps:
            self.reap()
        elif self.pid and self.status is None and hasattr(os, "waitid"):
            with contextlib.suppress(OSError):  # looked at only: the program may wait for it
                over(self.pid)
                found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
                if found is not None:
                    exited = found.si_code == os.CLD_EXITED
                    self.status = found.si_status if exited else -found.si_status
        if self.status is None:
            return "its process ended"
        if self.status < 0:
            return signal.Signals(-self.status).name
        return f"exit status {self.status}"

    _MESSAGES: Final[dict[str, Callable[..., object]]] = {
        wire.ASK: _step, wire.LAUNCH: _launch, wire.END: _end,
        wire.DIES: lambda self: self._dies(), wire.HOME: _home,
    }  # fmt: skip
    _NOTES: Final[dict[str, Callable[..., object]]] = {
        "record": lambda self, value: self.worker.record(value),
        "seen": lambda self, label, kind: self.worker.used_by_name(label, kind),
        "at": lambda self, at, function: callers.functions.setdefault(at, function),
        "pid": lambda self, pid: setattr(self, "pid", pid),
        "thread": lambda self: setattr(self, "thread", True),
        "limit": lambda self, why: setattr(self.hub.controller, "limit", why),
        "bars": lambda self, found: setattr(self, "bars", found),
        "account": lambda self, told: self.hub.account.account.hear(told),
        "killed": lambda self, name, how, at: was_killed(self.hub, name, how, at),
    }

    def dismiss(self) -> None:
        """The schedule is over: let the process unwind, or end it."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.bound(GRACE)
            self.channel.send(wire.OVER)
            while self.channel.receive()[0] != wire.END:
                self.channel.send(wire.OVER)
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
        if not over(pid):
            real_kill(pid, signal.SIGKILL)
        _, status = real_waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        return None
    return os.waitstatus_to_exitcode(status)


def over(pid: int) -> bool:
    """Wait for the end of a process. Whether it has come in time."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                return True
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


def connect(hub: Hub, worker: Worker, reaps: bool = False) -> tuple[Relay, Channel]:
    """What serves ``worker``, and the end of the channel that its process gets."""
    ours, theirs = wire.raw_pair()
    shared = wire.handover()
    swapped = None if shared is None else shared.swap()
    return Relay(hub, worker, Channel(ours, shared), reaps), Channel(theirs, swapped)


def was_killed(hub: Hub, name: str, how: str, at: str) -> None:
    """A worker was killed by another: ``how`` is "" where that is the program's own way.

    Its next step is its death: other workers may go on before that, it itself may not.
    """
    number = hub.layout.worker(name)
    controller = hub.controller
    if controller.ended[number] or controller.pending[number] is None:
        return
    hub.killed[number] = how
    controller.waiting[number] = False
    controller.timers.pop(number, None)
    controller.pending[number] = Op(CRASH, -1, at)
