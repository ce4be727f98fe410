"""All that can be said of one trace: :func:`analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracelock.analysis.atomicity import atomicity
from tracelock.analysis.facts import Facts
from tracelock.analysis.findings import Finding, sort_key
from tracelock.analysis.lock_order import lock_order
from tracelock.analysis.races import races
from tracelock.trace import Trace

__all__ = ["Analysis", "LockUse", "Spread", "analyze"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How some durations are spread, in nanoseconds. ``p50``: the median, and so on."""

    count: int
    total: int
    p50: int
    p90: int
    p99: int
    max: int

    def to_data(self) -> dict[str, int]:
        return {
            "count": self.count, "total": self.total, "p50": self.p50, "p90": self.p90,
            "p99": self.p99, "max": self.max,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LockUse:
    """What a run made of one lock (or semaphore).

    ``taken``: how often; ``waited``: how often somebody had to wait for it; ``failed``: tries and
    timed waits that ended without it; ``wait`` and ``held``: times in nanoseconds, of those who
    had to wait and of all who took it; ``again``: how often the same worker took it twice in a row.
    """

    name: str
    type: str
    workers: tuple[int, ...]
    taken: int
    waited: int
    failed: int
    again: int
    wait: Spread
    held: Spread

    def to_data(self) -> dict[str, Any]:
        return {
            "name": self.name, "type": self.type, "workers": list(self.workers),
            "taken": self.taken, "waited": self.waited, "failed": self.failed,
            "again": self.again, "wait": self.wait.to_data(), "held": self.held.to_data(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Analysis(Sequence[Finding]):
    """The findings of a trace, the gravest first; and the use of its locks.

    Is itself the sequence of its findings.
    """

    trace: Trace
    findings: tuple[Finding, ...]
    locks: tuple[LockUse, ...]

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, index: Any) -> Any:
        return self.findings[index]


def analyze(trace: Trace) -> Analysis:
    """Everything that the analyses find in ``trace``."""
    facts = Facts(trace)
    findings = [*lock_order(facts), *atomicity(facts), *races(facts)]
    return Analysis(trace, tuple(sorted(facts.distinct(findings), key=sort_key)), ())
