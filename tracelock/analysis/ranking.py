"""Which finding is the root: the one that the failure depends on most directly.

From the failure it is walked back along the dependences of the trace (``derived.backward``); what
is not met on the way is no cause, whatever it is. Of the others those come first that tell how the
run ended (a circle of waiting), then those that fit most tightly around a switch without which it
would not have failed (``derived.gaps``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tracelock.analysis.derived.backward import distances, failure_events
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.gaps import Absence
from tracelock.analysis.derived.objects import is_listener
from tracelock.analysis.findings import ERROR, NOTE, WARNING, Finding, sort_key
from tracelock.analysis.kinds import KINDS
from tracelock.trace.verdict import FAILED

__all__ = ["ranked"]

_PLACE: Final = {kind: place for place, kind in enumerate(KINDS)}
#: How the run ended, where it ended waiting or with this very step: nothing is nearer to the end.
ENDINGS: Final = frozenset({
    "deadlock", "self-deadlock", "abandoned-lock", "await-with-lock", "lost-wakeup",
    "broken-barrier", "bad-release", "release-by-another", "not-synced",
})  # fmt: skip
_WAITS: Final = frozenset({
    "deadlock", "abandoned-lock", "await-with-lock", "lost-wakeup", "missing-signal",
})  # fmt: skip
#: What a kind explains less well than another that fits as tightly, in steps: a name of its own is
#: worth more than a general one. What is not listed cannot be the root.
PENALTY: Final[dict[str, int]] = {
    "unchecked-wait": 0, "check-outside-lock": 0, "cleared-event": 0, "exception-in-section": 0,
    "swallowed-cancellation": 0, "never-awaited": 1, "aba": 0, "atomicity-violation": 1,
    "lost-update": 1, "check-then-act": 1, "interference": 4, "order-violation": 5,
    "data-race": 6, "inconsistent-locks": 8, "starvation": 8, "unfair-handover": 9,
    "missing-signal": 14, "crash": 12, "short-read": 2, "network-fault": 2,
}  # fmt: skip
#: Kinds of databases, whose content no event shows: what they tell of has happened, and a check
#: that fails looks at it by statements of its own.
_OF_DATABASES: Final = frozenset({
    "database-locked", "database-lost-update", "write-skew", "stale-read", "open-transaction",
})  # fmt: skip
#: Kinds of which no trace says that they happened: they are errors as the root only.
_POSSIBLE: Final = frozenset({"data-race", "inconsistent-locks", "order-violation", "interference"})
#: Kinds that are wrong whoever comes in between: how near they are to the failure counts.
_BY_ITSELF: Final = frozenset({
    "swallowed-cancellation", "never-awaited", "exception-in-section", "cleared-event",
    "missing-signal",
})  # fmt: skip
#: Kinds of a choice that a failure made small does not happen without, however far it is.
_CHOSEN: Final = frozenset({"short-read", "network-fault"})
#: Kinds of which the events are told in the order in which they do harm.
_IN_ORDER: Final = frozenset({"lost-update", "check-then-act"})
#: Kinds of two accesses that could have come in the other order.
_EITHER_WAY: Final = frozenset({"data-race", "order-violation"})
#: Kinds that are no error even as the root: nobody promises what they miss.
_NEVER: Final = frozenset({"unfair-handover", "contention"})
#: What tells the failure itself.
OUTCOMES: Final = ("worker-error", "failed-check", "crash", "missing-signal")
#: Kinds that say in general what others say better: they are told only as the root.
_STAND_INS: Final = frozenset({"interference"})
#: As ``PENALTY``, of a signal of an object that the trace knows.
_OF_KNOWN: Final = 6
_FAR: Final = 1_000
#: What it costs a finding that no switch is known at which it did its harm.
_ANYWHERE: Final = 3
#: What a finding gains that is about what the failing step has looked at.
_LOOKED_AT: Final = 1


def ranked(facts: Facts, findings: Sequence[Finding], suspects: frozenset[str]) -> list[Finding]:
    """The findings in their order, each with its ``rank``; that of a failing run with its ``root``.

    ``suspects``: the variables that the failed check mentions. Of a run that has not failed there
    is no root and no error.
    """
    if facts.trace.verdict.kind not in FAILED:
        calm = [
            replace(one, severity=WARNING) if one.severity == ERROR else one for one in findings
        ]
        return _numbered(sorted(calm, key=order))
    walk = _WalkBack(facts, suspects)
    root = min(findings, key=walk.score, default=None)
    if root is None:
        return []
    others = [
        walk.judged(one) for one in findings if one is not root and one.kind not in _STAND_INS
    ]  # fmt: skip
    severity = WARNING if root.kind in _NEVER else ERROR
    return _numbered([replace(root, severity=severity, root=True), *sorted(others, key=order)])


def order(finding: Finding) -> tuple[int, int, int]:
    """The gravest first, then what explains most (the order of ``KINDS``), then the earliest."""
    severity, first, kind = sort_key(finding)
    return severity, _PLACE[kind], first


def _numbered(findings: Sequence[Finding]) -> list[Finding]:
    return [replace(one, rank=rank) for rank, one in enumerate(findings)]


class _WalkBack:
    """The walk back from the failure, and the switches that it took."""

    def __init__(self, facts: Facts, suspects: frozenset[str]) -> None:
        self.facts = facts
        self.start = failure_events(facts, suspects)
        self.distance = distances(facts, self.start)
        steps = facts.steps
        #: What is read in the very step with which the run failed.
        self.looked_at = {
            name for seq, far in self.start.items() if not far for name in steps.read(seq)
        }

    def needed(self, finding: Finding) -> bool:
        """Whether the failure depends on all that the finding tells of."""
        events = list(finding.events)
        if finding.kind in _IN_ORDER and events != sorted(events):
            return False  # it can come in between, and did not
        if finding.kind in _EITHER_WAY:
            return events[0] in self.distance  # what came too early depends on what came later
        return bool(events) and all(seq in self.distance for seq in events)

    def judged(self, finding: Finding) -> Finding:
        """A finding that is not the root, with its severity: an error is needed and happened."""
        kind = finding.kind
        if kind in OUTCOMES[:3]:
            return finding
        if kind in _OF_DATABASES:
            return replace(finding, severity=WARNING)
        happened = kind not in _POSSIBLE and kind not in _NEVER and self.needed(finding)
        if kind in _WAITS and self.facts.trace.verdict.kind == "failed" and not self._ends(finding):
            happened = False
        if finding.severity == ERROR and not happened:
            return replace(finding, severity=NOTE if kind in _NEVER else WARNING)
        return finding

    def score(self, finding: Finding) -> tuple[int, float, tuple[int, int, int]]:
        """The lowest is the root."""
        kind = finding.kind
        if kind in ENDINGS and finding.severity == ERROR and self._ends(finding):
            return 0, 0, order(finding)
        if kind in _OF_DATABASES and finding.severity == ERROR:
            return 1, 0, order(finding)
        if kind == "missing-signal" and is_listener(finding.targets[0]):
            return 3, 0, order(finding)  # a server that waits for connections is at rest
        if kind not in PENALTY or not self.needed(finding):
            return (3 if kind in OUTCOMES else 4), 0, order(finding)
        met = [self.distance[seq] for seq in finding.events if seq in self.distance]
        near = min(met)
        tight = min((self._tight(finding, gap) for gap in self.facts.gaps), default=_FAR)
        if kind in _CHOSEN:
            return 2, PENALTY[kind], order(finding)
        if kind in _BY_ITSELF:
            tight = met[-1]
        elif tight >= _FAR:
            tight = _ANYWHERE + met[-1]
        penalty = PENALTY[kind]
        if kind == "missing-signal" and self.facts.steps.type_of(finding.targets[0]):
            penalty = _OF_KNOWN  # an object that has signals, not any future
        if not self.looked_at.isdisjoint(finding.targets):
            penalty -= _LOOKED_AT
        return 2, tight + penalty + near / 4, order(finding)

    def _ends(self, finding: Finding) -> bool:
        """Whether a finding of ``ENDINGS`` tells this end, and not something before it."""
        verdict = self.facts.trace.verdict
        if verdict.kind != "failed":
            return True
        if finding.kind == "abandoned-lock":  # by another, of which the one that failed was told
            return verdict.worker == finding.workers[-1] != finding.workers[0]
        if finding.kind in _WAITS:
            return False  # who waits then waits for the one that failed
        return any(self.distance.get(seq, _FAR) <= 2 for seq in finding.events)

    def _tight(self, finding: Finding, gap: Absence) -> int:
        """How many steps of the gap's worker lie between the gap and what the finding tells of
        both sides of it; ``_FAR`` where it does not tell of it."""
        steps = self.facts.steps
        own = steps.by_worker[gap.worker]
        mine = [seq for seq in finding.events if steps.workers[seq] == gap.worker]
        between = [
            seq for seq in finding.events
            if gap.before < seq < gap.after and steps.workers[seq] != gap.worker
        ]  # fmt: skip
        before = [seq for seq in mine if seq <= gap.before]
        after = [seq for seq in mine if seq >= gap.after]
        if not between or not before or (gap.after < len(steps) and not after):
            return _FAR
        place = bisect_right(own, gap.before)
        first = place - bisect_right(own, max(before))
        return first + (bisect_left(own, min(after)) - place if after else 0)
