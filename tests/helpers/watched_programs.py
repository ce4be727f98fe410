"""Small programs at random whose state something looks at between any two steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import tracelock

Action = tuple[str, int]
_DO: Final = ("read x", "write x", "write y", "write z", "add y", "both", "choose", "append")


class State:
    """What the workers share."""

    def __init__(self) -> None:
        self.x = self.y = self.z = 0
        self.items: list[int] = []


def drawn(seed: int) -> tuple[tuple[Action, ...], ...]:
    """The workers' actions."""
    random = Random(seed)
    return tuple(
        tuple((random.choice(_DO), random.randint(1, 3)) for _ in range(random.randint(1, 3)))
        for _ in range(random.choice((2, 2, 3)))
    )


def run(actions: tuple[Action, ...], state: State) -> None:
    """What one worker does."""
    last = 0
    for what, value in actions:
        if what == "read x":
            last = state.x
        elif what == "write x":
            state.x = last + value
        elif what == "write y":
            state.y = value
        elif what == "write z":
            state.z = value
        elif what == "add y":
            state.y = state.y + value
        elif what == "both":
            state.x = value
            state.y = value
        elif what == "choose":
            last = tracelock.integers(0, 1)
        elif what == "append":
            state.items.append(value)


def workers(seed: int) -> list[Callable[[State], None]]:
    """The workers of program number ``seed``."""
    return [partial(run, actions) for actions in drawn(seed)]


def looked_at(state: State) -> Any:
    """What an invariant reads; z is none of it."""
    return state.x, state.y, len(state.items)
