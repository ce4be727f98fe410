"""The switch that matters: where a failing run took the turn that made it fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracelock.analysis.findings import ERROR, Finding
from tracelock.errors import UsageError
from tracelock.report.timeline import preemptions
from tracelock.report.wording import clean, describe
from tracelock.trace import Trace

__all__ = ["TurningPoint", "turning_point"]


@dataclass(frozen=True, slots=True)
class TurningPoint:
    """``seq``: the event before which the switch is; ``text``: whole sentences.

    ``label``: a few words to stand at the event itself. ``certain``: it is known that this switch
    makes the difference (a passing twin shows it, or there is no other).
    """

    seq: int
    label: str
    text: str
    certain: bool


def turning_point(
    trace: Trace, twin: Trace | None = None, findings: Sequence[Finding] = ()
) -> TurningPoint | None:
    """Where it went wrong, None where nothing is known of it.

    ``twin``: a passing run of the same scenario. Raises UsageError where it is of another one.
    """
    if twin is not None:
        return _parting(trace, twin)
    if trace.verdict.kind in ("passed", "unfinished"):
        return None
    events = trace.events
    switches = preemptions(trace)
    if len(switches) == 1:
        seq = switches[0]
        name = clean(trace.workers[events.workers[seq - 1]])
        text = f"The one preemptive switch of this run: {name} could have gone on here."
        return TurningPoint(seq, "the switch that matters", text, True)
    within = _within(trace, findings, switches)
    if within is not None:
        return within
    if switches:
        text = (
            f"The last of {len(switches):,} preemptive switches; which of them matter is not known."
        )
        return TurningPoint(switches[-1], "the last preemptive switch", text, False)
    return None


def _within(
    trace: Trace, findings: Sequence[Finding], switches: Sequence[int]
) -> TurningPoint | None:
    """The first switch between the events of what was found to have happened."""
    for finding in findings:
        seqs = sorted(finding.events)
        if finding.severity != ERROR or len(seqs) < 2 or seqs[-1] >= len(trace.events):
            continue
        workers = trace.events.workers
        own = workers[seqs[0]]
        for seq in seqs[1:]:
            if workers[seq] == own:
                continue
            last = max(one for one in range(seqs[0], seq) if workers[one] == own)
            place = last + 1
            if switches and place not in switches:
                break
            text = (
                f"Here {clean(trace.workers[own])} is left in the middle: {clean(finding.title)}."
            )
            return TurningPoint(place, "the switch that matters", text, False)
    return None


def _parting(trace: Trace, twin: Trace) -> TurningPoint:
    if list(trace.workers) != list(twin.workers):
        raise UsageError(
            f"the twin is of other workers ({', '.join(twin.workers)}) "
            f"than the trace ({', '.join(trace.workers)})"
        )
    mine, other = trace.events, twin.events
    shorter = min(len(mine), len(other))
    place = shorter
    for seq in range(shorter):
        # cheap first: most events of two runs alike differ in nothing
        same = (
            mine.workers[seq] == other.workers[seq]
            and mine.table[mine.shapes[seq]] == other.table[other.shapes[seq]]
            and mine.values[seq] == other.values[seq]
            and mine.results[seq] == other.results[seq]
        )
        if not (same or mine[seq].same(other[seq])):
            place = seq
            break
    if place == len(mine) == len(other):
        raise UsageError("the twin is the same run as the trace")
    sides = []
    for name, run in (("this run", trace), ("the twin", twin)):
        if place >= len(run.events):
            sides.append(f"{name} ends")
        else:
            event = run.events[place]
            worker = clean(run.workers[event.worker])
            sides.append(f"in {name} {worker} does '{describe(event, run.workers)}'")
    start = (
        f"Both runs are the same up to event {place - 1}" if place else "From the first event on"
    )
    text = f"{start}. Then {sides[0]}, and {sides[1]}."
    if not place:
        text = f"{start} they differ: {sides[0]}, and {sides[1]}."
    return TurningPoint(min(place, max(0, len(mine) - 1)), "the switch that matters", text, True)
