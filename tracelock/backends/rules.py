"""What each backend's objects and switches are like, and what it does not have.

Constants only: importing this imports no backend.
"""

from __future__ import annotations

from typing import Final

from tracelock.objects import Rules

THREADING_RULES: Final = Rules(
    backend="threading",
    refuses={
        "crash": "a thread cannot die alone",
        "cancel": "a thread cannot be cancelled from outside",
        "timeout": "a thread's block cannot be cut off from outside",
    },
)
