"""What a test sees of a schedule between its steps; no code that explorations look into."""

from __future__ import annotations

from typing import Any

import pytest

from tracelock.instrument.invariants.watching import Invariants


def states_in_between(monkeypatch: pytest.MonkeyPatch) -> set[Any]:
    """The states ``(x, y, number of items)`` of the first argument of invariants, wherever one is
    evaluated from now on. It is filled while schedules run."""
    seen: set[Any] = set()
    evaluate = Invariants._evaluate

    def looked(self: Any, one: Any, controller: Any) -> None:
        evaluate(self, one, controller)
        held = vars(one.arguments[0])
        seen.add((held["x"], held["y"], len(held["items"])))

    monkeypatch.setattr(Invariants, "_evaluate", looked)
    return seen


def positive(state: Any) -> bool:
    """An invariant."""
    return bool(state.x >= 0)
