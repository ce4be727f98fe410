"""What the objects of asyncio and of anyio on trio do; see ``things`` for the form they have.

Written after the sources of CPython (``asyncio/locks.py``, ``asyncio/queues.py``) and anyio, apart
from ``tracelock.objects``, which it is there to check. In asyncio a waiting task is a future in a
line: *open*, *done* (its task has not run yet), or *cancelled* (likewise). trio takes a cancelled
task out of the line at once, and cannot cancel one any more that has been woken.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.oracles.language import EMPTY, Ask
from tests.oracles.things import PARKED, WRONG, Queue, Thing

OPEN, DONE, CANCELLED = "open", "done", "cancelled"
#: CPython 3.13 mended two losses in asyncio: see gh-112202 and gh-111693.
MENDED = sys.version_info >= (3, 13)


class Waiting(Thing):
    """What an asyncio object has: a line of futures, by the number of their task."""

    __slots__ = ("line",)

    def __init__(self) -> None:
        self.line: dict[int, str] = {}

    def wait(self, who: int) -> Any:
        self.line[who] = OPEN
        return PARKED

    def wake(self, count: int) -> int:
        """Make the first ``count`` open futures done; how many there were."""
        found = [who for who, state in self.line.items() if state == OPEN][:count]
        self.line.update(dict.fromkeys(found, DONE))
        return len(found)

    def woken(self, who: int) -> bool:
        return self.line.get(who) == DONE

    def back(self, ask: Ask, who: int) -> Any:
        del self.line[who]
        return True

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return parked  # a task comes to its step and begins to wait without a pause

    def struck(self, ask: Ask, who: int) -> bool:
        if self.line.get(who) == OPEN:
            self.line[who] = CANCELLED
        return True

    def cut(self, ask: Ask, who: int) -> Any:
        del self.line[who]


class Lock(Waiting):
    __slots__ = ("held",)

    def __init__(self) -> None:
        super().__init__()
        self.held = False

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "release":
            if not self.held:
                return WRONG
            self.release()
            return None
        if self.take():
            return True
        return False if ask.tries else self.wait(who)

    def take(self) -> bool:
        if self.held or any(state != CANCELLED for state in self.line.values()):
            return False
        self.held = True
        return True

    def release(self) -> None:
        self.held = False
        self._wake_first()

    def _wake_first(self) -> None:
        for who, state in self.line.items():
            if state == OPEN:
                self.line[who] = DONE
            return

    def back(self, ask: Ask, who: int) -> Any:
        self.held = True
        return super().back(ask, who)

    def cut(self, ask: Ask, who: int) -> Any:
        super().cut(ask, who)
        if not self.held:
            self._wake_first()


class Semaphore(Waiting):
    __slots__ = ("most", "value")

    def __init__(self, value: int, bounded: bool) -> None:
        super().__init__()
        self.value = value
        self.most = value if bounded else None

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "acquire":
            if self.value > 0 and all(state == CANCELLED for state in self.line.values()):
                self.value -= 1
                return True
            return False if ask.tries else self.wait(who)
        if ask.value < 1:
            return WRONG
        for _ in range(ask.value):
            if self.most is not None and self.value >= self.most:
                return WRONG
            self.value += 1
            self._hand_over()
        return None

    def _hand_over(self) -> bool:
        woken = self.wake(1)
        self.value -= woken
        return bool(woken)

    def _more(self) -> None:
        while self.value > 0 and self._hand_over() and MENDED:
            pass

    def back(self, ask: Ask, who: int) -> Any:
        super().back(ask, who)
        self._more()
        return True

    def cut(self, ask: Ask, who: int) -> Any:
        had = self.line[who] == DONE
        super().cut(ask, who)
        self.value += had
        if had or MENDED:
            self._more()


class Condition(Waiting):
    """A waiter that was woken stands in line for the lock again, however often it is cancelled."""

    __slots__ = ("cancelled", "lock", "relocking")

    def __init__(self, lock: Lock) -> None:
        super().__init__()
        self.lock = lock
        self.relocking: set[int] = set()
        self.cancelled: set[int] = set()

    def do(self, ask: Ask, who: int) -> Any:
        if not self.lock.held:
            return WRONG
        if ask.kind == "notify":
            self.wake(len(self.line) if ask.value < 0 else ask.value)
            return None
        self.lock.release()
        return self.wait(who)

    def woken(self, who: int) -> bool:
        return self.lock.woken(who) if who in self.relocking else super().woken(who)

    def back(self, ask: Ask, who: int) -> Any:
        if who not in self.relocking:
            super().back(ask, who)
            return True if self._relock(who) else PARKED
        self.relocking.remove(who)
        self.lock.back(ask, who)
        if who in self.cancelled:
            self.cancelled.remove(who)
            self._pass_on()
        return True

    def _relock(self, who: int) -> bool:
        if self.lock.take():
            return True
        self.lock.wait(who)
        self.relocking.add(who)
        return False

    def _pass_on(self) -> None:
        self.wake(1 if MENDED else 0)

    def struck(self, ask: Ask, who: int) -> bool:
        return self.lock.struck(ask, who) if who in self.relocking else super().struck(ask, who)

    def cut(self, ask: Ask, who: int) -> Any:
        if who in self.relocking:
            self.relocking.remove(who)
            self.lock.cut(ask, who)
        else:
            super().cut(ask, who)
        if not self._relock(who):
            self.cancelled.add(who)
            return PARKED
        self.cancelled.discard(who)
        self._pass_on()
        return None


class Event(Waiting):
    __slots__ = ("flag",)

    def __init__(self) -> None:
        super().__init__()
        self.flag = False

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "wait":
            return self.flag if self.flag or ask.tries else self.wait(who)
        if ask.kind == "set" and not self.flag:
            self.wake(len(self.line))
        self.flag = ask.kind == "set"
        return None


class Barrier(Waiting):
    """Fills and drains; a cancelled wait leaves it, and breaks nothing."""

    __slots__ = ("count", "draining", "outside", "parties")

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.parties = parties
        self.count = 0
        self.draining = False
        self.outside: set[int] = set()  # came while it drained

    def do(self, ask: Ask, who: int) -> Any:
        if self.draining:
            self.outside.add(who)
            return self.wait(who)
        return self._enter(who)

    def _enter(self, who: int) -> Any:
        self.count += 1
        if self.count < self.parties:
            return self.wait(who)
        self.draining = True
        self.wake(len(self.line))
        self._leave()
        return True

    def _leave(self) -> None:
        self.count -= 1
        if not self.count:
            self.draining = False
            self.wake(len(self.line))

    def back(self, ask: Ask, who: int) -> Any:
        super().back(ask, who)
        if who in self.outside:
            if not self.draining:
                self.outside.remove(who)
                return self._enter(who)
        elif self.draining:
            self._leave()
            return True
        return self.wait(who)

    def cut(self, ask: Ask, who: int) -> Any:
        super().cut(ask, who)
        self.wake(1 if MENDED else 0)
        if who in self.outside:
            self.outside.remove(who)
        else:
            self._leave()


class TaskQueue(Queue):
    """An item is not handed over: who comes first takes it, and the getter waits again."""

    __slots__ = ("getters", "gone", "putters")

    def __init__(self, most: int, order: str) -> None:
        super().__init__(most, order)
        self.putters: dict[int, str] = {}
        self.getters: dict[int, str] = {}
        self.gone: set[int] = set()  # woken, and out of the line

    def can(self, ask: Ask, who: int) -> bool:
        return True

    def _line(self, kind: str) -> dict[int, str]:
        return self.getters if kind == "get" else self.putters

    def _wake(self, kind: str) -> None:
        line = self._line(kind)
        while line:
            who = next(iter(line))
            if line.pop(who) == OPEN:
                self.gone.add(who)
                return

    def do(self, ask: Ask, who: int) -> Any:
        if self.possible(ask.kind):
            result = self.move(ask)
            if result is not WRONG:
                self._wake("put" if ask.kind == "get" else "get")
            return result
        if ask.tries:
            return EMPTY if ask.kind == "get" else False
        self._line(ask.kind)[who] = OPEN
        return PARKED

    def woken(self, who: int) -> bool:
        return who in self.gone

    def back(self, ask: Ask, who: int) -> Any:
        self.gone.remove(who)
        return self.do(ask._replace(timeout=None), who)

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return parked

    def struck(self, ask: Ask, who: int) -> bool:
        line = self._line(ask.kind)
        if who in line:
            line[who] = CANCELLED
        return True

    def cut(self, ask: Ask, who: int) -> Any:
        if who not in self.gone:
            self._line(ask.kind).pop(who, None)
            return
        self.gone.remove(who)
        if self.possible(ask.kind):
            self._wake(ask.kind)


# --- anyio on trio ---------------------------------------------------------------------------
class TrioLock(Thing):
    """It has an owner, is handed to the first in line, and breaks if its owner just ends."""

    __slots__ = ("broken", "handed", "lot", "owner", "paused")

    def __init__(self) -> None:
        self.owner = -1
        self.broken = self.paused = False
        self.lot: list[int] = []
        self.handed: dict[int, bool] = {}  # woken: whether with the lock

    def do(self, ask: Ask, who: int) -> Any:
        self.paused = False
        if ask.kind == "release":
            if self.owner != who:
                return WRONG
            self.release()
            return None
        if self.owner == who:
            return WRONG
        if self.owner < 0:
            self.owner = who
            self.paused = not ask.tries
            return True
        if ask.tries:
            return False
        if self.broken:
            return WRONG
        self.lot.append(who)
        return PARKED

    def release(self) -> None:
        self.owner = self.lot.pop(0) if self.lot else -1
        if self.owner >= 0:
            self.handed[self.owner] = True

    def woken(self, who: int) -> bool:
        return who in self.handed

    def back(self, ask: Ask, who: int) -> Any:
        self.paused = False
        return self.handed.pop(who) or WRONG

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who in self.lot

    def struck(self, ask: Ask, who: int) -> bool:
        reached = who in self.lot
        if reached:
            self.lot.remove(who)
        return reached

    def ended(self, who: int) -> None:
        if self.owner == who and not self.broken:
            self.broken = True
            self.handed.update(dict.fromkeys(self.lot, False))
            self.lot.clear()


class TrioSemaphore(Thing):
    __slots__ = ("handed", "lot", "most", "paused", "value")

    def __init__(self, value: int, bounded: bool) -> None:
        self.value = value
        self.most = value if bounded else None
        self.lot: list[int] = []
        self.handed: set[int] = set()
        self.paused = False

    def do(self, ask: Ask, who: int) -> Any:
        self.paused = False
        if ask.kind == "acquire":
            if self.value > 0:
                self.value -= 1
                self.paused = not ask.tries
                return True
            if ask.tries:
                return False
            self.lot.append(who)
            return PARKED
        if ask.value < 1:
            return WRONG
        for _ in range(ask.value):
            if self.lot:
                self.handed.add(self.lot.pop(0))
            elif self.value == self.most:
                return WRONG
            else:
                self.value += 1
        return None

    def woken(self, who: int) -> bool:
        return who in self.handed

    def back(self, ask: Ask, who: int) -> Any:
        self.paused = False
        self.handed.remove(who)
        return True

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who in self.lot

    def struck(self, ask: Ask, who: int) -> bool:
        reached = who in self.lot
        if reached:
            self.lot.remove(who)
        return reached


class TrioCondition(Thing):
    """Taking the lock back cannot be cancelled. A cancelled waiter that was notified before it
    ran notifies the next."""

    __slots__ = ("line", "lock", "paused", "relocking", "struck_ones", "told")

    def __init__(self, lock: TrioLock) -> None:
        self.lock = lock
        self.line: list[int] = []
        self.struck_ones: set[int] = set()
        self.told: set[int] = set()
        self.relocking: dict[int, bool] = {}  # whether it has the lock already
        self.paused = False

    def do(self, ask: Ask, who: int) -> Any:
        self.paused = False
        if self.lock.owner != who:
            return WRONG
        if ask.kind == "notify":
            self._notify(len(self.line) if ask.value < 0 else ask.value)
            return None
        self.line.append(who)
        self.lock.release()
        return PARKED

    def _notify(self, count: int) -> None:
        self.told |= {who for who in self.line[:count] if who not in self.struck_ones}
        del self.line[:count]

    def woken(self, who: int) -> bool:
        if who in self.relocking:
            return self.relocking[who] or self.lock.woken(who)
        return who in self.told

    def back(self, ask: Ask, who: int) -> Any:
        self.paused = False
        if who in self.relocking:
            return self.relocking.pop(who) or self.lock.back(ask, who)
        self.told.remove(who)
        if self.lock.owner < 0:
            self.lock.owner = who
            self.paused = True
            return True
        return self._relock(who)

    def _relock(self, who: int) -> Any:
        if self.lock.broken:
            return WRONG
        has = self.lock.owner < 0
        if has:
            self.lock.owner = who
        else:
            self.lock.lot.append(who)
        self.relocking[who] = has
        return PARKED

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return parked and who not in self.told and who not in self.relocking

    def struck(self, ask: Ask, who: int) -> bool:
        if who in self.told or who in self.relocking:
            return False
        self.struck_ones.add(who)
        return True

    def cut(self, ask: Ask, who: int) -> Any:
        self.struck_ones.discard(who)
        if who in self.line:
            self.line.remove(who)
        else:
            self._notify(1)
        return self._relock(who)


class TrioEvent(Thing):
    """Once set, always set. Waiting for a set one lets others run all the same."""

    __slots__ = ("flag", "gone", "line", "passing")

    def __init__(self) -> None:
        self.flag = False
        self.line: list[int] = []
        self.gone: set[int] = set()
        self.passing: set[int] = set()

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "set":
            self.flag = True
            self.gone |= set(self.line)
            self.line.clear()
            return None
        if ask.tries:
            return self.flag
        if self.flag:
            self.passing.add(who)
        else:
            self.line.append(who)
        return PARKED

    def woken(self, who: int) -> bool:
        return who in self.gone or who in self.passing

    def back(self, ask: Ask, who: int) -> Any:
        self.gone.discard(who)
        self.passing.discard(who)
        return True

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who in self.line or who in self.passing

    def struck(self, ask: Ask, who: int) -> bool:
        if who in self.gone:
            return False
        if who in self.line:
            self.line.remove(who)
        self.passing.discard(who)
        return True


class Stream(Thing):
    """A memory object stream: an item is handed to the first who waits to receive."""

    __slots__ = ("items", "most", "receivers", "senders", "served", "struck_ones")

    def __init__(self, most: int) -> None:
        self.most = most
        self.items: list[Any] = []
        self.receivers: list[int] = []
        self.senders: dict[int, Any] = {}
        self.served: dict[int, Any] = {}  # woken, with the result
        self.struck_ones: set[int] = set()

    def do(self, ask: Ask, who: int) -> Any:
        if ask.kind == "put":
            return self._send(ask, who)
        for sender in list(self.senders)[:1]:
            self.items.append(self.senders.pop(sender))
            if sender not in self.struck_ones:
                self.served[sender] = True
        if self.items:
            return self.items.pop(0)
        if ask.tries:
            return EMPTY
        self.receivers.append(who)
        return PARKED

    def _send(self, ask: Ask, who: int) -> Any:
        while self.receivers:
            receiver = self.receivers.pop(0)
            if receiver not in self.struck_ones:
                self.served[receiver] = ask.value
                return True
        if self.most <= 0 or len(self.items) < self.most:
            self.items.append(ask.value)
            return True
        if ask.tries:
            return False
        self.senders[who] = ask.value
        return PARKED

    def woken(self, who: int) -> bool:
        return who in self.served

    def back(self, ask: Ask, who: int) -> Any:
        return self.served.pop(who)

    def may_be_late(self, ask: Ask, who: int, parked: bool) -> bool:
        return who not in self.served and not ask.tries

    def late(self, ask: Ask, who: int, parked: bool) -> Any:
        return EMPTY if ask.kind == "get" else False

    def struck(self, ask: Ask, who: int) -> bool:
        if who in self.served:
            return False
        self.struck_ones.add(who)
        return True

    def cut(self, ask: Ask, who: int) -> Any:
        self.struck_ones.discard(who)
        if who in self.receivers:
            self.receivers.remove(who)
        self.senders.pop(who, None)


def make(backend: str, spec: dict[str, Any], made: dict[int, Thing]) -> Thing:
    """The object that ``spec`` declares; a condition's lock has been ``made``."""
    trio = backend == "trio"
    kind = spec["type"]
    if kind in ("lock", "condition_lock"):
        return TrioLock() if trio else Lock()
    if kind in ("semaphore", "bounded_semaphore"):
        bounded = kind == "bounded_semaphore"
        return (TrioSemaphore if trio else Semaphore)(spec.get("value", 1), bounded)
    if kind == "condition":
        lock: Any = made[spec["lock"]]
        return TrioCondition(lock) if trio else Condition(lock)
    if kind == "event":
        return TrioEvent() if trio else Event()
    if kind == "queue":
        most, order = spec.get("maxsize", 0), spec.get("order", "fifo")
        return Stream(most) if trio else TaskQueue(most, order)
    if kind == "barrier" and not trio:
        return Barrier(spec["parties"])
    return Thing()  # declared, and nothing that a task could use
