"""How many examples, seeds and schedules a test tries: fewer by default than at length.

``TRACELOCK_TESTS=full`` in the environment asks for all of them, as ``.ci/run`` does on one Python.
"""

from __future__ import annotations

import os

FULL = os.environ.get("TRACELOCK_TESTS") == "full"


def amount(default: int, full: int) -> int:
    """So many by default, and so many at length."""
    return full if FULL else default
