"""What becomes of mutants, against brute force: the same change written out in a source of its own,
run in every order of its choices."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers.teeth_programs import PROGRAMS, TeethProgram
from tests.oracles.every import Every
from tracelock.instrument.rewrite.changing import ChangingFinder, TreeChange, change_of, noted
from tracelock.instrument.rewrite.codes import changed_code
from tracelock.session import host
from tracelock.session.api import explore
from tracelock.session.explored import Explored
from tracelock.teeth.mutations import mutations_of
from tracelock.teeth.results import MutantResult, judged

#: What was run stays noted: each mutant has a number of its own.
NUMBERS = count(100)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Writes a module, and imports it anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def written(name: str, source: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        names.append(name)
        return importlib.import_module(name)

    yield written
    for name in names:
        sys.modules.pop(name, None)


def searched(made: ModuleType, strategy: str = "dpor") -> Explored:
    return explore(
        workers=[vars(made)["prog"]], strategy=strategy, schedules=100_000, seconds=None,
        instrument=["only", made.__name__], confirm=1,
    )  # fmt: skip


def verdict_of(explored: Explored, *, reached: bool) -> str:
    result = MutantResult(1, "removed", "", 1, "", "", "", "")
    answer: dict[str, Any] = {"verdict": explored.verdict, "reached": reached}
    if explored.trace is not None:
        answer |= {"failure": explored.trace.verdict.message, "switches": explored.switches}
    judged(result, answer)
    return result.verdict


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.name)
def test_verdicts_are_those_of_every_order(
    program: TeethProgram, module: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"teeth_{program.name}"
    assert searched(module(name, program.source)).verdict == "verified"
    for place, written in enumerate(program.mutants):
        by_hand = program.source.replace(written.before, written.after)
        with monkeypatch.context() as patch:
            if program.orders:
                patch.setattr(host, "make_scheduler", lambda *_, **__: Every())
            oracle = searched(module(f"{name}_{place}", by_hand))
        assert (oracle.verdict == "verified") == (written.verdict == "verified"), written
        number = next(NUMBERS)
        assert not noted(number)
        found = mutant(module, name, program.source, place, number)
        assert verdict_of(found, reached=noted(number)) == written.verdict, written


def mutant(
    module: Callable[..., ModuleType], name: str, source: str, place: int, number: int
) -> Explored:
    """The search of a program with one of its mutants, which notes this number."""

    def change(tree: Any) -> None:
        mutations_of(tree)[place].apply(number)

    finder = ChangingFinder(
        lambda one, _: TreeChange(change, f"{place}") if one == name else None, changed_code
    )
    finder.install()
    try:
        made = module(name, source)
        assert finder.loaded.keys() == {name}
        return searched(made)
    finally:
        finder.uninstall()
        assert change_of(str(made.__file__)) is None


def test_what_is_not_run_is_not_noted(module: Callable[..., ModuleType]) -> None:
    source = """\
import threading

lock = threading.Lock()

def never():
    with lock:
        return 1

def prog():
    other = threading.Thread(target=print)
    other.start()
    other.join()
"""
    number = next(NUMBERS)
    found = mutant(module, "teeth_never", source, 0, number)
    assert found.verdict == "verified"
    assert not noted(number)
    assert verdict_of(found, reached=noted(number)) == "not run"
