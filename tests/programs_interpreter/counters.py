"""Counters: an update in one instruction after the other, and updates with a call in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.programs_interpreter.program import Program


class Counter:
    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def add(self) -> None:
        self.value += 1

    def add_bounded(self) -> None:
        self.value = max(self.value + 1, 0)

    def get(self) -> int:
        return self.value

    def put(self, value: int) -> None:
        self.value = value

    def add_by_methods(self) -> None:
        self.put(self.get() + 1)

    def add_each(self, numbers: tuple[int, ...]) -> None:
        total = self.value
        for number in numbers:
            total += number
        self.value = total

    def add_locked(self) -> None:
        with self.lock:
            self.value = max(self.value + 1, 0)


def add(counter: Counter) -> None:
    counter.add()


def add_bounded(counter: Counter) -> None:
    counter.add_bounded()


def add_by_methods(counter: Counter) -> None:
    counter.add_by_methods()


def add_each(counter: Counter) -> None:
    counter.add_each((2, -1))


def add_locked(counter: Counter) -> None:
    counter.add_locked()


def two(counter: Any) -> bool:
    return bool(counter.value == 2)


class Measured:
    """A counter whose value is a property."""

    def __init__(self) -> None:
        self.stored = 0

    @property
    def value(self) -> int:
        return self.stored

    @value.setter
    def value(self, value: int) -> None:
        self.stored = value


def add_measured(measured: Measured) -> None:
    measured.value += 1


def closure() -> tuple[Callable[[], None], Callable[[], int]]:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    def read() -> int:
        return count

    return step, read


def step(pair: tuple[Callable[[], None], Callable[[], int]]) -> None:
    pair[0]()


def stepped_twice(pair: tuple[Callable[[], None], Callable[[], int]]) -> bool:
    return pair[1]() == 2


class Numbers:
    """Numbers that are each given out once."""

    def __init__(self) -> None:
        self.last = 0
        self.taken: list[int] = []

    def next(self) -> int:
        self.last += 1
        return self.last


def take_number(numbers: Numbers) -> None:
    numbers.taken.append(numbers.next())


def all_different(numbers: Numbers) -> bool:
    return len(set(numbers.taken)) == len(numbers.taken)


class Highest:
    def __init__(self) -> None:
        self.best = 0

    def offer(self, score: int) -> None:
        if score > self.best:
            self.best = score


def offer_five(highest: Highest) -> None:
    highest.offer(5)


def offer_nine(highest: Highest) -> None:
    highest.offer(9)


def nine_is_best(highest: Highest) -> bool:
    return highest.best == 9


PROGRAMS = [
    Program(
        "counter: value += 1", Counter, (add, add), two, "right", "breaks",
        "LOAD_ATTR, BINARY_OP of two int and STORE_ATTR of a plain attribute: none of them looks at"
        " the eval breaker or calls Python code. Without the GIL both threads may read 0.",
    ),
    Program(
        "counter: bounded by max()", Counter, (add_bounded, add_bounded), two, "breaks", "breaks",
        "the call of max() is between the read and the write, and every CALL is followed by a check"
        " of the eval breaker.",
    ),
    Program(
        "counter: by get and put", Counter, (add_by_methods, add_by_methods), two,
        "breaks", "breaks",
        "get() has returned before put() begins, and RESUME at the beginning of put() checks.",
    ),
    Program(
        "counter: a loop in between", Counter, (add_each, add_each), two, "breaks", "breaks",
        "the loop between the read and the write jumps back, and JUMP_BACKWARD checks.",
    ),
    Program(
        "counter: with a lock", Counter, (add_locked, add_locked), two, "right", "right",
        "the lock is held from before the read until after the write.",
    ),
    Program(
        "counter: a property", Measured, (add_measured, add_measured), lambda m: m.stored == 2,
        "breaks", "breaks",
        "the setter is a Python function: its RESUME checks after the getter has read.",
    ),
    Program(
        "counter: in a closure", closure, (step, step), stepped_twice, "right", "breaks",
        "LOAD_DEREF, BINARY_OP of two int, STORE_DEREF: no check. Without the GIL the cell can be"
        " read by both before one writes.",
    ),
    Program(
        "numbers given out once", Numbers, (take_number, take_number), all_different,
        "right", "breaks",
        "read, write and the second read of `last` follow each other without a check, and"
        " list.append is one step. Without the GIL both may return 2 (or 1).",
    ),
    Program(
        "the highest score", Highest, (offer_five, offer_nine), nine_is_best, "right", "breaks",
        "comparing two int and the jump forward do not check. Without the GIL both read 0, and 5 is"
        " written over 9.",
    ),
]  # fmt: skip
