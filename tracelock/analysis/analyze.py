"""All that can be said of one trace: :func:`analyze`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, overload

from tracelock.analysis.derived.facts import Facts, base_of
from tracelock.analysis.derived.switches import (
    CAN,
    CANNOT_TELL,
    WITHOUT_GIL,
    interpreter_of,
    switches_of,
    worst_between,
)
from tracelock.analysis.derived.usage import LockUse
from tracelock.analysis.finders.atomicity import atomicity
from tracelock.analysis.finders.cleared import cleared
from tracelock.analysis.finders.crashes import not_synced
from tracelock.analysis.finders.databases import databases
from tracelock.analysis.finders.guards import guards, held_while_waiting, useless
from tracelock.analysis.finders.interference import interference
from tracelock.analysis.finders.leaving import left_by_exception, never_awaited, swallowed
from tracelock.analysis.finders.lock_order import lock_order
from tracelock.analysis.finders.misuse import misuse
from tracelock.analysis.finders.network import network_faults, short_reads
from tracelock.analysis.finders.outcome import outcome, suspects
from tracelock.analysis.finders.races import order_violations, races
from tracelock.analysis.finders.rechecks import checked_outside, unchecked_waits
from tracelock.analysis.finders.sections import aba, stale, violations
from tracelock.analysis.finders.stuck import stuck
from tracelock.analysis.finders.timeouts import timeouts
from tracelock.analysis.finders.turns import contention, starvation, unfair
from tracelock.analysis.findings import SEVERITIES, Finding
from tracelock.analysis.kinds import CURES
from tracelock.analysis.ranking import OUTCOMES, order, ranked
from tracelock.ops import WRITE
from tracelock.trace import Trace

__all__ = ["Analysis", "analyze"]

_UPDATES: Final = frozenset({"lost-update", "check-then-act"})
_TELLS_MORE: Final = frozenset({"unchecked-wait", "check-outside-lock"})


def _tolerant(facts: Facts) -> bool:
    """Whether races on flags are presumed to be meant: not where the run failed."""
    return facts.trace.verdict.kind != "failed"


#: Every finder; one more is a line here, and its words in ``kinds``.
FINDERS: Final[tuple[Callable[[Facts], Iterable[Finding]], ...]] = (
    stuck, misuse, violations,
    lambda facts: atomicity(facts, tolerant=_tolerant(facts), merged=True),
    lambda facts: races(facts, tolerant=_tolerant(facts), merged=True),
    unchecked_waits, checked_outside, cleared, left_by_exception, swallowed, never_awaited,
    interference, guards, aba, lock_order, timeouts, starvation, unfair, held_while_waiting,
    useless, contention, stale, not_synced, short_reads, network_faults,
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Analysis(Sequence[Finding]):
    """The findings of a trace, the gravest first, of which it is the sequence; and its locks.

    ``locks``: the use of every lock and semaphore, those most waited for first.
    """

    trace: Trace
    findings: tuple[Finding, ...]
    locks: tuple[LockUse, ...]

    def __len__(self) -> int:
        return len(self.findings)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, index: int | slice) -> Finding | tuple[Finding, ...]:
        return self.findings[index]

    def __repr__(self) -> str:
        return f"<Analysis of {len(self.trace.events)} events: {len(self.findings)} findings>"

    def to_data(self) -> dict[str, Any]:
        """The analysis as JSON data: ``{"workers", "events", "verdict", "findings", "locks"}``.

        ``workers``: their names, into which ``workers`` of a finding are indices; ``events``: how
        many; ``verdict``: as in the trace; ``findings``: see `Finding.to_data`; ``locks``: see
        `LockUse`, times in nanoseconds.
        """
        return {
            "name": self.trace.scenario.get("name"), "backend": self.trace.backend,
            "mode": self.trace.mode, "workers": list(self.trace.workers),
            "events": len(self.trace.events), "verdict": self.trace.verdict.to_data(),
            "counts": {
                severity: sum(one.severity == severity for one in self.findings)
                for severity in SEVERITIES
            },
            "findings": [one.to_data() for one in self.findings],
            "locks": [one.to_data() for one in self.locks],
        }  # fmt: skip


def analyze(trace: Trace) -> Analysis:
    """Everything that the analyses find in ``trace``, whatever made it and however it ended.

    Reads the trace only; works on a free or a controlled run of any backend, of a scenario or of
    Python code, also on one that was cut off. ``error``: it happened in this run; ``warning``: it
    did not, and nothing in the trace keeps it from happening in another schedule; ``note``: worth
    knowing, often harmless. Findings that differ only in the worker, the element of an array or the
    round of a loop are merged into one. No finding is no proof: see ``tracelock explore``.
    """
    facts = Facts(trace)
    findings = [one for find in FINDERS for one in find(facts)]
    findings += order_violations_of(facts, findings)
    findings = _without_databases(facts, findings) + databases(facts)
    findings = _once(facts, _without_covered(facts, findings))
    findings += outcome(facts, explained=bool(findings))
    if trace.events.extras:
        findings = _with_switches(trace, findings)
    told = [_in_words(facts, one) for one in ranked(facts, findings, suspects(facts))]
    return Analysis(trace, tuple(told), facts.usage.summary)


def _without_databases(facts: Facts, findings: list[Finding]) -> list[Finding]:
    """Without those that are about nothing but variables of databases, which keep locks of their
    own: what is wrong there is told by ``databases``."""
    about = facts.transactions
    if not about.statements:
        return findings
    own = about.is_of_database
    return [one for one in findings if not one.targets or not all(map(own, one.targets))]


def _without_covered(facts: Facts, findings: Sequence[Finding]) -> list[Finding]:
    """Without the updates and stale checks of which another finding tells more: that the check was
    before a wait, or outside of the lock."""

    def act(one: Finding) -> tuple[str, str]:
        return base_of(one.targets[0]), facts.steps.at(one.events[-1])

    covered = {act(one) for one in findings if one.kind in _TELLS_MORE}
    return [one for one in findings if one.kind not in _UPDATES or act(one) not in covered]


def _in_words(facts: Facts, one: Finding) -> Finding:
    """A finding with a diagnosis, a cure and places, if it has none of its own."""
    failed_at = facts.trace.verdict.at if one.kind in OUTCOMES else None
    title = one.title
    if title[:2].istitle():  # not ABA
        title = title[:1].lower() + title[1:]
    for target in sorted(one.targets, key=len, reverse=True) if facts.real_code else ():
        title = title.replace(target, facts.said(target))
    return replace(
        one, diagnosis=one.diagnosis or title,
        cure=one.cure or CURES[one.kind],
        places=one.places or facts.places(one.events, (failed_at,) if failed_at else ()),
    )  # fmt: skip


def order_violations_of(facts: Facts, findings: Sequence[Finding]) -> list[Finding]:
    """Among tasks, accesses whose order nothing decides: of what the failed check looked at; where
    nobody can go on, of what was used last of all."""
    steps, verdict = facts.steps, facts.trace.verdict
    if not steps.cooperative or verdict.kind not in ("failed", "deadlock"):
        return []
    names = suspects(facts)
    if verdict.kind == "deadlock":
        on_variables = (seq for seq in reversed(range(len(steps))) if steps.kinds[seq] <= WRITE)
        last = next(on_variables, -1)
        names = frozenset({steps.targets[last] or ""} if last >= 0 else ())
    covered = {one.targets[0] for one in findings if one.kind in _UPDATES}
    found = [one for one in order_violations(facts, names) if one.targets[0] not in covered]
    if verdict.kind == "deadlock":  # what came last decided
        found = sorted(found, key=lambda one: one.events[::-1])[-1:]
    return found


def _with_switches(trace: Trace, findings: Sequence[Finding]) -> list[Finding]:
    """Findings of real code on threads, with whether CPython makes the switch that each takes."""
    switches = switches_of(trace)
    name = f"{interpreter_of(trace)} with its GIL"
    told = {
        WITHOUT_GIL: f"It takes a switch that {name} never makes; a build without a GIL does.",
        CANNOT_TELL: f"Whether {name} makes the switch that it takes cannot be told.",
        CAN: f"{name} makes the switch that it takes.",
    }
    found = []
    for one in findings:
        level = worst_between(switches, one.events, one.workers)
        if level:
            text = f"{one.explanation} {told[level]}"
            one = replace(one, explanation=text, switch=level)
        found.append(one)
    return found


def _once(facts: Facts, findings: Sequence[Finding]) -> list[Finding]:
    """One of each set that is alike, the gravest, which says how many more there are.

    A lost update is at least three races as well: one of them is kept.
    """
    updated = {base_of(one.targets[0]) for one in findings if one.kind in _UPDATES}
    alike: dict[Any, list[Finding]] = {}
    keys: dict[int, Any] = {}  # by identity: many stand here more than once
    for finding in findings:
        key = keys.get(id(finding))
        if key is None:
            key = keys[id(finding)] = facts.alike(finding)
        if finding.kind == "data-race" and base_of(finding.targets[0]) in updated:
            key = finding.kind, base_of(finding.targets[0])
        alike.setdefault(key, []).append(finding)
    kept = []
    for same in alike.values():
        first = min(same, key=order)
        if len(same) > 1:
            more = "Once more" if len(same) == 2 else f"{len(same) - 1} times more"
            text = f"{first.explanation} ({more} in this trace, with other workers or elements.)"
            first = replace(first, explanation=text)
        kept.append(first)
    return kept
