"""Traces of mutants: the change is found again among those that there are, or refused."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracelock.errors import UsageError
from tracelock.instrument.rewrite.changing import ChangingFinder
from tracelock.teeth.replayed import MUTANT, mutated
from tracelock.trace import Trace, Verdict

SOURCE = """\
import threading

lock = threading.Lock()


def held():
    with lock:
        return lock.locked()
"""
REMOVED = {
    "kind": "removed", "line": 7, "was": "with lock:", "now": "if True:  # without lock",
    "module": "mutant_here",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = [*sys.meta_path]
    importlib.invalidate_caches()
    yield tmp_path
    for one in sys.meta_path:
        if isinstance(one, ChangingFinder) and one not in finders:
            one.uninstall()
    sys.meta_path[:] = finders
    sys.modules.pop("mutant_here", None)


def trace_of(extra: dict[str, Any]) -> Trace:
    return Trace(
        {}, "threading", "controlled", None, "virtual", {}, [], [], Verdict("failed"), extra=extra
    )  # fmt: skip


def test_the_change_is_made_as_the_module_is_imported(here: Path) -> None:
    (here / "mutant_here.py").write_text(SOURCE)
    assert mutated(trace_of({MUTANT: REMOVED}))
    module = importlib.import_module("mutant_here")
    assert module.held() is False
    with pytest.raises(UsageError, match="was imported before it could be changed"):
        mutated(trace_of({MUTANT: REMOVED}))


@pytest.mark.parametrize("extra", [{}, {MUTANT: 7}, {MUTANT: {"kind": "removed"}}])
def test_a_trace_of_the_code_as_it_is_changes_nothing(extra: dict[str, Any], here: Path) -> None:
    before = [*sys.meta_path]
    assert not mutated(trace_of(extra))
    assert sys.meta_path == before


@pytest.mark.parametrize(
    ("source", "told", "why"),
    [
        (SOURCE, {**REMOVED, "was": "with other:"}, "which has changed since"),
        (SOURCE, {**REMOVED, "line": [7]}, "which has changed since"),
        ("def (", REMOVED, "is of a mutant of .*mutant_here.py"),
        (None, REMOVED, "which is no module here"),
        (SOURCE, {**REMOVED, "module": "no_such.part"}, "is of a mutant of no_such.part"),
    ],
)
def test_what_cannot_be_had_is_refused(
    source: str | None, told: dict[str, Any], why: str, here: Path
) -> None:
    if source is not None:
        (here / "mutant_here.py").write_text(source)
    before = [*sys.meta_path]
    with pytest.raises(UsageError, match=why):
        mutated(trace_of({MUTANT: told}))
    assert sys.meta_path == before
