"""The only place that wires things together: a target, a backend, a scheduler, a trace.

A *target* (``target``) is what is run: a scenario (``scenarios``) or a Python program (``python``);
``targets`` says which. Opened on a backend it is a *host* (``host``, ``python_host``). Above that
all is written once: runs (``running``), searches (``exploring``), replays (``replaying``), shrinks
and predictions (``shrinking``). What may be asked for is in ``plan``.
"""

from __future__ import annotations

from tracelock.session.api import explore, replay, run
from tracelock.session.backends import (
    BACKENDS,
    backends_here,
    check_supported,
    make_backend,
    rules_of,
)
from tracelock.session.plan import CLOCKS, Plan, Settings, make_scheduler
from tracelock.session.replaying import ReplayResult, same_ending
from tracelock.session.running import Session

__all__ = [
    "BACKENDS", "CLOCKS", "Plan", "ReplayResult", "Session", "Settings", "backends_here",
    "check_supported", "explore", "make_backend", "make_scheduler", "replay", "rules_of", "run",
    "same_ending",
]  # fmt: skip
