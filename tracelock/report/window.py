"""Which part of a long trace to show: the part around the failure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracelock.analysis.findings import ERROR, Finding
from tracelock.trace import Trace

__all__ = ["focus", "window"]

#: Rows on either side of an event that a finding names and that is out of the window.
_NEAR = 3
#: How many of those there are at most.
_FAR = 40


def focus(trace: Trace, findings: Sequence[Finding] = ()) -> int:
    """The event that the report is about: where it went wrong, as far as that is known.

    Most failures show where the run ends. A wrong end state is the exception: what made it wrong
    is a finding that happened, if there is one.
    """
    last = max(0, len(trace.events) - 1)
    happened = [one for one in findings if one.severity == ERROR and one.events]
    ended_well = trace.verdict.kind == "passed"
    if happened and (ended_well or trace.verdict.failure == "finally"):
        return min(max(happened[0].events), last)
    if ended_well:
        first = next((one for one in findings if one.events), None)
        return min(max(first.events), last) if first is not None else 0
    return last


def window(events: int, around: int, most: int, also: Iterable[int] = ()) -> list[range]:
    """At most ``most`` of so many events, around one; and a few rows around each of ``also``.

    Ascending, disjoint ranges. All events where they are no more than ``most``.
    """
    if events <= most:
        return [range(events)] if events else []
    start = min(max(0, around - most // 2), events - most)
    wanted = [(start, start + most)]
    far = sorted({seq for seq in also if 0 <= seq < events and not start <= seq < start + most})
    wanted += [(max(0, seq - _NEAR), min(events, seq + _NEAR + 1)) for seq in far[:_FAR]]
    merged: list[tuple[int, int]] = []
    for first, stop in sorted(wanted):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((first, stop))
    return [range(first, stop) for first, stop in merged]
