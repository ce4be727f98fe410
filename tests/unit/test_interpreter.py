"""Where CPython may switch: the table and what is derived from it, on the running version."""

from __future__ import annotations

import ast
import gc
import sys
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.atomic_cases import CASES, CLASSES, Case
from tracelock.interpreter import plainness, switches
from tracelock.interpreter.child import answer
from tracelock.interpreter.statement import Statement, StatementProblem, namespace, setup_source
from tracelock.interpreter.switches import CodeFlow, SwitchClass, look
from tracelock.interpreter.tables import ACCESSES, DROPS, SILENT, TABLES, table_for

VERSION = sys.version_info[:2]


def judged(statement: str, setup: str = "") -> dict[str, Any]:
    found = answer({"statement": statement, "setup": setup, "quick": True})
    assert "problem" not in found, found
    first: dict[str, Any] = found["judged"][0]
    return first


def frame_of(body: str) -> tuple[CodeFlow, ast.Module]:
    """The frame of a function, from its source."""
    tree = ast.parse(f"def work(c, d, lock, t):\n{body}")
    space: dict[str, Any] = {}
    exec(compile(tree, "work", "exec"), space)
    return CodeFlow(space["work"].__code__, tree), tree


def known_as(tree: ast.Module, **values: Any) -> Callable[[Any], Sequence[Any] | None]:
    """The values of expressions by their source."""
    by_span = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and ast.unparse(node) in values:
            span = (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)
            by_span[span] = [values[ast.unparse(node)]]
    return by_span.get


# --- the answers -----------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES, ids=lambda case: "; ".join(case.statement.split("\n")))
def test_the_class_of_each_statement(case: Case) -> None:
    wanted = {
        "atomic": "only-without-gil", "unsure": "cannot-tell", "broken": "can", "can": "can",
    }  # fmt: skip
    assert judged(case.statement, case.setup)["switch"] == wanted[case.here()]


def test_there_are_sixty_statements() -> None:
    assert len({(case.statement, case.setup) for case in CASES}) >= 60


def test_what_is_let_in_has_a_reason_and_a_place() -> None:
    found = judged("self.n = max(self.n + 1, 0)")
    assert found["why"] == (
        "a check follows every call (between reading self.n and writing self.n)"
    )
    marked = [one["opcode"] for one in found["bytecode"] if one["switch"]]
    assert marked == ["CALL"]
    assert [one["text"] for one in found["accesses"]] == ["reading self.n", "writing self.n"]


def test_what_keeps_it_atomic_is_said() -> None:
    fragile = " ".join(judged("d[k] += 1")["fragile"])
    assert "k hashes and compares in C" in fragile and "__eq__" in fragile


PIECES = [
    "u = c.m", "u = d['x']", "u = 'x' in d", "u = not l", "u = c.m + c.k", "u = f'{c.m}'",
    "len(l)", "u = c.k if c.m else 0", "c.k = 3", "pass", "for x in l: u = x",
]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=4), st.integers(0, 4))
def test_a_call_of_python_code_never_makes_it_atomic(pieces: list[str], place: int) -> None:
    def gap(lines: list[str]) -> str:
        return judged("\n".join(["t = c.n", *lines, "c.n = t + 1"]), CLASSES)["switch"]

    order = ["only-without-gil", "cannot-tell", "can"]
    with_call = [*pieces[:place], "f()", *pieces[place:]]
    assert gap(with_call) == "can"
    assert order.index(gap(pieces)) <= order.index(gap([*pieces, "u = c.m"]))


# --- the ways through a frame ----------------------------------------------------------------
def test_a_pair_has_the_worst_of_its_paths() -> None:
    frame, tree = frame_of("    u = c.n\n    if t: d()\n    c.n = u")
    known = known_as(tree, c=types.SimpleNamespace(), t=True)
    ends = [one for one in frame.accesses if one.what == "attribute"]
    assert [pair.switch for pair in frame.pairs(known, ends)] == [SwitchClass.CAN]


def test_finally_stands_twice_and_the_worst_counts() -> None:
    body = "    u = c.n\n    try:\n        if t: d()\n    finally:\n        c.n = u"
    frame, _ = frame_of(body)
    table = frame.by_position()
    written = [switch for key, switch in table.items() if key[3] == "write" and key[1] == "call"]
    assert written and max(written) == SwitchClass.CAN


def test_without_the_source_nothing_is_known_of_operands() -> None:
    _, tree = frame_of("    c.n += 1")
    assert {pair.switch for pair in CodeFlow(_code_of(tree)).pairs()} == {SwitchClass.CANNOT_TELL}


def _code_of(tree: ast.Module) -> types.CodeType:
    space: dict[str, Any] = {}
    exec(compile(tree, "work", "exec"), space)
    code: types.CodeType = space["work"].__code__
    return code


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_nobody_is_let_in_after_a_lock_was_taken(make: Any) -> None:
    frame, tree = frame_of("    u = c.n\n    with lock: c.n = 1")
    known = known_as(tree, c=types.SimpleNamespace(n=1), lock=make(), **{"c.n": 1})
    pairs = frame.pairs(known)
    entered = [p for p in pairs if p.before.what in ("enter", "call") and p.after.how == "write"]
    before = [p for p in pairs if p.before.how == "read" and p.after.what == "enter"]
    wanted = SwitchClass.CAN if table_for(VERSION).entering_with else SwitchClass.ONLY_WITHOUT_GIL
    assert [pair.switch for pair in entered] == [wanted]
    assert before[0].switch is SwitchClass.CAN


def test_a_generator_lets_others_in_where_it_yields() -> None:
    frame, tree = frame_of("    u = c.n\n    yield\n    c.n = u")
    ends = [one for one in frame.accesses if one.what == "attribute"]
    known = known_as(tree, c=types.SimpleNamespace())
    assert [pair.switch for pair in frame.pairs(known, ends)] == [SwitchClass.CAN]


def test_a_frame_is_looked_at_once_and_no_longer_than_its_code_lives() -> None:
    code = _code_of(ast.parse("def work(): return 1"))
    first, second, key = look(code), look(code), id(code)
    assert first is second
    assert key in switches._looked
    del code
    gc.collect()
    assert key not in switches._looked


# --- values ----------------------------------------------------------------------------------
class Key:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return False


class Finalized:
    def __del__(self) -> None:
        pass


def test_plainness_is_deep() -> None:
    assert plainness.operation("contains", [1, {"a": 1}]) is True
    assert plainness.operation("contains", [1, {Key(): 0}]) is False
    assert plainness.operation("compare", [(1, (2,)), (1, (2,))]) is True
    assert plainness.operation("compare", [(1, (Key(),)), (1, (2,))]) is False
    assert plainness.item([{Key(): 0}, 1], False) is False
    assert plainness.item([{"a": 0}, "a"], False) is True
    assert plainness.drops_silently([[Finalized()]]) is False
    assert plainness.drops_silently({"a": [1, (2,)]}) is True


def test_no_code_of_the_values_is_run_to_look_at_them() -> None:
    class Loud:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("run")

        __hash__ = __eq__ = __len__ = __bool__ = __iter__ = __getattribute__  # type: ignore[assignment]

    assert plainness.attribute(Loud(), "n", False) is False
    assert plainness.operation("truth", [Loud()]) is False
    assert plainness.item([{"a": 1}, Loud()], False) is False


# --- the table -------------------------------------------------------------------------------
def test_each_version_has_its_table() -> None:
    assert sorted(TABLES) == [(3, minor) for minor in range(11, 16)]
    assert all(table.version == version for version, table in TABLES.items())
    assert [v for v, table in TABLES.items() if table.collects_at_allocation] == [(3, 11)]
    assert [v for v, table in TABLES.items() if table.entering_with] == [(3, 14)]
    assert all(0 in table.resume and 3 not in table.resume for table in TABLES.values())
    with pytest.raises(LookupError, match=r"3\.10: there are tables of 3\.11 to 3\.15"):
        table_for((3, 10))


def test_an_instruction_stands_in_one_list() -> None:
    assert SILENT & ACCESSES.keys() <= {"LOAD_DEREF", "LOAD_CLASSDEREF"}
    assert not SILENT & DROPS


def test_the_room_needs_the_standard_library_alone() -> None:
    """It runs in interpreters that have nothing else."""
    room = Path(switches.__file__).parent
    for path in room.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                first = name.partition(".")[0]
                ours = name.startswith("tracelock.interpreter")
                assert ours or first in sys.stdlib_module_names, f"{path.name}: {name}"


# --- statements ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("self.n +=", "no Python"),
        ("", "no statement"),
        ("await x", "raises TypeError"),
        ("return n", "leave 'return' away"),
        ("global n; n += 1", "leave 'global' away"),
        ("await f(); yield n", "awaits and yields"),
        ("threading.Event().wait()", "waits for something that nobody does"),
        ("await asyncio.Event().wait()", "waits for something that nobody does"),
        ("unheard_of += 1", "nothing is known of the name 'unheard_of'"),
        ("d['nothing'] += 1", "raises KeyError"),
    ],
)
def test_what_is_wrong_with_a_statement_is_said(text: str, said: str) -> None:
    assert said in answer({"statement": text})["problem"]


def test_a_set_up_that_fails_is_told() -> None:
    assert (
        "the set-up raises ZeroDivisionError"
        in answer({"statement": "n += 1", "setup": "n = 1 / 0"})["problem"]
    )
    with pytest.raises(StatementProblem, match="the set-up is no Python"):
        setup_source([Statement("n += 1")], "n = = 1")


def test_free_names_get_values_that_go() -> None:
    statement = Statement("self.items.append(x); self.table[k] = self.lock; y = 3")
    source, samples = setup_source([statement], "")
    assert samples.keys() == {"self", "x", "k"}
    for part in ("items=[3, 1, 2]", "table={'k': 10}", "lock=threading.Lock()"):
        assert part in samples["self"]
    statement.worker(namespace(source))()


def test_what_a_statement_assigns_first_is_its_own() -> None:
    statement = Statement("for y in l: self.n += y")
    _, samples = setup_source([statement], "")
    assert samples.keys() == {"l", "self"}
    _, samples = setup_source([Statement("n = n + 1"), Statement("n = 0")], "")
    assert samples.keys() == {"n"}
