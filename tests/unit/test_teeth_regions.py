"""Mutants of lock regions: the very sources that somebody would have written by hand."""

from __future__ import annotations

import ast
import concurrent.futures.thread
import inspect
import queue
from types import ModuleType

import pytest

from tests.helpers.teeth_programs import PROGRAMS, TeethProgram
from tracelock.cli.asking.rows import CHANGES
from tracelock.teeth.mutations import KINDS, mutations_of
from tracelock.teeth.regions import is_called_like_one


def mutated(source: str, place: int) -> str:
    tree = ast.parse(source)
    mutations_of(tree)[place].apply(7)
    lines = ast.unparse(tree).split("\n")
    notes = [line for line in lines if "tracelock note:7" in line]
    assert len(notes) == 1
    return "\n".join(line for line in lines if line not in notes)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.name)
def test_mutants_are_those_that_are_written_out(program: TeethProgram) -> None:
    found = mutations_of(ast.parse(program.source))
    assert [one.kind for one in found] == [one.kind for one in program.mutants]
    for place, written in enumerate(program.mutants):
        assert program.source.count(written.before) == 1
        by_hand = program.source.replace(written.before, written.after)
        assert mutated(program.source, place) == ast.unparse(ast.parse(by_hand)), written
        compile(by_hand, "by hand", "exec")


@pytest.mark.parametrize("module", [queue, concurrent.futures.thread])
def test_every_mutant_of_a_library_compiles_and_is_another_program(module: ModuleType) -> None:
    source = inspect.getsource(module)
    found = mutations_of(ast.parse(source))
    assert len(found) > 5
    seen = {ast.unparse(ast.parse(source))}
    marked = ast.parse(source)
    for place, one in enumerate(mutations_of(marked)):
        one.mark(place)
        tree = ast.parse(source)
        mutations_of(tree)[place].apply(place)
        compile(tree, "mutant", "exec")
        text = ast.unparse(tree)
        assert text.count("tracelock note:") == 1
        seen.add(text)
    assert len(seen) == len(found) + 1
    compile(marked, "marked", "exec")
    assert ast.unparse(marked).count("tracelock note:") == len(found)


def test_the_command_line_knows_the_kinds() -> None:
    assert set(CHANGES) == set(KINDS)


def test_what_no_other_task_can_come_before_is_no_mutant() -> None:
    source = """\
async def add(self):
    async with self.lock:
        seen = await self.read()
        self.n = seen + 1
"""
    assert [one.kind for one in mutations_of(ast.parse(source))] == ["removed", "narrowed"]


def test_a_condition_is_not_used_without_its_lock() -> None:
    source = """\
class Queue:
    def __init__(self):
        self.mutex = threading.Lock()
        self.filled = threading.Condition(self.mutex)
        self.emptied = threading.Condition(self.mutex)

    def put(self, item):
        with self.mutex:
            self.items.append(item)
            self.filled.notify()
"""
    found = mutations_of(ast.parse(source))
    assert [(one.kind, one.misuse) for one in found] == [
        ("removed", "self.filled.notify"), ("narrowed", ""), ("narrowed", "self.filled.notify"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["lock", "_lock", "LOCK", "rlock", "locks", "write_lock", "writelock", "receiveLock", "lock2",
     "lock_for", "get_lock", "mutex", "_cond", "cv", "condition", "semaphore", "not_empty"],
)  # fmt: skip
def test_names_of_locks(name: str) -> None:
    assert is_called_like_one(name)


@pytest.mark.parametrize(
    "name",
    ["block", "enter_block", "clock", "unlock", "deadlock", "recv", "second", "open", "seminar",
     "locked", "blocking", "BlockingPortal", "lockfile", "conditional", ""],
)  # fmt: skip
def test_names_of_others(name: str) -> None:
    assert not is_called_like_one(name)
