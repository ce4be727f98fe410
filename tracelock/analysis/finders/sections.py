"""What comes into the middle of a critical section, and values that were another in between.

*Atomicity violation*: a worker holds a lock from one access of a variable to its next, so the two
were meant to be one step; and in this run another, which did not take that lock, came in between in
a way that no order one after the other explains. The four patterns are those of Lu and others,
*AVIO* (ASPLOS 2006): read-W-read, write-W-read, read-W-write, write-R-write (capitals: the other).

*ABA*: a compare-and-exchange found the value that its worker had read before, and others had
changed it to another and back in between. Equal is not the same as unchanged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import ERROR, NOTE, Finding
from tracelock.ops import ATOMIC, COMPARE_EXCHANGE, ON_VARIABLE, READ, WRITE

__all__ = ["aba", "violations"]

#: Findings of one kind for one variable.
MOST: Final = 5


class _Last:
    """The last access of each worker, and of any other than one given."""

    __slots__ = ("by", "latest", "second")

    def __init__(self) -> None:
        self.by: dict[int, int] = {}
        self.latest = (-1, -1)  # seq, worker
        self.second = -1  # the last by anybody but that worker

    def add(self, worker: int, seq: int) -> None:
        if worker != self.latest[1]:
            self.second = self.latest[0]
        self.by[worker] = seq
        self.latest = (seq, worker)

    def by_other(self, worker: int) -> int:
        return self.second if self.latest[1] == worker else self.latest[0]


def violations(facts: Facts) -> Iterator[Finding]:
    """A finding (``atomicity-violation``) for each access that came into another's section."""
    steps, locks = facts.steps, facts.locks
    kinds, workers = steps.kinds, steps.workers
    reads: dict[str, _Last] = defaultdict(_Last)
    writes: dict[str, _Last] = defaultdict(_Last)
    counts: dict[str, int] = defaultdict(int)
    done: set[tuple[int, int, int]] = set()
    for seq, kind in enumerate(kinds):
        if kind > WRITE:
            continue
        name, worker = steps.targets[seq], workers[seq]
        if name is None:
            continue
        read, written = reads[name].by.get(worker, -1), writes[name].by.get(worker, -1)
        first = max(read, written)
        if first >= 0 and locks.holds[first] and locks.holds[seq] and counts[name] < MOST:
            dirty = kind == WRITE and first == written  # even to look at it is too much then
            between = (reads if dirty else writes)[name].by_other(worker)
            if between > first and (held := locks.throughout(first, seq)):
                key = (steps.shapes[first], steps.shapes[between], steps.shapes[seq])
                if key not in done and not held & locks.at(between):
                    done.add(key)
                    counts[name] += 1
                    yield _violation(facts, name, (first, between, seq), min(held))
        (reads if kind == READ else writes)[name].add(worker, seq)


def stale(facts: Facts) -> list[Finding]:
    """A finding (``check-then-act``) for each worker that looked at a variable twice, at different
    places and with another's write in between, before it wrote it.

    Of a scenario the steps tell what a look decides (see ``atomicity``); of Python code they do
    not, but in a run that failed such a look is suspect: what was concluded from it was out of
    date by the time of the write.
    """
    steps, locks = facts.steps, facts.locks
    if not facts.real_code or facts.trace.verdict.kind != "failed":
        return []
    looks: dict[tuple[str, int], list[int]] = {}  # its last look at a place, the one at another
    writes: dict[str, _Last] = defaultdict(_Last)
    done: set[tuple[int, int, int]] = set()
    found: list[Finding] = []
    for seq, kind in enumerate(steps.kinds):
        name, worker = steps.targets[seq], steps.workers[seq]
        if kind > WRITE or name is None:
            continue
        key = (name, worker)
        if kind == READ:
            before = looks.setdefault(key, [])
            if before and steps.shapes[before[-1]] == steps.shapes[seq]:
                before[-1] = seq
            else:
                before.append(seq)
            continue
        for first, second in pairwise(looks.pop(key, [])):
            between = max((at for w, at in writes[name].by.items() if w != worker), default=-1)
            alike = (steps.shapes[first], steps.shapes[between], steps.shapes[seq])
            if not first < between < second or alike in done or len(found) >= MOST:
                continue
            if not locks.throughout(first, seq) and not steps.together(first, seq):
                done.add(alike)
                found.append(_stale(facts, name, (first, between, second, seq)))
        writes[name].add(worker, seq)
    return found


def _stale(facts: Facts, name: str, four: tuple[int, int, int, int]) -> Finding:
    steps = facts.steps
    first, between, second, act = four
    mine, other = steps.name(first), steps.name(between)
    return facts.finding(
        "check-then-act", ERROR, f"Check-then-act on {name}",
        f"{mine} looks at {name} {facts.cite(first)}; {other} writes it {facts.cite(between)}; "
        f"then {mine} reads it again {facts.cite(second)} and writes it {facts.cite(act)}. What it "
        f"concluded from the first look was out of date by then. Hold one lock, {mine} from the "
        f"look to the end, {other} around its write.",
        four, (name,),
        diagnosis=f"{mine} acted on its check of {facts.say(first)} after {other} had changed it",
    )  # fmt: skip


def _violation(facts: Facts, name: str, three: tuple[int, int, int], lock: str) -> Finding:
    steps = facts.steps
    first, between, last = three
    mine, other = steps.name(first), steps.name(between)
    without = sorted(facts.locks.at(between))
    instead = f"with {', '.join(without)} held instead" if without else f"without {lock}"
    return facts.finding(
        "atomicity-violation", ERROR,
        f"Atomicity violation: {other} comes into a section of {lock}",
        f"{mine} {facts.verb(first)} {name} {facts.cite(first)} and "
        f"{facts.verb(last)} it {facts.cite(last)} with {lock} held all the while; {other} "
        f"{facts.verb(between)} it in between {facts.cite(between)}, {instead}. So the two "
        f"do not see one state. A lock keeps out only those who take it: take {lock} at every "
        f"access to {name}.",
        three, (name, lock),
        diagnosis=f"{other} used {facts.say(between)} {instead}, which {mine} held from one use of "
        "it to the next" if not without else "",
        cure=f"take {facts.said(lock)} at every access to {facts.say(first)}",
    )  # fmt: skip


def aba(facts: Facts) -> Iterator[Finding]:
    """A finding (``aba``) for each exchange that succeeded though its variable had changed.

    A note where the run passed: a counter that comes back to its value is often harmless.
    """
    steps = facts.steps
    if COMPARE_EXCHANGE not in steps.kinds:
        return
    seen: dict[tuple[str, int], int] = {}  # the last look of a worker at a variable
    changed: dict[str, dict[int, int]] = defaultdict(dict)  # the last change by each worker
    counts: dict[str, int] = defaultdict(int)
    severity = ERROR if facts.trace.verdict.kind == "failed" else NOTE
    for seq, kind in enumerate(steps.kinds):
        if kind not in ON_VARIABLE and kind != ATOMIC:
            continue
        worker = steps.workers[seq]
        if kind == COMPARE_EXCHANGE and steps.results[seq] is True:
            name = steps.targets[seq] or ""
            look = seen.get((name, worker), -1)
            others = {w: at for w, at in changed[name].items() if w != worker and at > look}
            if look >= 0 and others and counts[name] < MOST:
                counts[name] += 1
                yield _aba(facts, name, look, max(others.values()), seq, severity)
        for name in steps.written(seq):
            changed[name][worker] = seq
        for name in (*steps.read(seq), *steps.written(seq)):
            seen[name, worker] = seq


def _aba(facts: Facts, name: str, look: int, change: int, seq: int, severity: str) -> Finding:
    steps = facts.steps
    mine, other = steps.name(seq), steps.name(change)
    return facts.finding(
        "aba", severity, f"ABA problem on {name}: equal, but not unchanged",
        f"{mine} looks at {name} {facts.cite(look)}; {other} changes it and brings the old value "
        f"back, last {facts.cite(change)}; then the compare-and-exchange of {mine} finds what it "
        f"expects and succeeds {facts.cite(seq)}, though what stands behind the value may be "
        "another by now. Count the changes: compare and exchange a version number together "
        "with the value.",
        (look, change, seq), (name,),
    )  # fmt: skip
