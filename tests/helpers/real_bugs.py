"""Small programs of real code with one bug each, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass

POOL = """
import threading


class Pool:
    def __init__(self, size):
        self._cond = threading.Condition()
        self._idle = list(range(size))

    def take(self):
        with self._cond:
            if not self._idle:
                self._cond.wait()
            return self._idle.pop()

    def give(self, one):
        with self._cond:
            self._idle.append(one)
            self._cond.notify()


def setup():
    return {"pool": Pool(1), "errors": []}


def user(state):
    try:
        state["pool"].give(state["pool"].take())
    except IndexError as error:
        state["errors"].append(error)


def check(state):
    assert not state["errors"]
"""
COUNTER = """
class Counter:
    def __init__(self):
        self.n = 0


def setup():
    return Counter()


def add(counter):
    counter.n = counter.n + 1


def check(counter):
    assert counter.n == 2
"""
#: bpo-43468 in the small: one lock for each attribute, shared by all instances.
LAZY = """
import threading


class Lazy:
    def __init__(self, make):
        self.make = make
        self.lock = threading.RLock()

    def __get__(self, instance, owner):
        with self.lock:
            return self.make(instance)


class Left:
    def __init__(self, other):
        self.other = other

    @Lazy
    def value(self):
        return self.other.value if self.other else 1


class Right:
    def __init__(self, other):
        self.other = other

    @Lazy
    def value(self):
        return self.other.value if self.other else 2


def setup():
    return {"left": Left(Right(None)), "right": Right(Left(None)), "out": []}


def left(state):
    state["out"].append(state["left"].value)


def right(state):
    state["out"].append(state["right"].value)


def check(state):
    assert sorted(state["out"]) == [1, 2]
"""
BANK = """
import asyncio


class Account:
    def __init__(self, balance):
        self.balance = balance
        self.log = []

    async def withdraw(self, amount):
        if self.balance >= amount:
            await asyncio.sleep(0)
            self.balance -= amount


def setup():
    return Account(100)


async def first(account):
    await account.withdraw(60)


async def second(account):
    await account.withdraw(70)


def check(account):
    assert account.balance >= 0
"""

STOCK = """
import trio


class Stock:
    def __init__(self):
        self.left = 1
        self.sold = []

    async def sell(self, to):
        if self.left:
            await trio.lowlevel.checkpoint()
            self.left -= 1
            self.sold.append(to)


def setup():
    return Stock()


async def shop(stock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stock.sell, "a")
        nursery.start_soon(stock.sell, "b")


async def returned(stock):
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.lowlevel.checkpoint()


def check(stock):
    assert stock.left >= 0
"""


@dataclass(frozen=True)
class RealBug:
    """``source``: of the module ``buggy``, whose ``workers`` go wrong; ``mends``: pairs of text to
    replace in it. ``kind``: how it ends; ``inner``: whether that takes a switch in a line."""

    source: str
    workers: tuple[str, ...]
    mends: tuple[tuple[str, str], ...]
    kind: str = "failed"
    backend: str = "threading"
    inner: bool = False

    @property
    def mended(self) -> str:
        source = self.source
        for old, new in self.mends:
            assert old in source
            source = source.replace(old, new)
        return source


BUGS = {
    "pool": RealBug(POOL, ("user",) * 3, (("if not self._idle", "while not self._idle"),)),
    "counter": RealBug(
        COUNTER, ("add", "add"),
        (("class Counter:", "import threading\n\nLOCK = threading.Lock()\n\n\nclass Counter:"),
         ("    counter.n = counter.n + 1", "    with LOCK:\n        counter.n = counter.n + 1")),
        inner=True,
    ),
    "lazy": RealBug(
        LAZY, ("left", "right"),
        (("        with self.lock:\n            return", "        return"),),
        kind="deadlock",
    ),
    "bank": RealBug(
        BANK, ("first", "second"),
        (("            await asyncio.sleep(0)\n            self.balance -= amount",
          "            self.balance -= amount\n            await asyncio.sleep(0)"),),
        backend="asyncio",
    ),
    "stock": RealBug(
        STOCK, ("shop", "returned"),
        (("            await trio.lowlevel.checkpoint()\n            self.left -= 1",
          "            self.left -= 1\n            await trio.lowlevel.checkpoint()"),),
        backend="trio",
    ),
}  # fmt: skip
