"""Real values of tasks: shared variables, and whether a result is the one that was foretold."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from typing import Any


def abandon(work: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that is in the middle of something.

    A condition's wait takes its lock back on the way out, which may suspend it again, or fail.
    """
    for _ in range(3):
        with contextlib.suppress(Exception):
            work.close()
            return
