"""A trace in the form that the analyses read: columns of numbers, and what each object is.

An analysis looks at every event of a trace of a hundred thousand, so nothing here makes an object
for each. What an object is (a lock, a semaphore of two) stands in the scenario inside the trace;
where there is none, as in a trace of instrumented code, it is told from what was done with it.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CANCELLED,
    CHECKPOINT,
    CLEAR,
    COMPARE_EXCHANGE,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    KIND_OF,
    NOTIFY,
    ON_VARIABLE,
    PUT,
    RELEASE,
    REQUEST,
    SET,
    SLEEP,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
)
from tracelock.trace import MISSING, Trace

__all__ = ["Steps", "Thing"]

#: Kinds that read and change a variable in one indivisible step.
INDIVISIBLE: Final = frozenset({COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD, ATOMIC})
COOPERATIVE: Final = frozenset({"asyncio", "trio"})
#: A task that comes to one of these lets others run before it, in any case or when it must.
_SUSPENDS: Final = frozenset({CHECKPOINT, SLEEP, JOIN, WAKE, TIMEOUT, CANCELLED})
_LOCKS: Final = frozenset({"lock", "rlock", "condition"})
#: What the name of a class in a trace of Python code says that an object is.
_NAMED: Final = {
    "lock": "lock", "rlock": "rlock", "condition": "condition", "semaphore": "semaphore",
    "boundedsemaphore": "bounded_semaphore", "event": "event", "barrier": "barrier",
    "queue": "queue", "lifoqueue": "queue", "priorityqueue": "queue", "simplequeue": "queue",
}  # fmt: skip
_TAKES: Final = frozenset({ACQUIRE, RELEASE, REQUEST})
#: ... unless what was done with it does not fit.
_FITS: Final = {
    "lock": _TAKES, "rlock": _TAKES, "semaphore": _TAKES, "bounded_semaphore": _TAKES,
    "condition": _TAKES | {WAIT, WAKE, NOTIFY}, "event": frozenset({WAIT, WAKE, SET, CLEAR}),
    "barrier": frozenset({WAIT, WAKE}), "queue": frozenset({PUT, GET, REQUEST}),
}  # fmt: skip


@dataclass(slots=True)
class Thing:
    """One synchronisation object: ``type`` as in a scenario, its options at their defaults.

    ``lock``: of a condition, the name under which its lock is held.
    """

    name: str
    type: str
    value: int = 1
    lock: str = ""
    parties: int = 0
    maxsize: int = 0
    order: str = "fifo"


class Steps:
    """The columns of one trace, by ``seq``.

    ``workers``; ``kinds``: numbers of ``ops``; ``targets``: names (None: no target); ``locals``:
    each event's number among those of its worker, from 1; ``shapes``: the step it belongs to (two
    events of equal shape are one step on one target); ``results``. ``by_worker``: the ``seq`` of
    each worker's events.
    """

    def __init__(self, trace: Trace) -> None:
        events = trace.events
        self.trace = trace
        self.events = events
        self.names = trace.workers
        self.workers = events.workers
        self.shapes = events.shapes
        self.results = events.results
        table = events.table
        kind_of_shape = [KIND_OF[shape.op] for shape in table]
        target_of_shape = [shape.target for shape in table]
        self.kinds: list[int] = [kind_of_shape[shape] for shape in self.shapes]
        self.targets: list[str | None] = [target_of_shape[shape] for shape in self.shapes]
        self.by_worker: list[array[int]] = [array("I") for _ in trace.workers]
        own = [seqs.append for seqs in self.by_worker]
        for seq, worker in enumerate(self.workers):
            own[worker](seq)
        self.locals = array("I", bytes(4 * len(self.workers)))
        for seqs in self.by_worker:
            for number, seq in enumerate(seqs, 1):
                self.locals[seq] = number
        controlled = events.choices is not None
        self.cooperative = trace.backend in COOPERATIVE or (
            controlled and 0 in (events.choices or ())
        )
        self.things = _things(trace)
        _infer(self)
        #: Variables that some event changed indivisibly: they are there to synchronise.
        self.atomics = self._atomics()
        self._segments: array[int] | None = None
        self.by_thing: dict[str, list[int]] | None = None  # made by ``edges.by_thing`` when asked

    def __len__(self) -> int:
        return len(self.workers)

    def name(self, seq: int) -> str:
        """The name of the worker of an event."""
        return self.names[self.workers[seq]]

    def at(self, seq: int) -> str:
        """The step of an event: a path in the scenario, or ``file:line``."""
        return self.events.table[self.shapes[seq]].at

    def timed(self, seq: int) -> bool:
        """Whether the step would not have waited for ever: a try, or a wait with a timeout."""
        timeout = self.events.table[self.shapes[seq]].timeout
        return timeout is not MISSING and timeout is not None

    def lock_of(self, target: str) -> str:
        """The name of the lock that is meant: that of the condition ``target``, or itself."""
        thing = self.things.get(target)
        return target if thing is None or thing.type != "condition" else thing.lock

    def written(self, seq: int) -> tuple[str, ...]:
        """The variables that an event changed."""
        kind, target = self.kinds[seq], self.targets[seq]
        if kind in (WRITE, EXCHANGE) or (kind == FETCH_ADD and not failed(self.results[seq])):
            return (target,) if target is not None else ()
        if kind == COMPARE_EXCHANGE and self.results[seq] is True:
            return (target,) if target is not None else ()
        if kind == ATOMIC:
            value = self.events.values[seq]
            return tuple(value) if isinstance(value, dict) else ()
        return ()

    def read(self, seq: int) -> tuple[str, ...]:
        """The variables that an event looked at."""
        kind, target = self.kinds[seq], self.targets[seq]
        if kind == ATOMIC:
            result = self.results[seq]
            return tuple(result) if isinstance(result, dict) else ()
        return (target,) if kind in ON_VARIABLE and kind != WRITE and target is not None else ()

    def _atomics(self) -> frozenset[str]:
        found: set[str] = set()
        for seq, kind in enumerate(self.kinds):
            if kind in INDIVISIBLE:
                found.update(self.read(seq))
                found.update(self.written(seq))
        return frozenset(found)

    def together(self, first: int, last: int) -> bool:
        """Whether nobody could come between these two events of one worker.

        Only tasks have that, from one suspension to the next.
        """
        if not self.cooperative:
            return False
        if self._segments is None:
            self._segments = self._cut()
        return self._segments[first] == self._segments[last]

    def _cut(self) -> array[int]:
        segments = array("I", bytes(4 * len(self)))
        choices = self.events.choices
        trio = self.trace.backend == "trio"
        for seqs in self.by_worker:
            number = 0
            left = False  # the event before was the last of its segment
            for seq in seqs:
                kind = self.kinds[seq]
                if choices is not None:
                    number += choices[seq] != 0
                else:
                    number += left or kind in _SUSPENDS or (trio and kind in (PUT, GET))
                    parked = kind == REQUEST or (kind == WAIT and self.results[seq] is MISSING)
                    left = parked or (trio and kind in (ACQUIRE, WAKE))
                segments[seq] = number
        return segments


def failed(result: Any) -> bool:
    """Whether a result says that the step raised an error."""
    return isinstance(result, dict) and "error" in result


def _things(trace: Trace) -> dict[str, Thing]:
    """The objects that the trace's scenario declares. Whatever is no declaration is left out."""
    declared = trace.scenario.get("objects")
    if not isinstance(declared, dict):
        return {}
    things: dict[str, Thing] = {}
    for name, given in declared.items():
        options = {"type": given} if isinstance(given, str) else given
        if not isinstance(options, dict) or not isinstance(options.get("type"), str):
            continue
        count = options.get("count")
        places: list[int | None] = [None] if type(count) is not int else list(range(count))
        lock = options.get("lock")
        shared = declared.get(lock) if isinstance(lock, str) else None
        array_of_locks = isinstance(shared, dict) and "count" in shared
        for place in places:
            own = name if place is None else f"{name}[{place}]"
            held = own
            if isinstance(lock, str):
                held = f"{lock}[{place or 0}]" if array_of_locks else lock
            things[own] = Thing(
                own, options["type"], _whole(options, "value", 1), held,
                _whole(options, "parties", 0), _whole(options, "maxsize", 0),
                str(options.get("order", "fifo")),
            )  # fmt: skip
    return things


def _whole(options: dict[str, Any], key: str, default: int) -> int:
    value = options.get(key)
    return value if type(value) is int else default


def _infer(steps: Steps) -> None:
    """Find out what the objects are that no scenario declares.

    The name may say it (``Semaphore#1``, ``lock@bank.py:12``); else what was done with it does.
    """
    used: dict[str, set[int]] = defaultdict(set)
    told: set[str] = set()  # by their names
    for shape in steps.events.table:
        kind = KIND_OF[shape.op]
        on_object = ACQUIRE <= kind <= GET
        if on_object and shape.target is not None and shape.target not in steps.things:
            used[shape.target].add(kind)
    for name, kinds in used.items():
        word = re.split("[#@]", name)[0].rpartition(".")[2].lower()
        if word in _NAMED and kinds <= _FITS[_NAMED[word]]:
            what = _NAMED[word]
            told.add(name)
        elif NOTIFY in kinds:
            what = "condition"
        elif kinds & {PUT, GET}:
            what = "queue"
        elif kinds & {ACQUIRE, RELEASE}:
            what = "condition" if WAIT in kinds else "lock"
        elif "cond" in word and kinds <= _FITS["condition"]:
            what = "condition"
        else:
            what = "event"
        order = {"lifoqueue": "lifo", "priorityqueue": "priority"}.get(word, "fifo")
        steps.things[name] = Thing(name, what, lock=name, order=order)
    most, given = _most_held(steps, used)
    for name in used:
        thing = steps.things[name]
        if thing.type in _LOCKS and (most[name] > 1 or name in given):
            thing = steps.things[name] = Thing(name, "semaphore")
        if thing.type in ("semaphore", "bounded_semaphore"):
            # who gives before anybody took makes a signal of it, which begins with none
            thing.value = 0 if name in given else most[name]
    for name, kinds in used.items():
        thing = steps.things[name]
        if thing.type == "barrier":
            thing.parties = len(_users(steps, name))
        elif thing.type == "condition" and not kinds & {ACQUIRE, RELEASE}:
            thing.lock = _lock_around(steps, name) or name
        elif thing.type == "event" and not kinds & {SET, CLEAR} and name not in told:
            lock = _lock_around(steps, name)
            if lock is not None and not _kept(steps, lock):
                # waited for with a lock held that the wait gives up
                thing.type, thing.lock = "condition", lock


def _users(steps: Steps, name: str) -> set[int]:
    return {
        worker for worker, target in zip(steps.workers, steps.targets, strict=True)
        if target == name
    }  # fmt: skip


def _lock_around(steps: Steps, condition: str) -> str | None:
    """The lock that is held at every wait and notify of a condition which is made of another's."""
    held: list[list[str]] = [[] for _ in steps.names]
    common: set[str] | None = None
    for seq, worker in enumerate(steps.workers):
        kind, target = steps.kinds[seq], steps.targets[seq]
        if target is None:
            continue
        if kind == ACQUIRE and steps.results[seq] in (True, MISSING):
            held[worker].append(target)
        elif kind == RELEASE and target in held[worker]:
            held[worker].remove(target)
        elif target == condition and kind in (WAIT, NOTIFY):
            common = set(held[worker]) if common is None else common & set(held[worker])
    return min(common) if common else None


def _kept(steps: Steps, lock: str) -> bool:
    """Whether somebody waits at the end for ``lock``, which is thus held by one who waits too."""
    blocked = steps.trace.verdict.blocked
    waiting = {one.worker for one in blocked if one.op == "wait"}
    return any(one.target == lock and waiting & set(one.holder) for one in blocked)


def _most_held(steps: Steps, names: Collection[str]) -> tuple[dict[str, int], set[str]]:
    """How many workers held each of ``names`` at once, at most; and which of them were released
    before anybody had taken them."""
    taken: set[str] = set()
    given: set[str] = set()
    held: dict[str, dict[int, int]] = {name: defaultdict(int) for name in names}
    inside: dict[str, int] = dict.fromkeys(names, 0)
    most = dict(inside)
    if not names:
        return most, given
    for seq, name in enumerate(steps.targets):
        if name is None or name not in held:
            continue
        kind, worker = steps.kinds[seq], steps.workers[seq]
        if (kind == ACQUIRE and steps.results[seq] in (True, MISSING)) or (
            kind == WAKE and steps.things[name].type in _LOCKS
        ):
            taken.add(name)
            held[name][worker] += 1
            if held[name][worker] == 1:
                inside[name] += 1
                most[name] = max(most[name], inside[name])
        elif kind in (RELEASE, WAIT) and held[name][worker]:
            held[name][worker] -= 1
            inside[name] -= not held[name][worker]
        elif kind == RELEASE and name not in taken and not failed(steps.results[seq]):
            given.add(name)
    return most, given
