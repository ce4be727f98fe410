"""The root of real code that fails names its cause; what is mended raises no error.

Over ``tests/programs_roots``: the core of bugs that libraries have had, on threads and tasks.
"""

from __future__ import annotations

import pytest

import tracelock
from tests.programs_roots.program import NAMES, causes, explore, judge, kinds, passing
from tracelock.analysis.findings import ERROR

#: Each is a finder of its own: these run by default.
QUICK = (
    "blocking", "cleared", "halfway", "outside", "pool", "stranded", "swallowed", "unawaited",
)  # fmt: skip
PROGRAMS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.extended) for name in NAMES
]


def test_there_are_programs_and_each_says_what_its_fix_changes() -> None:
    assert set(QUICK) <= set(NAMES)
    assert all(causes(name) and kinds(name) for name in NAMES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_root_names_what_the_fix_changes(name: str) -> None:
    trace = explore(name)
    judged = judge(name, trace)
    assert judged.kind, judged.root
    assert judged.function or judged.line, judged.root.places
    errors = [one.kind for one in tracelock.analyze(trace) if one.severity == ERROR]
    assert judged.root.kind in errors


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_passing_run_of_the_mended_twin_has_no_error_nor_that_finding(name: str) -> None:
    for trace in passing(name, schedules=10, seeds=1):
        found = tracelock.analyze(trace)
        assert not any(one.root or one.severity == ERROR for one in found)
        loud = {one.kind for one in found if one.severity != "note"}
        assert not loud & kinds(name), [one.title for one in found]
