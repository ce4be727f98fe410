"""What is written in C and goes through shared objects: no program that races there is verified.

The programs are made by introspection, see ``tests.helpers.c_calls``: a method or a function that a
new version of Python brings is among them. Each is wrong by construction.
"""

from __future__ import annotations

import _pickle
import contextlib
import dataclasses
import io
import random
import sys
import threading
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
from tests.helpers.amount import FULL
from tests.helpers.c_calls import Program, programs, watched, written

#: Of the programs that no hook sees, each so-many-th is explored.
STEP = 1 if FULL else 25
#: Of those of which hooks see the conflict.
STEP_SEEN = 10 if FULL else 400


@pytest.fixture(scope="module")
def every() -> list[Program]:
    return programs(quick=not FULL)


@pytest.fixture(scope="module")
def unseen(every: list[Program]) -> list[Program]:
    return watched(every, "c_calls_watched")


def explored(found: list[Program], folder: Path, name: str) -> Counter[str]:
    """The verdicts of an exhaustive search; none may be ``verified``."""
    module: Any = written(found, folder, name)
    verdicts: Counter[str] = Counter()
    wrong = []
    try:
        for number, each in enumerate(found):
            parts = [getattr(module, f"{part}_{number}") for part in ("setup", "reads", "changes")]
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                result = tracelock.explore(
                    setup=parts[0], workers=parts[1:], instrument=[name], strategy="dpor",
                    schedules=60, seconds=20, shrink=False, confirm=0, isolation="never",
                )  # fmt: skip
            verdicts[result.verdict] += 1
            if result.verdict not in ("failed", "passed"):
                wrong.append(f"{result.verdict}: {each.name} | {each.change}")
    finally:
        del sys.modules[name]
    assert not wrong, "\n".join(wrong)
    return verdicts


def test_the_programs_are_about_everything(every: list[Program]) -> None:
    groups = {each.group for each in every}
    assert {"builtins", "operator", "collections", "itertools", "heapq", "changing"} <= groups
    kinds = {each.kind.name for each in every}
    assert {"list", "dict", "set", "bytearray", "in_tuple", "of_dict", "values"} <= kinds
    assert len(every) > 700


def test_hooks_see_what_callables_in_c_read_and_write(unseen: list[Program]) -> None:
    """Those that no hook sees go through code of the standard library that is written in Python,
    of which the account tells."""
    python = (
        "base64", "collections.", "ChainMap", "Counter", "copy.", "heapq.merge", "heapq.nl",
        "heapq.ns", "json.", "pprint.", "statistics.", "string.", "textwrap.", "functools.",
        "default_factory", "__init__([5])", "x.__repr__()", "types.", "fractions.", "decimal.",
    )  # fmt: skip
    found = [
        each.name for each in unseen
        if each.kind.name != "of_chain" and not any(word in each.expression for word in python)
    ]  # fmt: skip
    assert found == []


def test_what_no_hook_sees_is_never_verified(unseen: list[Program], tmp_path: Path) -> None:
    explored(unseen[::STEP], tmp_path, "c_calls_unseen")


def test_what_hooks_see_fails(every: list[Program], unseen: list[Program], tmp_path: Path) -> None:
    seen = [each for each in every if each not in unseen]
    verdicts = explored(seen[::STEP_SEEN], tmp_path, "c_calls_seen")
    assert verdicts["failed"] >= 0.8 * verdicts.total()


# --- loops that take rows apart, modules in Python and in C ------------------------------------
def rows_in_a_loop(s: Any) -> None:
    for _, b in s.rows:
        assert b == 2


def rows_in_a_comprehension(s: Any) -> None:
    assert [b for _, *b in s.rows] == [[2]]


def rows_of_rows(s: Any) -> None:
    for _, (_, b) in enumerate(s.rows):
        assert b == 2


def rows_of_a_dict(s: Any) -> None:
    for _, (_, b) in s.table.items():
        assert b == 2


def remade(s: Any) -> None:
    assert s.frozen.part == s.frozen.part


def chosen(s: Any) -> None:
    assert random.choice(s.rows[0]) != 9


def shuffled(s: Any) -> None:
    random.shuffle(s.rows[0])
    assert len(s.rows[0]) == 2


def sampled(s: Any) -> None:
    assert 9 not in random.Random(1).sample(s.rows[0], 2)


def pickled(s: Any) -> None:
    assert _pickle.dumps(s.rows) == _pickle.dumps(s.rows)


def pickled_into(s: Any) -> None:
    files = [io.BytesIO(), io.BytesIO()]
    for each in files:
        _pickle.Pickler(each).dump(s.table)
    assert files[0].getvalue() == files[1].getvalue()


@dataclasses.dataclass(frozen=True)
class Frozen:
    part: int


def rows_state() -> Any:
    row = [1, 2]
    return SimpleNamespace(rows=[row], table={"a": row}, frozen=Frozen(1))


def grows(s: Any) -> None:
    s.frozen.__init__(2)
    s.rows[0].append(9)
    s.rows[0].append(9)


SEEN = [rows_in_a_loop, rows_in_a_comprehension, rows_of_rows, rows_of_a_dict, remade, pickled]
TOLD = [chosen, shuffled, sampled, pickled_into]


@pytest.mark.parametrize("reads", [*SEEN, *TOLD])
def test_no_race_with_these_is_verified(reads: Any) -> None:
    found = tracelock.explore(
        setup=rows_state, workers=[reads, grows], instrument=[__name__], strategy="dpor",
        schedules=300, shrink=False, confirm=0,
    )  # fmt: skip
    assert found.verdict == "failed" if reads in SEEN else found.verdict in ("failed", "passed")


# --- what is right stays verified ------------------------------------------------------------
class Key:
    """With code of its own, which the look-up of a key calls."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def state() -> Any:
    return SimpleNamespace(
        lock=threading.Lock(), items=[3, 1, 2], table={"a": [1]}, keys={Key("a"): 1},
        nested=([1], {"a": 2}), seen=[], objects=[Key("a"), Key("b")],
    )  # fmt: skip


def shows(s: Any) -> None:
    with s.lock:
        print(s.items, s.nested, f"{s.table}", file=io.StringIO())


def adds(s: Any) -> None:
    with s.lock:
        s.items.append(len(s.items))
        s.table["b"] = sorted(s.items)
        s.nested[0].append(4)


def looks_up(s: Any) -> None:
    with s.lock:
        found, other = s.keys[Key("a")], Key("b") in s.keys
    assert found == 1 and not other


def puts(s: Any) -> None:
    with s.lock:
        s.keys[Key("a")] = s.keys.get(Key("a"), 0)


def finds(s: Any) -> None:
    with s.lock:
        place = s.objects.index(Key("b"))
        least = max(s.items, key=lambda one: -one)
    assert place >= 0 and least == 1


def moves(s: Any) -> None:
    with s.lock:
        s.objects.append(s.objects.pop(0))
        s.items.reverse()


def counts_own(s: Any) -> None:
    own = {number: str(number) for number in range(3)}
    best, text = max(own, key=lambda one: own[one]), ",".join(own.values())
    assert best == 2 and text == "0,1,2"
    with s.lock:
        s.seen.append(sum(own))


RIGHT = {
    "shown": [shows, adds], "keys": [looks_up, puts], "found": [finds, moves],
    "own": [counts_own, counts_own], "read": [looks_up, looks_up],
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_what_a_lock_keeps_apart_is_verified(case: str) -> None:
    found = tracelock.explore(
        setup=state, workers=RIGHT[case], instrument=[__name__], strategy="dpor", schedules=500
    )
    assert found.verdict == "verified", (found.summary, found.account.unseen)


@pytest.mark.parametrize(("case", "what"), [("keys", "__hash__ or __eq__"), ("found", "index of")])
def test_where_code_of_python_is_called_in_between_nothing_is_proved(case: str, what: str) -> None:
    found = tracelock.explore(
        setup=lambda: SimpleNamespace(**{**vars(state()), "lock": contextlib.nullcontext()}),
        workers=RIGHT[case], instrument=[__name__], strategy="dpor", schedules=500,
    )  # fmt: skip
    assert found.verdict in ("passed", "failed"), found.summary
    if found.verdict == "passed":
        assert any(what in one for one in found.account.unseen)
        assert "not seen:" in found.summary
