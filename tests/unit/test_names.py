"""Short names: one for each thing, none for two, and none that is guessed."""

from __future__ import annotations

import ast
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.tracing import trace_of
from tracelock.names import display_names, for_display
from tracelock.names.assigned import assignments
from tracelock.names.unique import unique
from tracelock.names.workers import worker_display
from tracelock.trace import Blocked, Events, Trace, Verdict

TEST = "test_pool_with_three_users"


def code_trace(
    workers: list[str], targets: list[tuple[str, str]], names: dict[str, str] | None = None,
    verdict: Verdict | None = None, test: bool = True,
) -> Trace:  # fmt: skip
    """A trace of real code in which worker 0 does these (operation, target)."""
    events = Events()
    for number, (op, target) in enumerate(targets):
        events.append(0, events.shape(op, target, f"p.py:{number}"), number)
    python = {"pytest": "test_x.py::x"} if test else {}
    return Trace(
        {"name": "x", "python": python}, "threading", "controlled", None, "virtual", {}, workers,
        events, verdict or Verdict("passed"), extra={} if names is None else {"names": names},
    )  # fmt: skip


def test_objects_are_called_by_class_and_attribute_and_the_test_is_not_named_again() -> None:
    cond = f"_cond@pool.py:41 of {TEST}"
    trace = code_trace(
        [TEST, "setup", f"{TEST}/user", f"{TEST}/user#2", f"{TEST}/user/inner"],
        [
            ("write", f"Pool#1@{TEST}._cond"), ("read", f"Pool#1@{TEST}._idle[]"),
            ("acquire", f"{cond}.lock"), ("wait", cond), ("notify", cond),
            ("spawn", f"{TEST}/user"),
        ],
        {cond: "Pool._cond"},
    )  # fmt: skip
    shown = for_display(trace)
    assert shown.workers == ["test", "setup", "user-1", "user-2", "inner"]
    assert [event.target for event in shown.events] == [
        "attribute Pool._cond", "Pool._idle[]", "Pool._cond.lock", "Pool._cond", "Pool._cond",
        "user-1",
    ]  # fmt: skip
    assert trace.events[3].target == cond, "the trace itself keeps the stable name"
    assert trace.workers[0] == TEST
    assert for_display(shown) is shown


def test_objects_of_one_class_are_numbered() -> None:
    shown = for_display(
        code_trace(
            ["a", "b"],
            [("read", "Account#1.balance"), ("read", "Account#2@b.balance"), ("read", "Bank#7.x")],
        )
    )
    assert [event.target for event in shown.events] == [
        "Account#1.balance", "Account#2.balance", "Bank.x",
    ]  # fmt: skip


def test_a_lock_is_called_by_the_object_that_has_it() -> None:
    """Whatever the order in which the locks came into being."""
    shown = for_display(
        code_trace(
            ["a"],
            [("read", "Account#1.balance"), ("acquire", "l@p.py:3"), ("acquire", "l@p.py:3#2"),
             ("read", "Account#1.l")],
            {"l@p.py:3": "Account#2.l", "l@p.py:3#2": "Account#1.l"},
        )
    )  # fmt: skip
    assert [event.target for event in shown.events] == [
        "Account#1.balance", "Account#2.l", "Account#1.l", "attribute Account#1.l",
    ]  # fmt: skip


def test_what_is_not_known_is_called_after_its_kind_and_place_not_after_a_guess() -> None:
    shown = for_display(
        code_trace(
            ["a"],
            [
                ("acquire", "_b@two.py:11"), ("acquire", "_b@two.py:11#2"),
                ("set", "ready@two.py:12 of a"), ("put", "q@two.py:13"),
            ],
        )
    )  # fmt: skip
    assert [event.target for event in shown.events] == [
        "lock@two.py:11#1", "lock@two.py:11#2", "event@two.py:12", "queue@two.py:13",
    ]  # fmt: skip


def test_a_connection_is_told_by_its_two_directions() -> None:
    made = "timeout@client.py:7 of ask"  # the line has a keyword of that name
    trace = code_trace(
        ["ask"],
        [("put", f"{made}.sent"), ("get", f"{made}.answered"), ("get", "box@client.py:9.sent[]")],
        {},
    )
    assert [event.target for event in for_display(trace).events] == [
        "connection@client.py:7.sent", "connection@client.py:7.answered",
        "object@client.py:9.sent[]",
    ]  # fmt: skip


def test_the_blocked_and_the_messages_have_the_short_names() -> None:
    a, b = f"{TEST}/user", f"{TEST}/user#2"
    lock = f"a@bank.py:3 of {TEST}"
    blocked = [Blocked(a, "acquire", lock, "bank.py:9", [b])]
    message = f"{a} waits for {lock} (held by {b}); and {b} is not {a}x"
    trace = code_trace(
        [TEST, a, b], [("acquire", lock)], {lock: "Bank.a"},
        Verdict("deadlock", None, message, {}, blocked),
    )  # fmt: skip
    verdict = for_display(trace).verdict
    assert verdict.message == (f"user-1 waits for Bank.a (held by user-2); and user-2 is not {a}x")
    assert verdict.blocked == [Blocked("user-1", "acquire", "Bank.a", "bank.py:9", ["user-2"])]
    assert display_names(trace).text(f"If {TEST} joins {b}, it passes.") == (
        "If test joins user-2, it passes."
    )


def test_a_message_of_the_program_keeps_the_name_of_the_test_function() -> None:
    message = f"AssertionError\n  test_pool.py:25 in {TEST}"
    trace = code_trace([TEST], [("read", "a.b")], {}, Verdict("failed", "assert", message))
    assert for_display(trace).verdict.message == message


def test_a_trace_of_a_scenario_is_left_as_it_is() -> None:
    trace = trace_of("w[0] read counter")
    assert for_display(trace) is trace


def test_two_traces_of_one_program_have_one_set_of_names() -> None:
    one = code_trace(["a"], [("read", "Account#2.x")])
    other = code_trace(["a"], [("read", "Account#1.x"), ("read", "Account#2.x")])
    names = display_names(one, other)
    assert names.of(one).events[0].target == names.of(other).events[1].target == "Account#1.x"


def test_workers_are_called_by_what_they_run() -> None:
    workers = ["test_w", "test_w/withdraw", "test_w/withdraw#2", "test_w/t-1", "test_w/t-1#2"]
    told = {"test_w/withdraw": "withdraw(60)", "test_w/withdraw#2": "withdraw(50)"}
    assert [*worker_display(workers, told, True).values()] == [
        "test", "withdraw(60)", "withdraw(50)", "t-1#1", "t-1#2",
    ]  # fmt: skip
    same = dict.fromkeys(told, "withdraw(60)")
    assert [*worker_display(workers, same, True).values()][1:3] == ["withdraw-1", "withdraw-2"]


NAMES = st.text("ab#@.[]/ 12_'", min_size=1, max_size=8)


@given(st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=3), max_size=8),
       st.sets(NAMES, max_size=3), st.data())  # fmt: skip
def test_no_two_things_get_one_name(
    candidates: dict[str, list[str]], taken: set[str], data: st.DataObject
) -> None:
    first = data.draw(st.sets(st.sampled_from(sorted(candidates)))) if candidates else set()
    found = unique(candidates, taken, first)
    assert found.keys() == candidates.keys()
    assert len(set(found.values())) == len(found)
    assert not taken & set(found.values())
    plain = not any("#" in one for names in candidates.values() for one in names)
    for thing, (name, *_) in candidates.items():
        others = [one for other, one in candidates.items() if other != thing]
        if plain and name not in taken and not any(name in one for one in others):
            assert found[thing] == name, "nobody else wanted it"


WORKERS = st.lists(
    st.sampled_from(["t", "t/u", "t/u#2", "t/u-2", "t/u/v", "v", "u", "u-1", "u[0]", "u[1]", "test",
                     "t/x", "t/x#2", "t/x-1", "t/u#2/v"]), min_size=1, unique=True)  # fmt: skip
LABELS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["A#1", "A#2", "A#1@t", "A#1@t/u", "A#1@t/u#2", "A#2@t/u", "c@p.py:1",
                     "c@p.py:1#2", "c@p.py:1 of t", "c@p.py:1 of t/u#2", "d@p.py:1", "m.x", "A",
                     "state[0]", "p.py", "attribute A", "A#1#1", "t", "u-1"]),
    st.sampled_from(["", ".x", ".x[]", "[]", ".lock", "'", " of an earlier schedule"]),
    st.sampled_from(["", "#2"]),
)  # fmt: skip
OPS = st.sampled_from(["read", "write", "acquire", "release", "wait", "notify", "set", "put"])


@settings(max_examples=amount(60, 1_000))
@given(WORKERS, st.lists(st.tuples(OPS, LABELS), max_size=12), st.data())
def test_no_two_objects_of_a_trace_get_one_name(
    workers: list[str], targets: list[tuple[str, str]], data: st.DataObject
) -> None:
    things = sorted({*workers, *(target for _, target in targets)})
    names = data.draw(
        st.dictionaries(
            st.sampled_from(things),
            st.sampled_from(["A.x", "A", "c", "u", "t", "", "A#1.x", "A#2@t.x", "B#1.x"]),
        )
    )
    trace = code_trace(workers, targets, names, test=data.draw(st.booleans()))
    table = display_names(trace).table
    assert table.keys() == set(things)
    assert len(set(table.values())) == len(table), "two things have one name"
    assert all(table.values())
    shown = for_display(trace)
    assert len(set(shown.workers)) == len(workers)
    for before, after in zip(trace.events, shown.events, strict=True):
        assert after == before._replace(target=table[str(before.target)])


# --- where the names come from ---------------------------------------------------------------
SOURCE = """
import threading
A, B = threading.Lock(), threading.Lock()
class Pool:
    shared = threading.Lock()
    def __init__(self, other):
        self.a = threading.Lock(); self.b = threading.Lock()
        self.c, self.d = threading.Lock(), threading.Lock()
        self.pool = Wrapper(threading.Lock())
        self.all = [threading.Lock() for _ in range(2)]
        self.by = {1: threading.Lock()}
        self.by[2] = threading.Lock()
        self.e = local = threading.Lock()
        self.f: object = other or threading.Lock()
        other.g = threading.Lock()
        def inner():
            self.h = threading.Lock()
            x = (y := threading.Lock())
    @staticmethod
    def make(self):
        self.i = threading.Lock()
        return threading.Lock()
    @classmethod
    def build(cls):
        cls.j = threading.Lock()
        if len(threading.Lock()) == 2: pass
        first, *rest = threading.Lock(), threading.Lock()
"""


def test_a_name_is_that_to_which_the_value_of_the_call_goes() -> None:
    found = assignments(SOURCE)
    lines = SOURCE.split("\n")
    locks = [
        node for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Call) and ast.unparse(node) == "threading.Lock()"
    ]  # fmt: skip
    told: dict[str, list[Any]] = {}
    for node in sorted(locks, key=lambda one: (one.lineno, one.col_offset)):
        span = node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0
        told.setdefault(lines[node.lineno - 1].strip(), []).append(found.get(span))
    assert [*told.values()] == [
        ["A", "B"], ["Pool.shared"], ["Pool.a", "Pool.b"], ["Pool.c", "Pool.d"], [None],
        ["Pool.all[]"], ["Pool.by[]"], ["Pool.by[]"], ["Pool.e"], ["Pool.f"], ["other.g"],
        ["self.h"], ["y"], ["self.i"], [None], ["Pool.j"], [None], [None, None],
    ]  # fmt: skip
