"""What all analyses of one trace share, each part worked out once and only if somebody asks."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from functools import cached_property
from typing import Any, Final

from tracelock.analysis.derived.edges import Edge, observed_edges, reads_from
from tracelock.analysis.derived.flags import flags
from tracelock.analysis.derived.gaps import Absence, gaps_of
from tracelock.analysis.derived.happens_before import Order, order_of
from tracelock.analysis.derived.locksets import Locksets
from tracelock.analysis.derived.must import must_edges
from tracelock.analysis.derived.spoken import spoken
from tracelock.analysis.derived.steps import Steps
from tracelock.analysis.derived.transactions import Transactions
from tracelock.analysis.derived.usage import Usage
from tracelock.analysis.findings import Finding, Pairs
from tracelock.ops import WRITE
from tracelock.trace import Trace

__all__ = ["Facts", "base_of"]


_PLACE: Final = re.compile(r"#\d+|\[[^\]]*\]")


def base_of(target: str) -> str:
    """A name without the element of an array or the number of an object: ``Account.balance``."""
    return _PLACE.sub("", target)


class Facts:
    """A trace with its columns, its orders and its locksets."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.steps = Steps(trace)
        self.of_kind: dict[tuple[str, int], list[int]] = {}  # of ``on``, as far as it was asked

    @cached_property
    def locks(self) -> Locksets:
        """Who holds what."""
        return Locksets(self.steps)

    @cached_property
    def observed_edges(self) -> list[Edge]:
        """Who let whom go on in this run."""
        return observed_edges(self.steps)

    @cached_property
    def observed(self) -> Order:
        """Happens-before as it was in this run."""
        return order_of(self.steps, self.observed_edges)

    @cached_property
    def gaps(self) -> list[Absence]:
        """Where others came in between two steps of one worker."""
        return gaps_of(self.steps)

    @cached_property
    def must(self) -> Order:
        """What no other schedule can turn round, see the module ``must``."""
        return order_of(self.steps, must_edges(self.steps))

    @cached_property
    def definite(self) -> Order:
        """As ``must``, without the edges through variables that are changed indivisibly."""
        if not self.steps.atomics:
            return self.must
        return order_of(self.steps, must_edges(self.steps, values=False))

    def alike(self, finding: Finding) -> Hashable:
        """Findings with equal keys tell the same of other workers, elements or rounds.

        Ten workers that add to one counter without a lock are ninety lost updates, and one bug.
        """
        names = frozenset(map(base_of, finding.targets))
        return finding.kind, names, frozenset(map(self.steps.at, finding.events))

    def distinct(self, findings: Iterable[Finding]) -> list[Finding]:
        """The first of each set of findings that are alike."""
        first: dict[Hashable, Finding] = {}
        for finding in findings:
            first.setdefault(self.alike(finding), finding)
        return list(first.values())

    def finding(
        self, kind: str, severity: str, title: str, explanation: str, events: Iterable[int],
        targets: Iterable[str], workers: Iterable[int] = (), shows: tuple[Pairs, ...] = (),
        diagnosis: str = "", cure: str = "", places: Iterable[str] = (),
    ) -> Finding:  # fmt: skip
        """A finding with each event, worker and target once; -1 is no event. Among the workers,
        after those given, are those of the events; among the places, theirs."""
        seqs = dict.fromkeys(seq for seq in events if seq >= 0)
        of_events = (self.steps.workers[seq] for seq in seqs)
        return Finding(
            kind, title, explanation, tuple(seqs), tuple(dict.fromkeys((*workers, *of_events))),
            tuple(dict.fromkeys(targets)), severity, shows, diagnosis=diagnosis, cure=cure,
            places=self.places(seqs, places),
        )  # fmt: skip

    def chosen(self, what: str) -> Iterator[tuple[int, str]]:
        """The events that are choices of ``what``, in their order, each with what was chosen."""
        for seq, extra in sorted(self.trace.events.extras.items()):
            told = extra.get("chosen")
            if self.steps.targets[seq] == what and isinstance(told, str):
                yield seq, told

    def places(self, seqs: Iterable[int], first: Iterable[str] = ()) -> tuple[str, ...]:
        """The places of these events, each once, after those of ``first``; last those in the
        standard library of which it is known who has called it."""
        own = list(seqs)
        at = map(self.steps.at, own)
        return tuple(dict.fromkeys((*first, *map(self.own_place, own), *at)))

    @cached_property
    def real_code(self) -> bool:
        """Whether the trace is of Python code, not of a scenario."""
        return "python" in self.trace.scenario

    def say(self, seq: int) -> str:
        """The target of an event as its source calls it, quoted: ``self._idle``."""
        return self.said(self.steps.targets[seq] or "", seq)

    def said(self, target: str, seq: int = -1) -> str:
        """The same of any target, as the function of event ``seq`` calls it."""
        if not self.real_code:
            return f"`{target}`"
        own = seq >= 0 and not self.called_by(seq)  # else ``self`` would be the library's
        name = spoken(target, self.function(self.steps.at(seq)) if own else "")
        return name if " " in name else f"`{name}`"

    def function(self, at: str) -> str:
        """The qualified name of the function at a place of real code, "" where it is not known."""
        found = self._functions.get(at)
        return found if isinstance(found, str) else ""

    def verb(self, seq: int) -> str:
        """What an access of a variable does: ``reads`` or ``writes``."""
        return "writes" if self.steps.kinds[seq] == WRITE else "reads"

    def cite(self, seq: int) -> str:
        """An event in a sentence: ``(event 3, at workers.w.steps[0])``."""
        by = self.called_by(seq)
        called = f", called at {self.place(by)}" if by else ""
        return f"(event {seq}, at {self.place(self.steps.at(seq))}{called})"

    def called_by(self, seq: int) -> str:
        """Of an access that the standard library makes: the place that has called it, or ""."""
        by = self.trace.events.extras.get(seq, {}).get("by")
        return by if isinstance(by, str) else ""

    def own_place(self, seq: int) -> str:
        """The place of a step in the code that is not the standard library's, as far as it is
        known."""
        return self.called_by(seq) or self.steps.at(seq)

    def place(self, at: str) -> str:
        """A step's path, or ``bank.py:31 in Account.withdraw`` where the trace knows that."""
        function = self._functions.get(at)
        return at if not isinstance(function, str) else f"{at} in {function}"

    @cached_property
    def _functions(self) -> dict[str, Any]:
        python = self.trace.scenario.get("python")
        places = python.get("places") if isinstance(python, dict) else None
        return places if isinstance(places, dict) else {}

    def held_at(self, worker: int, lock: str, seq: int) -> int:
        """The event with which ``worker`` took ``lock``, if it holds it at event ``seq``; or -1."""
        own = self.steps.by_worker[worker]
        place = bisect_left(own, seq)
        holds = self.locks.holds[own[place]] if place < len(own) else self.locks.ends[worker]
        return next((hold.taken for hold in holds if hold.lock == lock), -1)

    @cached_property
    def usage(self) -> Usage:
        """Who had each lock when."""
        return Usage(self.steps, self.locks)

    @cached_property
    def transactions(self) -> Transactions:
        """The statements on databases."""
        return Transactions(self.steps)

    @cached_property
    def flags(self) -> dict[str, str]:
        """Plain variables that are there to synchronise, each with the reason."""
        return flags(self.steps, self.locks)

    @cached_property
    def tolerant(self) -> Order:
        """As ``must``, with the edges through flags: who follows one has waited for it."""
        if not self.flags:
            return self.must
        edges = must_edges(self.steps) + reads_from(self.steps, frozenset(self.flags))
        return order_of(self.steps, edges)
