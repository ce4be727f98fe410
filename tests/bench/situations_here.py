"""The situations of `situations_asyncio.py` for threads and trio, where the documented examples do
not have them: nothing at all, orders, and a register of two copies."""

from __future__ import annotations

import threading
import time
from typing import Any

import trio

from tracelock.history import models
from tracelock.history.recording import History


class Events:
    """What was published, in the order in which it was."""

    def __init__(self) -> None:
        self.published: list[str] = []


def handles(event: str) -> Any:
    def handle(events: Events) -> None:
        time.sleep(0.005)  # the database
        events.published.append(event)

    return handle


def handles_on_trio(event: str) -> Any:
    async def handle(events: Events) -> None:
        await trio.sleep(0.005)
        events.published.append(event)

    return handle


def in_order(events: Events) -> None:
    assert events.published[0] == "created", events.published


class Register:
    """One value in two copies: a write changes one after the other, a read looks at one."""

    def __init__(self) -> None:
        self.copies = [0, 0]
        self.locks = [threading.Lock(), threading.Lock()]
        self.history = History()

    def write(self, value: int) -> None:
        for place in range(2):
            with self.locks[place]:
                self.copies[place] = value

    def read(self, place: int) -> int:
        with self.locks[place]:
            return self.copies[place]


def writes(register: Register) -> None:
    call = register.history.begin("write", 1)
    register.history.returned(call, register.write(1))


def reads(place: int) -> Any:
    def read(register: Register) -> None:
        for _ in range(2):
            call = register.history.begin("read")
            register.history.returned(call, register.read(place))

    return read


async def writes_on_trio(register: Register) -> None:
    call = register.history.begin("write", 1)
    for place in range(2):
        await trio.lowlevel.checkpoint()
        register.copies[place] = 1
    register.history.returned(call, None)


def reads_on_trio(place: int) -> Any:
    async def read(register: Register) -> None:
        for _ in range(2):
            call = register.history.begin("read")
            await trio.lowlevel.checkpoint()
            register.history.returned(call, register.copies[place])

    return read


def linearizable(register: Register) -> None:
    register.history.check(models.RegisterSpec(0)).require()


def fails() -> None:
    raise AssertionError("at once")


async def fails_on_trio() -> None:
    raise AssertionError("at once")


ORDERS: dict[str, Any] = {"setup": Events, "check": in_order}
REGISTER: dict[str, Any] = {"setup": Register, "check": linearizable}
#: By runtime and situation, as ``tracelock.explore`` takes them.
PROGRAMS: dict[tuple[str, str], dict[str, Any]] = {
    ("threads", "nothing"): {"workers": [fails]},
    ("trio", "nothing"): {"workers": [fails_on_trio], "backend": "trio"},
    ("threads", "orders"): {**ORDERS, "workers": [handles("created"), handles("shipped")]},
    ("trio", "orders"): {
        **ORDERS, "workers": [handles_on_trio("created"), handles_on_trio("shipped")],
        "backend": "trio",
    },
    ("threads", "register"): {**REGISTER, "workers": [writes, reads(0), reads(1)]},
    ("trio", "register"): {
        **REGISTER, "workers": [writes_on_trio, reads_on_trio(0), reads_on_trio(1)],
        "backend": "trio",
    },
}  # fmt: skip
