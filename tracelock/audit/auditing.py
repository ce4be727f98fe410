"""The audit of a class: clients for each pair of methods, then longer ones, within a time."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.audit.bench import Bench
from tracelock.audit.clients import ClientOf
from tracelock.audit.judging import Anomaly, Contracts, Judge
from tracelock.audit.matrix import FAILED, PASSED, SKIPPED, UNFINISHED, VERIFIED, AuditCell, Audited
from tracelock.audit.planning import AuditPlan, Planner
from tracelock.audit.program import explored_program, program_text
from tracelock.audit.reading import AuditedClass, MethodCall, calls_of, constructor, is_named
from tracelock.audit.source import imported, module_text
from tracelock.audit.subjects import modules_of, strategies_of, subject_of, try_init
from tracelock.errors import TracelockError, UsageError
from tracelock.history.contracts import UNSAFE, check_contract
from tracelock.instrument.account.account import listed

if TYPE_CHECKING:
    from tracelock.explore.search import Searched

#: Seconds of an audit unless told otherwise.
SECONDS: Final = 60.0
#: Schedules, and seconds, that one client may take.
SCHEDULES: Final = 2_000
CLIENT_SECONDS: Final = 4.0
#: Of the time: what finding the states to begin in may take, and what pairs may.
_PLANNING: Final = 0.25
#: More than this share does not count of what it took to put the process under control.
_OPENING: Final = 0.05
_PAIRS: Final = 0.85
#: So much more may be spent on programs of anomalies; those of other kinds come first.
_AFTERWARDS: Final = 1.0
#: Seconds for the program of an anomaly.
_PROGRAM: Final = 5.0
#: Variants of a call that are set beside those of another one.
_VARIANTS: Final = 3
#: Calls of a longer client at most, and of one worker unless told otherwise.
_CALLS: Final = 2
#: Longer clients at most.
_LONGER: Final = 400

#: Whether to look at no further pairs.
Progress = Callable[[int, int, int], bool | None]


def audit(
    cls: type | str, *, init: str | None = None, methods: Sequence[str] | None = None,
    before: Sequence[str] = (),
    calls: int = _CALLS, workers: int = 2, contract: str | Mapping[str, str] = "linearizable",
    ignore: Iterable[str] = (), strategies: Mapping[str, Any] | None = None,
    invariant: str | None = None, instrument: Sequence[str] = (), interpreter: str | None = None,
    seconds: float = SECONDS, schedules: int = SCHEDULES, folder: str | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Audited:  # fmt: skip
    """Is this class thread-safe? Explore small clients of each pair of its public methods.

    ``cls``: the class, or ``module:Class`` (or another thing of a module, with ``init``). Each
    client makes an object, perhaps makes some calls, then calls one method on each of two threads,
    and looks at the object afterwards; every interleaving is tried, and what came back has to be
    what the same calls come to in some order, one after the other. Exceptions that come in no
    order, calls that never end and states that no order leads to are told as well. Then longer
    clients are drawn, of up to ``calls`` calls on each of ``workers`` threads.

    ``init``: the text that makes an object, with the names of the module (``"LRU(2)"``); needed
    where nothing is known of an argument. ``methods``: those to look at (all public ones, and
    operators such as ``len``, ``in``, ``iter``); no others are called but those of ``before``,
    which may lead to the states to begin in. ``contract``: what is promised, one word of
    ``tracelock.history.contracts`` or one for each method. ``ignore``: names of fields and keys of
    results that are not compared (hit counts, times). ``strategies``: for a parameter, ``key`` or
    ``get.key``, the text of a list of values, a list, or a strategy of Hypothesis. ``invariant``:
    an expression about ``it`` that has to hold in the end as it does one call after the other.
    ``instrument``: further modules to look into, besides that of the class and its bases.
    ``interpreter``: see ``tracelock.explore``. ``seconds``: for all clients (programs of anomalies
    may take as much again), ``schedules``: of each client. ``folder``: where programs of
    anomalies are written (None: nowhere, and there is no trace of them). ``progress``: called with
    the clients done, those there are, and the anomalies; where it returns True, that is enough.

    Raises UsageError for a class that cannot be had or made, and for unknown methods and words.
    """
    check_contract(contract)
    if seconds <= 0 or schedules < 1:
        raise UsageError("a budget has to be more than nothing")
    if not 1 <= calls <= 4 or not 2 <= workers <= 3:
        raise UsageError("longer clients have 1 to 4 calls on each of 2 or 3 workers")
    texts, given = strategies_of(strategies or {})
    subject = subject_of(cls, init, given)
    subject.init = init or constructor(subject.cls, texts)
    try_init(subject)
    wanted = None if methods is None else [*methods, *before]
    found, missing = calls_of(subject, wanted, texts)
    rows = [one for one in found if methods is None or is_named(one, methods)]
    if not rows:
        raise UsageError(f"{subject.name} has no method that can be called: {missing}")
    checks = [] if invariant is None else [MethodCall("invariant", f"bool({invariant})")]
    every = [step for listed_ in found.values() for one in listed_ for step in one.steps]
    name = f"audited_{hashlib.sha256(subject.name.encode()).hexdigest()[:8]}"
    instrumented = [*dict.fromkeys([*modules_of(subject), *instrument])]
    options = _Options(
        Contracts(contract), tuple(ignore), seconds, schedules, interpreter or "", folder,
        monotonic(), random.Random(seed), progress,
    )  # fmt: skip
    audited = Audited(subject.name, subject.init, rows, missing=missing)
    with tempfile.TemporaryDirectory(prefix="tracelock-audit-") as place:
        text = module_text(subject, [*every, *checks], ignore)
        with imported(place, name, text) as module:
            for key, value in given.items():
                setattr(module, key, value)
            with Bench(
                subject.cls,
                module,
                [*every, *checks],
                workers,
                [name, *instrumented],
                interpreter or "",
            ) as bench:
                options.begun = max(options.begun, monotonic() - seconds * _OPENING)
                going = _Going(bench, subject, found, checks, options, audited, module)
                going.pairs()
                if calls > 1 or workers > 2:
                    going.longer(calls, workers)
                audited.schedules = bench.schedules
    going.programs(instrumented)
    audited.seconds = monotonic() - options.begun
    return audited


@dataclass
class _Options:
    contracts: Contracts
    ignore: tuple[str, ...]
    seconds: float
    schedules: int
    interpreter: str
    folder: str | None
    begun: float
    chance: random.Random
    progress: Progress | None

    def until(self, share: float) -> float:
        """When a share of the time is over, on the monotonic clock."""
        return self.begun + self.seconds * share


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


@dataclass
class _Going:
    bench: Bench
    subject: AuditedClass
    calls: dict[str, list[MethodCall]]
    checks: list[MethodCall]
    options: _Options
    audited: Audited
    module: Any
    plan: AuditPlan = field(default_factory=lambda: AuditPlan([()], [], ()))
    failures: list[tuple[AuditCell, JudgedClient]] = field(default_factory=list)

    # --- pairs of single calls ---------------------------------------------------------------
    def pairs(self) -> None:
        """The states to begin in, then every cell, a client of each in turn."""
        options = self.options
        if self.bench.stand_in:
            raise UsageError(
                f"{self.subject.name} cannot be audited: under control a {self.bench.stand_in} "
                "takes its place, and nothing would be said of itself"
            )
        planner = Planner(self.bench, options.until(_PLANNING), self.module.numbered)
        self.plan = planner.plan(self.calls)
        for name in [one for one in self.audited.methods if not self.calls[one]]:
            self.audited.methods.remove(name)
            self.audited.missing[name] = (
                f"each call raises TypeError: give its arguments by --strategy {name}.NAME=EXPR"
            )
        self.calls = {name: self.calls[name] for name in self.audited.methods}
        if monotonic() > options.until(_PLANNING):
            self.audited.notes.append(
                "the time for finding states to begin in was up: with more --seconds there may be "
                "others"
            )
        options.contracts = Contracts(options.contracts._given, self.plan.reads)
        self.plan.after = (*self.plan.after, *self.checks)
        self.audited.states = ["; ".join(map(str, one)) for one in self.plan.states]
        waiting: list[tuple[AuditCell, list[ClientOf], list[JudgedClient]]] = []
        names = list(self.calls)
        for place, one in enumerate(names):
            for other in names[place:]:
                cell = AuditCell((one, other))
                self.audited.cells.append(cell)
                if UNSAFE in (options.contracts.of(one), options.contracts.of(other)):
                    cell.reason = "unsafe beside others, as its contract says"
                    continue
                waiting.append((cell, self._clients(one, other), []))
        total = sum(len(clients) for _, clients, _ in waiting)
        for turn in range(max((len(clients) for _, clients, _ in waiting), default=0)):
            for cell, clients, entries in waiting:
                if turn >= len(clients) or cell.verdict == FAILED:
                    continue
                if monotonic() > options.until(_PAIRS):
                    break
                self._judged(cell, clients[turn], entries)
                if options.progress is not None and options.progress(
                    self.audited.clients, total, len(self.failures)
                ):
                    return
        for cell, clients, entries in waiting:
            if cell.verdict != FAILED:
                _sum_up(cell, entries, len(clients))

    def _clients(self, one: str, other: str) -> list[ClientOf]:
        """From each state: the variants of one call beside those of the other."""
        reads = self.plan.reads
        found = [
            ClientOf(state, (first.steps, second.steps), self.plan.after)
            for state in self.plan.states
            for a, first in enumerate(self.calls[one][:_VARIANTS])
            for b, second in enumerate(self.calls[other][:_VARIANTS])
            if one != other or a <= b
        ]
        if all(call in reads for name in (one, other) for call in self.calls[name]):
            return found[:1]
        return found

    def _judged(self, cell: AuditCell, client: ClientOf, entries: list[JudgedClient]) -> None:
        begun = monotonic()
        entry = self._entry(client)
        entries.append(entry)
        cell.clients += 1
        cell.executions += entry.searched.schedules if entry.searched is not None else 0
        cell.seconds += monotonic() - begun
        anomaly = entry.judge.anomaly
        if anomaly is not None:
            cell.verdict, cell.kind, cell.detail = FAILED, anomaly.kind, anomaly.detail
            cell.client = str(client)
            self.failures.append((cell, entry))

    def _entry(self, client: ClientOf) -> JudgedClient:
        """Explore one client and judge it."""
        options, bench = self.options, self.bench
        self.audited.clients += 1
        judge = Judge(bench, client, options.contracts, self.module.numbered)
        judge.learn()
        if judge.unjudged:
            return JudgedClient(client, judge, None, [judge.unjudged])
        left = max(0.5, options.until(1.0) - monotonic())
        searched = bench.explore(judge, options.schedules, min(CLIENT_SECONDS, left))
        judge.settle()
        return JudgedClient(client, judge, searched, self._reasons(client, searched))

    def _reasons(self, client: ClientOf, searched: Searched) -> list[str]:
        """Why a client that went well is not verified."""
        host, reasons = self.bench.host, []
        host.looking.note_late()
        if not searched.exhaustive:
            cut = [one for one in searched.outcomes.values() if one.kind == "unfinished"]
            why = f"; {cut[0].message.splitlines()[0]}" if cut and cut[0].message else ""
            reasons.append(f"not all interleavings were tried{why}")
        in_c = {one.method for one in client.calls if self.subject.in_c(one.method)}
        if in_c:
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

    # --- longer clients ----------------------------------------------------------------------
    def longer(self, calls: int, workers: int) -> None:
        """Clients of several calls on each worker, drawn, as long as there is time; one that goes
        wrong is made smaller, and told where no pair of its methods went wrong already."""
        options = self.options
        every = [
            one for name, listed_ in self.calls.items() for one in listed_[:_VARIANTS]
            if options.contracts.of(name) != UNSAFE
        ]  # fmt: skip
        wrong = {frozenset(cell.methods) for cell, _ in self.failures}
        seen: set[str] = set()
        for _ in range(_LONGER):
            if monotonic() > options.until(1.0) - _PROGRAM:
                return
            count = options.chance.randint(2, workers)
            threads = tuple(
                tuple(
                    step
                    for _ in range(options.chance.randint(1, calls))
                    for step in options.chance.choice(every).steps
                )
                for _ in range(count)
            )
            if _has_pair(threads, wrong) or sum(map(len, threads)) < 3:
                continue
            client = ClientOf(options.chance.choice(self.plan.states), threads, self.plan.after)
            if str(client) in seen:
                continue
            seen.add(str(client))
            self.audited.longer_clients += 1
            entry = self._entry(client)
            if entry.judge.anomaly is None:
                continue
            entry = self._smaller(entry)
            anomaly = entry.judge.anomaly
            assert anomaly is not None
            methods = sorted({one.method for one in entry.client.calls})
            cell = AuditCell(
                (methods[0], methods[-1]), FAILED, anomaly.kind, anomaly.detail,
                str(entry.client), clients=1,
                executions=0 if entry.searched is None else entry.searched.schedules,
            )  # fmt: skip
            self.audited.longer.append(cell)
            self.failures.append((cell, entry))
            wrong.add(frozenset((methods[0], methods[-1])))
            wrong |= {frozenset((a, b)) for a in methods for b in methods if len(methods) < 3}

    def _smaller(self, entry: JudgedClient) -> JudgedClient:
        """The same with fewer calls, one after the other left out as long as something is wrong."""
        going = True
        while going:
            going = False
            for client in _with_one_less(entry.client):
                if monotonic() > self.options.until(1.0):
                    return entry
                other = self._entry(client)
                if other.judge.anomaly is not None:
                    entry, going = other, True
                    break
        return entry

    # --- programs ----------------------------------------------------------------------------
    def programs(self, instrument: Sequence[str]) -> None:
        """The program and the trace of each anomaly."""
        options = self.options
        until = monotonic() + max(_PROGRAM * 2, options.seconds * _AFTERWARDS)
        seen: set[str] = set()
        first: list[tuple[AuditCell, JudgedClient]] = []
        others: list[tuple[AuditCell, JudgedClient]] = []
        for failure in self.failures:
            (others if failure[0].kind in seen else first).append(failure)
            seen.add(failure[0].kind)
        for cell, entry in (*first, *others):
            if monotonic() > until:
                cell.reason = "there was no time left for its program and trace"
            elif options.folder is None:
                cell.reason = "no folder was given for programs: there is no trace"
            elif self.subject.given:
                cell.reason = "its arguments have no text, so that there is no program of it"
            else:
                self._program(cell, entry, options.folder, instrument)

    def _program(
        self, cell: AuditCell, entry: JudgedClient, folder: str, instrument: Sequence[str]
    ) -> None:
        anomaly = entry.judge.anomaly
        assert isinstance(anomaly, Anomaly)
        try:
            text = program_text(
                self.subject, entry.client, anomaly, entry.judge.legal, instrument,
                self.options.ignore,
            )  # fmt: skip
            explored, cell.program, cell.reason = explored_program(
                folder, self.subject, text, self.options.interpreter, _PROGRAM
            )
        except TracelockError as error:
            cell.reason = f"there is no program of it: {error}"
            return
        if explored is not None:
            cell.recorded = explored.trace


def _has_pair(threads: Sequence[Sequence[MethodCall]], wrong: set[frozenset[str]]) -> bool:
    """Whether two workers call two methods of which it is known that they go wrong."""
    for place, one in enumerate(threads):
        for other in threads[place + 1 :]:
            if any(frozenset((a.method, b.method)) in wrong for a in one for b in other):
                return True
    return False


def _with_one_less(client: ClientOf) -> Iterator[ClientOf]:
    """The clients with one call less; each keeps calls of two workers."""
    for place, thread in enumerate(client.threads):
        for number in range(len(thread)):
            shorter = (*thread[:number], *thread[number + 1 :])
            threads = [*client.threads[:place], shorter, *client.threads[place + 1 :]]
            kept = tuple(one for one in threads if one)
            if len(kept) >= 2:
                yield ClientOf(client.before, kept, client.after)
    for number in range(len(client.before)):
        before = (*client.before[:number], *client.before[number + 1 :])
        yield ClientOf(before, client.threads, client.after)


def _sum_up(cell: AuditCell, entries: list[JudgedClient], clients: int) -> None:
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
