"""Clients of several calls on each worker, drawn, as long as there is time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final

from tracelock.audit.clients import ClientOf
from tracelock.audit.going import VARIANTS, Going, JudgedClient
from tracelock.audit.matrix import FAILED, AuditCell
from tracelock.audit.reading import MethodCall
from tracelock.history.contracts import UNSAFE

#: Longer clients at most.
_LONGER: Final = 400
#: Seconds that are left for something else.
_REST: Final = 5.0


def longer(going: Going, calls: int, workers: int) -> None:
    """Clients of several calls on each worker, drawn, as long as there is time; one that goes
    wrong is made smaller, and told where no pair of its methods went wrong already."""
    options = going.options
    every = [
        one for name, listed_ in going.calls.items() for one in listed_[:VARIANTS]
        if options.contracts.of(name) != UNSAFE
    ]  # fmt: skip
    wrong = {frozenset(cell.methods) for cell, _ in going.failures}
    seen: set[str] = set()
    for _ in range(_LONGER):
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
        if _has_pair(threads, wrong) or sum(map(len, threads)) < 3:
            continue
        client = ClientOf(options.chance.choice(going.plan.states), threads, going.plan.after)
        if str(client) in seen:
            continue
        seen.add(str(client))
        going.audited.longer_clients += 1
        entry = going.entry(client)
        if entry.judge.anomaly is None:
            continue
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
        wrong.add(frozenset((methods[0], methods[-1])))
        wrong |= {frozenset((a, b)) for a in methods for b in methods if len(methods) < 3}


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
