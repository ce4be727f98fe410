"""The only place that wires things together: a scenario, a backend, a scheduler, a trace."""

from __future__ import annotations

from tracelock.session.replaying import ReplayResult, replay, same_ending
from tracelock.session.running import Outcome, Session, run
from tracelock.session.settings import (
    BACKENDS,
    CLOCKS,
    STRATEGIES,
    Settings,
    backends_here,
    check_supported,
    compile_program,
    make_backend,
    make_scheduler,
    rules_of,
)

__all__ = [
    "BACKENDS", "CLOCKS", "STRATEGIES", "Outcome", "ReplayResult", "Session", "Settings",
    "backends_here", "check_supported", "compile_program", "make_backend", "make_scheduler",
    "replay", "rules_of", "run", "same_ending",
]  # fmt: skip
