"""The switches of a trace of real code of which it says whether CPython with its GIL makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tracelock.trace import Trace

CAN: Final = "can"
WITHOUT_GIL: Final = "only-without-gil"
CANNOT_TELL: Final = "cannot-tell"
LEVELS: Final = (CAN, CANNOT_TELL, WITHOUT_GIL)


@dataclass(frozen=True, slots=True)
class ClassedSwitch:
    """A preemptive switch of a trace, before event ``seq``. ``worker``: index of the one that was
    left; ``level``: its class, one of ``LEVELS``; ``first``, ``then``: the places of the steps that
    it comes between (``then``: "" where that worker made no further step)."""

    seq: int
    worker: int
    level: str
    first: str
    then: str


def switches_of(trace: Trace) -> list[ClassedSwitch]:
    """The switches of which a trace says the class."""
    events, workers = trace.events, trace.events.workers
    found = []
    for seq, extra in sorted(events.extras.items()):
        level = extra.get("switch")
        if level not in LEVELS or seq < 1:
            continue
        left = workers[seq - 1]
        then = next((n for n in range(seq, len(workers)) if workers[n] == left), None)
        after = "" if then is None else events[then].at
        found.append(ClassedSwitch(seq, left, level, events[seq - 1].at, after))
    return found


def interpreter_of(trace: Trace) -> str:
    """The interpreter with which a trace was made, as far as its switches go."""
    about = trace.environment
    version = ".".join(str(about.get("python") or "").split(".")[:2])
    return f"{about.get('implementation') or 'Python'} {version}".strip()


def worst_between(
    switches: Sequence[ClassedSwitch], events: Sequence[int], workers: Sequence[int]
) -> str:
    """The class of what it takes to come from the first of these events to the last: the worst of
    the switches in between away from one of ``workers``; "" where there is none."""
    if not events:
        return ""
    first, last = min(events), max(events)
    levels = {
        one.level for one in switches if first < one.seq <= last and one.worker in workers
    }  # fmt: skip
    return next((level for level in reversed(LEVELS) if level in levels), "")
