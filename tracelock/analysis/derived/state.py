"""The state of all objects along a trace: who holds and who waits for what, what queues contain.

It is derived from the events and their results alone, never from a model of the objects, so that
any trace has one, of instrumented code too. This is the only place that derives it: locksets, the
use of locks and the reports all walk along a trace with an `ObjectState`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tracelock.analysis.derived.objects import BYTES, SEMAPHORES, ObjectInfo
from tracelock.analysis.derived.steps import Steps, failed
from tracelock.ops import (
    ACQUIRE,
    CANCELLED,
    CLEAR,
    GET,
    PUT,
    RELEASE,
    SET,
    TIMEOUT,
    WAIT,
    WAKE,
)
from tracelock.trace import MISSING, frozen

__all__ = ["HANDLERS", "Handlers", "Hold", "ObjectState", "place_of"]

Handlers = Mapping[int, Callable[[Any, int], None]]


class Hold(NamedTuple):
    """One level of a lock, or one permit: ``worker`` took it with event ``taken``.

    Two events of a worker with an equal hold are in one critical section: the lock was not given
    up in between.
    """

    lock: str
    taken: int
    worker: int


class ObjectState:
    """The state after the first ``position`` events; ``advance`` goes forward only.

    ``held``: the holds of each lock and semaphore that is held, the oldest first; ``permits``:
    how many of a semaphore are taken; ``waiting``: who waits at a condition, event or barrier;
    ``inside``: the items of each queue, as they were put; ``flags``: of events. ``releases``: for
    each event that took something, the one that gave it up.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.handlers: Handlers = HANDLERS
        self.position = 0
        self.held: dict[str, list[Hold]] = {}
        self.permits: dict[str, int] = {}
        self.waiting: dict[str, list[int]] = {}
        self.inside: dict[str, list[Any]] = {}
        self.flags: dict[str, bool] = {}
        self.releases: dict[int, int] = {}
        self._given_up: dict[tuple[int, str], int] = {}  # levels of a lock, for a wait
        targets = [shape.target or "" for shape in steps.events.table]
        self._target = targets
        self._lock = [steps.lock_of(target) for target in targets]
        self._type = [self.info(target).type for target in targets]

    def info(self, target: str) -> ObjectInfo:
        """What an object is; one that no event tells of is some lock."""
        return self.steps.objects.get(target) or ObjectInfo(target, "lock", declared=False)

    def advance(self, stop: int) -> None:
        """Apply the events up to number ``stop``, which itself is not applied."""
        handlers, kinds = self.handlers, self.steps.kinds
        for seq in range(self.position, stop):
            handler = handlers.get(kinds[seq])
            if handler is not None:
                handler(self, seq)
        self.position = max(self.position, stop)

    # --- what subclasses record --------------------------------------------------------------
    def took(self, hold: Hold) -> None:
        """A worker has taken what it did not hold already."""

    def gave(self, hold: Hold, seq: int) -> None:
        """Event ``seq`` gave up the last level of a hold."""

    def gave_another(self, hold: Hold | None, lock: str, seq: int) -> None:
        """Event ``seq`` releases a lock that another worker took (None: nobody)."""

    # --- locks and semaphores ----------------------------------------------------------------
    def _acquire(self, seq: int) -> None:
        steps = self.steps
        result = steps.results[seq]
        if result is not True and result is not MISSING:
            return
        shape = steps.shapes[seq]
        lock = self._lock[shape]
        if self._type[shape] in SEMAPHORES:
            self.permits[lock] = self.permits.get(lock, 0) + 1
        self._take(lock, steps.workers[seq], seq, 1)

    def _take(self, lock: str, worker: int, seq: int, levels: int) -> None:
        held = self.held.get(lock)
        hold = Hold(lock, seq, worker)
        if held is None:
            self.held[lock] = [hold] * levels
            self.took(hold)
            return
        again = any(one.worker == worker for one in held)
        held += [hold] * levels
        if not again:
            self.took(hold)

    def _release(self, seq: int) -> None:
        steps = self.steps
        result = steps.results[seq]
        if result is False or failed(result):
            return
        shape, worker = steps.shapes[seq], steps.workers[seq]
        lock = self._lock[shape]
        semaphore = self._type[shape] in SEMAPHORES
        if semaphore:
            n = steps.events.table[shape].n
            self.permits[lock] = self.permits.get(lock, 0) - (n if isinstance(n, int) else 1)
        held = self.held.get(lock, [])
        own = [place for place, one in enumerate(held) if one.worker == worker]
        if own:  # the oldest permit, the innermost level
            self._give(held.pop(own[0] if semaphore else own[-1]), seq)
        elif not semaphore:  # a plain lock may be released by anybody
            first = next((one for one in held if one.worker == held[-1].worker), None)
            self.gave_another(first, lock, seq)
            if held:
                self._give(held.pop(), seq)

    def _give(self, hold: Hold, seq: int) -> None:
        self.releases[hold.taken] = seq
        held = self.held[hold.lock]
        if not any(one.worker == hold.worker for one in held):
            self.gave(hold, seq)
        if not held:
            del self.held[hold.lock]

    # --- waiting -----------------------------------------------------------------------------
    def _wait(self, seq: int) -> None:
        steps = self.steps
        shape, worker = steps.shapes[seq], steps.workers[seq]
        target = self._target[shape]
        if steps.results[seq] is not MISSING:  # it need not wait, nor need those who do
            if self._type[shape] == "barrier":
                self.waiting.pop(target, None)
            return
        self.waiting.setdefault(target, []).append(worker)
        if self._type[shape] != "condition":
            return
        held = self.held.get(self._lock[shape], [])
        own = [one for one in held if one.worker == worker]
        self._given_up[worker, target] = len(own)
        if own:
            held[:] = [one for one in held if one.worker != worker]
            self._give(own[0], seq)

    def _wake(self, seq: int) -> None:
        target, again = self._target[self.steps.shapes[seq]], not failed(self.steps.results[seq])
        self._end_wait(target, seq, again)

    def _leave(self, seq: int) -> None:
        """A wait was cut off, by a cancellation or a timeout; a condition takes its lock again."""
        for target, waiting in self.waiting.items():
            if self.steps.workers[seq] in waiting:
                self._end_wait(target, seq)

    def _end_wait(self, target: str, seq: int, again: bool = True) -> None:
        """``again``: with the lock of a condition, which the wait had given up."""
        worker = self.steps.workers[seq]
        if worker in self.waiting.get(target, ()):
            self.waiting[target].remove(worker)
        levels = self._given_up.pop((worker, target), 0)
        if levels and again:
            self._take(self.steps.lock_of(target), worker, seq, levels)

    # --- queues and flags --------------------------------------------------------------------
    def _put(self, seq: int) -> None:
        result = self.steps.results[seq]
        if result is not False and not failed(result):
            target = self._target[self.steps.shapes[seq]]
            self.inside.setdefault(target, []).append(self.steps.events.values[seq])

    def _get(self, seq: int) -> None:
        result = self.steps.results[seq]
        target = self._target[self.steps.shapes[seq]]
        items = self.inside.get(target)
        if items and self.info(target).order == BYTES:
            left = result if type(result) is int else 0
            while items and type(items[0]) is int and left >= items[0]:
                left -= items.pop(0)
            if items and left and type(items[0]) is int:
                items[0] -= left
        elif items and not failed(result):
            del items[place_of(items, result, self.info(target).order)]

    def _set(self, seq: int) -> None:
        self.flags[self._target[self.steps.shapes[seq]]] = self.steps.kinds[seq] == SET

    # --- asking ------------------------------------------------------------------------------
    def holders(self, lock: str) -> dict[int, int]:
        """The workers that hold a lock or semaphore, with the number of levels or permits."""
        found: dict[int, int] = {}
        for hold in self.held.get(lock, ()):
            found[hold.worker] = found.get(hold.worker, 0) + 1
        return found

    def full(self, queue: str) -> bool:
        """Whether a bounded queue has no room."""
        return 0 < self.info(queue).maxsize <= len(self.inside.get(queue, ()))

    def must_wait(self, target: str, worker: int) -> bool:
        """Whether ``worker`` would have to wait for this lock or semaphore."""
        lock = self.steps.lock_of(target)
        info = self.info(lock)
        if info.type in SEMAPHORES:
            return self.permits.get(lock, 0) >= info.value
        holders = self.holders(lock)
        # one that is not declared may be re-entrant
        plain = info.type == "lock" and info.declared
        return bool(holders) and (plain or worker not in holders)


#: What applies an event, by the kind of its operation; events of other kinds change nothing.
HANDLERS: Final[Handlers] = {
    ACQUIRE: ObjectState._acquire, RELEASE: ObjectState._release, WAIT: ObjectState._wait,
    WAKE: ObjectState._wake, CANCELLED: ObjectState._leave, TIMEOUT: ObjectState._leave,
    PUT: ObjectState._put, GET: ObjectState._get, SET: ObjectState._set, CLEAR: ObjectState._set,
}  # fmt: skip


def place_of(items: Sequence[Any], item: Any, order: str) -> int:
    """Which of a queue's items ``item`` is: where the queue's order would take it from, else the
    first that is equal."""
    place = len(items) - 1 if order == "lifo" else 0
    wanted = frozen(item)
    if frozen(items[place]) == wanted:
        return place
    return next((at for at, one in enumerate(items) if frozen(one) == wanted), place)
