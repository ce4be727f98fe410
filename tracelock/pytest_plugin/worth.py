"""Whether a test that passed under control showed anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

#: Names of a layout that are no thread or task of the test.
_NOT_WORKERS: Final = ("setup", "outside")


def nothing_shown(explored: Explored) -> str:
    """Why a test shows nothing about concurrency although it passed, "" if it does."""
    for way in explored.ways:
        if any(name not in _NOT_WORKERS for name in way.trace().workers[1:]):
            return ""
    if not explored.ways:
        return ""
    return (
        "nothing ran concurrently: the test started no thread or task that tracelock controls, "
        "so that its schedules are all the same"
    )
