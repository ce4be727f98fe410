"""Small programs with locks, and each of their mutants written out by hand.

A mutant is told by what stands in the source before it and after it, with what has to become of it:
``killed``, ``verified`` (nothing that the program checks needs the lock as it is) or ``invalid``.
They stand in the order in which the tool finds them.
"""

from __future__ import annotations

from typing import NamedTuple


class WrittenMutant(NamedTuple):
    kind: str
    before: str
    after: str
    verdict: str


class TeethProgram(NamedTuple):
    """``orders``: whether it has so few orders of its choices that all are tried in a moment."""

    name: str
    source: str
    mutants: tuple[WrittenMutant, ...]
    orders: bool = True


M = WrittenMutant
_THREADS = """
    other = threading.Thread(target=work)
    other.start()
    work()
    other.join()
"""

PROGRAMS = (
    TeethProgram(
        "counter",
        """\
import threading

class Counter:
    def __init__(self):
        self.guard = threading.Lock()
        self.n = 0

    def add(self):
        with self.guard:
            seen = self.n
            self.n = seen + 1

    def value(self):
        with self.guard:
            return self.n

def prog():
    counter = Counter()
    work = counter.add
""" + _THREADS + """\
    assert counter.value() == 2
""",
        (
            M("removed", """\
        with self.guard:
            seen = self.n
            self.n = seen + 1
""", """\
        seen = self.n
        self.n = seen + 1
""", "killed"),
            M("narrowed", """\
        with self.guard:
            seen = self.n
            self.n = seen + 1
""", """\
        seen = self.n
        with self.guard:
            self.n = seen + 1
""", "killed"),
            M("narrowed", """\
        with self.guard:
            seen = self.n
            self.n = seen + 1
""", """\
        with self.guard:
            seen = self.n
        self.n = seen + 1
""", "killed"),
            M("removed", """\
        with self.guard:
            return self.n
""", """\
        return self.n
""", "verified"),
        ),
    ),
    TeethProgram(
        "withdrawals",
        """\
import threading

guard = threading.Lock()

class Account:
    balance = 10
    paid = 0

def prog():
    account = Account()
    def work():
        guard.acquire()
        try:
            if account.balance >= 10:
                account.balance -= 10
                account.paid += 1
        finally:
            guard.release()
""" + _THREADS + """\
    assert account.paid == 1
""",
        (
            M("removed", """\
        guard.acquire()
        try:
            if account.balance >= 10:
                account.balance -= 10
                account.paid += 1
        finally:
            guard.release()
""", """\
        if account.balance >= 10:
            account.balance -= 10
            account.paid += 1
""", "killed"),
        ),
    ),
    TeethProgram(
        "two_numbers",
        """\
import threading

class Pair:
    def __init__(self):
        self.a_lock = threading.Lock()
        self.b_lock = threading.Lock()
        self.a = self.b = 0

    def both(self):
        with self.a_lock:
            self.a = self.a + 1
        with self.b_lock:
            self.b = self.b + 1

def prog():
    pair = Pair()
    work = pair.both
""" + _THREADS + """\
    assert pair.a == 2
    assert pair.b == 2
""",
        orders=False,
        mutants=(
            M("removed", """\
        with self.a_lock:
            self.a = self.a + 1
""", """\
        self.a = self.a + 1
""", "killed"),
            M("widened", """\
        with self.a_lock:
            self.a = self.a + 1
        with self.b_lock:
            self.b = self.b + 1
""", """\
        with self.a_lock:
            self.a = self.a + 1
            with self.b_lock:
                self.b = self.b + 1
""", "verified"),
            M("swapped", """\
        with self.a_lock:
            self.a = self.a + 1
        with self.b_lock:
            self.b = self.b + 1
""", """\
        with self.b_lock:
            self.a = self.a + 1
        with self.a_lock:
            self.b = self.b + 1
""", "verified"),
            M("replaced", """\
        with self.a_lock:
            self.a = self.a + 1
""", """\
        with self.b_lock:
            self.a = self.a + 1
""", "verified"),
            M("removed", """\
        with self.b_lock:
            self.b = self.b + 1
""", """\
        self.b = self.b + 1
""", "killed"),
            M("widened", """\
        with self.a_lock:
            self.a = self.a + 1
        with self.b_lock:
            self.b = self.b + 1
""", """\
        with self.b_lock:
            with self.a_lock:
                self.a = self.a + 1
            self.b = self.b + 1
""", "verified"),
            M("replaced", """\
        with self.b_lock:
            self.b = self.b + 1
""", """\
        with self.a_lock:
            self.b = self.b + 1
""", "verified"),
        ),
    ),
    TeethProgram(
        "order",
        """\
import threading

class Pair:
    def __init__(self):
        self.a_lock = threading.Lock()
        self.b_lock = threading.Lock()
        self.n = 0

    def one(self):
        with self.a_lock:
            with self.b_lock:
                self.n = self.n + 1

    def two(self):
        with self.a_lock, self.b_lock:
            self.n = self.n + 1

def prog():
    pair = Pair()
    other = threading.Thread(target=pair.one)
    other.start()
    pair.two()
    other.join()
    assert pair.n == 2
""",
        (
            M("removed", """\
        with self.a_lock:
            with self.b_lock:
                self.n = self.n + 1
""", """\
        with self.b_lock:
            self.n = self.n + 1
""", "verified"),
            M("swapped", """\
        with self.a_lock:
            with self.b_lock:
                self.n = self.n + 1
""", """\
        with self.b_lock:
            with self.a_lock:
                self.n = self.n + 1
""", "killed"),
            M("removed", """\
            with self.b_lock:
                self.n = self.n + 1
""", """\
            self.n = self.n + 1
""", "verified"),
            M("removed", "with self.a_lock, self.b_lock:", "with self.b_lock:", "verified"),
            M("swapped", "with self.a_lock, self.b_lock:", "with self.b_lock, self.a_lock:",
              "killed"),
            M("removed", "with self.a_lock, self.b_lock:", "with self.a_lock:", "verified"),
        ),
    ),
    TeethProgram(
        "plain_pair",
        """\
import threading

def prog():
    guard = threading.Lock()
    seen = []
    numbers = [0]
    def work():
        seen.append(1)
        guard.acquire()
        numbers[0] += 1
        seen.append(numbers[0])
        guard.release()
""" + _THREADS + """\
    assert sorted(seen) == [1, 1, 1, 2]
""",
        (
            M("removed", """\
        guard.acquire()
        numbers[0] += 1
        seen.append(numbers[0])
        guard.release()
""", """\
        numbers[0] += 1
        seen.append(numbers[0])
""", "killed"),
            M("narrowed", """\
        guard.acquire()
        numbers[0] += 1
        seen.append(numbers[0])
        guard.release()
""", """\
        numbers[0] += 1
        guard.acquire()
        seen.append(numbers[0])
        guard.release()
""", "killed"),
            M("narrowed", """\
        guard.acquire()
        numbers[0] += 1
        seen.append(numbers[0])
        guard.release()
""", """\
        guard.acquire()
        numbers[0] += 1
        guard.release()
        seen.append(numbers[0])
""", "killed"),
            M("widened", """\
        seen.append(1)
        guard.acquire()
        numbers[0] += 1
        seen.append(numbers[0])
        guard.release()
""", """\
        guard.acquire()
        seen.append(1)
        numbers[0] += 1
        seen.append(numbers[0])
        guard.release()
""", "verified"),
        ),
    ),
    TeethProgram(
        "useless",
        """\
import threading

lock = threading.RLock()

def work():
    with lock:
        own = []
        own.append(1)
        return own

def prog():
""" + _THREADS,
        (
            M("removed", """\
    with lock:
        own = []
        own.append(1)
        return own
""", """\
    own = []
    own.append(1)
    return own
""", "verified"),
            M("narrowed", """\
    with lock:
        own = []
        own.append(1)
        return own
""", """\
    own = []
    with lock:
        own.append(1)
        return own
""", "verified"),
        ),
    ),
    TeethProgram(
        "condition",
        """\
import threading

class Box:
    def __init__(self):
        self.filled = threading.Condition()
        self.item = None

    def put(self):
        with self.filled:
            self.item = 1
            self.filled.notify()

    def take(self):
        with self.filled:
            while self.item is None:
                self.filled.wait()
            return self.item

def prog():
    box = Box()
    other = threading.Thread(target=box.put)
    other.start()
    assert box.take() == 1
    other.join()
""",
        (
            M("removed", """\
        with self.filled:
            self.item = 1
            self.filled.notify()
""", """\
        self.item = 1
        self.filled.notify()
""", "invalid"),
            M("narrowed", """\
        with self.filled:
            self.item = 1
            self.filled.notify()
""", """\
        self.item = 1
        with self.filled:
            self.filled.notify()
""", "verified"),
            M("narrowed", """\
        with self.filled:
            self.item = 1
            self.filled.notify()
""", """\
        with self.filled:
            self.item = 1
        self.filled.notify()
""", "invalid"),
            M("removed", """\
        with self.filled:
            while self.item is None:
                self.filled.wait()
            return self.item
""", """\
        while self.item is None:
            self.filled.wait()
        return self.item
""", "invalid"),
            M("narrowed", """\
        with self.filled:
            while self.item is None:
                self.filled.wait()
            return self.item
""", """\
        while self.item is None:
            self.filled.wait()
        with self.filled:
            return self.item
""", "invalid"),
            M("narrowed", """\
        with self.filled:
            while self.item is None:
                self.filled.wait()
            return self.item
""", """\
        with self.filled:
            while self.item is None:
                self.filled.wait()
        return self.item
""", "verified"),
        ),
    ),
    TeethProgram(
        "semaphore",
        """\
from threading import BoundedSemaphore, Thread

class Pool:
    def __init__(self):
        self.free = BoundedSemaphore(1)
        self.users = 0

    def use(self):
        with self.free:
            self.users += 1
            assert self.users == 1
            self.users -= 1

def prog():
    pool = Pool()
    other = Thread(target=pool.use)
    other.start()
    pool.use()
    other.join()
""",
        (
            M("removed", """\
        with self.free:
            self.users += 1
            assert self.users == 1
            self.users -= 1
""", """\
        self.users += 1
        assert self.users == 1
        self.users -= 1
""", "killed"),
            M("narrowed", """\
        with self.free:
            self.users += 1
            assert self.users == 1
            self.users -= 1
""", """\
        self.users += 1
        with self.free:
            assert self.users == 1
            self.users -= 1
""", "killed"),
            M("narrowed", """\
        with self.free:
            self.users += 1
            assert self.users == 1
            self.users -= 1
""", """\
        with self.free:
            self.users += 1
            assert self.users == 1
        self.users -= 1
""", "killed"),
        ),
    ),
    TeethProgram(
        "tasks",
        """\
import asyncio

class Store:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.n = 0

    async def add(self):
        async with self.lock:
            seen = self.n
            await asyncio.sleep(0)
            self.n = await added(seen)

async def added(seen):
    await asyncio.sleep(0)
    return seen + 1

async def prog():
    store = Store()
    await asyncio.gather(store.add(), store.add())
    assert store.n == 2
""",
        (
            M("removed", """\
        async with self.lock:
            seen = self.n
            await asyncio.sleep(0)
            self.n = await added(seen)
""", """\
        seen = self.n
        await asyncio.sleep(0)
        self.n = await added(seen)
""", "killed"),
            M("narrowed", """\
        async with self.lock:
            seen = self.n
            await asyncio.sleep(0)
            self.n = await added(seen)
""", """\
        seen = self.n
        async with self.lock:
            await asyncio.sleep(0)
            self.n = await added(seen)
""", "killed"),
            M("narrowed", """\
        async with self.lock:
            seen = self.n
            await asyncio.sleep(0)
            self.n = await added(seen)
""", """\
        async with self.lock:
            seen = self.n
            await asyncio.sleep(0)
        self.n = await added(seen)
""", "killed"),
        ),
    ),
    TeethProgram(
        "cache",
        """\
import threading

lock = threading.Lock()
made = []
cache = {}

def work():
    if "key" not in cache:
        with lock:
            if "key" not in cache:
                made.append(1)
                cache["key"] = 1
    return cache["key"]

def prog():
    made.clear()
    cache.clear()
""" + _THREADS + """\
    assert made == [1]
""",
        (
            M("removed", """\
        with lock:
            if "key" not in cache:
                made.append(1)
                cache["key"] = 1
""", """\
        if "key" not in cache:
            made.append(1)
            cache["key"] = 1
""", "killed"),
        ),
    ),
)  # fmt: skip
