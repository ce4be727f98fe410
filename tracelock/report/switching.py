"""What the switches of a trace of real code take, in words: can this interpreter make them?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracelock.report.wording import clean

if TYPE_CHECKING:
    from tracelock.trace import Trace

CAN: Final = "can"
WITHOUT_GIL: Final = "only-without-gil"
CANNOT_TELL: Final = "cannot-tell"
#: What a switch says after its reason, by its class.
SHORT: Final = {
    CAN: "preempted (could have gone on; CPython can switch here)",
    WITHOUT_GIL: "preempted (only without the GIL)",
    CANNOT_TELL: "preempted (could have gone on; under the GIL: not known)",
}
#: Who does make a switch that a CPython with its GIL does not.
OTHERS: Final = "free-threaded builds, PyPy and CPython up to 3.9 do"


@dataclass(frozen=True, slots=True)
class ClassedSwitch:
    """A preemptive switch of a trace. ``level``: its class; ``first``, ``then``: the places of the
    steps that it comes between (``then``: "" where that worker made no further step)."""

    seq: int
    worker: str
    level: str
    first: str
    then: str


def switches_of(trace: Trace) -> list[ClassedSwitch]:
    """The switches of which a trace says the class."""
    events, workers = trace.events, trace.events.workers
    found = []
    for seq, extra in sorted(events.extras.items()):
        level = extra.get("switch")
        if level not in SHORT or seq < 1:
            continue
        left = workers[seq - 1]
        then = next((n for n in range(seq, len(workers)) if workers[n] == left), None)
        after = "" if then is None else events[then].at
        found.append(
            ClassedSwitch(seq, clean(trace.workers[left]), level, events[seq - 1].at, after)
        )
    return found


def interpreter_of(trace: Trace) -> str:
    """The interpreter with which a trace was made, as far as its switches go."""
    about = trace.environment
    version = ".".join(str(about.get("python") or "").split(".")[:2])
    return clean(f"{about.get('implementation') or 'Python'} {version}".strip())


def place(switch: ClassedSwitch, line: Callable[[str], str] | None = None) -> str:
    """Where a switch comes: ``inside `self.value += 1` (bank.py:12)``."""
    text = "" if line is None else clean(line(switch.first))
    shown = f"`{text}` ({clean(switch.first)})" if text else clean(switch.first)
    if switch.then in ("", switch.first):
        return f"inside {shown}" if switch.then else f"after {shown}"
    text = "" if line is None else clean(line(switch.then))
    then = f"`{text}` ({clean(switch.then)})" if text else clean(switch.then)
    return f"between {shown} and {then}"


def verdict_line(
    trace: Trace, line: Callable[[str], str] | None = None, tried: int = 0, *, every: bool = False
) -> str:
    """What the failing schedule takes, in one sentence; "" where nothing is known of it, or no
    switch is needed. ``tried``: schedules that this interpreter can make and that did not fail
    (``every``: these are all that there are)."""
    switches = switches_of(trace)
    name = f"{interpreter_of(trace)} with its GIL"
    never = [one for one in switches if one.level == WITHOUT_GIL]
    unknown = [one for one in switches if one.level == CANNOT_TELL]
    if never:
        more = ""
        if tried and every:
            more = f" (all {tried:,} schedules that it can make pass)"
        elif tried:
            more = f" ({tried:,} schedules that it can make were tried, none failed)"
        return (
            f"it needs a switch {place(never[0], line)}, which {name} never makes{more}; {OTHERS}"
        )
    if unknown:
        return (
            f"it needs a switch {place(unknown[0], line)}; whether {name} makes it cannot be told, "
            "so it counts as one that it can make"
        )
    if switches:
        return f"{name} can make its switch{'es' if len(switches) > 1 else ''} by itself"
    return ""
