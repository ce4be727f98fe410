"""Real objects and random histories of them, right ones and wrong ones."""

from __future__ import annotations

import collections
import queue
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.oracles.orders import Call, Waits
from tracelock.history import models
from tracelock.history.models import Sequential
from tracelock.history.operations import Operation


class RealRegister:
    value: Any = 0

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value

    def exchange(self, value: Any) -> Any:
        old, self.value = self.value, value
        return old

    def compare_exchange(self, expected: Any, value: Any) -> bool:
        if self.value == expected:
            self.value = value
            return True
        return False


class RealCounter:
    number = 0

    def increment(self) -> int:
        self.number += 1
        return self.number

    def value(self) -> int:
        return self.number


class RealQueue:
    """A queue of Python's own; a call that would wait raises Waits."""

    def __init__(self, kind: type[queue.Queue[Any]] = queue.Queue, maxsize: int = 0) -> None:
        self.inner = kind(maxsize)

    def put(self, item: Any) -> None:
        if self.inner.full():
            raise Waits
        self.inner.put(item)

    def get(self) -> Any:
        if self.inner.empty():
            raise Waits
        return self.inner.get()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class RealStack(list[Any]):
    push = list.append

    def peek(self) -> Any:
        return self[-1]


class RealLRU:
    """By an OrderedDict, of two items."""

    def __init__(self) -> None:
        self.items: collections.OrderedDict[Any, Any] = collections.OrderedDict()

    def __getitem__(self, key: Any) -> Any:
        self.items.move_to_end(key)
        return self.items[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value
        self.items.move_to_end(key)
        if len(self.items) > 2:
            self.items.popitem(last=False)

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self.items else default

    def __delitem__(self, key: Any) -> None:
        del self.items[key]

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, key: Any) -> bool:
        return key in self.items


class RealTTL:
    """By a clock that goes on when it is told to; items live two seconds."""

    def __init__(self) -> None:
        self.now = 0
        self.items: dict[Any, tuple[Any, int]] = {}

    def advance(self, seconds: int) -> None:
        self.now += seconds
        self.items = {k: v for k, v in self.items.items() if v[1] > self.now}

    def __getitem__(self, key: Any) -> Any:
        return self.items[key][0]

    def get(self, key: Any) -> Any:
        return self.items.get(key, (None,))[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value, self.now + 2

    def __len__(self) -> int:
        return len(self.items)


class RealMutex:
    held = False

    def acquire(self, blocking: bool = True) -> bool:
        if self.held and blocking:
            raise Waits
        taken, self.held = not self.held, True
        return taken

    def release(self) -> None:
        if not self.held:
            raise RuntimeError
        self.held = False

    def locked(self) -> bool:
        return self.held


class RealSemaphore:
    """Of two, bounded."""

    value = 2

    def acquire(self, blocking: bool = True) -> bool:
        if not self.value:
            if blocking:
                raise Waits
            return False
        self.value -= 1
        return True

    def release(self) -> None:
        if self.value == 2:
            raise ValueError
        self.value += 1


@dataclass(frozen=True)
class Kind:
    """A real object, the model of it, and some of its calls."""

    make: Callable[[], Any]
    model: Sequential
    calls: tuple[tuple[str, tuple[Any, ...]], ...]


_PUTS = (("put", (1,)), ("put", (2,)), ("get", ()), ("get_nowait", ()), ("qsize", ()))
_KEYED = (
    ("__setitem__", ("a", 1)), ("__setitem__", ("b", 2)), ("__getitem__", ("a",)), ("get", ("b",)),
)  # fmt: skip
KINDS = {
    "register": Kind(RealRegister, models.RegisterSpec(0), (
        ("read", ()), ("write", (1,)), ("write", (2,)), ("exchange", (3,)),
        ("compare_exchange", (1, 4)),
    )),
    "counter": Kind(
        RealCounter, models.CounterSpec(gives="new"), (("increment", ()), ("value", ()))
    ),
    "dict": Kind(dict, models.DictSpec(), (
        *_KEYED, ("pop", ("a",)), ("pop", ("a", 0)), ("setdefault", ("a", 3)), ("__len__", ()),
        ("__contains__", ("b",)), ("clear", ()), ("__delitem__", ("b",)), ("copy", ()),
        ("update", ({"a": 7},)),
    )),
    "keys": Kind(dict, models.DictSpec(), (*_KEYED, ("pop", ("a",)), ("__delitem__", ("b",)))),
    "set": Kind(set, models.SetSpec(), (
        ("add", (1,)), ("add", (2,)), ("remove", (1,)), ("discard", (2,)), ("__contains__", (1,)),
        ("__len__", ()), ("clear", ()), ("copy", ()),
    )),
    "queue": Kind(RealQueue, models.QueueSpec(), _PUTS),
    "bounded queue": Kind(
        lambda: RealQueue(maxsize=1), models.QueueSpec(maxsize=1),
        (*_PUTS, ("put_nowait", (3,)), ("full", ()), ("empty", ())),
    ),
    "last in first out": Kind(
        lambda: RealQueue(queue.LifoQueue), models.QueueSpec(last_in=True), _PUTS
    ),
    "stack": Kind(RealStack, models.StackSpec(), (
        ("push", (1,)), ("push", (2,)), ("pop", ()), ("peek", ()), ("__len__", ()),
    )),
    "deque": Kind(
        lambda: collections.deque(maxlen=2), models.DequeSpec(maxlen=2), (
            ("append", (1,)), ("appendleft", (2,)), ("pop", ()), ("popleft", ()), ("__len__", ()),
            ("extend", ([3, 4],)), ("extendleft", ([5, 6],)), ("rotate", (1,)), ("remove", (1,)),
            ("count", (2,)), ("__contains__", (2,)), ("__getitem__", (1,)), ("clear", ()),
        ),
    ),
    "lru": Kind(RealLRU, models.LRUSpec(2), (
        *_KEYED, ("__setitem__", ("c", 3)), ("__delitem__", ("a",)), ("__len__", ()),
        ("__contains__", ("a",)),
    )),
    "ttl": Kind(
        RealTTL, models.TTLSpec(2), (*_KEYED, ("advance", (1,)), ("advance", (2,)), ("__len__", ()))
    ),
    "mutex": Kind(RealMutex, models.MutexSpec(), (
        ("acquire", ()), ("acquire", (False,)), ("release", ()), ("locked", ()),
    )),
    "semaphore": Kind(RealSemaphore, models.SemaphoreSpec(2, bounded=True), (
        ("acquire", ()), ("acquire", (False,)), ("release", ()),
    )),
}  # fmt: skip


def random_history(kind: Kind, chance: random.Random, most: int = 6) -> list[Call]:
    """Up to ``most`` calls of two or three workers: the results are those of some order that may
    disagree with the times, now and then one of another call's, or none."""
    count = chance.randint(2, most)
    target = kind.make()
    made: list[tuple[str, tuple[Any, ...], str, Any]] = []
    for _ in range(count):
        name, args = chance.choice(kind.calls)
        try:
            made.append((name, args, "returned", getattr(target, name)(*args)))
        except Waits:
            made.append((name, args, "pending", None))
        except Exception as error:
            made.append((name, args, "raised", type(error).__name__))
    shuffled = list(range(count))
    if chance.random() < 0.4:
        one, two = chance.sample(shuffled, 2)
        shuffled[one], shuffled[two] = shuffled[two], shuffled[one]
    ends: dict[str, int] = {}
    calls: list[Call] = []
    clock = 0
    for n in shuffled:
        name, args, ending, value = made[n]
        free = [w for w in ("a", "b", "c") if ends.get(w, 0) is not None]
        worker = chance.choice(free)
        start = max(clock - chance.randint(0, 6), ends.get(worker, -1) + 1, 0)
        if ending != "pending" and chance.random() < 0.08:
            ending, value = chance.choice([("pending", None), ("cancelled", None)])
        elif ending == "returned" and chance.random() < 0.12:
            value = chance.choice([one[3] for one in made if one[2] == "returned"])
        end = None if ending == "pending" else max(clock, start) + chance.randint(1, 6)
        ends[worker] = 10_000 if end is None else end
        clock = max(clock, start) + 2
        calls.append((worker, name, args, ending, value, start, end))
    return calls


def as_operations(calls: list[Call]) -> list[Operation]:
    """For ``History.of``. Of equal times calls come before returns, as in the oracle."""
    return [
        Operation(worker, name, args, {}, ending, value, start, end)
        for worker, name, args, ending, value, start, end in calls
    ]
