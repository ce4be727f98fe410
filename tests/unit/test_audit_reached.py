"""Clients that are verified by another one have its executions, against every interleaving of the
calls on a queue of one item."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

from tracelock.audit.bench import ClientRun
from tracelock.audit.clients import ClientOf, Contracts
from tracelock.audit.going import JudgedClient, RecordedOrders
from tracelock.audit.judging import Judge
from tracelock.audit.longer import ReachedCalls
from tracelock.audit.reading import MethodCall

PUT, GET, SIZE = (MethodCall(name, f"it.{name}()") for name in ("put", "get", "size"))

Line = tuple[MethodCall, ...]
#: What was done, (worker, call, what it gave), then the calls that wait.
Execution = tuple[tuple[int, MethodCall, int | None], ...]


@cache
def executions(lines: tuple[Line, ...]) -> frozenset[Execution]:
    """All of a client: calls are single steps that wait where they cannot be made."""
    found: set[Execution] = set()
    left: list[tuple[tuple[int, ...], int, Execution]] = [((0,) * len(lines), 0, ())]
    while left:
        at, items, done = left.pop()
        waiting, over = [], True
        for worker, line in enumerate(lines):
            if at[worker] == len(line):
                continue
            call = line[at[worker]]
            if call == (PUT if items else GET):
                waiting.append((worker, call, None))
                continue
            over = False
            more = {PUT: 1, GET: -1, SIZE: 0}[call]
            further = tuple(one + (place == worker) for place, one in enumerate(at))
            left.append((further, items + more, (*done, (worker, call, items))))
        if over:
            found.add((*done, *waiting))
    return frozenset(found)


def run_of(client: ClientOf, execution: Execution) -> ClientRun:
    left = [list(one) for one in client.numbers]
    run = ClientRun()
    for worker, _, gave in execution:
        number = left[worker].pop(0)
        run.events.append((True, number))
        if gave is not None:
            run.events.append((False, number))
            run.results[number] = ("returns", gave)
    return run


def verified(client: ClientOf) -> JudgedClient:
    """As a search leaves it."""
    oracle: Any = None
    judge = Judge(oracle, client, Contracts("linearizable"), tuple, late=True)
    for execution in executions(client.threads):
        judge(run_of(client, execution))
    return JudgedClient(client, judge, None)


def exchanged(found: frozenset[Execution]) -> frozenset[Execution]:
    """With the other worker in the place of each."""
    return frozenset(
        (
            *[(1 - worker, call, gave) for worker, call, gave in one if gave is not None],
            *sorted(
                [(1 - worker, call, gave) for worker, call, gave in one if gave is None],
                key=lambda step: step[0],
            ),
        ) for one in found
    )  # fmt: skip


def test_a_client_that_is_covered_has_the_executions_of_the_one_that_covers_it() -> None:
    lines = [*product((PUT, GET, SIZE), repeat=2), *product((PUT, GET, SIZE), repeat=3)]
    clients = [(a, b) for a in lines for b in lines][::3]
    covered = 0
    for one in clients[::9]:
        known = ReachedCalls()
        known.note(verified(ClientOf((), one)))
        mine = executions(one)
        same = (mine, exchanged(mine))
        for other in clients:
            if known.covers(other):
                assert executions(other) in same, (one, other)
                covered += other not in (one, one[::-1])
    assert covered > 50


def test_a_client_is_not_covered_by_one_that_comes_further() -> None:
    known = ReachedCalls()
    known.note(verified(ClientOf((), ((GET, SIZE), (SIZE, GET)))))
    assert known.covers(((GET, SIZE), (SIZE, GET))) and known.covers(((SIZE, GET), (GET, PUT)))
    assert not known.covers(((GET, SIZE), (PUT, GET))) and not known.covers(((SIZE, GET),) * 2)
    known.note(verified(ClientOf((), ((PUT, SIZE), (GET, SIZE)))))
    assert known.covers(((GET, SIZE), (PUT, SIZE)))
    assert not known.covers(((PUT, SIZE), (GET, PUT)))  # there all calls are made
    unknown = ReachedCalls()
    judge = Judge(*([None] * 2), Contracts("linearizable"), tuple, late=True)  # type: ignore[arg-type]
    unknown.note(JudgedClient(ClientOf((), ((GET,), (GET,))), judge, None))
    assert not unknown.covers(((GET,), (GET,)))


def test_an_order_is_known_up_to_where_nobody_goes_on() -> None:
    known, order = RecordedOrders(), (0, 2, 1, 3)
    one = ClientOf((), ((PUT, PUT), (SIZE, GET)))
    run = run_of(one, ((0, PUT, 0), (1, SIZE, 1), (0, PUT, None)))
    known.note(one, order, False, run)
    assert known.waits(one, order, False) is None
    known.keep(True)
    other = ClientOf((), ((PUT, PUT), (SIZE, SIZE)))
    assert known.waits(one, order, False) and known.waits(other, order, False)
    assert known.waits(other, order, True) is None  # where others come in they go on
    assert known.waits(ClientOf((), ((PUT, GET), (SIZE, SIZE))), order, False) is None
    assert known.waits(ClientOf((SIZE,), one.threads), order, False) is None
    known.note(one, order, True, run)
    known.keep(False)
    assert known.waits(one, order, True) is None
