"""Random programs do the same rewritten as they do plain, under control or not."""

from __future__ import annotations

import re
import warnings
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.watching import Watcher, both, outcome, under

NAMES = st.sampled_from(["x", "y", "total", "cell", "self.a", "self.b", "Type.c"])
ATOMS = st.one_of(
    st.sampled_from(["1", "2", "0", "-1", "None", "'k'", "'j'", "(1, 2)"]),
    NAMES,
    st.sampled_from(["self.items", "self.table", "self.queue", "self.set", "self.counts"]),
)
BINARY = st.sampled_from(
    ["+", "-", "*", "==", "!=", "<", "in", "|", "&", "not in", "and", "or", "is"]
)
METHODS = st.sampled_from(
    [
        "append", "pop", "get", "setdefault", "copy", "clear", "update", "add", "discard", "remove",
        "extend", "count", "index", "keys", "values", "items", "popleft", "appendleft", "insert",
        "sort", "reverse", "popitem", "union", "most_common",
    ]
)  # fmt: skip
BUILTINS = st.sampled_from(
    [
        "len", "list", "tuple", "sorted", "sum", "min", "max", "any", "all", "str", "repr", "bool",
        "set", "dict", "iter",
    ]
)  # fmt: skip


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, BINARY, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{}.{}({})".format, inner, METHODS, st.lists(inner, max_size=2).map(", ".join)),
        st.builds("{}({})".format, BUILTINS, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("[z for z in {} if z != {}]".format, inner, inner),
        st.builds("{{z: {} for z in {}}}".format, inner, inner),
        st.builds("[*{}, {}]".format, inner, inner),
        st.builds("note({})".format, inner),
        st.builds("(x := {})".format, inner),
        st.builds("(lambda w: (w, {}))({})".format, inner, inner),
        st.builds("f'{{{}}}'".format, inner.filter(lambda text: not set("'{\\:!=") & set(text))),
        st.builds("getattr(self, 'a', {})".format, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, _grow, max_leaves=5)
TARGETS = st.one_of(
    NAMES,
    st.builds("self.items[{}]".format, EXPRESSIONS),
    st.builds("self.table[{}]".format, EXPRESSIONS),
    st.builds("note(self).{}".format, st.sampled_from(["a", "b"])),
    st.builds("note(self.items)[{}:{}]".format, ATOMS, ATOMS),
)
SIMPLE = st.one_of(
    st.builds("{} = {}".format, TARGETS, EXPRESSIONS),
    st.builds("{} = {} = {}".format, TARGETS, TARGETS, EXPRESSIONS),
    st.builds("{}, {} = {}, {}".format, TARGETS, TARGETS, EXPRESSIONS, EXPRESSIONS),
    st.builds("{}, ({}, *{}) = {}".format, TARGETS, TARGETS, TARGETS, EXPRESSIONS),
    st.builds(
        "{} {}= {}".format, TARGETS, st.sampled_from(["+", "-", "*", "|", "&", "//"]), EXPRESSIONS
    ),
    st.builds("del {}".format, TARGETS.filter(lambda text: "Type" not in text)),
    st.builds("note({})".format, EXPRESSIONS),
    st.builds("assert {}, {}".format, EXPRESSIONS, EXPRESSIONS),
    st.just("inner()"),
)


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines] or ["    pass"]


def _block(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    body = st.lists(inner, max_size=3).map(lambda parts: [line for part in parts for line in part])
    return st.one_of(
        st.builds(lambda e, b: [f"if {e}:", *_indent(b)], EXPRESSIONS, body),
        st.builds(lambda t, e, b: [f"for {t} in {e}:", *_indent([*b, "tick()"])],
                  TARGETS, EXPRESSIONS, body),
        st.builds(lambda e, b: [f"while {e}:", *_indent([*b, "tick()"])], EXPRESSIONS, body),
        st.builds(lambda b, c: ["try:", *_indent(b), "except Stop: raise",
                                "except Exception as error:",
                                *_indent(["note(type(error).__name__)", *c])], body, body),
        st.builds(lambda t, b: [f"with manager() as {t}:", *_indent(b)], TARGETS, body),
        st.builds(lambda e, b, c: [f"match {e}:", "    case [first, *_] if first:",
                                   *_indent(_indent(b)), "    case _:", *_indent(_indent(c))],
                  EXPRESSIONS, body, body),
    )  # fmt: skip


STATEMENTS = st.recursive(SIMPLE.map(lambda line: [line]), _block, max_leaves=6)
PROGRAMS = st.lists(STATEMENTS, min_size=1, max_size=5).map(
    lambda parts: [line for part in parts for line in part]
)

PRELUDE = """
import collections
total = 1
notes = []
class Stop(Exception): pass
def note(value):
    notes.append(repr(value)[:80])
    return value
def tick():
    notes.append("tick")
    if len(notes) > 60: raise Stop
class manager:
    def __enter__(self): return note(3)
    def __exit__(self, kind, error, trace):
        note(kind and kind.__name__)
        return False
class Type:
    c = 1
    def __init__(self):
        self.a, self.b = 1, [1, 2]
        self.items = [3, 1, 2]
        self.table = {"k": 1, 1: [2]}
        self.queue = collections.deque([1, 2], 5)
        self.set = {1, 2}
        self.counts = collections.Counter("kkj")
    def run(self):
        global total
        x = y = 1
        cell = 0
        def inner():
            nonlocal cell
            cell = note(cell) + 1 if isinstance(cell, int) else 0
"""


def _run(names: dict[str, Any]) -> tuple[Any, ...]:
    obj = names["Type"]()
    got = outcome(obj.run)
    state = {key: repr(value) for key, value in sorted(vars(obj).items())}
    kind, detail = got
    if kind != "returned":
        detail = detail[0]
    return kind, repr(detail), state, names["notes"], repr(names.get("total")), names["Type"].c


@settings(
    max_examples=amount(30, 100), deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
@given(PROGRAMS)
def test_programs_do_the_same_rewritten(lines: list[str]) -> None:
    source = PRELUDE + "\n".join(f"        {line}" for line in [*lines, "return (x, y, cell)"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # ``1[2]`` is as good a test as any
            compile(source, "sample.py", "exec")
    except SyntaxError:  # a walrus where none may stand, say
        return
    plain, new = both(source)
    wanted = _without_addresses(_run(plain))
    _, idle = both(source)
    assert _without_addresses(_run(idle)) == wanted
    watcher = Watcher()
    with under(watcher):
        got = _run(new)
    assert _without_addresses(got) == wanted
    assert watcher.events


def _without_addresses(value: Any) -> Any:
    return re.sub(r"0x[0-9a-f]+", "", repr(value))
