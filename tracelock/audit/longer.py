"""Clients of several calls on each worker: all that there are where there is time for that, then
others that are drawn.

All clients of N calls on each worker are those in which each worker makes N: one with fewer is the
beginning of such a one, and what is explained by an order of the calls is so at each time. They
begin with an object as it is made, since the calls of the clients lead to other states. Workers
differ by nothing but their names, so that which of them makes which calls is one client.

A worker that waits for ever makes none of its later calls. Where it does so in each execution of a
client, whichever calls these are, the executions are the same ones: a worker goes through its calls
one after the other, and nothing looks at those that are still to come. All clients that differ in
nothing else are verified by one of them (``ReachedCalls``).

Values are not renamed (``add(1)`` beside ``add(2)`` is another client than the other way round only
by its workers): that a class treats them alike cannot be seen from outside. Nor are clients left
out whose methods never touch the same: two calls that are independent where an object is new need
not be so after a third one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, product
from math import comb
from time import monotonic
from typing import Final

from tracelock.audit.atomic.sequences import all_atomic
from tracelock.audit.clients import ClientOf
from tracelock.audit.going import VARIANTS, Going, JudgedClient
from tracelock.audit.matrix import FAILED, VERIFIED, AuditCell, EveryClient
from tracelock.audit.modelled import ModelOracle
from tracelock.audit.reading import MethodCall
from tracelock.history.contracts import UNSAFE

#: Longer clients at most, and for each state that they begin in.
_LONGER: Final = 400
_EACH: Final = 100
#: More clients than that are not listed, to be tried in an order that is drawn.
_LISTED: Final = 200_000
#: With more clients than that it is tried whether something follows for all of them at once.
_PROVED: Final = 100
#: Of the time that is left, what that may take.
_SHARE: Final = 0.8
#: Seconds that are left for something else.
_REST: Final = 5.0


def longer(going: Going, calls: int, workers: int) -> None:
    """Clients of several calls on each worker, as long as there is time; one that goes
    wrong is made smaller, and told where no pair of its methods went wrong already."""
    options = going.options
    every = [
        one for name, listed_ in going.calls.items() for one in listed_[:VARIANTS]
        if options.contracts.of(name) != UNSAFE
    ]  # fmt: skip
    drawing = LongerDrawn({frozenset(cell.methods) for cell, _ in going.failures})
    # the orders of a model are not those that a serial execution follows from
    late = going.kind.serial and not isinstance(going.oracle, ModelOracle)
    whole = bool(every) and late and _all_of(going, every, calls, workers, drawing)
    states = going.plan.states[1:] if whole else going.plan.states
    for _ in range(min(_LONGER, _EACH * len(states)) if every else 0):
        if monotonic() > options.until(1.0) - _REST:
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
        if sum(map(len, threads)) < 3:
            continue
        _try(going, ClientOf(options.chance.choice(states), threads), drawing, late)


@dataclass
class LongerDrawn:
    """``wrong``: methods that are known to go wrong together; ``seen``: the clients so far."""

    wrong: set[frozenset[str]]
    seen: set[str] = field(default_factory=set)


def _all_of(
    going: Going, every: Sequence[MethodCall], calls: int, workers: int, drawing: LongerDrawn
) -> bool:
    """All clients of so many calls on each of so many workers, in an order that is drawn; whether
    there was time for all."""
    options = going.options
    lines = len(every) ** calls
    count = comb(lines + workers - 1, workers)
    if count > _LISTED:
        return False
    found = going.audited.every_client = EveryClient(workers, calls, count)
    plain = all(cell.verdict == VERIFIED for cell in going.audited.every)
    plain = plain and not options.interpreter
    if count > _PROVED and plain and all(len(one.steps) == 1 for one in every):
        until = monotonic() + (options.until(1.0) - monotonic()) * _SHARE
        atomic = all_atomic(
            going.bench, going.subject.cls, every, calls * workers, until, lambda: options.enough
        )
        if not atomic.reason:
            found.tried = found.verified = count
            found.sequences = atomic.sequences
            return True
    sequences = [
        tuple(step for one in line for step in one.steps) for line in product(every, repeat=calls)
    ]
    clients = list(combinations_with_replacement(range(lines), workers))
    options.chance.shuffle(clients)
    reached = ReachedCalls()
    for client in clients:
        if monotonic() > options.until(1.0) - _REST:
            return False
        threads = tuple(sequences[place] for place in client)
        if reached.covers(threads):
            found.tried += 1
            found.verified += 1
            continue
        entry = _try(going, ClientOf((), threads), drawing, True)
        if entry is None:
            continue
        found.tried += 1
        found.executions += 0 if entry.searched is None else entry.searched.schedules
        if entry.verdict == VERIFIED:
            found.verified += 1
            reached.note(entry)
        found.reason = found.reason or (entry.reasons or [""])[0]
    return True


#: The calls that a worker begins; whether these are all that it has.
Begun = tuple[tuple[MethodCall, ...], bool]


@dataclass
class ReachedCalls:
    """Clients that are verified, by the calls that are begun in any of their executions. Each was
    searched to its end, and judged after that (``Judge.late``)."""

    _known: set[frozenset[tuple[Begun, int]]] = field(default_factory=set)

    def note(self, entry: JudgedClient) -> None:
        """A client is verified."""
        judge = entry.judge
        begun = {number for run in judge.pending for number in run.begun}
        if judge.serial or judge.asked:  # there all calls have ended
            begun.update(*entry.client.numbers)
        lines = []
        for thread, numbers in zip(entry.client.threads, entry.client.numbers, strict=True):
            count = len(begun.intersection(numbers))
            if not count or begun.isdisjoint(numbers[count - 1 : count]):
                return  # what was begun is not known
            lines.append((thread[:count], count == len(thread)))
        self._known.add(_of_any(lines))

    def covers(self, threads: Sequence[tuple[MethodCall, ...]]) -> bool:
        """Whether the executions of a client are those of one that is known."""
        own = [
            [(one, True), *((one[:count], False) for count in range(1, len(one) + 1))]
            for one in threads
        ]
        return any(_of_any(lines) in self._known for lines in product(*own))


def _of_any(lines: Iterable[Begun]) -> frozenset[tuple[Begun, int]]:
    """What workers begin, whichever of them begins which."""
    return frozenset(Counter(lines).items())


def _try(going: Going, client: ClientOf, drawing: LongerDrawn, late: bool) -> JudgedClient | None:
    """Explore a client, and tell what went wrong. None where it is known already."""
    client = ClientOf(client.before, client.threads, going.plan.after)
    if str(client) in drawing.seen or _has_pair(client.threads, drawing.wrong):
        return None
    drawing.seen.add(str(client))
    going.audited.longer_clients += 1
    entry = going.entry(client, late=late)
    if entry.judge.anomaly is None:
        return entry
    entry = _smaller(going, entry)
    anomaly = entry.judge.anomaly
    assert anomaly is not None
    methods = sorted({one.method for one in entry.client.calls})
    cell = AuditCell(
        (methods[0], methods[-1]), FAILED, anomaly.kind, anomaly.detail,
        str(entry.client), clients=1,
        executions=0 if entry.searched is None else entry.searched.schedules,
    )  # fmt: skip
    going.audited.longer.append(cell)
    going.failures.append((cell, entry))
    drawing.wrong.add(frozenset((methods[0], methods[-1])))
    drawing.wrong |= {frozenset((a, b)) for a in methods for b in methods if len(methods) < 3}
    return entry


def _smaller(going: Going, entry: JudgedClient) -> JudgedClient:
    """The same with fewer calls, one after the other left out as long as something is wrong."""
    smaller = True
    while smaller:
        smaller = False
        for client in _with_one_less(entry.client):
            if monotonic() > going.options.until(1.0):
                return entry
            other = going.entry(client)
            if other.judge.anomaly is not None:
                entry, smaller = other, True
                break
    return entry


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
