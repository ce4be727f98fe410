"""A database as a shared resource: what its statements are steps on, and how one waits for it.

What happens inside of a transaction is the business of the real library, which runs: here it is
only decided who comes next. Of a database named ``NAME`` there are two variables. ``NAME`` is what
can be read of it: to begin or to end a read is to read this variable, to commit is to write it. A
database in a file has the name of the file, so that whoever looks whether that is there depends on
who makes it. ``NAME write lock`` is the right to change it, which the changing statements of a
transaction write, and its end. A connection has a variable too, since what is done by one
connection comes one after the other, whoever does it.

A statement that is a transaction of its own, and whose effect is known, holds nothing before its
step and nothing after it. Two of these are in each other's way only by what they read and write, so
that they write ``NAME part N`` for what they change, and only look at ``NAME`` and at the right to
write, which says whether they are refused. Who begins or ends a read looks at all parts. A
statement of a transaction that already holds all that it needs is the connection's own: nobody else
can change what it reads, nor does it let anybody in or shut anybody out.

The library never waits: where it would, it refuses, and the worker waits in virtual time until some
other connection has let go of something. Then it tries again, which is a step of its own.

This module knows no library. One more (PostgreSQL) is a subclass of `DatabaseSession`, of which it
has to say how statements touch the database (`Touches`), what it holds (``state``), whether an
error means that another connection is in the way, and whether the library would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.databases.registry import Databases, databases_of, flag_of, getpid
from tracelock.instrument.files.access import touch
from tracelock.instrument.hub import Phase
from tracelock.instrument.worker import Worker, here
from tracelock.ops import READ, WAIT, Op
from tracelock.trace.databases import CONNECTION, DIVIDED, WAITS, WRITE_LOCK, told

_Result = TypeVar("_Result")

#: What a session holds of its databases.
NOTHING: Final = 0
READING: Final = 1
WRITING: Final = 2


#: Why nothing is proved of a process in which there are connections of another one.
INHERITED: Final = (
    "connections to databases that were opened before a fork",
    "what they hold is that of another process, which SQLite does not support",
)


class Touches(NamedTuple):
    """How a statement touches each database of its session.

    ``reads``: begins or ends a read of what is committed. ``writes``: what is committed may change,
    or readers may be let in or shut out. ``locks``: the right to write may be taken or given up.
    ``parts``: it is a transaction of its own, which touches these parts alone: their numbers, each
    with ``READ`` or ``WRITE``. ``held``: it touches nothing, since its transaction already holds
    what it needs, and is told all the same.
    """

    reads: bool = False
    writes: bool = False
    locks: bool = False
    parts: tuple[tuple[int, int], ...] | None = None
    held: bool = False


#: The statement is about the session alone.
OWN: Final = Touches()
READS: Final = Touches(reads=True)
CHANGES: Final = Touches(locks=True)
COMMITS: Final = Touches(writes=True, locks=True)
HELD: Final = Touches(held=True)
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
        self.process = getpid()
        self._met = 0  # in which schedule it was used last
        self.stale = ""  # why it cannot be used in a later schedule
        self.databases: tuple[str, ...] = ()
        self.whole = False  # of its databases it is not known what of them a statement touches
        self.altering = False  # it has changed more than rows, and not committed that yet

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

    def abandon(self) -> None:
        """Its process ends: what it holds is given up."""
        raise NotImplementedError

    @property
    def holds(self) -> bool:
        """Whether it holds anything now."""
        return self.state() != NOTHING

    def leaves(self, worker: Worker) -> None:
        """Give up what it holds, in steps of the worker whose process ends."""
        self.run(worker, "end of process", ENDS[self.state()], self.abandon)

    @property
    def is_closed(self) -> bool:
        """Whether the real connection has been closed."""
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
        if self.process != getpid():
            worker.doubt(*INHERITED)
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
        others: Iterable[DatabaseSession] = (), again: Callable[[], Touches] | None = None,
    ) -> _Result:  # fmt: skip
        """Do ``call``, a statement which is told as ``text``, when it is this worker's turn.

        ``others``: sessions whose databases it changes too. ``again``: how it touches them, asked
        once more where others have gone on with statements since. Raises what the library raises,
        after a wait for others where the library would have waited.
        """
        self.meet(worker)
        for other in others:
            other.meet(worker)
        at = caller(worker, 3)
        controller: Any = getattr(worker.hub, "controller", None)
        until: float | None = None
        while True:
            known = self.registry.statements
            stepped = self._step(worker, at, text, touches, others)
            # of the statements of other processes this one has not heard
            if again is not None and (worker.elsewhere or self.registry.statements != known):
                now = again()
                if now != touches:  # a step for what it has become: this one was none
                    touches = now
                    continue
            before = self.state()
            made = _steps_of(worker)
            self.attempt()
            try:
                result = call()
            except self.errors as error:
                refused = self.in_the_way(error)
                self._done(worker, at, text, before, refused, stepped, made)
                if not refused or worker.hub.phase is not Phase.RUN or not self.would_wait():
                    raise
                if until is None:
                    until = controller.now + self.limit
                left = until - controller.now
                if left <= 0 or not self._wait(worker, at, left):
                    raise
                continue
            except BaseException:
                self._done(worker, at, text, before, False, stepped, made)
                raise
            self._done(worker, at, text, before, False, stepped, made)
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
            self._name(worker, name, touches, reads, writes)
        for other in others:
            writes.append(CONNECTION + other.label)
            for name in other.databases:
                writes += [name, name + WRITE_LOCK]
        return touch(worker, at, reads, writes, told(self.label, text))

    def _name(
        self, worker: Worker, name: str, touches: Touches, reads: list[str], writes: list[str]
    ) -> None:
        """What a statement reads and writes of the database ``name``."""
        if touches.held:
            if worker.hub.phase is Phase.RUN:
                worker.home(Databases).tell(worker, CONNECTION + self.label, name)
            return
        if touches is OWN:
            return
        parts = self.registry.parts(worker, name, touches)
        if touches.parts is not None and parts:
            reads += [name, name + WRITE_LOCK, name + DIVIDED]
            for number, kind in touches.parts:
                (reads if kind == READ else writes).append(parts[number])
            return
        if touches.parts is not None:
            touches = COMMITS
        if touches.reads:
            reads += [name, *parts, name + DIVIDED] if parts else [name]
        if touches.writes:
            writes.append(name)
        if touches.locks:
            writes.append(name + WRITE_LOCK)

    def _done(
        self, worker: Worker, at: str, text: str, before: int, refused: bool, stepped: bool,
        made: int,
    ) -> None:  # fmt: skip
        """The record says what came of it; if something was given up, those who wait may go on.
        ``made``: how many steps there were before its call."""
        after = self.state()
        between = _steps_of(worker) != made
        if between:
            worker.doubt(
                "functions of the program in a statement of SQL",
                "others go on in the middle of the statement, which holds locks by then",
            )
        shown = told(self.label, text, after, refused) if stepped else ""
        if worker.hub.phase is Phase.RUN or not worker.elsewhere:
            worker.home(Databases).made(worker, shown, self.altering)
        self.altering = self.altering and after != NOTHING
        if after < before or between:  # what was held in the middle of it is not held any more
            self.registry.released(worker, at, self.databases)

    def alterations(self) -> int:
        """How many statements may have changed more than rows, in all processes."""
        worker = here()
        if worker is None or not worker.elsewhere or worker.hub.phase is not Phase.RUN:
            return self.registry.alterations
        return worker.home(Databases).altered(worker)

    def _wait(self, worker: Worker, at: str, seconds: float) -> bool:
        """Wait until another session has given up something. Whether that came in time."""
        home = worker.home(Databases)
        name = self.databases[0] if self.databases else "database"
        label = f"{name}{WAITS}#{worker.count(name + WAITS)}@{worker.label}"
        number = flag_of(worker, label)
        home.waits(worker, label, self.databases)
        found = bool(worker.step(Op(WAIT, number, at, None, seconds)))
        home.wakes(worker, label)
        return found


def _steps_of(worker: Worker) -> int:
    """How many steps there were in the schedule, as far as they are recorded."""
    return len(worker.hub.controller.log) if worker.hub.phase is Phase.RUN else 0
