"""An audit as it goes: what is asked, what is known by now, and the clients of each cell."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.audit.bench import Bench, ClientRun
from tracelock.audit.clients import ClientOf, Contracts, in_turn
from tracelock.audit.judging import Judge, Oracle
from tracelock.audit.kinds import WorkerKind
from tracelock.audit.matrix import FAILED, PASSED, SKIPPED, UNFINISHED, VERIFIED, AuditCell, Audited
from tracelock.audit.modelled import ModelOracle
from tracelock.audit.planning import AuditPlan, Planner
from tracelock.audit.reading import AuditedClass, MethodCall, say_arguments
from tracelock.audit.task_judging import TaskJudge
from tracelock.errors import UsageError
from tracelock.history.contracts import UNSAFE
from tracelock.instrument.account.account import listed

if TYPE_CHECKING:
    from tracelock.explore.search import Searched

#: Seconds that one client may take, and the share of the time where that is more.
CLIENT_SECONDS: Final = 4.0
_CLIENT: Final = 1 / 15
#: Of the time: what finding the states to begin in may take.
_PLANNING: Final = 0.25
#: Clients that are not serial after which others are not taken to be so.
_NOT_SERIAL: Final = 12
#: Variants of a call that are set beside those of another one.
VARIANTS: Final = 3

#: Whether that is enough.
Progress = Callable[[int, int, int], bool | None]


@dataclass
class AuditOptions:
    contracts: Contracts
    ignore: tuple[str, ...]
    seconds: float
    schedules: int
    interpreter: str
    folder: str | None
    begun: float
    chance: random.Random
    progress: Progress | None
    enough: bool = False

    def until(self, share: float) -> float:
        """When a share of the time is over, on the monotonic clock."""
        return self.begun if self.enough else self.begun + self.seconds * share


@dataclass
class JudgedClient:
    """A client that was judged."""

    client: ClientOf
    judge: Judge
    searched: Searched | None
    reasons: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.judge.anomaly is not None:
            return FAILED
        if self.judge.unjudged:
            return UNFINISHED
        return PASSED if self.reasons else VERIFIED


class RecordedOrders:
    """Orders of calls that were recorded, and that do nothing unseen: a client which begins with
    the same calls of the same workers, up to where nobody goes on, does the same there again.

    Calls begin in their order, each once the one before it has ended, or, where orders are
    ``open``, has begun. So the first that does not begin is one before which another waits, or of a
    worker that waits: what would come then is never looked at."""

    def __init__(self) -> None:
        self._known: dict[Any, bool] = {}
        self._new: dict[Any, bool] = {}

    def waits(self, client: ClientOf, order: Sequence[int], open_: bool) -> bool | None:
        """Whether calls wait for ever in an order that is known; None for others."""
        for count in range(1, len(order) + 1):
            known = self._known.get(self._key(client, order, open_, count))
            if known is not None:
                return known
        return None

    def note(self, client: ClientOf, order: Sequence[int], open_: bool, run: ClientRun) -> None:
        """An order was recorded. It is not known before ``keep``."""
        if not run.timed and not run.died:
            key = self._key(client, order, open_, len(run.begun))
            self._new[key] = bool(run.waiting)

    def keep(self, well: bool) -> None:
        """Whether nothing was unseen in what was recorded since the last time."""
        if well:
            self._known |= self._new
        self._new = {}

    def _key(self, client: ClientOf, order: Sequence[int], open_: bool, count: int) -> Any:
        workers = {n: place for place, mine in enumerate(client.numbers) for n in mine}
        begun = tuple([(workers[n], client.calls[n]) for n in order[:count]])
        return client.before, client.after, open_, begun, [*map(workers.get, order), None][count]


@dataclass
class Going:
    kind: WorkerKind
    bench: Bench
    subject: AuditedClass
    calls: dict[str, list[MethodCall]]
    checks: list[MethodCall]
    options: AuditOptions
    audited: Audited
    module: Any
    oracle: Oracle
    planner: Planner
    plan: AuditPlan = field(default_factory=lambda: AuditPlan([()], [], ()))
    failures: list[tuple[AuditCell, JudgedClient]] = field(default_factory=list)
    #: Calls with a limit of time, by method.
    limited: dict[str, list[MethodCall]] = field(default_factory=dict)
    #: Of clients whose first call has one: what it comes to when its time is up.
    expired: dict[ClientOf, Any] = field(default_factory=dict)
    _total: int = 0
    _not_serial: int = 0
    _recorded: RecordedOrders = field(default_factory=RecordedOrders)

    def pairs(self, until: float) -> None:
        """The states to begin in, then every cell, a client of each in turn, in a share of the
        time."""
        options = self.options
        if self.bench.stand_in:
            raise UsageError(
                f"{self.subject.name} cannot be audited: under control a {self.bench.stand_in} "
                "takes its place, and nothing would be said of itself"
            )
        planner = self.planner
        planner.until = options.until(_PLANNING)
        self.plan = planner.plan(self.calls, self.subject.tasks)
        for name in [one for one in self.audited.methods if not self.calls[one]]:
            self.audited.methods.remove(name)
            how = f"give its arguments by --strategy {name}.NAME=EXPR"
            if self.subject.in_c(name):
                how = say_arguments(name)
            self.audited.missing[name] = f"each call raises TypeError: {how}"
        self.calls = {name: self.calls[name] for name in self.audited.methods}
        self.audited.notes += map(self._never_well, filter(self._fails, self.calls))
        if monotonic() > options.until(_PLANNING):
            self.audited.notes.append(
                "the time for finding states to begin in was up: with more --seconds there may be "
                "others"
            )
        options.contracts = options.contracts.knowing(self.plan.reads)
        if isinstance(self.oracle, ModelOracle):
            every = [one for listed_ in self.calls.values() for one in listed_]
            self.oracle.compare(planner, self.plan.states, every, options.contracts)
        self.plan.after = (*self.plan.after, *self.checks)
        self.audited.states = ["; ".join(map(str, one)) for one in self.plan.states]
        wanted: list[tuple[AuditCell, list[ClientOf]]] = []
        names = list(self.calls)
        for place, one in enumerate(names):
            for other in names[place:]:
                cell = AuditCell((one, other))
                self.audited.cells.append(cell)
                if self.unsafe(cell, one, other):
                    continue
                wanted.append((cell, self._clients(one, other)))
        self.go_through(wanted, until)

    def _ends(self, name: str) -> Iterator[Any]:
        """What the calls of a method come to in the states to begin in."""
        for state in self.plan.states:
            for one in self.calls[name]:
                yield self.planner.sequence((*state, one))[-1]

    def _fails(self, name: str) -> bool:
        return all(end[0] == "raises" for end in self._ends(name))

    def _never_well(self, name: str) -> str:
        errors = sorted({end[1] for end in self._ends(name)})
        return f"{name}: every call that was made raises {' or '.join(errors)}"

    def unsafe(self, cell: AuditCell, *methods: str) -> bool:
        """Whether nothing is promised of one of these methods, which the cell then says."""
        if all(self.options.contracts.of(one) != UNSAFE for one in methods):
            return False
        cell.reason = "unsafe beside others, as its contract says"
        return True

    def go_through(
        self, wanted: Sequence[tuple[AuditCell, list[ClientOf]]], until: float,
        cancelling: bool = False,
    ) -> None:  # fmt: skip
        """The clients of some cells, one of each in turn, as long as there is time, and what that
        comes to. ``until``: a share of the time of all."""
        self._total += sum(len(clients) for _, clients in wanted)
        entries: list[list[JudgedClient]] = [[] for _ in wanted]
        for turn in range(max((len(clients) for _, clients in wanted), default=0)):
            for (cell, clients), known in zip(wanted, entries, strict=True):
                if turn >= len(clients) or cell.verdict == FAILED:
                    continue
                if monotonic() > self.options.until(until):
                    break
                self._judged(cell, clients[turn], known, cancelling)
                if self.options.progress is not None:
                    told = (self.audited.clients, self._total, len(self.failures))
                    self.options.enough = bool(self.options.progress(*told))
        for (cell, clients), known in zip(wanted, entries, strict=True):
            if cell.verdict != FAILED:
                sum_up(cell, known, len(clients))

    def _clients(self, one: str, other: str) -> list[ClientOf]:
        """From each state: the variants of one call beside those of the other."""
        reads = self.plan.reads
        found = [
            ClientOf(state, (first.steps, second.steps), self.plan.after)
            for state in self.plan.states
            for a, first in enumerate(self.calls[one][:VARIANTS])
            for b, second in enumerate(self.calls[other][:VARIANTS])
            if one != other or a <= b
        ]
        if all(call in reads for name in (one, other) for call in self.calls[name]):
            return found[:1]
        return found

    def _judged(
        self, cell: AuditCell, client: ClientOf, entries: list[JudgedClient], cancelling: bool
    ) -> None:
        """Explore one client of a cell."""
        begun = monotonic()
        entry = self.entry(client, cancelling)
        entries.append(entry)
        cell.clients += 1
        cell.executions += entry.searched.schedules if entry.searched is not None else 0
        cell.cancelled += getattr(entry.judge, "cancelled", 0)
        cell.seconds += monotonic() - begun
        anomaly = entry.judge.anomaly
        if anomaly is not None:
            cell.verdict, cell.kind, cell.detail = FAILED, anomaly.kind, anomaly.detail
            cell.client = str(client)
            self.failures.append((cell, entry))

    def entry(self, client: ClientOf, cancelling: bool = False, late: bool = False) -> JudgedClient:
        """Explore one client and judge it; ``cancelling``: with its first worker cancelled;
        ``late``: see ``Judge``, of threads, without a model."""
        options, bench = self.options, self.bench
        self.audited.clients += 1
        if late and client.after:
            entry = self._serial(client)
            if entry is not None:
                return entry
        judge = self.kind.judge(self.oracle, client, options.contracts, self.module.numbered)
        if cancelling:
            judge.cancelling = True  # type: ignore[attr-defined]
        limited = client in self.expired
        if limited and isinstance(judge, TaskJudge):
            judge.expired = self.expired[client]
        judge.late = late
        if late:
            self._begin_recorded(client)
        else:
            judge.learn()
        if judge.unjudged:
            return JudgedClient(client, judge, None, [judge.unjudged])
        if isinstance(self.oracle, ModelOracle) and not cancelling:
            self.oracle.check(judge)
        left = max(0.5, options.until(1.0) - monotonic())
        most = max(CLIENT_SECONDS, options.seconds * _CLIENT)
        with bench.cancelled(cancelling), bench.deadlines() if limited else nullcontext():
            searched = bench.explore(judge, options.schedules, min(most, left))
        unseen = self._reasons(client, searched)
        if late:
            self._end_recorded(not unseen)
        judge.ask(late and bool(unseen))
        judge.settle()
        unseen += filter(None, [judge.show(bench)])
        reasons = [*judge.reasons(), *unseen]
        return JudgedClient(client, judge, searched, reasons)

    def _serial(self, client: ClientOf) -> JudgedClient | None:
        """A client of which each execution is serial, without the calls afterwards: what these come
        to follows from the order of the calls that explains it (``overlaps``), as they begin when
        all others have ended, so that nothing would be compared. None where it has to be explored
        with them; after some of those that is not tried any more."""
        if self._not_serial > _NOT_SERIAL:
            return None
        bare = ClientOf(client.before, client.threads)
        judge = self.kind.judge(self.oracle, bare, self.options.contracts, self.module.numbered)
        judge.late = True
        self._begin_recorded(bare)
        left = max(0.5, self.options.until(1.0) - monotonic())
        searched = self.bench.explore(judge, self.options.schedules, min(CLIENT_SECONDS, left))
        others = judge.anomaly or judge.pending or judge.asked
        unseen = self._reasons(bare, searched)
        self._end_recorded(not unseen)
        if others or not judge.serial or unseen:
            self._not_serial += 1
            return None
        judge.client = client
        return JudgedClient(client, judge, searched)

    def _begin_recorded(self, client: ClientOf) -> None:
        """What comes next is of this client. No search is recorded, so that what its calls do
        unseen is looked for in one order in which the workers share what they can."""
        self.bench.begin(client)
        order = in_turn(client.numbers)
        for open_ in (False, True):  # where one waits it is seen, too, what comes of the others
            known = self._recorded.waits(client, order, open_)
            if known is None:
                run = self.bench.in_order(order, open_)
                known = bool(run.waiting)
                self._recorded.note(client, order, open_, run)
            if not known:
                break

    def _end_recorded(self, well: bool) -> None:
        """It was looked what a client does unseen, which is nothing, or not: no order that is made
        for it from now on has to be recorded."""
        self._recorded.keep(well)
        self.bench.host.backend.account.rest()

    def _reasons(self, client: ClientOf, searched: Searched) -> list[str]:
        """Why a client that went well is not verified."""
        host, reasons = self.bench.host, []
        host.looking.note_late()
        if not searched.exhaustive:
            cut = [one for one in searched.outcomes.values() if one.kind == "unfinished"]
            why = f"; {cut[0].message.splitlines()[0]}" if cut and cut[0].message else ""
            reasons.append(f"not all interleavings were tried{why}")
        in_c = {one.method for one in client.calls if self.subject.in_c(one.method)}
        if in_c and self.kind.in_c_unseen:
            reasons.append(
                f"{' and '.join(sorted(in_c))}: written in C, a single step here; its inside was "
                "not looked into"
            )
        account = host.account
        if not account.clean:
            reasons.append(f"not seen: {listed(account.not_seen)}")
        reasons += [*host.withheld, *host.notes]
        if host.backend.ended_by_timeout:
            host.backend.ended_by_timeout.clear()
        return reasons


def sum_up(cell: AuditCell, entries: list[JudgedClient], clients: int) -> None:
    """The verdict of a cell none of whose clients went wrong."""
    if not entries:
        cell.verdict, cell.reason = SKIPPED, "the time was up before it"
        return
    reasons = [reason for one in entries for reason in one.reasons]
    unjudged = [one.judge.unjudged for one in entries if one.judge.unjudged]
    if len(entries) < clients:
        reasons.insert(0, f"the time was up after {len(entries)} of {clients} clients")
    if unjudged:
        cell.verdict, cell.reason = UNFINISHED, unjudged[0]
    elif reasons:
        cell.verdict, cell.reason = PASSED, reasons[0]
    else:
        cell.verdict = VERIFIED
