"""Classes to be audited: ten that are right, and each of them once more with one bug.

Each bug is one that a reviewer may pass over: a lock region that is too narrow, a check outside of
it, a wait that is not repeated, locks in two orders.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Any


class CounterRight:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def increment(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def value(self) -> int:
        with self._lock:
            return self._number


class CounterWrong(CounterRight):
    def increment(self) -> int:
        with self._lock:
            number = self._number
        with self._lock:
            self._number = number + 1
            return self._number


class StackRight:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[Any] = []

    def push(self, item: Any) -> None:
        with self._lock:
            self._items.append(item)

    def pop(self) -> Any:
        with self._lock:
            return self._items.pop() if self._items else None

    def __len__(self) -> int:
        return len(self._items)


class StackWrong(StackRight):
    def pop(self) -> Any:
        if not self._items:
            return None
        with self._lock:
            return self._items.pop()


class QueueRight:
    """Of one item."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()

    def put(self, item: Any) -> None:
        with self._changed:
            while self._items:
                self._changed.wait()
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Any:
        with self._changed:
            while not self._items:
                self._changed.wait()
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def size(self) -> int:
        with self._changed:
            return len(self._items)


class QueueWrong(QueueRight):
    def get(self) -> Any:
        with self._changed:
            while not self._items:
                self._changed.wait()
            return self._items.popleft()  # nobody who waits to put is told


class SetRight:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: set[Any] = set()

    def add(self, item: Any) -> bool:
        with self._lock:
            new = item not in self._items
            self._items.add(item)
            return new

    def remove(self, item: Any) -> None:
        with self._lock:
            self._items.remove(item)

    def __contains__(self, item: Any) -> bool:
        with self._lock:
            return item in self._items


class SetWrong(SetRight):
    def add(self, item: Any) -> bool:
        new = item not in self  # two may find it new
        with self._lock:
            self._items.add(item)
        return new


class CacheRight:
    """Of two items, the least recently used one goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any) -> Any:
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key]

    def put(self, key: Any, value: Any) -> None:
        with self._lock:
            self._items[key] = value
            self._items.move_to_end(key)
            if len(self._items) > 1:
                self._items.popitem(last=False)

    def keys(self) -> list[Any]:
        with self._lock:
            return list(self._items)


class CacheWrong(CacheRight):
    def get(self, key: Any) -> Any:
        if key not in self._items:
            return None
        with self._lock:
            self._items.move_to_end(key)
            return self._items[key]


class OnceRight:
    """A value that is made at first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: object | None = None

    def value(self) -> object:
        with self._lock:
            if self._value is None:
                self._value = object()
            return self._value


class OnceWrong(OnceRight):
    def value(self) -> object:
        if self._value is None:
            made = object()
            with self._lock:
                self._value = made
        return self._value


class AccountsRight:
    """Two accounts with a lock each, taken in one order."""

    def __init__(self) -> None:
        self._a, self._b = threading.Lock(), threading.Lock()
        self._balance = [10, 10]

    def there(self) -> None:
        with self._a, self._b:
            self._balance = [self._balance[0] - 1, self._balance[1] + 1]

    def back(self) -> None:
        with self._a, self._b:
            self._balance = [self._balance[0] + 1, self._balance[1] - 1]

    def balance(self) -> list[int]:
        with self._a, self._b:
            return list(self._balance)


class AccountsWrong(AccountsRight):
    def back(self) -> None:
        with self._b, self._a:
            self._balance = [self._balance[0] + 1, self._balance[1] - 1]


class GateRight:
    """A semaphore of one by a condition."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._free = True

    def acquire(self, blocking: bool = True) -> bool:
        with self._changed:
            while not self._free:
                if not blocking:
                    return False
                self._changed.wait()
            self._free = False
            return True

    def release(self) -> None:
        with self._changed:
            self._free = True
            self._changed.notify()


class GateWrong(GateRight):
    def acquire(self, blocking: bool = True) -> bool:
        if not blocking and not self._free:
            return False
        with self._changed:
            if not self._free:  # once, and not as long as it is so
                self._changed.wait()
            self._free = False
            return True


class PoolRight:
    """Two connections; more than that are refused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = ["a", "b"]
        self._closed = False

    def get_connection(self) -> str:
        with self._lock:
            if self._closed:
                raise RuntimeError("closed")
            return self._idle.pop() if self._idle else "none"

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._idle.clear()


class PoolWrong(PoolRight):
    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._idle = []  # while one that saw it open takes the last one

    def get_connection(self) -> str:
        if self._closed:
            raise RuntimeError("closed")
        return self._idle.pop() if self._idle else "none"


class RegisterRight:
    """Compare and set without a lock around reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def read(self) -> int:
        return self._value

    def compare_set(self, old: int, new: int) -> bool:
        with self._lock:
            if self._value != old:
                return False
            self._value = new
            return True


class RegisterWrong(RegisterRight):
    def compare_set(self, old: int, new: int) -> bool:
        if self._value != old:
            return False
        with self._lock:
            self._value = new
        return True


#: What values the parameters of some have.
STRATEGIES = {"Register": {"old": "[0, 1]", "new": "[1, 2]"}}
NAMES = tuple(name.removesuffix("Right") for name in list(globals()) if name.endswith("Right"))
