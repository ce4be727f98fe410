"""What is made or decided once, and what is handed over when it is ready."""

from __future__ import annotations

import threading

from tests.programs_interpreter.program import Program


class Connection:
    def __init__(self, pool: Pool) -> None:
        self.number = len(pool.opened)
        pool.opened.append(self.number)


class Pool:
    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.opened: list[int] = []
        self.lock = threading.Lock()

    def connect(self) -> Connection:
        if self.connection is None:
            self.connection = Connection(self)
        return self.connection

    def connect_once(self) -> Connection:
        if self.connection is None:
            with self.lock:
                if self.connection is None:
                    self.connection = Connection(self)
        return self.connection


def connect(pool: Pool) -> None:
    pool.connect()


def connect_once(pool: Pool) -> None:
    pool.connect_once()


def one_opened(pool: Pool) -> bool:
    return len(pool.opened) == 1


class Election:
    def __init__(self) -> None:
        self.leader: str | None = None
        self.winners: list[str] = []

    def run(self, name: str) -> None:
        if self.leader is None:
            self.leader = name
        if self.leader == name:
            self.winners.append(name)


def run_first(election: Election) -> None:
    election.run("first")


def run_second(election: Election) -> None:
    election.run("second")


def one_winner(election: Election) -> bool:
    return len(election.winners) == 1


class Box:
    def __init__(self) -> None:
        self.ready = False
        self.items: list[int] | None = None
        self.seen: int | None = 42
        self.event = threading.Event()
        self.value: int | None = None


def fill_too_late(box: Box) -> None:
    box.ready = True
    box.items = list(range(3))


def use_items(box: Box) -> None:
    if box.ready:
        assert box.items is not None
        box.seen = box.items[0]


def fill_in_order(box: Box) -> None:
    box.value = 42
    box.ready = True


def use_value(box: Box) -> None:
    if box.ready:
        box.seen = box.value


def announce_too_early(box: Box) -> None:
    box.event.set()
    box.value = 42


def use_when_announced(box: Box) -> None:
    box.event.wait()
    box.seen = box.value


def fine(box: Box) -> bool:
    return True


def forty_two(box: Box) -> bool:
    return box.seen == 42


class Tickets:
    def __init__(self) -> None:
        self.left = 1

    def sell(self) -> None:
        if self.left > 0:
            self.left -= 1


def sell(tickets: Tickets) -> None:
    tickets.sell()


def none_too_many(tickets: Tickets) -> bool:
    return tickets.left == 0


PROGRAMS = [
    Program(
        "a connection at first use", Pool, (connect, connect), one_opened, "breaks", "breaks",
        "Connection() runs a Python __init__ between the test and the write.",
    ),
    Program(
        "a connection at first use, tested again under a lock", Pool, (connect_once, connect_once),
        one_opened, "right", "right",
        "whoever has the lock tests again, and writes before giving it back.",
    ),
    Program(
        "an election", Election, (run_first, run_second), one_winner, "right", "breaks",
        "two reads and a write of a plain attribute, `is None` and a comparison of two str: no"
        " check. Without the GIL both may find nobody, and each read its own name back.",
    ),
    Program(
        "ready before it is filled", Box, (fill_too_late, use_items), fine, "breaks", "breaks",
        "the calls of range and list come after the write of `ready`, and checks follow them.",
    ),
    Program(
        "filled, then ready", Box, (fill_in_order, use_value), forty_two, "right", "right",
        "`ready` is written after `value` and read before it: no order of these goes wrong.",
    ),
    Program(
        "an event before the value", Box, (announce_too_early, use_when_announced), forty_two,
        "breaks", "breaks",
        "Event.set is a Python function, and a check follows its call: before the write.",
    ),
    Program(
        "the last ticket", Tickets, (sell, sell), none_too_many, "right", "breaks",
        "the test of an int and its update: no check. Without the GIL both may find one left.",
    ),
]  # fmt: skip
