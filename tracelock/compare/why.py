"""Why an outcome is possible on one backend and not on another, in a sentence, from the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracelock.backends.rules import RULES
from tracelock.errors import Divergence
from tracelock.ops import KIND_OF
from tracelock.report.comparison.words import listed

if TYPE_CHECKING:
    from tracelock.trace import Event, Trace


def why(trace: Trace, backend: str, elsewhere: Mapping[str, Divergence | None]) -> str | None:
    """One sentence on a trace of ``backend`` that others diverge from.

    ``elsewhere``: backend -> where a replay of the trace under its rules had to stop.
    """
    told = [
        (other, divergence) for other, divergence in elsewhere.items() if divergence is not None
    ]
    if not told:
        return None
    events = list(trace.events)
    other, divergence = told[0]
    same = [name for name, d in told if d is not None and d.seq == divergence.seq]
    names = listed(same)
    seq = divergence.seq
    if not 0 <= seq < len(events):
        return f"On {names} the same steps end otherwise: {divergence.why}."
    last = events[-1]
    if trace.verdict.failure == "error" and isinstance(last.result, dict):
        name = last.result.get("error", "an error")
        everywhere = listed([one for one, _ in told])
        done = "wait" if last.op == "wake" else last.op
        return (
            f"On {backend} {trace.workers[last.worker]}'s {done} {last.target} raises {name} "
            f"there; on {everywhere} it does not: the objects have other rules."
        )
    event = events[seq]
    if event.op == "timeout":
        return (
            f"On {backend} {trace.workers[event.worker]} just leaves {event.target} when its time "
            f"is up; on {names} that is noticed by the others."
        )
    before = events[seq - 1] if seq else None
    if before is not None and before.worker != event.worker:
        return _switch(trace, events, seq, backend, names, other)
    if event.op == "acquire" or "first in line" in divergence.why:
        return _handover(trace, event, backend, names)
    done = f"{trace.workers[event.worker]}'s {_did_what(event)}"
    return f"At {done} {names} goes on with {divergence.got} instead."


def _switch(
    trace: Trace, events: list[Event], seq: int, backend: str, names: str, other: str
) -> str:
    event, before = events[seq], events[seq - 1]
    later = next((one for one in events[seq:] if one.worker == before.worker), None)
    left = trace.workers[before.worker]
    comer = trace.workers[event.worker]
    place = f"after {left}'s {_did_what(before)}"
    if later is not None:
        place += f" and before its {_did_what(later)}"
    rules = RULES[backend]
    if not rules.cooperative:
        may = f"On {backend} another worker may come in before every step"
    elif KIND_OF.get(before.op) in rules.after:
        may = f"On {backend} others may come in after every {before.op}, even of a free lock"
    else:
        may = f"On {backend} others may come in at every checkpoint that it makes"
    keeps = f"on {names} {left} goes on until it really suspends, and it does not there"
    if not RULES[other].cooperative:
        keeps = f"on {names} that order cannot come about"
    if event.op == "acquire" and RULES[other].cooperative and before.op == "release":
        return _handover(trace, event, backend, names)
    return f"{may}, here {comer} {place}; {keeps}."


def _handover(trace: Trace, event: Event, backend: str, names: str) -> str:
    who = trace.workers[event.worker]
    return (
        f"On {backend} a released lock goes to any waiter or a newcomer, here to {who} "
        f"({event.target}); on {names} it is handed to the first in line."
    )


def _did_what(event: Event) -> str:
    return f"{event.op} {event.target}" if event.target else event.op
