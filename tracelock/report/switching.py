"""What the switches of a trace of real code take, in words: can this interpreter make them?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tracelock.analysis.derived.switches import (
    CANNOT_TELL,
    WITHOUT_GIL,
    ClassedSwitch,
    interpreter_of,
    switches_of,
)
from tracelock.report.wording import clean

if TYPE_CHECKING:
    from tracelock.trace import Trace

#: Who does make a switch that a CPython with its GIL does not.
OTHERS: Final = "free-threaded builds, PyPy and CPython up to 3.9 do"


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
    name = f"{clean(interpreter_of(trace))} with its GIL"
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
