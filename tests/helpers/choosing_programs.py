"""Small programs at random whose workers, and whose setup, ask for values.

A program is plain data: for each worker a tuple of actions, of which each may only be done where
the last value was above a bound. ``run`` does them; the code that explorations look into is here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import tracelock

#: What to do, a number, and the lowest value of ``last`` with which it is done.
Action = tuple[str, int, int]
_DO: Final = ("choose", "choose", "read x", "write x", "add x", "read y", "write y", "lock", "none")


class State:
    """What the workers share."""

    def __init__(self) -> None:
        self.x = self.y = 0
        self.lock = threading.Lock()
        self.first = 0
        self.seen: list[list[int]] = []


def drawn(seed: int) -> tuple[int, tuple[tuple[Action, ...], ...]]:
    """How many values ``setup`` chooses among (0: it chooses none), and the workers' actions."""
    random = Random(seed)
    workers = tuple(
        tuple(
            (random.choice(_DO), random.randint(1, 3), random.choice((0, 0, 0, 1)))
            for _ in range(random.randint(1, 3))
        )
        for _ in range(random.choice((2, 2, 3)))
    )
    return random.choice((0, 0, 2, 3)), workers


def run(actions: tuple[Action, ...], number: int, state: State) -> None:
    """What one worker does."""
    last, seen = state.first, []
    for what, value, least in actions:
        if last < least:
            continue
        if what == "choose":
            last = tracelock.integers(0, value)
        elif what == "read x":
            last = state.x
        elif what == "write x":
            state.x = last + value
        elif what == "add x":
            state.x = state.x + value
        elif what == "read y":
            last = state.y
        elif what == "write y":
            state.y = last + value
        elif what == "lock":
            with state.lock:
                last = state.y
        seen.append(last)
    state.seen[number] = seen


def program(seed: int) -> tuple[Callable[[], State], list[Callable[[State], None]]]:
    """``setup`` and the workers of program number ``seed``."""
    values, workers = drawn(seed)

    def setup() -> State:
        state = State()
        state.seen = [[] for _ in workers]
        if values:
            state.first = tracelock.integers(1, values) - 1
        return state

    return setup, [partial(run, actions, n) for n, actions in enumerate(workers)]


def final(state: State) -> Any:
    """The final state, as plain data."""
    return state.x, state.y, state.first, repr(state.seen)
