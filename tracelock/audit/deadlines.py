"""Is a method right when its time is up as another call is at work?

Each method that takes a limit of time, by a parameter of its own (``timeout``) or, of coroutines,
by what their library has for all of them, begins in a state in which it waits until that is over.
Of threads the other call comes before that, when as much time has gone by, or later; where both are
due at the same time either may be first, and the other one while that is at work. Of tasks it is a
choice of the search at which moment the time is up.

Whoever gets what is expected at the end of the time has got nothing, and nothing may be lost by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from tracelock.audit.bench import WAITS
from tracelock.audit.clients import ClientOf
from tracelock.audit.going import Going
from tracelock.audit.matrix import AuditCell
from tracelock.audit.planning import Calls
from tracelock.audit.reading import MethodCall, taken
from tracelock.history.contracts import LOSES, UNSAFE

DEADLINE: Final = "deadline"
#: What the other worker does before its call: none of it, or as much as, or more than, the limit.
SAME, LATER = MethodCall("pause", "pause(1)"), MethodCall("pause", "pause(2)")
#: What is waited for to see whether anything depends on the time: of threads, of tasks.
_LONG: Final = MethodCall("pause", "pause(5)")
_LONG_OF_TASKS: Final = MethodCall("pause", "rest(5)")
#: Other calls that are made beside it: those that change what it comes to, and others.
_HELPFUL, _OTHERS = 4, 2
_MOST_CLIENTS: Final = 40
_DEPENDS: Final = (
    "what its calls come to changes as time passes: what comes of a deadline was not judged"
)
_LOSES: Final = "it may lose what it took when it is cancelled, as its contract says"


def pauses(tasks: bool) -> list[MethodCall]:
    """The calls that let time pass, of which the clients make use."""
    return [_LONG_OF_TASKS] if tasks else [SAME, LATER, _LONG]


@dataclass(frozen=True)
class _Timed:
    """A call that waits in a state until its time is up, and what it then comes to."""

    state: Calls
    call: MethodCall
    expired: Any


def deadline(going: Going, until: float) -> None:
    """A cell for each method that takes a limit of time and waits in some state."""
    wanted: list[tuple[AuditCell, list[ClientOf]]] = []
    for name in going.limited:
        if name not in going.calls or not going.calls[name]:
            continue
        timed = _timed(going, name)
        clients = list(islice(_clients(going, name, timed), _MOST_CLIENTS))
        if not clients:
            continue  # it never waits, or there is no call that could be at work meanwhile
        cell = AuditCell((name, name), about=DEADLINE)
        going.audited.columns.setdefault(DEADLINE, []).append(cell)
        if going.unsafe(cell, name):
            continue
        if going.options.contracts.of(name) == LOSES:
            cell.reason = _LOSES
        elif _depends_on_time(going, timed):
            cell.reason = _DEPENDS
        else:
            wanted.append((cell, clients))
    going.go_through(wanted, until)


def _timed(going: Going, name: str) -> list[_Timed]:
    planner, states = going.planner, going.plan.states

    def refused(one: MethodCall) -> bool:
        ends = {planner.sequence((*state, one))[-1] for state in states}
        return ends == {("raises", "TypeError")}

    found = []
    for call in taken(going.limited[name], refused):
        for state in states:
            if planner.passes_time(state, call):
                found.append(_Timed(state, call, planner.sequence((*state, call))[-1]))
    return found


def _depends_on_time(going: Going, timed: list[_Timed]) -> bool:
    """Whether some call comes to something else when time has passed: in a schedule less of it
    passes than in the orders of the calls, which would not explain it then."""
    sequence = going.planner.sequence
    long = _LONG_OF_TASKS if going.subject.tasks else _LONG
    asked = dict.fromkeys([*going.plan.after, *(one.call for one in timed)])
    return any(
        sequence((*state, long, one))[-1] != sequence((*state, one))[-1]
        for state in going.plan.states for one in asked
    )  # fmt: skip


def _clients(going: Going, name: str, timed: list[_Timed]) -> Iterator[ClientOf]:
    for threads, one in _threads(going, name, timed):
        client = ClientOf(one.state, threads, _after(going, name, one))
        going.expired[client] = one.expired
        yield client


def _threads(
    going: Going, name: str, timed: list[_Timed]
) -> Iterator[tuple[tuple[Calls, ...], _Timed]]:
    """The calls of each worker, the likeliest to go wrong first."""
    tasks, width = going.subject.tasks, going.bench.width
    beside = [(one, _others(going, one)) for one in timed]
    sequence, base = going.planner.sequence, going.calls[name][0]
    for before in [()] if tasks else [(SAME,), (), (LATER,)]:
        for one, others in beside:
            for other in others:
                yield ((one.call,), (*before, other)), one
    for one, others in beside:  # what is meant for one that is gone has to go on to the next
        if width > 2 and sequence((*one.state, base))[-1] == WAITS:
            for other in others[:_HELPFUL]:
                before = () if tasks else (SAME,)
                yield ((one.call,), (base,), (*before, other)), one


def _others(going: Going, one: _Timed) -> list[MethodCall]:
    """Calls that do not wait themselves; first those that change what it comes to."""
    sequence, plan = going.planner.sequence, going.plan
    made = [
        call for listed in going.calls.values() for call in listed[:1]
        if not (call.reads or call.closing or call in plan.reads)
        and going.options.contracts.of(call.method) != UNSAFE
        and sequence((*one.state, call))[-1] != WAITS
        and not going.planner.passes_time(one.state, call)
    ]  # fmt: skip
    helpful = [call for call in made if sequence((*one.state, call, one.call))[-1] != one.expired]
    rest = [call for call in made if call not in helpful]
    return [*helpful[:_HELPFUL], *rest[:_OTHERS]]


def _after(going: Going, name: str, one: _Timed) -> Calls:
    """What is asked in the end: also twice what waited, which shows what it can have now."""
    plan, sequence = going.plan, going.planner.sequence
    if not going.subject.tasks:
        return (*plan.after, one.call, one.call)
    quick = [
        call for call in plan.after
        if all(sequence((*state, call))[-1] != WAITS for state in plan.states)
    ]  # fmt: skip
    base = going.calls[name][0]
    return (*quick, base, base)
