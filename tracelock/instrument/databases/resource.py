"""A database as a shared resource: what its statements are steps on, and how one waits for it.

What happens inside of a transaction is the business of the real library, which runs: here it is
only decided who comes next. Of a database named ``NAME`` there are two variables. ``NAME`` is what
can be read of it: to begin or to end a read is to read this variable, to commit is to write it. A
database in a file has the name of the file, so that whoever looks whether that is there depends on
who makes it. ``NAME write lock`` is the right to change it, which the changing statements of a
transaction write, and its end. A connection has a variable too, since what is done by one
connection comes one after the other, whoever does it.

The library never waits: where it would, it refuses, and the worker waits in virtual time until some
other connection has let go of something. Then it tries again, which is a step of its own.

This module knows no library. One more (PostgreSQL) is a subclass of `DatabaseSession`, of which it
has to say how statements touch the database (`Touches`), what it holds (``state``), whether an
error means that another connection is in the way, and whether the library would wait for it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.databases.copies import FileCopies
from tracelock.instrument.files.access import touch
from tracelock.instrument.hub import Hub, Phase
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Worker, here
from tracelock.ops import ATOMIC, READ, SET, WAIT, WRITE, ObjectSpec, Op
from tracelock.trace.databases import CONNECTION, WAITS, WRITE_LOCK, told

_Result = TypeVar("_Result")

#: Why a connection cannot be used in the next schedule.
LIVES_ON: Final = (
    "a connection to a database {} lives on from one schedule to the next, which has to begin with "
    "the same content: let `setup` open it, or make the database before"
)
#: What a session holds of its databases.
NOTHING: Final = 0
READING: Final = 1
WRITING: Final = 2


class Touches(NamedTuple):
    """How a statement touches each database of its session.

    ``reads``: begins or ends a read of what is committed. ``writes``: what is committed may change,
    or readers may be let in or shut out. ``locks``: the right to write may be taken or given up.
    """

    reads: bool = False
    writes: bool = False
    locks: bool = False


#: The statement is about the session alone.
OWN: Final = Touches()
READS: Final = Touches(reads=True)
CHANGES: Final = Touches(locks=True)
COMMITS: Final = Touches(writes=True, locks=True)
#: What ends a session, or a transaction, by what it holds.
ENDS: Final = {NOTHING: OWN, READING: READS, WRITING: COMMITS}


class DatabaseSession:
    """One connection under control.

    ``label``: its name, by who uses it first in a schedule. ``databases``: the names of the
    variables of those that it has, none where all is its own. ``limit``: how long a statement
    waits, in seconds.
    """

    #: The exceptions of the library by which a statement may be refused.
    errors: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, registry: Databases, limit: float) -> None:
        self.registry = registry
        self.label = ""
        self.limit = limit
        self.born = registry.hub.schedule
        self._met = 0  # in which schedule it was used last
        self.stale = ""  # why it cannot be used in a later schedule
        self.databases: tuple[str, ...] = ()
        self.whole = False  # of its databases it is not known what of them a statement touches

    # --- what each library does in its own way ------------------------------------------------
    def state(self) -> int:
        """What the session holds now: ``NOTHING``, ``READING`` or ``WRITING``."""
        raise NotImplementedError

    def attempt(self) -> None:
        """A statement is tried next."""

    def in_the_way(self, error: Exception) -> bool:
        """Whether a statement was refused because of what another session holds."""
        raise NotImplementedError

    def would_wait(self) -> bool:
        """Whether the library would have waited, in the attempt that was refused."""
        raise NotImplementedError

    def resume(self, worker: Worker) -> None:
        """A schedule uses it for the first time: its files are kept, and it is listened to."""
        raise NotImplementedError

    def end(self) -> set[str]:
        """The schedule is over: the connection gives up what it holds. The files that it has, if
        the program still has it; then ``stale`` says why it must not be used any more, if so."""
        raise NotImplementedError

    def let_go(self) -> None:
        """Control is over: the connection does by itself what it would have done."""
        raise NotImplementedError

    def meet(self, worker: Worker) -> None:
        """A worker uses the connection. Raises UsageError for one that a later schedule than its
        own cannot have."""
        hub = worker.hub
        if self._met == hub.schedule:
            return
        self._met = hub.schedule
        self.label = f"{worker.label}#{worker.count('connection of a database')}"
        self.registry = databases_of(hub)
        self.registry.sessions.add(self)
        if self.born != hub.schedule:
            if self.stale:
                raise UsageError(self.stale)
            worker.doubt(
                "connections that live on",
                "they were opened in one schedule and are used in the next ones",
            )
        self.resume(worker)

    # --- statements ----------------------------------------------------------------------------
    def run(
        self, worker: Worker, text: str, touches: Touches, call: Callable[[], _Result],
        others: Iterable[DatabaseSession] = (),
    ) -> _Result:  # fmt: skip
        """Do ``call``, a statement which is told as ``text``, when it is this worker's turn.

        ``others``: sessions whose databases it changes too. Raises what the library raises, after
        a wait for others where the library would have waited.
        """
        self.meet(worker)
        for other in others:
            other.meet(worker)
        at = caller(worker, 3)
        controller: Any = getattr(worker.hub, "controller", None)
        until: float | None = None
        while True:
            stepped = self._step(worker, at, text, touches, others)
            before = self.state()
            self.attempt()
            try:
                result = call()
            except self.errors as error:
                refused = self.in_the_way(error)
                self._done(worker, at, text, before, refused, stepped)
                if not refused or worker.hub.phase is not Phase.RUN or not self.would_wait():
                    raise
                if until is None:
                    until = controller.now + self.limit
                left = until - controller.now
                if left <= 0 or not self._wait(worker, at, left):
                    raise
                continue
            except BaseException:
                self._done(worker, at, text, before, False, stepped)
                raise
            self._done(worker, at, text, before, False, stepped)
            return result

    def own(self, worker: Worker, text: str) -> None:
        """The scheduling point before something is asked of the connection itself."""
        if worker.hub.phase is Phase.RUN:
            self.meet(worker)
            touch(worker, caller(worker, 3), [CONNECTION + self.label])

    def _step(
        self,
        worker: Worker,
        at: str,
        text: str,
        touches: Touches,
        others: Iterable[DatabaseSession],
    ) -> bool:
        reads: list[str] = []
        writes = [CONNECTION + self.label]
        for name in self.databases:
            if self.whole and touches is not OWN:
                writes.append(name)
                continue
            if touches.reads:
                reads.append(name)
            if touches.writes:
                writes.append(name)
            if touches.locks:
                writes.append(name + WRITE_LOCK)
        for other in others:
            writes.append(CONNECTION + other.label)
            for name in other.databases:
                writes += [name, name + WRITE_LOCK]
        return touch(worker, at, reads, writes, told(self.label, text))

    def _done(
        self, worker: Worker, at: str, text: str, before: int, refused: bool, stepped: bool
    ) -> None:
        """The record says what came of it; if something was given up, those who wait may go on."""
        after = self.state()
        if stepped:
            _record(worker, told(self.label, text, after, refused))
        if after < before:
            self.registry.released(worker, at, self.databases)

    def _wait(self, worker: Worker, at: str, seconds: float) -> bool:
        """Wait until another session has given up something. Whether that came in time."""
        hub, registry = worker.hub, self.registry
        name = self.databases[0] if self.databases else "database"
        label = f"{name}{WAITS}#{worker.count(name + WAITS)}@{worker.label}"
        number = hub.number_for(ObjectSpec(label, "flag", value=0))
        registry.waiting[number] = self.databases
        try:
            return bool(worker.step(Op(WAIT, number, at, None, seconds)))
        finally:
            registry.waiting.pop(number, None)


def _record(worker: Worker, text: str) -> None:
    """The step that has been made is told as ``text``."""
    controller = worker.hub.controller
    if worker.hub.phase is not Phase.RUN or not controller.log:
        return
    if controller.log[-1][0] != worker.number:
        return  # others went on meanwhile, in a function of the program that the library called
    op = controller.log[-1][2]
    if op.kind == READ:
        worker.record(text)
    elif op.kind == WRITE:
        op.value = text
    elif op.kind == ATOMIC:
        result = controller.log[-1][3]
        if isinstance(result, dict):
            writes = dict.fromkeys(result["writes"], text)
            controller.replace({"reads": dict.fromkeys(result["reads"], text), "writes": writes})


class Databases(Wing):
    """The sessions of one schedule, who waits for a database, and the files as they were before.

    ``waiting``: by the number of what a worker waits for, the databases that it is about.
    """

    key = "databases"
    lasts = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.waiting: dict[int, tuple[str, ...]] = {}
        self.sessions: weakref.WeakSet[DatabaseSession] = weakref.WeakSet()
        self.copies = FileCopies()

    def begin(self) -> None:
        """A schedule begins."""
        self.waiting.clear()

    def released(self, worker: Worker, at: str, names: tuple[str, ...]) -> None:
        """A session has given up something of these databases: who waits for one may try again."""
        if worker.hub.phase is not Phase.RUN:
            return
        for number, about in list(self.waiting.items()):
            if number in self.waiting and not {*about}.isdisjoint(names):
                del self.waiting[number]
                worker.step(Op(SET, number, at))

    def ended(self) -> None:
        """The schedule is over: no session holds anything, and the files are as they were."""
        sessions = list(self.sessions)
        lasting = {session: files for session in sessions if (files := session.end())}
        self.waiting.clear()
        gone = self.copies.put_back(set().union(*lasting.values()))
        for session, files in lasting.items():
            if not gone.isdisjoint(files):
                session.stale = session.stale or LIVES_ON.format("that the same schedule has made")

    def let_go(self) -> None:
        """Control is over."""
        for session in list(self.sessions):
            session.let_go()
        self.sessions.clear()


def databases_of(hub: Hub) -> Databases:
    """Those of this schedule."""
    return hub.wing(Databases)


def session_worker() -> Worker | None:
    """The worker on this thread, if its sessions are under control: those of other processes are
    not."""
    worker = here()
    return None if worker is None or worker.elsewhere else worker
