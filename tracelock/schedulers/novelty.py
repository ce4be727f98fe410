"""What a schedule has shown of the program that others have not: pairs of steps, one of which met
what the other had left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from tracelock.ops import NAMES, accesses

#: A step as it is told from others: where in the program, and what it does there.
Place = tuple[str, int]
#: Steps of one schedule that are looked at; a longer one is looked at from its start.
LONGEST: Final = 50_000


def pairs_in(log: Sequence[Any]) -> dict[tuple[Place, Place], int]:
    """The pairs of a schedule, each with the number of the event that first made it.

    A pair is a step that reads or changes a thing, and the step of another worker that had changed
    that thing last: the reads-from relation of RFF (Wolff et al., ASPLOS 2024), with the order of
    writes and the hand-over of locks and of other objects besides. Steps are told apart by place
    and kind and not by worker, so that workers that do the same make the same pairs.
    """
    found: dict[tuple[Place, Place], int] = {}
    last: dict[Any, tuple[int, Place]] = {}  # thing -> who changed it last, and where
    for seq, (worker, kind, op, *_) in enumerate(log[:LONGEST]):
        reads, writes = accesses(op)
        if not (reads or writes):
            continue
        here = (op.at, kind)
        for thing in (*reads, *writes):
            before = last.get(thing)
            if before is not None and before[0] != worker:
                found.setdefault((before[1], here), seq)
        for thing in writes:
            last[thing] = (worker, here)
    return found


class Novelty:
    """How many schedules have shown each pair. ``counts``: by the digest of the pair; ``schedules``
    have been looked at, ``new``: so many pairs nobody had seen before.

    ``once`` is how many pairs one schedule alone has shown. By Good (1953) the chance that the next
    schedule shows something new is about ``once / schedules``; Böhme ("STADS: software testing as
    species discovery", TOSEM 2018) uses it so for fuzzing. Schedules that are made from earlier
    ones do not keep to its assumptions: it is an estimate by which to share time, and no claim.
    """

    def __init__(self, counts: Mapping[str, int] | None = None, schedules: int = 0) -> None:
        self.counts = dict(counts or {})
        self.schedules = schedules
        self.new = 0
        self._digests: dict[tuple[Place, Place], str] = {}

    @property
    def once(self) -> int:
        """How many pairs were seen in one schedule alone."""
        return sum(count == 1 for count in self.counts.values())

    def take(self, log: Sequence[Any]) -> int:
        """Count a schedule. The number of the last event that made a pair nobody had seen before,
        -1 where there is none."""
        self.schedules += 1
        pairs = pairs_in(log)
        latest = -1
        for pair, seq in pairs.items():
            digest = self._digests.get(pair)
            if digest is None:
                digest = self._digests[pair] = _digest(pair)
            known = self.counts.get(digest, 0)
            self.counts[digest] = known + 1
            if not known:
                self.new += 1
                latest = max(latest, seq)
        return latest

    def add(self, counts: Mapping[str, int], schedules: int) -> int:
        """Add what schedules elsewhere have shown; how many pairs are new here."""
        new = sum(digest not in self.counts for digest in counts)
        for digest, count in counts.items():
            self.counts[digest] = self.counts.get(digest, 0) + count
        self.schedules += schedules
        self.new += new
        return new


def _digest(pair: Iterable[Place]) -> str:
    told = "\0".join(f"{at}\0{NAMES[kind]}" for at, kind in pair)
    return blake2b(told.encode(), digest_size=8).hexdigest()
