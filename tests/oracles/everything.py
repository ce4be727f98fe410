"""The simplest search there is: every choice in every order, one schedule after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracelock.engine.limits import RunLimits
from tracelock.schedulers.base import Choice, Run, Scheduler
from tracelock.session import host
from tracelock.session.api import explore


class Everything(Scheduler):
    """Depth first over the choices that there were: no reduction of any kind."""

    systematic = True

    def __init__(self) -> None:
        self.path: list[list[int]] = []  # which option was picked, of how many
        self.depth = 0
        self.executions = 0
        self._begun = False

    def attach(self, run: Run) -> None:
        pass

    def begin(self) -> bool:
        if self._begun:
            while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
                self.path.pop()
            if not self.path:
                self.finished = True
                return False
            self.path[-1][0] += 1
        self._begun = True
        self.depth = 0
        self.executions += 1
        return True

    def pick(self, choice: Choice) -> int:
        if self.depth == len(self.path):
            self.path.append([0, len(choice.options)])
        at, count = self.path[self.depth]
        assert count == len(choice.options), "the same choices gave another schedule"
        self.depth += 1
        return choice.options[at]

    def end(self, steps: int) -> None:
        assert self.depth == len(self.path)

    def describe(self) -> dict[str, Any]:
        return {"name": "everything"}


def ends_of(
    setup: Callable[[], Any],
    workers: Sequence[Callable[..., Any]],
    final: Callable[[Any], Any],
    backend: str,
    monkeypatch: Any = None,
) -> tuple[set[Any], int]:
    """Every final state (``final`` of it, or how else a schedule ended), and how many schedules
    that took: by ``dpor``, or by every order where there is a ``monkeypatch``."""
    seen: set[Any] = set()

    def check(state: Any) -> None:
        seen.add(final(state))

    if monkeypatch is not None:
        monkeypatch.setattr(host, "make_scheduler", lambda *_, **__: Everything())
    found = explore(
        setup=setup, workers=workers, check=check, backend=backend, strategy="dpor", every=True,
        shrink=False, confirm=0, schedules=1_000_000, seconds=None, instrument=[],
        limits=RunLimits(steps=500, stall=10.0),
    )  # fmt: skip
    for way in found.ways:
        if way.kind != "passed":
            seen.add((way.kind, way.message.splitlines()[0]))
    assert found.stopped != "seconds"
    return seen, found.schedules
