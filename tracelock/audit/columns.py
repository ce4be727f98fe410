"""What else is asked of each method: is it right when the object is being closed, and may it be
cancelled?

The clients of ``closed`` close twice, or use what is closed or being closed. Those of ``cancelled``
cancel a call at each of its awaits while others are at work; a waiting one beside a third that
waits for the same, as a wake-up that was meant for the cancelled call has to go on to that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from tracelock.audit.bench import WAITS
from tracelock.audit.clients import ClientOf
from tracelock.audit.going import Going
from tracelock.audit.matrix import SKIPPED, AuditCell
from tracelock.audit.planning import Calls
from tracelock.audit.reading import MethodCall
from tracelock.history.contracts import UNSAFE

CLOSED: Final = "closed"
CANCELLED: Final = "cancelled"
#: Methods after which an object is not to be used, by their names.
_CLOSERS: Final = re.compile(
    r"^(a?close|aclose|close_\w+|\w+_close|shutdown|stop|terminate|disconnect|dispose|destroy|quit|"
    r"finish|end|kill|join_all)$"
)
_WITH: Final = ("with", "async with")
#: Closing methods that are looked at, clients of each cell, calls of others beside a cancelled one.
_MOST_CLOSERS, _MOST_CLIENTS, _MOST_OTHERS = 2, 40, 6


def closers(going: Going) -> list[MethodCall]:
    """The calls that close the object; ``with`` where something raises afterwards."""
    planner = going.planner
    every = [one for listed in going.calls.values() for one in listed if not one.closing]

    def closes(one: MethodCall) -> bool:
        if one.method not in _WITH:
            return bool(_CLOSERS.match(one.method))
        used = planner.sequence(one.steps)
        return WAITS not in used and any(
            planner.sequence((*one.steps, other))[-1][0] == "raises"
            and planner.sequence((other,))[-1][0] == "returns"
            for other in every
        )

    found = [listed[0] for listed in going.calls.values() if listed and closes(listed[0])]
    return found[:_MOST_CLOSERS]


def closed(going: Going, until: float) -> None:
    """A cell for each method: it and what closes, used twice, at once and afterwards."""
    closing = closers(going)
    if closing:
        _column(going, CLOSED, until, lambda name: _closed(going, going.calls[name][0], closing))


def _closed(going: Going, call: MethodCall, closing: list[MethodCall]) -> Iterator[ClientOf]:
    use, after, sequence = call.steps, going.plan.after, going.planner.sequence
    for end in (one.steps for one in closing):
        for state in going.plan.states[:2]:
            gone = (*state, *end)
            if WAITS not in sequence(gone):
                yield ClientOf(gone, (use, use), after)
                yield ClientOf(gone, (use, end), after)
        # as it is made only: these have more calls, and many more interleavings
        yield ClientOf((), ((*end, *use), end), after)
        yield ClientOf((), ((*use, *end), end), after)
        yield ClientOf((), ((*end, *use), use), after)


def cancelled(going: Going, until: float) -> None:
    """A cell for each method: it, cancelled at each of its awaits."""
    going.options.contracts.take_nothing.update(
        name for name in _WITH if name in going.calls and not _holds(going, name)
    )
    _column(going, CANCELLED, until, lambda name: _cancelled(going, name), True)


def _holds(going: Going, name: str) -> bool:
    """Whether something is held in a block, as that of a lock: what is found in it is not what is
    found when it is left. A barrier is only waited for."""
    enter, leave = going.calls[name][0].steps
    sequence = going.planner.sequence
    every = [one for listed in going.calls.values() for one in listed]
    return WAITS not in sequence((enter, leave)) and any(
        sequence((enter, one))[-1] != sequence((enter, leave, one))[-1] for one in every
    )


def _cancelled(going: Going, name: str) -> Iterator[ClientOf]:
    plan, contracts = going.plan, going.options.contracts
    # what a call that changes nothing has seen of one that was then taken back is not judged
    made = [
        listed[0] for other, listed in going.calls.items()
        if not listed[0].reads and contracts.of(other) != UNSAFE
    ]  # fmt: skip
    others = ([one for one in made if one not in plan.reads] or made)[:_MOST_OTHERS]
    # what goes through items has done some of it when it is cancelled
    calls = [] if name == "async for" else going.calls[name][:2]
    calls = [one for one in calls if not one.reads]

    def waits(state: Calls, call: MethodCall) -> bool:
        return bool(going.planner.sequence((*state, call))[-1] == WAITS)

    for sought in (True, False):  # where it waits, and elsewhere
        for state in plan.states:
            for call in calls:
                if waits(state, call) == sought:
                    for other in others:
                        yield ClientOf(state, (call.steps, other.steps), plan.after)
                        if sought and not waits(state, other):
                            for third in others:
                                if waits(state, third):
                                    threads = (call.steps, third.steps, other.steps)
                                    yield ClientOf(state, threads, plan.after)


def _column(
    going: Going, about: str, until: float, clients: Callable[[str], Iterator[ClientOf]],
    cancelling: bool = False,
) -> None:  # fmt: skip
    wanted = []
    for name in going.calls:
        cell = AuditCell((name, name), about=about)
        found = list(islice(clients(name), _MOST_CLIENTS))
        if not found:
            continue
        going.audited.columns.setdefault(about, []).append(cell)
        if not going.unsafe(cell, name):
            wanted.append((cell, found))
    going.go_through(wanted, until, cancelling)
    if cancelling:
        _never_suspended(going, about)


def _never_suspended(going: Going, about: str) -> None:
    """Take out the methods of which no call was ever cancelled, as they do not wait."""
    cells = going.audited.columns.pop(about, [])
    kept = [one for one in cells if one.cancelled or one.verdict == SKIPPED]
    if kept:
        going.audited.columns[about] = kept
