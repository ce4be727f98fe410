"""Programs for isolation. No C function is called from this module."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Account:
    def __init__(self) -> None:
        self.total = 0
        self.lock = threading.Lock()
        self.other = threading.Lock()


def add(account: Account) -> None:
    total = account.total
    account.total = total + 1


def add_twice(account: Account) -> None:
    add(account)
    add(account)


def add_safely(account: Account) -> None:
    for _ in range(3):
        with account.lock:
            add(account)


def one_way(account: Account) -> None:
    with account.lock, account.other:
        add(account)


def other_way(account: Account) -> None:
    with account.other, account.lock:
        add(account)


async def add_later(account: Account) -> None:
    total = account.total
    await asyncio.sleep(0)
    account.total = total + 1


def ticks() -> Iterator[int]:
    """A generator, whose place cannot be put back."""
    number = 0
    while True:
        yield number
        number += 1


def dying(end: Callable[[], Any]) -> Callable[[Account], None]:
    """A worker that ends its process where another one has come between."""

    def dies(account: Account) -> None:
        total = account.total
        account.total = total + 1
        if account.total != total + 1:
            end()

    return dies
