"""Thirty small programs on threads, of which it is known what can go wrong in them: with CPython's
GIL and without it.

``PROGRAMS``: fifteen that can break under the GIL, fifteen that break only without it or are right
in both. Each gives ``setup``, ``workers`` and ``check`` as ``tracelock.explore`` takes them, and
the reasoning for its truth. ``tests/bench/bench_interpreters.py`` runs them for real.
"""

from __future__ import annotations

from tests.programs_interpreter import accounts, containers, counters, firsts
from tests.programs_interpreter.program import Program as Program

PROGRAMS: list[Program] = [
    *counters.PROGRAMS, *containers.PROGRAMS, *firsts.PROGRAMS, *accounts.PROGRAMS,
]  # fmt: skip
