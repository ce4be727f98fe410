"""What calls do one after the other, in all orders up to some number of calls, and what follows.

A call that writes nothing leaves all as it was, so that what comes after it is what would come
without it: such calls only have to be made in the end. One worker makes all of them, each access of
which is a step of the record, whether it is known to be shared or not.
"""

from __future__ import annotations

import gc
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol

from tracelock.audit.atomic.footprints import (
    CallFootprints,
    Footprint,
    acquires,
    changes,
    releases,
    touches,
)
from tracelock.audit.atomic.plain_code import NotPlain, check_plain
from tracelock.audit.bench import Bench
from tracelock.audit.clients import ClientOf
from tracelock.audit.reading import MethodCall
from tracelock.instrument.account.account import listed
from tracelock.instrument.steps import VariablesStep
from tracelock.instrument.threads.locks import ControlledLock, ControlledRLock
from tracelock.ops import ACQUIRE, ATOMIC, NAMES, READ, RELEASE, WRITE

#: Sequences at most.
_MOST: Final = 100_000
#: How often a sequence is made again until all that it touches is told.
_TIMES: Final = 8
_SHORT: Final = 3
#: After so many sequences it is looked whether anything is wrong already.
_OFTEN: Final = 256
#: What is not made by the setup, or by the class itself: one place.
_ELSEWHERE: Final = "elsewhere"
_ATOMS: Final = {int, float, complex, bool, str, bytes, type(None)}
_HOLDING: Final = {tuple, list, dict, set, frozenset, deque, OrderedDict, defaultdict, Counter}


@dataclass
class AtomicCalls:
    """``reason``: why it is not known that all calls are atomic; "" if it is. ``sequences``: of
    calls that were made."""

    sequences: int = 0
    reason: str = ""


class NotAtomic(Exception):
    """Why nothing follows."""


class CallsInTurn(Protocol):
    """What tells what calls do one after the other."""

    known: CallFootprints
    made: int

    def footprints(self, calls: Sequence[MethodCall]) -> list[Footprint]:
        """What each of them does; ``known`` has it then, and ``made`` how often calls were."""

    def unseen(self) -> str:
        """Why that may not be all, or ""."""


def all_atomic(
    bench: Bench, cls: type, calls: Sequence[MethodCall], length: int, until: float,
    enough: Callable[[], bool] = lambda: False,
) -> AtomicCalls:  # fmt: skip
    """Whether ``calls`` of a class are atomic in all orders of so many of them, beginning with an
    object as it is made. See ``footprints`` for what follows from that. ``bench``: of threads, and
    without an interpreter; ``until``: on the monotonic clock; ``enough``: whether to give up."""
    found = AtomicCalls()
    try:
        with _Sequences(bench, check_plain(cls, calls)) as sequences:
            try:
                try_all(sequences, calls, length, until, enough)
            finally:
                found.sequences = sequences.made
    except (NotPlain, NotAtomic) as error:
        found.reason = str(error)
    return found


def try_all(
    sequences: CallsInTurn, calls: Sequence[MethodCall], length: int, until: float,
    enough: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Make all sequences of so many calls that there have to be. Raises NotAtomic."""
    reads: dict[MethodCall, bool] = {}
    level: list[tuple[MethodCall, ...]] = [()]
    looked = _OFTEN
    for depth in range(length):
        further: list[tuple[MethodCall, ...]] = []
        begun, before_it = monotonic(), sequences.made
        for before in level:
            if monotonic() > until or enough():
                raise NotAtomic("the time was up")
            left = [*calls]
            while left:
                quiet = [one for one in left if reads.get(one)]
                tail = [*quiet, *[one for one in left if not reads.get(one)][:1]]
                made = sequences.footprints((*before, *tail))
                for call, footprint in zip(tail, made[len(before) :], strict=True):
                    left.remove(call)
                    reads[call] = not changes(footprint)
                    if not reads[call]:
                        further.append((*before, call))
                        break
            if sequences.made >= looked:
                looked = sequences.made + _OFTEN
                _check(sequences.known)
        _check(sequences.known)
        if depth == length - 1 or not further:
            break
        if depth > 1:  # before that it is found out what there is to tell
            more = len(further) / len(level)
            share = sum(more**n for n in range(1, length - depth))
            needed = (sequences.made - before_it) * share
            seconds = (monotonic() - begun) * share
            if sequences.made + needed > _MOST or monotonic() + seconds > until:
                raise NotAtomic("there are too many orders of calls")
        level = further
    reason = sequences.unseen()
    if reason:
        raise NotAtomic(reason)


def _check(known: CallFootprints) -> None:
    reason = known.wrong()
    if reason:
        raise NotAtomic(reason)


@dataclass
class _Sequences:
    """Calls of one worker. A context manager: while it is entered, all that is used is told.
    ``classes``: whose objects there may be."""

    bench: Bench
    classes: frozenset[type]
    known: CallFootprints = field(default_factory=CallFootprints)
    made: int = 0
    _locks: set[str] = field(default_factory=set)
    _labels: set[str] = field(default_factory=set)
    _why_not: str = ""

    def __enter__(self) -> _Sequences:
        names = self.bench.host.names
        plain = type(names).walk

        def walk(root: object) -> None:
            plain(names, root)
            if not self._labels:
                self._labels = {one.label for one in names.objects.values()}
                self._look(root)

        names.walk = walk  # type: ignore[method-assign]
        return self

    def __exit__(self, *exc: object) -> None:
        names = self.bench.host.names
        del names.walk
        names.share_no_more()

    def _look(self, root: object) -> None:
        """What an object is made of: it has to be of the kinds that are known."""
        left, seen = [root], set()
        while left:
            one = left.pop()
            cls = type(one)
            if id(one) in seen or cls in _ATOMS:
                continue
            seen.add(id(one))
            if cls in (ControlledLock, ControlledRLock):
                self._locks.add(one.name)  # type: ignore[attr-defined]
            elif cls in _HOLDING or cls in self.classes:
                left += gc.get_referents(one)
            elif not (cls is type and (one in self.classes or one in _ATOMS | _HOLDING)):
                self._why_not = f"it has a {cls.__qualname__}"

    def footprints(self, calls: Sequence[MethodCall]) -> list[Footprint]:
        """What each of these calls does. Raises NotAtomic."""
        bench, names = self.bench, self.bench.host.names
        threads = (tuple(calls), *[()] * (bench.width - 1))
        # what functions in C are called is recorded of some schedules, and of all short ones
        (bench.begin if len(calls) < _SHORT else bench.take)(ClientOf((), threads))
        for _ in range(_TIMES):
            controller = bench.once(bench.own_order())
            self.made += 1
            if self._why_not:
                raise NotAtomic(self._why_not)
            run = bench.run
            if len(run.results) < len(calls) or run.died or controller.now:
                raise NotAtomic("calls wait, or take time")
            if not names.share_all():
                break
        else:
            raise NotAtomic("each time other objects are used")
        found = []
        places = iter(run.places)
        for call, begun, ended in zip(calls, places, places, strict=True):
            footprint = self._footprint(controller, begun, ended)
            self.known.add(footprint, str(call))
            found.append(footprint)
        return found

    def _footprint(self, controller: Any, begun: int, ended: int) -> Footprint:
        held: dict[str, int] = {}
        found = []
        for worker, kind, op, result, *_ in controller.log[begun:ended]:
            if worker != 0 or kind != op.kind:
                raise NotAtomic("other workers come in")
            if kind in (ACQUIRE, RELEASE):
                lock = self.bench.host.names.layout.names[op.target]
                if lock not in self._locks:
                    raise NotAtomic(f"{lock} is not made with the object")
                if kind == ACQUIRE:
                    if not op.blocking or op.timeout is not None or result is not True:
                        raise NotAtomic(f"{lock} is only tried")
                    if lock not in held:
                        found.append(acquires(lock, held))
                    held[lock] = held.get(lock, 0) + 1
                elif lock not in held:
                    raise NotAtomic(f"{lock} is given back by another call")
                else:
                    held[lock] -= 1
                    if not held[lock]:
                        del held[lock]
                        found.append(releases(lock, held))
            elif kind == READ:
                found.append(touches(self._places([op.target]), (), held))
            elif kind == WRITE:
                found.append(touches((), self._places([op.target]), held))
            elif kind == ATOMIC and type(op.body) is VariablesStep:
                read, written = self._places(op.body.reads), self._places(op.body.writes)
                found.append(touches(read, written, held))
            else:
                raise NotAtomic(f"a call does a {NAMES[kind]}")
        if held:
            raise NotAtomic(f"a call keeps {' and '.join(held)}")
        return tuple(found)

    def _places(self, numbers: Sequence[int]) -> list[str]:
        """The names of variables: what was not there when the object was made may be called
        otherwise in other orders of calls, and is one place."""
        found = []
        for number in numbers:
            name = self.bench.host.names.layout.names[number]
            label, _, part = name.rpartition(".")
            if part == "__dict__":
                raise NotAtomic(f"all attributes of {label} are used at once")
            found.append(name if name in self._labels or label in self._labels else _ELSEWHERE)
        return found

    def unseen(self) -> str:
        """Why what was seen may not be all, or ""."""
        host = self.bench.host
        host.looking.note_late()
        doubts = {*host.account.not_seen, *host.names.told()}
        if doubts:
            return f"not seen: {listed(sorted(doubts))}"
        return next(iter([*host.withheld, *host.notes]), "")
