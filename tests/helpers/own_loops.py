"""What the tests of loops have in common that the code under test starts itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tracelock


class State:
    def __init__(self) -> None:
        self.n = 0


def two(s: State) -> None:
    assert s.n == 2, f"n is {s.n}"


def exploring(home: str, schedules: int) -> Callable[..., tracelock.Explored]:
    """``explore`` for the workers of the module ``home``."""

    def explore(*workers: Callable[..., Any], **more: Any) -> tracelock.Explored:
        more.setdefault("check", two)
        more.setdefault("schedules", schedules)
        more.setdefault("seconds", 30)  # a loop that hangs fails, on a busy machine too
        return tracelock.explore(setup=State, workers=workers, instrument=[home], **more)

    return explore
