"""Every end of a program of real Python code: by dpor, or by every order of its choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.oracles.every import Every
from tracelock.engine.limits import RunLimits
from tracelock.session import settings
from tracelock.session.python import explore_python


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
        monkeypatch.setattr(settings, "make_scheduler", lambda *_, **__: Every())
    found = explore_python(
        setup=setup, workers=workers, check=check, backend=backend, strategy="dpor", every=True,
        shrink=False, confirm=0, schedules=None, seconds=None, instrument=[],
        limits=RunLimits(steps=500, stall=10.0),
    )  # fmt: skip
    for way in found.ways:
        if way.kind != "passed":
            seen.add((way.kind, way.message.splitlines()[0]))
    assert found.stopped != "seconds"
    return seen, found.schedules
