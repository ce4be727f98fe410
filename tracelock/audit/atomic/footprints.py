"""Whether calls are atomic because of the locks that they hold.

A step *moves right* if it can be exchanged with the next step of any other worker, wherever that
comes, and *left* if it can be with the one before it (Lipton 1975, "Reduction: a method of proving
properties of parallel programs"). To acquire a lock moves right, to release one moves left. An
access moves both ways if all accesses of others that conflict with it are made under a lock which
it is made under, too (Savage and others 1997, "Eraser": lock sets). A call whose steps are some
that move right, then at most one that does not move, then some that move left, is *atomic*: every
interleaving of such calls comes to what the same calls come to one after the other, each where it
has its one step in the middle (Flanagan and Freund 2004, "Atomizer").

What is known is what calls do one after the other, of all orders of all calls up to some number.
That is enough. Take an interleaving, and in it the first step that none of those executions has, or
that is not in its place there. All before it can be moved: first the calls that have come to their
middle step, as far as they are, in the order of these steps, then the ones that have not. Of the
former, what is left to do moves left and so can be done at once; of the latter, those of other
workers can be left out, as nothing that they have done so far has been seen by others. What is
left is an execution of calls one after the other up to that very step, which was looked at.

Nobody waits for ever if the locks are taken in an order that has no circle: who holds the lock that
nobody else waits for behind can go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

ACQUIRES: Final = "acquires"
RELEASES: Final = "releases"
TOUCHES: Final = "touches"

Names = frozenset[str]
#: (kind, what is read, what is written, locks held). Of an acquire or a release the lock is what is
#: written, and not among those held.
CallStep = tuple[str, Names, Names, Names]
#: The steps of a call.
Footprint = tuple[CallStep, ...]

_NOTHING: Final[Names] = frozenset()


def acquires(lock: str, held: Iterable[str]) -> CallStep:
    """A lock is taken that this call does not hold."""
    return ACQUIRES, _NOTHING, frozenset((lock,)), frozenset(held)


def releases(lock: str, held: Iterable[str]) -> CallStep:
    """A lock is given back wholly."""
    return RELEASES, _NOTHING, frozenset((lock,)), frozenset(held)


def touches(reads: Iterable[str], writes: Iterable[str], held: Iterable[str]) -> CallStep:
    """Places are read and written in one step."""
    return TOUCHES, frozenset(reads), frozenset(writes), frozenset(held)


def changes(footprint: Footprint) -> bool:
    """Whether a call writes anything: if not, all is afterwards as it was before."""
    return any(kind == TOUCHES and writes for kind, _, writes, _ in footprint)


@dataclass
class CallFootprints:
    """All that calls do, each one after the other: each footprint once. ``known``: a call that has
    it, as a text, for the reason."""

    known: dict[Footprint, str] = field(default_factory=dict)
    #: By place: the sets of locks under which it is read, and written.
    _reads: dict[str, set[Names]] = field(default_factory=dict)
    _writes: dict[str, set[Names]] = field(default_factory=dict)
    _order: dict[str, set[str]] = field(default_factory=dict)

    def add(self, footprint: Footprint, call: str) -> None:
        """A call does this."""
        if footprint in self.known:
            return
        self.known[footprint] = call
        for kind, reads, writes, held in footprint:
            if kind == ACQUIRES:
                for lock in held:
                    self._order.setdefault(lock, set()).update(writes)
            elif kind == TOUCHES:
                for place in reads:
                    self._reads.setdefault(place, set()).add(held)
                for place in writes:
                    self._writes.setdefault(place, set()).add(held)

    def wrong(self) -> str:
        """Why not all calls are known to be atomic, or "". What is wrong stays so, whatever is
        added."""
        for footprint, call in self.known.items():
            if not self._is_atomic(footprint):
                return f"{call} is no single step by the locks that it holds"
        if self._circle():
            return "locks are taken in several orders"
        return ""

    def _is_atomic(self, footprint: Footprint) -> bool:
        over = False  # the one step in the middle has come, or could have
        for step in footprint:
            if step[0] == RELEASES:
                over = True
            elif step[0] == ACQUIRES:
                if over:
                    return False
            elif not self._moves(step):
                if over:
                    return False
                over = True
        return True

    def _moves(self, step: CallStep) -> bool:
        """Whether an access can be exchanged with those of others before it and after it."""
        _, reads, writes, held = step
        for place in reads | writes:
            others = self._writes.get(place, set())
            if place in writes:
                others = others | self._reads.get(place, set())
            if any(held.isdisjoint(one) for one in others):
                return False
        return True

    def _circle(self) -> bool:
        left = {lock: set(after) for lock, after in self._order.items()}
        while left:
            last = [lock for lock, after in left.items() if not after & left.keys()]
            if not last:
                return True
            for lock in last:
                del left[lock]
        return False
