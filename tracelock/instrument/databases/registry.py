"""What one schedule has of databases: the sessions, who waits, the files as they were before.

Each process has the sessions of its own workers. All the rest is kept by the process of the
controller, and workers anywhere come to it by ``Worker.home``.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from tracelock.instrument.databases.copies import FileCopies
from tracelock.instrument.hub import Hub, Phase
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import ATOMIC, READ, SET, WRITE, ObjectSpec, Op
from tracelock.trace.databases import DIVIDED, WRITE_LOCK, part_name

if TYPE_CHECKING:
    from tracelock.instrument.databases.resource import DatabaseSession, Touches

getpid: Final = os.getpid
#: Why a connection cannot be used in the next schedule.
LIVES_ON: Final = (
    "a connection to a database {} lives on from one schedule to the next, which has to begin with "
    "the same content: let `setup` open it, or make the database before"
)
#: How many parts of a database are told apart.
PARTS: Final = 32


def flag_of(worker: Worker, label: str) -> int:
    """The number of what somebody waits for, whatever process that is in."""
    worker.hub.interprocess.add(label)
    return worker.hub.number_for(ObjectSpec(label, "flag", value=0))


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

    Each process has its own sessions; the rest is kept by the process of the controller, for all.
    ``waiting``: by the name of what a worker waits for, the databases that it is about.
    ``statements``: how many were made in this schedule, ``alterations``: of these, those that may
    have changed more than rows, so that others may have another effect from then on.
    """

    key = "databases"
    lasts = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.waiting: dict[str, tuple[str, ...]] = {}
        self._given_up = 0  # connections that were closed since their process ended
        self.statements = self.alterations = 0
        self._parts: dict[str, tuple[str, ...]] = {}
        self.sessions: weakref.WeakSet[DatabaseSession] = weakref.WeakSet()
        self.copies = FileCopies()

    def begin(self) -> None:
        """A schedule begins."""
        self.waiting.clear()
        self.statements = self.alterations = 0

    def parts(self, worker: Worker, name: str, touches: Touches) -> tuple[str, ...]:
        """The variables of the parts of a database, none where they are not told apart: that is so
        from the schedule on after one in which a worker has touched parts alone, and another one
        the database."""
        divided = name + DIVIDED
        if worker.hub.phase is not Phase.RUN:
            return ()
        if not worker.hub.names.named(divided).shared:
            worker.used_by_name(divided, READ if touches.parts is None else WRITE)
            return ()
        if name not in self._parts:
            self._parts[name] = tuple(part_name(name, number) for number in range(PARTS))
        return self._parts[name]

    # --- what all processes have in common: see ``Worker.home`` --------------------------------
    def keep(self, worker: Worker, path: str) -> None:
        """A worker is about to open this database."""
        with Uncontrolled(worker):
            self.copies.keep(path)

    def made(self, worker: Worker, text: str, altering: bool) -> None:
        """A worker has made a statement: its step, if it was one, is told as ``text``."""
        self.statements += 1
        self.alterations += altering
        if text:
            _record(worker, text)

    def altered(self, worker: Worker) -> int:
        """How many statements may have changed more than rows."""
        return self.alterations

    def waits(self, worker: Worker, label: str, names: Iterable[str]) -> None:
        """A worker waits for one of these databases."""
        self.waiting[label] = tuple(names)

    def wakes(self, worker: Worker, label: str) -> bool:
        """It need not wait any more. Whether it did until now."""
        return self.waiting.pop(label, None) is not None

    def waiters(self, worker: Worker, names: Iterable[str]) -> list[str]:
        """What is waited for of these databases."""
        return [label for label, about in self.waiting.items() if not {*about}.isdisjoint(names)]

    def tell(self, worker: Worker, connection: str, name: str) -> None:
        """A statement is its connection's own, and has to be told: from the next schedule on it is
        a step, where others have the database ``name``."""
        names = worker.hub.names
        if any(names.named(one).shared for one in (name, name + WRITE_LOCK)):
            names.suspect(names.named(connection))

    def released(self, worker: Worker, at: str, names: tuple[str, ...]) -> None:
        """A session has given up something of these databases: who waits for one may try again."""
        if worker.hub.phase is not Phase.RUN:
            return
        home = worker.home(Databases)
        for label in home.waiters(worker, names):
            if home.wakes(worker, label):  # else its time was up meanwhile
                worker.step(Op(SET, flag_of(worker, label), at))

    # --- processes that end ---------------------------------------------------------------------
    def kept(self) -> int:
        me = getpid()
        return self._given_up + sum(
            one.process == me and not one.is_closed for one in self.sessions
        )

    def inherited(self) -> bool:
        """Whether this process has open connections of the one that has forked it."""
        me = getpid()
        return any(one.process != me and not one.is_closed for one in self.sessions)

    def leaves(self, worker: Worker) -> None:
        """What the process of a worker still holds when that has ended is given up, as by the
        system, in steps of the worker."""
        me = getpid()
        for session in sorted(self.sessions, key=lambda one: one.label):
            if session.process == me and session.holds:
                self._given_up += 1
                session.leaves(worker)

    def died(self, worker: Worker) -> None:
        """The process of a worker was killed: whoever waits tries again."""
        if not self.statements:
            return
        names, controller = self.hub.names, self.hub.controller
        names.doubts.setdefault(
            "databases of a process that was killed",
            "what it held it has given up in no step, with which those of others commute",
        )
        for label in self.waiting:
            number = self.hub.layout.number_of(label)
            if number is not None and (model := controller.models[number]) is not None:
                model.apply(Op(SET, number, ""), worker.number)
        self.waiting.clear()

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
    """The worker on this thread, whose sessions are under control."""
    return here()
