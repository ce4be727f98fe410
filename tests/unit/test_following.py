"""When two places of real code are the same for a replay."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tracelock.instrument.following import PythonReplay
from tracelock.trace import Verdict


def function(at: str) -> str | None:
    """What is known of a script without an ending, and of nothing else."""
    return "main" if at.startswith("script:") else None


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        ("serve_tcp:246", "serve_tcp:250", True),  # a library of another version
        ("serve_tcp:246", "serve_unix:246", False),
        ("pool.py:1", "pool.py:2", False),  # the file is what it was
        ("script:1", "script:2", False),
        ("pool.py:1", "pool.py:1", True),
    ],
)
def test_a_place_in_a_library_is_told_by_its_function(then: str, now: str, same: bool) -> None:
    none = cast("Any", None)
    replay = PythonReplay([], Verdict("passed"), none, none, function=function)
    assert replay._same_place(then, now) is same
