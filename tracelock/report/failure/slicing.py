"""Which events of a failing run matter: a slice, backwards from where it went wrong.

It starts from the failed check or from what the blocked workers wait for, and from the events of
the root finding. From each of them it goes back over the accesses of others that conflict with it,
over what woke a waiter, and over the reads that a write was decided by. Where no finding says what
went wrong, the accesses of one worker between which another's came that cannot be put before or
after both are taken (the unserialisable triples of AVIO: Lu, Tucek, Qin and Zhou 2006), the last
first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tracelock.analysis.findings import Finding
from tracelock.report.code import places_of
from tracelock.report.failure.messages import exchanged
from tracelock.report.timeline import preemptions
from tracelock.trace import Trace
from tracelock.trace.network import BYTES_READ, FAULT

__all__ = ["Slice", "root_of", "slice_of"]

#: The more an event tells of the failure, the lower its level.
PROOF, LINK, DECIDED, AROUND, MORE = range(5)
_WRITES: Final = frozenset(
    {"write", "compare_exchange", "exchange", "fetch_add", "atomic", "put", "get", "set", "clear"}
)
_READS: Final = frozenset({"read", "compare_exchange", "exchange", "fetch_add", "atomic"})
#: Of an access, another's, and the next of the same worker: that is no order of whole steps.
_UNSERIALISABLE: Final = frozenset({"rwr", "rww", "wrw", "wwr"})
_PLUMBING: Final = frozenset({"spawn", "join", "checkpoint"})
#: Choices that each read or step of a network makes, of which the first is that all goes well.
_USUALLY: Final = frozenset({BYTES_READ, FAULT})
_MOST_WRITES: Final = 4
_MOST_CHOICES: Final = 6


@dataclass(slots=True)
class Slice:
    """``levels``: the events that matter -> how much (0 the most). ``waits``: those of them that
    give a lock up to wait for a signal."""

    levels: dict[int, int] = field(default_factory=dict)
    waits: set[int] = field(default_factory=set)

    def add(self, seq: int, level: int) -> None:
        """``seq`` matters; -1 is no event."""
        if seq >= 0:
            self.levels[seq] = min(level, self.levels.get(seq, level))


def root_of(findings: Sequence[Finding]) -> Finding | None:
    """The finding that says why the run failed, as far as there is one."""
    return next((one for one in findings if one.root), None)


def slice_of(trace: Trace, root: Finding | None) -> Slice:
    """The events of a failing run that matter. ``root``: of what was found in it."""
    return _Slicer(trace).slice(root)


class _Slicer:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.events = trace.events
        self.found = Slice()
        self.places = places_of(trace)
        self.by_target: defaultdict[str, list[int]] = defaultdict(list)
        self.by_worker: defaultdict[int, list[int]] = defaultdict(list)
        table, shapes = self.events.table, self.events.shapes
        for seq, worker in enumerate(self.events.workers):
            target = table[shapes[seq]].target
            self.by_worker[worker].append(seq)
            if target is not None:
                self.by_target[target].append(seq)

    def slice(self, root: Finding | None) -> Slice:
        add = self.found.add
        self._end()
        proof = sorted(seq for seq in (root.events if root else ()) if seq < len(self.events))
        workers = {self.events.workers[seq] for seq in proof}
        triple = [] if self.trace.verdict.blocked else self._triple()
        if len(workers) < 2:
            proof = sorted({*proof, *triple})
        elif {self._target(seq) for seq in triple} <= {self._target(seq) for seq in proof}:
            # the finding may tell of another side of the same thing
            for seq in triple:
                add(seq, LINK)
            if triple:
                self._between(triple)
        for seq in proof:
            add(seq, PROOF)
        if proof:
            self._between(proof)
        for seq, level in list(self.found.levels.items()):
            if level <= LINK:
                self._decided(seq)
        for seq in self._choices():
            add(seq, LINK if self.events.results[seq] else DECIDED)
        for seq in preemptions(self.trace):
            for one, level in ((seq - 1, AROUND), (seq, MORE)):
                if self._op(one) not in _PLUMBING:
                    add(one, level)
        return self.found

    def _choices(self) -> list[int]:
        """Where the program chose a value, or something went wrong in its network: that is half of
        what it takes to fail."""
        chosen = [
            seq for seq in range(len(self.events))
            if self._op(seq) == "choose"
            and (self._target(seq) not in _USUALLY or self.events.results[seq])
        ]  # fmt: skip
        return chosen[:_MOST_CHOICES]

    # --- where it starts -------------------------------------------------------------------------
    def _end(self) -> None:
        """The last steps of those that the verdict names, and what they wait for."""
        verdict = self.trace.verdict
        if verdict.kind == "failed" and verdict.worker is not None:
            own = self.by_worker[verdict.worker]
            if own and self._at(own[-1]) == verdict.at:
                self.found.add(own[-1], PROOF)
        if verdict.kind == "failed" and verdict.worker is not None:
            told = exchanged(self.events, verdict.worker, self.by_worker, self.by_target)
            for seq, message in told:
                self.found.add(seq, LINK if message else DECIDED)
        if verdict.failure == "always":
            self._broken()
        places = {name: place for place, name in enumerate(self.trace.workers)}
        for one in verdict.blocked:
            worker = places.get(one.worker, -1)
            if one.op == "join" and any(other.op != "join" for other in verdict.blocked):
                continue
            for holder in one.holder:
                self.found.add(self._last(places.get(holder, -1), one.target, {"acquire"}), PROOF)
            if one.op in ("wait", "wake"):
                asked = self._last(worker, one.target, {"wait"})
                self.found.add(asked, PROOF)
                signals = [
                    seq for seq in self.by_target[one.target]
                    if self._op(seq) in ("notify", "set", "clear")
                ]  # fmt: skip
                for seq in signals[-3:]:
                    self.found.add(seq, LINK)
                for name in {self._target(seq) for seq in self._reads_before(worker, asked)}:
                    for seq in self._writes(name)[-2:]:
                        self.found.add(seq, DECIDED)
                for seq in self._reads_before(worker, asked)[-2:]:
                    self.found.add(seq, LINK)
            elif one.op in ("get", "put") or not one.holder:
                for seq in self.by_target[one.target][-3:]:
                    self.found.add(seq, LINK)

    def _broken(self) -> None:
        """The step after which an invariant did not hold, the last one, and writes before it."""
        last = len(self.events) - 1
        self.found.add(last, PROOF)
        written = [seq for seq in range(last) if self._op(seq) in _WRITES]
        for seq in written[-_MOST_WRITES:]:
            self.found.add(seq, LINK)

    def _reads_before(self, worker: int, seq: int) -> list[int]:
        """The reads of ``worker`` shortly before an event of it, of what others write."""
        own = self.by_worker[worker]
        place = bisect_left(own, seq)
        return [
            one for one in own[max(0, place - 6) : place]
            if self._op(one) in _READS
            and any(self._who(write) != worker for write in self._writes(self._target(one)))
        ]  # fmt: skip

    def _triple(self) -> list[int]:
        """Two accesses of one worker and those of others between them: the last such, or []."""
        best: tuple[tuple[int, int, int], list[int]] | None = None
        for seqs in self.by_target.values():
            kinds = {seq: self._kind(seq) for seq in seqs}
            used = [seq for seq in seqs if kinds[seq]]
            if len({self._who(seq) for seq in used}) < 2:
                continue
            previous: dict[int, int] = {}
            for place, seq in enumerate(used):
                worker = self._who(seq)
                before = previous.get(worker, -1)
                previous[worker] = place
                if before < 0:
                    continue
                inside = [
                    other for other in used[before + 1 : place]
                    if f"{kinds[used[before]]}{kinds[other]}{kinds[seq]}" in _UNSERIALISABLE
                ]  # fmt: skip
                if inside:
                    failing = worker == self.trace.verdict.worker
                    empty = self.events.extras.get(seq, {}).get("size") == 0 and kinds[seq] == "w"
                    key = (int(empty), int(failing), seq)
                    if best is None or key > best[0]:
                        best = key, [used[before], *inside, seq]
        return [] if best is None else best[1]

    # --- where it goes on ------------------------------------------------------------------------
    def _between(self, proof: Sequence[int]) -> None:
        """What happened between the events of the proof: others' writes, and waits that ended."""
        first, last = proof[0], proof[-1]
        targets = {self._target(seq) for seq in proof} - {""}
        workers = {self._who(seq) for seq in proof}
        for target in sorted(targets):
            inside = [seq for seq in self._writes(target) if first < seq < last]
            kept = inside if len(inside) <= _MOST_WRITES else [*inside[:1], *inside[-3:]]
            for seq in kept:
                self.found.add(seq, LINK)
        for worker in sorted(workers):
            for seq in self.by_worker[worker]:
                if first <= seq <= last and self._op(seq) in ("wait", "wake"):
                    self.found.add(seq, LINK)
                    if self._op(seq) == "wake":
                        self.found.add(self._woken_by(worker, seq), LINK)
                        self._gave_up(worker, seq)

    def _gave_up(self, worker: int, wake: int) -> None:
        """Where no wait was recorded, the release of the lock that it began with matters."""
        own = self.by_worker[worker]
        for seq in reversed(own[: bisect_left(own, wake)]):
            if self._op(seq) == "checkpoint":
                continue
            if self._op(seq) == "wait" or self._at(seq) != self._at(wake):
                return
            if self._op(seq) == "release":
                self.found.add(seq, LINK)
                self.found.waits.add(seq)
                return

    def _woken_by(self, worker: int, wake: int) -> int:
        """The event that let this wait go on, -1 where it was none."""
        seqs = self.by_target[self._target(wake)]
        for seq in reversed(seqs[: bisect_left(seqs, wake)]):
            result = self.events.results[seq]
            op = self._op(seq)
            if op == "set" or (op == "notify" and (type(result) is not list or worker in result)):
                return seq
        return -1

    def _decided(self, seq: int) -> None:
        """The read that a write was decided by: the worker's last in the same function."""
        if self._op(seq) not in _WRITES:
            return
        worker, target = self._who(seq), self._target(seq)
        seqs = self.by_target[target]
        for other in reversed(seqs[: bisect_left(seqs, seq)]):
            if self._who(other) == worker:
                near = self.places.get(self._at(other)) == self.places.get(self._at(seq))
                if near and self._op(other) in _READS and other not in self.found.levels:
                    self.found.add(other, DECIDED)
                return

    # --- of events -------------------------------------------------------------------------------
    def _last(self, worker: int, target: str, wanted: set[str]) -> int:
        """The last event of this worker that does one of these to ``target``, -1 for none."""
        for seq in reversed(self.by_target[target]):
            if self._who(seq) == worker and self._op(seq) in wanted:
                return seq
        return -1

    def _writes(self, target: str) -> list[int]:
        return [seq for seq in self.by_target[target] if self._op(seq) in _WRITES]

    def _kind(self, seq: int) -> str:
        op = self._op(seq)
        return "r" if op == "read" else "w" if op in _WRITES and op in _READS | {"write"} else ""

    def _op(self, seq: int) -> str:
        return self.events.table[self.events.shapes[seq]].op

    def _target(self, seq: int) -> str:
        return self.events.table[self.events.shapes[seq]].target or ""

    def _at(self, seq: int) -> str:
        return self.events.table[self.events.shapes[seq]].at

    def _who(self, seq: int) -> int:
        return self.events.workers[seq]
