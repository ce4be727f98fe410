"""All that can be said of one trace: :func:`analyze`."""

from __future__ import annotations

from collections.abc import Sequence
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
from tracelock.analysis.finders.guards import guards, held_while_waiting, useless
from tracelock.analysis.finders.lock_order import lock_order
from tracelock.analysis.finders.misuse import misuse
from tracelock.analysis.finders.outcome import outcome, suspects
from tracelock.analysis.finders.races import order_violations, races
from tracelock.analysis.finders.sections import aba, stale, violations
from tracelock.analysis.finders.stuck import stuck
from tracelock.analysis.finders.timeouts import timeouts
from tracelock.analysis.finders.turns import contention, starvation, unfair
from tracelock.analysis.findings import ERROR, SEVERITIES, Finding, sort_key
from tracelock.analysis.kinds import KINDS
from tracelock.trace import Trace

__all__ = ["Analysis", "analyze"]

_PLACE: Final = {kind: place for place, kind in enumerate(KINDS)}
_UPDATES: Final = frozenset({"lost-update", "check-then-act"})
_RACES: Final = frozenset({"data-race", "order-violation"})


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
    tolerant = trace.verdict.kind != "failed"
    findings = [
        *stuck(facts),
        *misuse(facts),
        *violations(facts),
        *atomicity(facts, tolerant=tolerant, merged=True),
        *races(facts, tolerant=tolerant, merged=True),
        *guards(facts),
        *aba(facts),
        *lock_order(facts),
        *timeouts(facts),
        *starvation(facts),
        *unfair(facts),
        *held_while_waiting(facts),
        *useless(facts),
        *contention(facts),
    ]
    if not tolerant:
        findings += stale(facts)
        findings = _blame(facts, findings)
    explained = any(one.severity == ERROR for one in findings)
    findings = _once(facts, [*findings, *outcome(facts, explained=explained)])
    if trace.events.extras:
        findings = _with_switches(trace, findings)
    return Analysis(trace, tuple(sorted(findings, key=_rank)), facts.usage.summary)


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


def _blame(facts: Facts, findings: list[Finding]) -> list[Finding]:
    """The findings of a run that failed, with those that are causes of the failure as errors.

    That is what came in between in this very run, and a race on what the failed check looked at;
    where there is no such cause, every race is suspected.
    """
    names = suspects(facts)
    bases = set(map(base_of, names))
    if facts.steps.cooperative:
        covered = {one.targets[0] for one in findings if one.kind in _UPDATES}
        findings = findings + [
            one for one in order_violations(facts, names) if one.targets[0] not in covered
        ]
    blamed = []
    for one in findings:
        happened = one.kind in _UPDATES and list(one.events) == sorted(one.events)
        racing = one.kind in _RACES and not bases.isdisjoint(map(base_of, one.targets))
        blamed.append(replace(one, severity=ERROR) if happened or racing else one)
    if any(one.severity == ERROR for one in blamed):
        return blamed
    return [replace(one, severity=ERROR) if one.kind in _RACES else one for one in blamed]


def _rank(finding: Finding) -> tuple[int, int, int]:
    """The gravest first, then what explains most (the order of ``KINDS``), then the earliest."""
    severity, first, kind = sort_key(finding)
    return severity, _PLACE[kind], first


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
        first = min(same, key=_rank)
        if len(same) > 1:
            more = "Once more" if len(same) == 2 else f"{len(same) - 1} times more"
            text = f"{first.explanation} ({more} in this trace, with other workers or elements.)"
            first = replace(first, explanation=text)
        kept.append(first)
    return kept
