"""A worker in another process than the controller: it asks through a channel.

The process was forked from the one where the controller is, or from one that was, and has a copy
of its memory: the hub, the names, the layout. Objects that processes share (objects of
``multiprocessing``, files) are known by the number that they had before the fork, or by name.
What is in ordinary memory is the process's own from the fork on: a lock of ``threading`` is then
another one, which begins in the state that the first one had.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar, cast

from tracelock.engine.effects import unwrap
from tracelock.errors import InternalError, TracelockError
from tracelock.instrument import callers
from tracelock.instrument.failures import failure_of, stack_of
from tracelock.instrument.files.access import paths_of
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, contexts
from tracelock.instrument.processes import wire
from tracelock.instrument.processes.buffers import item_touched
from tracelock.instrument.processes.wire import Channel, ending
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.objects import VARIABLE
from tracelock.ops import ATOMIC, CHOOSE, ON_WORKER, READ, ObjectSpec, Op, Value

_Wing = TypeVar("_Wing", bound=Wing)
real_exit: Final = os._exit
#: What makes a process say where it is and end: it does not come to an op.
LOOK: Final = signal.SIGUSR2
_DEATH: Final = 1  # PR_SET_PDEATHSIG
_libc: Any = None
with contextlib.suppress(OSError, AttributeError):
    _libc = ctypes.CDLL(None)
    _libc.prctl  # noqa: B018


class RemoteWorker(Worker):
    """A worker of this process. ``process``: what the process is called.

    ``base``: objects with lower numbers are known to the controller. ``leads``: the process ends
    when this worker does. ``by_fork``: made by ``os.fork``; its own way to end is ``_exit``.
    ``stay``: whether the process may go on to another schedule (see ``staying``), None where it
    may not; ``stays``: it does; ``bars`` tells what keeps it from that, of what was recorded.
    """

    elsewhere = True

    __slots__ = (
        "bars", "base", "by_fork", "channel", "extra", "leads", "notes", "process", "reported",
        "stay", "stays",
    )  # fmt: skip

    def __init__(self, hub: Hub, number: int, channel: Channel, process: str, base: int) -> None:
        super().__init__(hub, number)
        self.channel = channel
        self.process = process
        self.base = base
        self.extra: Any = None
        self.notes: list[tuple[Any, ...]] = []
        self.reported: set[Any] = set()
        self.leads = True
        self.by_fork = False
        self.bars: Callable[[], list[str]] | None = None
        self.stay: Any = None
        self.stays = False

    # --- scheduling points ------------------------------------------------------------------
    def step(self, op: Op, parked: Callable[[], None] | None = None, payload: Any = None) -> Value:
        """Ask the controller; ``payload``: what a put puts in."""
        hub = self.hub
        controller = hub.controller
        if hub.phase is Phase.UNWIND:
            raise ScheduleOver
        at = op.at
        if at not in self.reported:
            self.reported.add(at)
            function = callers.functions.get(at)
            if function is not None:
                self.notes.append(("at", at, function))
        answer = self.ask(wire.ASK, self.fields(op), payload)
        while answer[0] == wire.PARKED:
            if parked is not None:
                parked()
                parked = None
            answer = self.ask(wire.WAITS)
        _, result, controller.now, self.extra = answer
        controller.op = op
        controller.log.append((self.number, op.kind, op, None, None, 0.0))
        controller.result = unwrap(result)
        return controller.result

    def exchange(self, op: Op, data: bytes | None = None) -> tuple[Value, Any]:
        return self.step(op, None, data), self.extra

    def ask(self, kind: str, *more: Any) -> Any:
        """Send a message with all notes; the answer. Raises ScheduleOver."""
        notes, self.notes = self.notes, []
        try:
            self.channel.send(kind, notes, *more)
            answer = self.channel.receive()
        except (OSError, EOFError):
            real_exit(1)  # the controller is gone
        return self._heed(answer)

    def ends_itself(self) -> None:
        """The code is about to end this process: what follows was not done from outside."""
        with contextlib.suppress(OSError):
            self.channel.send_aside(wire.DIES, [])

    def _heed(self, answer: Any) -> Any:
        if answer[0] == wire.OVER:
            self.hub.phase = Phase.UNWIND
            raise ScheduleOver
        return answer

    def fields(self, op: Op) -> tuple[Any, ...]:
        """An op as plain data, its target in the controller's terms."""
        kind = op.kind
        body = op.body
        target: Any = op.target
        if kind == ATOMIC:
            reads, writes = (
                [self.reference(n) for n in part] for part in (body.reads, body.writes)
            )
            body = (reads, writes, body.shown)
        elif kind == CHOOSE:
            body = (body.name, body.count, body.shown)
        elif kind in ON_WORKER:
            target = self.hub.layout.workers[target].name
            body = [self.reference(n) for n in body] if body else None
        elif target >= 0:
            target = self.reference(target)
        return (kind, target, op.at, op.value, op.timeout, op.blocking, op.expect, body)

    def reference(self, number: int) -> Any:
        """An object in the controller's terms: its number, or its description."""
        hub = self.hub
        spec = hub.layout.objects[number]
        if spec.type == VARIABLE or spec.name in hub.interprocess:
            if number < self.base:
                return number
            return self._described(spec, spec.name, ())
        model = hub.controller.models[number]
        holders = model.holders() if model is not None else ()
        return self._described(spec, f"{spec.name} in {self.process}", holders)

    def _described(self, spec: ObjectSpec, name: str, holders: tuple[int, ...]) -> Any:
        lock = self.reference(spec.lock) if spec.lock >= 0 else -1
        rest = (spec.type, spec.value, lock, spec.parties, spec.maxsize, spec.order)
        names = [self.hub.layout.workers[holder].name for holder in holders]
        return (name, rest, names, self.process)

    def record(self, value: Value) -> None:
        self.notes.append(("record", value))

    def used_by_name(self, label: str, kind: int) -> None:
        key = (label, kind)
        if key not in self.reported:
            self.reported.add(key)
            self.notes.append(("seen", label, kind))

    # --- what rewritten code calls: memory is the process's own -----------------------------
    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Sequence[tuple[object, str | None]] = (),
    ) -> None:  # fmt: skip
        self.last = None
        if self.uncontrolled:
            return
        if self.hub.phase is Phase.UNWIND:
            raise ScheduleOver
        if obj.__class__ is memoryview:
            item_touched(obj, kind, self, site.at, value)
        for one, _ in also:
            if one.__class__ is memoryview:
                item_touched(one, READ, self, site.at, None)

    def found(self, obj: object, holder: object, name: str | None) -> None:
        pass

    def unsure(self, parts: Iterable[tuple[object, str | None]], what: str, why: str) -> None:
        pass

    def whole(self, obj: object, what: str, site: Any) -> None:
        pass

    def saw(self, value: object) -> None:
        pass

    def home(self, kind: type[_Wing]) -> _Wing:
        return cast(_Wing, WingAtHome(self, kind.key))

    # --- threads and processes that it starts -----------------------------------------------
    def launching(self, name: str, daemon: bool) -> Channel:
        """A thread or process is about to start that is a worker: its end of a channel."""
        ours, theirs = wire.raw_pair()
        self.ask(wire.LAUNCH, name, daemon)
        try:
            socket.send_fds(self.channel.sock, [b"\0"], [ours.fileno()])  # type: ignore[arg-type]
        except OSError:
            real_exit(1)
        ours.close()
        return Channel(theirs)

    def thread_of(self, number: int, thread: Any) -> RemoteWorker:
        hub = self.hub
        channel = self.launching(hub.layout.workers[number].name, bool(thread.daemon))
        child = RemoteWorker(hub, number, channel, self.process, self.base)
        child.leads = False
        child.notes += [("pid", os.getpid()), ("thread",)]
        hub.relays.append(channel)
        return child

    def launch_thread(self, child: Worker, start: Callable[[], object]) -> None:
        with Uncontrolled(self):
            start()
        self.launched()

    def launched(self) -> None:
        """It has started: wait until it has come to its first op."""
        try:
            self._heed(self.channel.receive())
        except EOFError:
            real_exit(1)

    # --- its life ---------------------------------------------------------------------------
    def work(self, run: Callable[[], object]) -> None:
        def begin() -> None:
            self.await_begin()
            run()

        super().work(begin)

    def live_on(self, run: Callable[[], object]) -> None:
        """Live, and again in each further schedule that this process may go on to."""
        worker = self
        while True:
            if worker.stay is None:
                worker.live(run)
            else:
                worker.stay.run(worker.live, run)
            if not worker.stays:
                return
            worker = worker.stay.again(worker)

    def await_begin(self) -> None:
        """Wait until it is to begin."""
        with contextlib.suppress(EOFError):
            if self.channel.receive()[0] == wire.BEGIN:
                if self.stay is not None and not self.stay.alike.count_again():
                    raise InternalError("a semaphore could not be put back")
                return
        real_exit(1)

    def finish(self) -> None:
        self.hub.names.let_die(self.fresh)
        error = self.error
        fields: tuple[str, ...] = ()
        if isinstance(error, TracelockError):
            fields = ending(error)
        elif error is not None and not isinstance(error, (*self.hub.expected, SystemExit)):
            fields = ending(failure_of(error))
        if self.leads:
            with Uncontrolled(self):
                flush()
        contexts.pop(self.ident, None)
        self.leave(fields)

    def end(self) -> None:
        """Its code has ended, and the process does too."""
        self.finish()
        self.exit()

    def exit(self) -> None:
        """End the process of this worker, which has finished."""
        real_exit(0 if self.error is None else 1)

    def leave(self, fields: tuple[str, ...] = ()) -> None:
        """Tell the controller that this worker is no more."""
        if self.leads:
            with contextlib.suppress(ScheduleOver):
                self.hub.wings.leaves(self)
        if self.stay is not None and self.leads:
            self.stays = not fields and self.stay.may(self)
        if self.leads and self.hub.account is not None:
            recorded = self.hub.recorder is not None
            self.notes.append(("account", self.hub.account.ends_here()))
            if recorded and self.bars is not None:
                self.notes.append(("bars", self.bars()))
        handles = paths_of(self.hub).handles.values()
        held = sorted({name for handle in handles for name in handle.locked})
        with contextlib.suppress(OSError):
            self.channel.send(wire.END, self.notes, fields, held, self.stays)
        if not self.leads:
            self.channel.close()


class WingAtHome:
    """A wing that is kept where the controller is: its methods are called there. Raises what they
    raise of the errors that end a worker."""

    def __init__(self, worker: RemoteWorker, key: str) -> None:
        self._worker = worker
        self._key = key

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(worker: RemoteWorker, *about: Any) -> Any:
            _, result, fields = worker.ask(wire.HOME, self._key, name, about)
            error = wire.ended(fields)
            if error is not None:
                raise error
            return result

        return call


def flush() -> None:
    """Write out what is in the buffers of the standard streams, which a fork would double."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


def die_with_parent(parent: int) -> None:
    """Where the system can see to it, this process, which ``parent`` has forked, ends with it."""
    if _libc is not None and sys.platform == "linux":
        _libc.prctl(_DEATH, signal.SIGKILL)
        if os.getppid() != parent:
            real_exit(1)


def enter(hub: Hub, number: int, channel: Channel, process: str, base: int,
          parent: int) -> RemoteWorker:  # fmt: skip
    """This process, just forked, is the one of worker ``number``. ``parent``: who forked it."""
    die_with_parent(parent)
    for other in hub.relays:
        # those of the controller, or of workers of the process that has forked: its death must be
        # seen although this process exists
        other.close()
    hub.relays = [channel]
    hub.pids.clear()
    hub.phase = Phase.RUN
    hub.over = False
    hub.controller.log = []
    hub.controller.observer = None
    # the interpreter has seeded it anew, with what is random
    random.seed(zlib.crc32(process.encode()))
    paths = paths_of(hub)
    paths.process = process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = RemoteWorker(hub, number, channel, process, base)
    signal.signal(LOOK, partial(_say_where, channel))
    return worker


def _say_where(channel: Channel, number: int, frame: FrameType | None) -> None:
    """The handler of a signal: where this process is. Ends it."""
    parts = [stack_of(frame)]
    main = threading.get_ident()
    for ident, other in sys._current_frames().items():
        if ident != main and ident in contexts:
            parts.append(stack_of(other))
    with contextlib.suppress(OSError):
        channel.send_aside(wire.STACK, [], "\n".join(parts))
    real_exit(1)
