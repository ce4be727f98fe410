"""Programs that processes share the search of: they import this module by its name."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class Account:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.total = 0
        self.fees: Any = 0
        self.flags = [0, 0, 0, 0]


def account() -> Account:
    return Account()


def deposit(one: Account) -> None:
    """Right."""
    for _ in range(2):
        with one.lock:
            one.total += 1


def six(one: Account) -> None:
    """Right, with 924 orders of two."""
    for _ in range(6):
        with one.lock:
            one.total += 1


def all_there(one: Account) -> None:
    assert one.total == 4, one.total


def charge(one: Account) -> None:
    """Wrong: two may read before one of them writes."""
    one.flags[0] += 1
    if one.flags[0] == 2:
        one.flags[1] = one.flags[2]
    one.fees = one.fees + 1


def charged(one: Account) -> None:
    assert one.fees == 3, one.fees


def late(one: Account) -> None:
    """What is shared is known only from the schedule on in which the other was first."""
    if one.flags[3] == 2:
        one.fees = one.fees + 1
    one.flags[3] += 1


def own_lock(one: Account) -> None:
    """Locks that are there in some orders alone."""
    with one.lock:
        mine = one.total
        one.total += 1
    if one.flags[mine] == 0 and mine:
        other = threading.Lock()
        one.fees = other
    one.flags[0] = 1
    last = one.fees
    if last:
        with last:
            one.flags[1] = mine


counted = iter(range(1_000_000))


def differs(one: Account) -> None:
    """Depends on more than the schedule."""
    if next(counted) % 3:
        with one.lock:
            one.flags[0] = 1
    one.flags[1] = one.flags[0]


async def step(one: Account) -> None:
    seen = one.total
    for _ in range(3):
        await asyncio.sleep(0)
    one.total = seen + 1


async def polite(one: Account) -> None:
    await asyncio.sleep(0)
    one.flags[0] = 1


def stepped(one: Account) -> None:
    assert one.total == 2, one.total


def goes_on(one: Account) -> Any:
    one.flags[0] = 1


async def meets(one: Account) -> None:
    """What its steps touch is beyond what can be told of a step."""
    barrier = one.fees or asyncio.Barrier(2)
    one.fees = barrier
    await barrier.wait()
    one.flags[0] = 1


async def trio_step(one: Account) -> None:
    import trio

    seen = one.total
    for _ in range(2):
        await trio.lowlevel.checkpoint()
    one.total = seen + 1
