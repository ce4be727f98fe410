"""Which lines of a failing run matter, what is said of them, and how they are drawn."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.helpers.amount import amount
from tests.helpers.tracing import trace_of
from tracelock.analysis.analyze import analyze
from tracelock.report.failure.drawing import conclusion, drawn
from tracelock.report.failure.slicing import root_of, slice_of
from tracelock.report.failure.telling import MOST, StoryLine, Teller, story_lines
from tracelock.report.plumbing import plumbing_of, without_plumbing
from tracelock.report.terminal import Style, table
from tracelock.report.timeline import timeline
from tracelock.trace import Blocked, Trace, Verdict

CODE: dict[str, Any] = {"name": "x", "python": {"places": {}}}
FAILED = Verdict("failed", "assert", "AssertionError: no\nmore", {}, [], "t.py:9", 0)

LOST = """
test spawn a @ t.py:1
test spawn b @ t.py:1
a read Box.other -> 1 @ box.py:2
a read Box.n -> 0 @ box.py:3
b read Box.n -> 0 @ box.py:3
b write Box.n = 1 @ box.py:4
a write Box.n = 1 @ box.py:4
test join a @ t.py:2
test join b @ t.py:2
"""


def lines_of(trace: Trace, arrow: str = "->") -> list[StoryLine]:
    sliced = slice_of(trace, root_of(analyze(trace)))
    return story_lines(Teller(trace, sliced, arrow), known=lambda _: True)


def told(trace: Trace) -> list[tuple[str, str, str]]:
    lines = lines_of(trace)
    return [(trace.workers[line.worker], line.at, line.said) for line in lines]


def test_a_lost_update_is_four_lines_and_the_check() -> None:
    trace = trace_of(LOST, scenario=CODE, verdict=FAILED)
    assert told(trace) == [
        ("a", "box.py:3", "Box.n is 0"),
        ("b", "box.py:3", "Box.n is 0"),
        ("b", "box.py:4", "Box.n = 1"),
        ("a", "box.py:4", "Box.n = 1"),
        ("test", "t.py:9", "AssertionError: no"),
    ]


#: A client writes to one replica and reads from another one, whose copy is still on its way.
STALE = """
client put line#1.sent -> true @ c.py:1
one get line#1.sent -> 6 @ r.py:1
one put copy.sent -> true @ r.py:2
one put line#1.answered -> true @ r.py:3
client get line#1.answered -> 3 @ c.py:2
client put line#2.sent -> true @ c.py:1
two get line#2.sent -> 4 @ r.py:1
two read Replica.value -> 0 @ r.py:4
two put line#2.answered -> true @ r.py:5
client get line#2.answered -> 2 @ c.py:2
"""


def test_a_failure_is_followed_back_over_the_messages_that_led_to_it() -> None:
    failed = Verdict("failed", "assert", "AssertionError: old", {}, [], "c.py:3", 0)
    trace = trace_of(STALE, scenario=CODE, verdict=failed)
    assert [f"{who} {at}" for who, at, _ in told(trace)] == [
        "client c.py:1", "one r.py:1", "one r.py:2", "one r.py:3", "client c.py:2",
        "client c.py:1", "two r.py:1", "two r.py:4", "two r.py:5", "client c.py:2", "client c.py:3",
    ]  # fmt: skip


def test_without_a_finding_the_last_triple_that_is_no_order_of_steps_is_taken() -> None:
    trace = trace_of(LOST, scenario=CODE, verdict=FAILED)
    levels = slice_of(trace, None).levels
    assert {seq for seq, level in levels.items() if level == 0} == {3, 5, 6}


def test_sizes_are_told_where_they_are_known() -> None:
    trace = trace_of(
        """
        test read Pool._idle[] @ p.py:1
        test write Pool._idle[] @ p.py:2
        a read Pool._idle[] @ p.py:1
        a write Pool._idle[] @ p.py:3
        test write Pool._idle[] @ p.py:3
        """,
        scenario=CODE, verdict=FAILED,
    )  # fmt: skip
    for seq, size in enumerate((0, 0, 1, 1, 0)):
        trace.events.extras[seq] = {"size": size}
    assert [said for _, at, said in told(trace) if at != "t.py:9"] == [
        "Pool._idle: empty", "Pool._idle: 0 -> 1 item", "Pool._idle: 1 item",
        "Pool._idle: 1 -> empty", "changes Pool._idle (empty before)",
    ]  # fmt: skip


def test_a_deadlock_is_who_took_what_and_who_waits() -> None:
    blocked = [
        Blocked("t", "join", "x", "t.py:5", []),
        Blocked("x", "acquire", "B", "d.py:2", ["y"]),
        Blocked("y", "acquire", "A", "d.py:2", ["x"]),
    ]
    trace = trace_of(
        "t spawn x @ t.py:1\nt spawn y @ t.py:1\nx acquire A @ d.py:1\ny acquire B @ d.py:1",
        scenario=CODE, verdict=Verdict("deadlock", None, "", {}, blocked),
    )  # fmt: skip
    assert told(trace) == [
        ("x", "d.py:1", "takes A"),
        ("y", "d.py:1", "takes B"),
        ("x", "d.py:2", "waits for B (held by y)"),
        ("y", "d.py:2", "waits for A (held by x)"),
    ]


def test_a_wait_that_nobody_ends_is_told_with_the_signal_that_came_before() -> None:
    blocked = [Blocked("w", "wait", "ready", "e.py:4", [])]
    trace = trace_of(
        """
        w read Box.flag -> false @ e.py:3
        s write Box.flag = true @ e.py:7
        s notify ready -> [] @ e.py:8
        w wait ready @ e.py:4
        """,
        scenario=CODE, verdict=Verdict("deadlock", None, "", {}, blocked),
    )  # fmt: skip
    lines = told(trace)
    assert ("s", "e.py:8", "wakes nobody") in lines
    assert lines[0] == ("w", "e.py:3", "Box.flag is false")
    assert lines[-1] == ("w", "e.py:4", "waits at ready")


def test_an_await_of_a_condition_whose_wait_was_not_recorded_is_told_by_its_release() -> None:
    trace = trace_of(
        """
        u read Pool._idle[] @ p.py:1
        u release C.lock @ p.py:2
        v write Pool._idle[] @ p.py:5
        v notify C -> [0] @ p.py:6
        u checkpoint loop @ t.py:1
        u acquire C.lock @ p.py:2
        u wake C @ p.py:2
        u write Pool._idle[] @ p.py:3
        """,
        scenario=CODE, verdict=FAILED,
    )  # fmt: skip
    assert [(who, said) for who, _, said in told(trace)][1:5] == [
        ("u", "waits on C"), ("v", "changes Pool._idle"), ("v", "wakes u"), ("u", "wakes up"),
    ]  # fmt: skip


def picture(trace: Trace, style: Style) -> list[str]:
    lines = lines_of(trace, "→" if style.unicode else "->")
    source = {"box.py:3": "    n = self.n", "box.py:4": "        self.n = n + 1"}
    source["t.py:9"] = "assert n == 2"
    text = drawn(lines, trace.workers, style, lambda at: source.get(at, ""), lambda at: at[:3])
    return [one.plain for one in text]


def test_it_is_drawn_with_a_column_for_each_worker_and_the_reason_of_each_switch() -> None:
    trace = trace_of(
        LOST.replace("-> 0 @", "-> 0 !0,1,2 @"), scenario=CODE, verdict=FAILED, enabled=True
    )
    assert picture(trace, Style(80, False)) == [
        " | | | a",
        " * | | box.py:3  n = self.n          Box.n is 0",
        " | | | b   - a: preempted (could have gone on)",
        " | * | box.py:3  n = self.n          Box.n is 0",
        " | * | box.py:4      self.n = n + 1  Box.n = 1",
        " | | | a   - b: has ended",
        " * | | box.py:4      self.n = n + 1  Box.n = 1",
        " | | | test   - a: has ended",
        " | | * t.py:9    assert n == 2       AssertionError: no",
    ]
    narrow = picture(trace, Style(40, True))
    assert " ● │ │ box.py:4      self.n = n + 1" in narrow
    assert " │ │ │           ╰ Box.n = 1" in narrow


def test_what_is_wrong_and_what_to_change_are_the_sentences_of_the_root_finding() -> None:
    trace = trace_of(LOST, scenario=CODE, verdict=FAILED)
    lines = [one.plain for one in conclusion(root_of(analyze(trace)), Style(80))]
    assert lines[1].startswith("why: ") and "Box.n" in lines[1]
    assert any(line.startswith("fix: ") for line in lines)
    assert [*conclusion(None, Style(80))] == []


# --- any trace -------------------------------------------------------------------------------
NAMES = ("test", "user-1", "名前", "a" * 30)
OPS = ("read", "write", "acquire", "release", "wait", "wake", "notify", "set", "clear", "put",
       "get", "spawn", "join", "checkpoint", "sleep")  # fmt: skip
ROWS = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(OPS),
        st.sampled_from(("Box.n", "Box.items[]", "lock", "cond", "x" * 50)), st.integers(1, 6),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=amount(40, 500))
@given(ROWS, st.sampled_from((40, 60, 80, 120)), st.booleans(), st.data())
def test_any_run_is_told_in_a_few_lines_that_fit(
    rows: list[tuple[str, str, str, int]], width: int, unicode: bool, data: st.DataObject
) -> None:
    text = "\n".join(f"{who} {op} {target} @ src/a.py:{line}" for who, op, target, line in rows)
    trace = trace_of(text, scenario=CODE)
    names = st.sampled_from(trace.workers)
    stuck = data.draw(st.lists(names, unique=True, max_size=3))
    if stuck:
        ops = st.sampled_from(("acquire", "wait", "get", "join"))
        blocked = [
            Blocked(one, data.draw(ops), "lock", "src/a.py:7", data.draw(st.lists(names)))
            for one in stuck
        ]
        trace.verdict = Verdict("deadlock", None, "", {}, blocked)
    else:
        at = data.draw(st.sampled_from(("src/a.py:1", "src/a.py:9")))
        trace.verdict = Verdict("failed", "error", "E: é\x1b[31m", {}, [], at, 0)
    lines = lines_of(trace)
    assert 1 <= len(lines) <= MOST
    seqs = [line.events for line in lines]
    assert seqs == sorted(seqs), "in the order in which they ran"
    assert lines[-1].failing or any(line.failing for line in lines)
    source = {f"src/a.py:{n}": "\tif " + "é" * (9 * n) + ":" for n in range(1, 9)}
    for one in drawn(
        lines, trace.workers, Style(width, unicode), lambda at: source.get(at, ""), lambda _: ""
    ):
        assert cell_len(one.plain) <= width, one.plain
        assert "\x1b" not in one.plain and "\n" not in one.plain


# --- plumbing --------------------------------------------------------------------------------
def test_plumbing_is_starting_joining_the_loop_and_looking_up_what_cannot_change() -> None:
    trace = trace_of(
        """
        t write Pool._cond = "<Condition>" @ p.py:1
        t write Pool.size = 1 @ p.py:2
        t spawn u @ t.py:1
        u checkpoint loop @ t.py:2
        u read Pool._cond -> "<Condition>" @ p.py:3
        u read Pool.late -> "<Late>" @ p.py:4
        t write Pool.late = "<Late>" @ p.py:5
        loop:timers sleep . @ p.py:6
        u write Pool._idle[] = "<Connection>" @ p.py:7
        t join u @ t.py:3
        """,
        scenario=CODE,
    )
    assert sorted(plumbing_of(trace)) == [0, 2, 3, 4, 7, 9]
    line = without_plumbing(timeline(trace), plumbing_of(trace))
    assert [row.seq for row in line.rows] == [1, 5, 6, 8]
    assert not any("left out" in text.plain for text in table(line, Style(80)))


def test_the_reason_of_a_switch_stays_with_the_row_that_is_left() -> None:
    trace = trace_of(
        """
        a write Box.n = 1 !1 @ p.py:1
        b join a !0 @ p.py:2
        b write Box.n = 2 !0 @ p.py:3
        """,
        scenario=CODE,
    )
    line = without_plumbing(timeline(trace), plumbing_of(trace))
    first, second = line.rows
    assert first.switch is None
    assert second.switch is not None and second.switch.left == 0


def test_lines_are_shown_also_where_there_are_more_workers_than_columns() -> None:
    lines = [StoryLine(n, f"p.py:{n}", "says", (n, n)) for n in range(12)]
    names = [f"w{n}" for n in range(12)]
    drawing = [one.plain for one in drawn(lines, names, Style(60), lambda _: "x", lambda _: "")]
    assert " w11" in drawing and " p.py:11  x  says" in drawing
