"""Reports: the state along a trace against what the engine recorded, and each form's own rules."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
import sys
import types
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracelock
from tests.helpers.commands import Shell, refused, shell_of
from tracelock.analysis.findings import ERROR, WARNING, Finding
from tracelock.errors import UsageError
from tracelock.instrument.rewrite.sites import path_in_project
from tracelock.report.about import Subject
from tracelock.report.attach import LIMIT, attachment
from tracelock.report.code import listing
from tracelock.report.frames import story
from tracelock.report.markdown import code, fenced, markdown, plain
from tracelock.report.mermaid import mermaid, quoted
from tracelock.report.render import FORMS, form_of, render
from tracelock.report.state import State
from tracelock.report.timeline import timeline
from tracelock.report.turning import turning_point
from tracelock.report.window import focus, window
from tracelock.trace import Blocked, Events, Trace, Verdict, frozen

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "traces").glob("*.json"))
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "tests" / "data" / "examples").glob("*.yaml"))


def make(
    rows: list[tuple[Any, ...]],
    verdict: Verdict | None = None,
    *,
    workers: tuple[str, ...] = ("a", "b"),
    scenario: dict[str, Any] | None = None,
    mode: str = "controlled",
) -> Trace:
    """A trace from (worker, op, target, keys of the event)."""
    events = Events()
    for worker, op, target, keys in rows:
        more = dict(keys)
        shape = events.shape(
            op, target, more.pop("at", "workers.w.steps[0]"),
            *(more.pop(key) for key in ("timeout", "n") if key in more),
        )  # fmt: skip
        events.append(worker, shape, more.pop("t", 0), **more)
    return Trace(
        scenario or {"name": "t"}, "threading", mode, None,
        "virtual" if mode == "controlled" else "real", {}, list(workers), events,
        verdict or Verdict("passed"),
    )  # fmt: skip


def recorded(name: str) -> Trace:
    return tracelock.load_trace(ROOT / "traces" / f"{name}.json")


def runs() -> Iterator[tuple[str, Trace]]:
    """The library's traces, and a few controlled runs of each scenario that threads can do."""
    for path in LIBRARY:
        yield path.stem, tracelock.load_trace(path)
    for path in (*SCENARIOS, *EXAMPLES):
        if path.stem in ("counter_100k", "pi", "counter_whole_loop", "counter_each_round"):
            continue  # long, and nothing but reads and writes
        scenario = tracelock.load_scenario(path)
        for backend in ("threading", "asyncio"):
            for seed in (1, 2, 3):
                try:
                    limits = tracelock.RunLimits(steps=400)
                    trace = tracelock.run(
                        scenario, backend=backend, strategy="random", seed=seed, limits=limits
                    )
                except tracelock.UnsupportedError:
                    break
                yield f"{path.stem}-{backend}-{seed}", trace


@pytest.fixture(scope="module")
def library() -> list[tuple[str, Trace]]:
    return list(runs())


# --- the state -----------------------------------------------------------------------------------
def test_every_read_sees_what_the_state_has(library: list[tuple[str, Trace]]) -> None:
    """The oracle is the run itself: what a read got is what was there."""
    reads = 0
    for name, trace in library:
        state = State(trace, values=True)
        for event in trace.events:
            state.advance(event.seq)
            if event.op in ("read", "exchange", "fetch_add") and not isinstance(event.result, dict):
                assert frozen(state.variables[event.target or ""]) == frozen(event.result), name
                reads += 1
            elif event.op == "compare_exchange":
                same = frozen(state.variables[event.target or ""]) == frozen(event.expect)
                assert same is event.result, name
                reads += 1
    assert reads > 1_000


def test_the_last_state_is_the_verdicts(library: list[tuple[str, Trace]]) -> None:
    for name, trace in library:
        state = State(trace, values=True)
        state.advance(len(trace.events))
        for variable, value in trace.verdict.state.items():
            now = state.variables.get(variable)
            if isinstance(value, list):
                now = [state.variables[f"{variable}[{i}]"] for i in range(len(value))]
            assert frozen(now) == frozen(value), (name, variable)


def test_a_lock_that_is_taken_was_free(library: list[tuple[str, Trace]]) -> None:
    taken = 0
    for name, trace in library:
        state = State(trace)
        for event in trace.events:
            state.advance(event.seq)
            target = event.target or ""
            if event.op == "acquire" and event.result is True:
                if event.timeout == 0 or "semaphore" not in state.info(target).type:
                    assert not state.must_wait(target, event.worker), (name, event)
                taken += 1
            elif event.op == "get" and not isinstance(event.result, dict):
                inside = [frozen(item) for item in state.inside[target]]
                assert frozen(event.result) in inside, (name, event)
            elif event.op == "put" and event.result is True:
                assert not state.full(target), (name, event)
    assert taken > 200


def test_who_waits_at_the_end_waits_in_the_last_frame(library: list[tuple[str, Trace]]) -> None:
    waiting = 0
    for name, trace in library:
        if trace.verdict.kind != "deadlock":
            continue
        last = story(trace).frames[-1]
        state = State(trace)
        state.advance(len(trace.events))
        for one in trace.verdict.blocked:
            worker = last.workers[trace.workers.index(one.worker)]
            assert worker.kind == "waits" and worker.waits == one.target, name
            assert worker.place == one.at
            if one.op == "acquire":
                held = {trace.workers[w] for w in state.holders(state.steps.lock_of(one.target))}
                assert held == set(one.holder), name
                assert one.worker in last.objects[one.target][1]
            waiting += 1
    assert waiting > 20


def test_a_frame_after_each_row_and_one_before() -> None:
    trace = recorded("deadlock_ab_ba")
    one = story(trace)
    assert len(one.frames) == len(one.rows) + 1
    before, between, after = one.frames
    assert [worker.status for worker in before.workers] == [
        "next: acquire account[0]", "next: acquire account[1]",
    ]  # fmt: skip
    assert [worker.holds for worker in between.workers] == [("account[0]",), ()]
    assert between.objects["account[0]"] == ("held by transfer[0]", "")
    assert [worker.holds for worker in after.workers] == [("account[0]",), ("account[1]",)]
    assert after.objects["account[0]"] == ("held by transfer[0]", "transfer[1]")
    assert before.variables == {"balance[0]": "100", "balance[1]": "100"}


def test_frames_of_a_part_are_those_of_the_whole(library: list[tuple[str, Trace]]) -> None:
    for name, trace in library:
        count = len(trace.events)
        if count < 6:
            continue
        whole = story(trace)
        parts = [range(1, 3), range(count - 2, count)]
        some = story(trace, parts)
        seqs = [1, 2, count - 2, count - 1]
        assert [row.seq for row in some.rows] == seqs
        for row, frame in zip(some.rows, some.frames[1:], strict=True):
            same = whole.frames[row.seq + 1]
            assert frame.workers == same.workers, (name, row.seq)
            for variable, value in frame.variables.items():
                now = next(
                    f.variables[variable]
                    for f in reversed(whole.frames[: row.seq + 2])
                    if variable in f.variables
                )
                assert value == now, (name, row.seq, variable)


def test_objects_that_nobody_declared_are_told_from_their_events() -> None:
    trace = make(
        [
            (0, "acquire", "lock@bank.py:12", {"result": True, "at": "bank.py:31", "enabled": [1]}),
            (0, "acquire", "lock@bank.py:12", {"result": True, "at": "bank.py:32", "enabled": [1]}),
            (0, "put", "Queue#1", {"value": [1], "result": True, "enabled": [1]}),
            (0, "wait", "Condition#1", {"enabled": [1]}),
            (1, "notify", "Condition#1", {"result": [0], "enabled": []}),
            (1, "set", "Event#1", {"enabled": [0]}),
            (1, "write", "Account#1.balance", {"value": 3, "at": "bank.py:33", "enabled": [0]}),
        ],
        Verdict(
            "deadlock", blocked=[Blocked("b", "acquire", "lock@bank.py:12", "bank.py:40", ["a"])]
        ),
    )  # fmt: skip
    one = story(trace)
    assert one.types == {
        "lock@bank.py:12": "lock", "Queue#1": "queue", "Condition#1": "condition",
        "Event#1": "event",
    }  # fmt: skip
    last = one.frames[-1]
    assert last.objects["lock@bank.py:12"] == ("held by a (2 times)", "b")
    assert last.objects["Queue#1"] == ("[1]", "")
    assert last.objects["Event#1"] == ("set", "")
    assert last.workers[1].status == "waits for lock@bank.py:12 (held by a)"
    assert last.variables["Account#1.balance"] == "3"
    assert one.frames[0].variables["Account#1.balance"] == "?"


def test_a_worker_is_not_started_before_its_spawn() -> None:
    trace = make(
        [
            (0, "read", "x", {"result": 0, "enabled": []}),
            (0, "spawn", "b", {"enabled": []}),
            (1, "read", "x", {"result": 0, "enabled": [0]}),
        ],
        scenario={"name": "t", "shared": {"x": 0}},
    )
    kinds = [frame.workers[1].kind for frame in story(trace).frames]
    assert kinds == ["new", "new", "next", "ended"]


# --- steps ---------------------------------------------------------------------------------------
def test_each_event_of_a_scenario_has_its_line(library: list[tuple[str, Trace]]) -> None:
    seen = 0
    for name, trace in library:
        lines = listing(trace)
        for event in trace.events:
            if event.op in ("cancelled", "timeout"):
                continue  # reaches a worker wherever it is
            places = {line.at for line in lines[event.worker]}
            assert event.at in places, (name, event.at)
            seen += 1
    assert seen > 3_000


def test_steps_are_shown_as_they_were_written() -> None:
    trace = make([], scenario={"workers": {"a": {"steps": [
        {"let": {"x": 1, "y": "x + 1"}}, "checkpoint",
        {"if": "x > 1", "then": [{"write": "v", "value": "'red'"}], "else": [{"stop": None}]},
        {"atomic": [{"read": "v", "into": "z"}]}, 7, {},
    ]}}})  # fmt: skip
    lines = [(at.removeprefix("workers.a."), *rest) for at, *rest in listing(trace)[0]]
    assert lines == [
        ("steps[0]", 0, "let: x = 1, y = x + 1"),
        ("steps[1]", 0, "checkpoint"),
        ("steps[2]", 0, "if: x > 1"),
        ("", 0, "then:"),
        ("steps[2].then[0]", 1, "write: v, value: 'red'"),
        ("", 0, "else:"),
        ("steps[2].else[0]", 1, "stop: null"),
        ("steps[3]", 0, "atomic:"),
        ("steps[3].atomic[0]", 1, "read: v, into: z"),
        ("steps[4]", 0, "7"),
        ("steps[5]", 0, "{}"),
    ]  # fmt: skip


def python_trace(source: str) -> Trace:
    digest = "sha256:" + hashlib.sha256(source.encode()).hexdigest()
    return make(
        [
            (0, "read", "A.n", {"result": 0, "at": "bank.py:3", "enabled": [1]}),
            (1, "read", "A.n", {"result": 0, "at": "bank.py:3", "enabled": [0]}),
            (0, "write", "A.n", {"value": 1, "at": "bank.py:9", "enabled": [1]}),
        ],
        scenario={
            "name": "bank", "workers": {"a": {}, "b": {}},
            "python": {
                "setup": "bank:setup", "sources": {"bank.py": digest},
                "places": {"bank.py:3": "Account.add", "bank.py:9": "Account.add"},
            },
        },
    )  # fmt: skip


SOURCE = "\n".join(f"line {n}" for n in range(1, 13)) + "\n"


def test_python_code_is_shown_by_its_lines() -> None:
    trace = python_trace(SOURCE)
    with_source = listing(trace, {"bank.py": SOURCE})[0]
    assert [line.text for line in with_source] == [
        "bank.py:", *(f"{n:>2}  line {n}" for n in range(1, 6)), "...",
        *(f"{n:>2}  line {n}" for n in range(7, 12)),
    ]  # fmt: skip
    assert [line.at for line in with_source if line.at] == ["bank.py:3", "bank.py:9"]
    without = listing(trace)[1]
    assert [(line.at, line.text) for line in without] == [
        ("", "bank.py:  (its source is not at hand)"), ("bank.py:3", "3  in Account.add"),
    ]  # fmt: skip


def test_only_the_very_source_is_read(tmp_path: Path) -> None:
    from tracelock.report.sources import sources_below

    trace = python_trace(SOURCE)
    (tmp_path / "bank.py").write_text(SOURCE)
    assert sources_below(trace, str(tmp_path)) == {"bank.py": SOURCE}
    (tmp_path / "bank.py").write_text(SOURCE + "# changed\n")
    assert sources_below(trace, str(tmp_path)) == {}
    secret = tmp_path / "secret"
    secret.write_text("s")
    digest = "sha256:" + hashlib.sha256(b"s").hexdigest()
    inner = tmp_path / "inner"
    inner.mkdir()
    for name in ("../secret", str(secret), "\0", "inner"):
        trace.scenario["python"]["sources"] = {name: digest}
        assert sources_below(trace, str(inner)) == {}
    trace.scenario["python"]["sources"] = {"secret": digest}
    assert sources_below(trace, str(tmp_path)) == {"secret": "s"}


# --- the switch that matters, the window ---------------------------------------------------------
def test_the_turn_is_where_twins_part() -> None:
    trace = recorded("unlocked_counter")
    small = tracelock.shrink(trace, confirm=0)
    twin = small.trace_of(small.twin.passing)  # type: ignore[union-attr]
    turn = turning_point(trace, twin)
    assert turn is not None and turn.certain
    first = next(
        seq
        for seq, (a, b) in enumerate(zip(trace.events, twin.events, strict=False))
        if not a.same(b)
    )
    assert turn.seq == first
    assert "Both runs are the same up to event 0" in turn.text
    with pytest.raises(UsageError, match="the same run"):
        turning_point(trace, trace)
    other = make([(0, "checkpoint", None, {})])
    with pytest.raises(UsageError, match="other workers"):
        turning_point(trace, other)


def test_the_turn_without_a_twin() -> None:
    one = turning_point(recorded("deadlock_ab_ba"))
    assert one is not None and (one.seq, one.certain) == (1, True)
    assert turning_point(make([(0, "checkpoint", None, {})])) is None
    rows = [(n % 2, "read", "x", {"result": 0, "enabled": [(n + 1) % 2]}) for n in range(6)]
    failed = Verdict("failed", "finally", "wrong")
    last = turning_point(make(rows, failed))
    assert last is not None and (last.seq, last.certain) == (5, False)
    found = Finding("lost-update", "Lost update of x", "", (2, 3, 4), (0, 1), ("x",), ERROR)
    middle = turning_point(make(rows, failed), None, [found])
    assert middle is not None and (middle.seq, middle.label) == (3, "the switch that matters")


def test_the_window_is_around_the_failure() -> None:
    assert window(10, 5, 100) == [range(10)]
    assert window(0, 0, 100) == []
    assert window(1_000, 999, 100) == [range(900, 1_000)]
    assert window(1_000, 0, 100) == [range(100)]
    assert window(1_000, 500, 100, [2, 4, 800]) == [range(8), range(450, 550), range(797, 804)]
    rows = [(0, "checkpoint", None, {}) for _ in range(300)]
    late = Finding("x", "", "", (7,), (), (), ERROR)
    assert focus(make(rows, Verdict("deadlock"))) == 299
    assert focus(make(rows, Verdict("failed", "finally")), [late]) == 7
    assert focus(make(rows, Verdict("failed", "assert")), [late]) == 299
    assert focus(make(rows), []) == 0


@settings(derandomize=True, deadline=None)
@given(
    events=st.integers(0, 500), around=st.integers(0, 500), most=st.integers(1, 50),
    also=st.lists(st.integers(0, 500), max_size=5),
)  # fmt: skip
def test_windows_are_ascending_and_hold_what_they_should(
    events: int, around: int, most: int, also: list[int]
) -> None:
    parts = window(events, around, most, also)
    shown = [seq for part in parts for seq in part]
    assert shown == sorted(set(shown))
    assert all(0 <= seq < events for seq in shown)
    wanted = {seq for seq in (around, *also) if seq < events}
    assert wanted <= set(shown)


# --- HTML ----------------------------------------------------------------------------------------
class Page(HTMLParser):
    """The elements of a page, and whether it is well formed."""

    VOID = {"meta", "input", "br", "link", "img"}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("td", "th", "tr") and self.open[-1] == "td":
            self.open.pop()  # its end tag may be left out
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" and self.open[-1] == "td":
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_pages_are_well_formed_and_load_nothing(library: list[tuple[str, Trace]]) -> None:
    for name, trace in library[:60]:
        text = tracelock.render_report(trace)
        parsed = Page(text)
        ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), name
        for tag, attrs in parsed.elements:
            assert tag not in ("link", "img", "iframe", "object", "embed"), name
            assert not {"src", "style", "onclick", "onload"} & set(attrs), (name, tag)
            href = attrs.get("href")
            assert href is None or href.startswith("#"), name
            if href is not None:
                assert href[1:] in ids, (name, href)


def test_thousands_of_workers_are_told_of_in_part() -> None:
    count = 3_000
    rows = [(n, "read", "x", {"result": n, "enabled": [0]}) for n in range(1_000)]
    blocked = [Blocked("w[2999]", "acquire", "guard", "p", ["w[7]"])]
    names = tuple(f"w[{n}]" for n in range(count))
    trace = make(rows, Verdict("deadlock", blocked=blocked), workers=names)
    one = story(trace)
    assert len(one.workers) == 32 and 2_999 in one.workers
    assert all(len(frame.workers) == 32 for frame in one.frames)
    text = tracelock.render_report(trace, findings=[])
    assert "2,968 of 3,000 workers have no lane here" in text
    assert len(text.encode()) < 400_000
    assert re.search(r"Only a part is shown: 39\d of 1,000 events", text)
    parsed = Page(text)
    ids = [attrs.get("id") for tag, attrs in parsed.elements if tag == "tr"]
    assert all(f"a{n}" in ids for n in range(610, 1_000))
    for form in FORMS:
        assert tracelock.render_report(trace, form, findings=[])


def test_a_thousand_events_take_less_than_400_kb() -> None:
    for workers in (2, 8, 16):
        rows = []
        for n in range(250):
            w = n % workers
            others = [one for one in range(workers) if one != w]
            rows += [
                (w, "acquire", "guard", {"result": True, "enabled": others}),
                (w, "read", "counter", {"result": n, "enabled": others}),
                (w, "write", "counter", {"value": n + 1, "enabled": others}),
                (w, "release", "guard", {"enabled": others}),
            ]
        names = tuple(f"incrementer[{n}]" for n in range(workers))
        trace = make(rows, workers=names)
        assert len(trace.events) == 1_000
        assert len(tracelock.render_report(trace).encode()) < 400_000, workers


NASTY = st.text(
    st.one_of(
        st.sampled_from("<>&\"'`/\\|=!-;:#[]{}()@%\n\r\t\u2028\u202e\x00\x1b"), st.characters()
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def nasty(texts: list[str]) -> Trace:
    """A trace of which every text is one of ``texts``."""
    a, b, c = texts
    one, other = a, (b if b != a else b + "x")
    return make(
        [
            (0, "write", c, {"value": {a: [b]}, "at": c, "enabled": [1]}),
            (1, "acquire", b, {"result": True, "at": a, "enabled": [0]}),
            (0, "put", a, {"value": b, "result": {"error": c}, "enabled": []}),
        ],
        Verdict(
            "deadlock", None, a, {b: c}, [Blocked(one, "acquire", b, c, [other])], extra={a: b}
        ),
        workers=(one, other),
        scenario={"name": a, "description": b, "shared": {c: a}, "objects": {b: {"type": c}},
                  "workers": {a.partition("[")[0]: {"steps": [{b: c, "do": [a]}]}}},
    )  # fmt: skip


@cache
def calm() -> Page:
    """The page of such a trace with harmless texts: the elements that a page may have."""
    usual = Finding("a", "b", "c", (0, 1), (0, 1), ("a",), WARNING)
    return Page(tracelock.render_report(nasty(["a", "b", "c"]), findings=[usual]))


@settings(derandomize=True, deadline=None, max_examples=75)
@given(texts=st.lists(NASTY, min_size=3, max_size=3))
def test_no_text_gets_out_of_its_place(texts: list[str]) -> None:
    trace = nasty(texts)
    finding = Finding(texts[0], texts[1], texts[2], (0, 1), (0, 1), (texts[0],), WARNING)
    page = Page(tracelock.render_report(trace, findings=[finding]))
    other = calm()
    scripts = [tag for tag, _ in page.elements if tag == "script"]
    assert len(scripts) == 2
    allowed = {tag for tag, _ in other.elements} | {"br"}
    assert {tag for tag, _ in page.elements} <= allowed
    names = {name for _, attrs in other.elements for name in attrs}
    assert {name for _, attrs in page.elements for name in attrs} <= names
    assert all(char.isprintable() or char == "\n" for text in page.texts for char in text)
    for form in FORMS:
        text = render(Subject(trace, [finding], path=texts[0]), form)
        assert all(char.isprintable() or char == "\n" for char in text), form
        if form == "chrome":
            json.loads(text)


def test_the_page_says_what_it_knows() -> None:
    found = Finding(
        "lost-update", "Lost update of counter", "Why.\nHow.", (0, 3), (0,), ("counter",)
    )
    text = tracelock.render_report(recorded("unlocked_counter"), findings=[found], path="t x.json")
    assert "Why.<br>How." in text
    assert 'href="#a3"' in text
    assert html.escape("tracelock replay 't x.json'") in text


# --- Markdown ------------------------------------------------------------------------------------
def test_markdown_for_an_issue() -> None:
    found = Finding(
        "lock-order", "Lock order", "They cross.\nTake account[0] first.", (0, 1), (0, 1),
        ("account[0]", "account[1]"), ERROR,
    )  # fmt: skip
    text = tracelock.render_report(recorded("deadlock_ab_ba"), "markdown", findings=[found])
    assert text.startswith("## deadlock: `deadlock-ab-ba` on threading\n")
    assert "- **transfer[0] waits for account[1] (held by transfer[1])** at" in text
    assert "| # | `transfer[0]` | `transfer[1]` | step |" in text
    assert "| 0 | `acquire account[0]` |  | `steps[0]` |" in text
    assert (
        "|  | *switch (preempted, could have gone on)* **the switch that matters** |  |  |" in text
    )
    assert "1. **Lock order** (error)\n   They cross.\n   Take account[0] first.\n" in text
    assert "   - event 0: transfer[0] `acquire account[0]` at " in text
    assert "```mermaid\nsequenceDiagram\n" in text
    assert "with: account[1 - index]" in text
    assert "```sh\ntracelock replay trace.json\n```" in text
    assert "| Python | `CPython " in text


@pytest.mark.parametrize(
    ("severity", "heading"),
    [
        (ERROR, "What is wrong, and what to change"),
        (WARNING, "What can go wrong, and what to change"),
        ("note", "Worth knowing"),
    ],
)
def test_findings_stand_under_what_they_are(severity: str, heading: str) -> None:
    found = [Finding("x", "X", "Y.", (), (), (), severity)]
    trace = make([(0, "checkpoint", None, {})])
    assert f"### {heading}\n" in tracelock.render_report(trace, "markdown", findings=found)
    assert f"<h2>{heading}</h2>" in tracelock.render_report(trace, findings=found)


def test_tables_have_as_many_cells_in_each_row(library: list[tuple[str, Trace]]) -> None:
    for name, trace in library:
        rows = [line for line in markdown(Subject(trace)).split("\n") if line.startswith("|")]
        table = [row for row in rows if row.count("|") > 3]
        counts = {len(re.findall(r"(?<!\\)\|", row)) for row in table}
        if len(trace.workers) <= 8 and len(trace.events):
            assert counts == {len(trace.workers) + 3}, name


def test_a_message_of_several_lines() -> None:
    said = "AssertionError: no\n  bank.py:39 in check\n    assert x < `y`"
    trace = make([(0, "checkpoint", None, {})], Verdict("failed", "finally", said, at="bank:check"))
    text = tracelock.render_report(trace, "markdown", findings=[])
    assert (
        "- **AssertionError: no** at `bank:check`\n"
        "  ```\n    bank.py:39 in check\n      assert x < `y`\n  ```\n"
    ) in text
    page = tracelock.render_report(trace, "html", findings=[])
    assert "<pre>  bank.py:39 in check\n    assert x &lt; `y`</pre></li>" in page


def test_long_traces_are_cut_and_say_so() -> None:
    rows = [(n % 2, "read", "x", {"result": n, "enabled": [0, 1]}) for n in range(500)]
    trace = make(rows, Verdict("failed", "assert", "no", worker=1))
    text = tracelock.render_report(trace, "markdown")
    assert "100 of 500 events, the part around the failure." in text
    assert "*400 events left out*" in text
    diagram = text.split("```mermaid\n")[1].split("```")[0]
    assert diagram.count("->>") == 60
    near = tracelock.render_report(trace, "markdown", around=250, events=20)
    assert "20 of 500 events" in near and "*240 events left out*" in near


def test_many_workers_are_a_list() -> None:
    rows = [(n, "read", "x", {"result": n, "enabled": [0]}) for n in range(12)]
    text = markdown(Subject(make(rows, workers=tuple(f"w[{n}]" for n in range(12)))))
    assert "| `w[0]` |" not in text
    assert "- 11 w[11]: `read x = 11`" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "`plain`"), ("a`b", "`` a`b ``"), ("`", "`` ` ``"), ("a``b", "``` a``b ```"),
        ("", "` `"), ("x\ny", r"`x\ny`"),
    ],
)  # fmt: skip
def test_code_spans(text: str, expected: str) -> None:
    assert code(text) == expected


def test_pipes_in_cells() -> None:
    assert code("a|b", cell=True) == r"`a\|b`"
    assert code("a\\|b", cell=True) == "<code>a&#92;&#124;b</code>"
    assert code("a\\b", cell=True) == r"`a\b`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transfer[0] waits", "transfer[0] waits"),
        ("snake_case stays", "snake_case stays"),
        ("_not_ emphasis", r"\_not\_ emphasis"),
        ("*bold* <b> ~x~ !", r"\*bold\* \<b> \~x\~ !"),
        ("[a](b)", r"[a\](b)"),
        ("> quote -> x", r"\> quote -> x"),
        ("![a](b)", r"\![a\](b)"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("12. item", "1&#50;. item"),
        ("@octocat *hello*", r"`@octocat` \*hello\*"),
        ("see #12, and Account#1.balance.", "see `#12`, and `Account#1.balance`."),
        ("(https://example.org)", "`(https://example.org`)"),
    ],
)  # fmt: skip
def test_running_text_is_no_markdown(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fenced("```\nx\n````", "json") == "`````json\n```\nx\n````\n`````"


DIAGRAM_LINE = re.compile(
    r"    (participant [wo]\d+ as \S.*|Note over w\d+: \S.*|w\d+(->>|-->>|-x)[wo]\d+: \S.*)"
)
DIAGRAM_TEXT = re.compile(r"(?:[A-Za-z0-9 .,_=+/()!?'\u00c0-\u024f-]|#\d+;)+")


def diagram_holds(text: str) -> None:
    """The part of Mermaid's grammar that a diagram keeps to; nothing in its texts is syntax."""
    lines = text.split("\n")
    assert lines[0] == "sequenceDiagram" and lines[-1] == ""
    declared: set[str] = set()
    for line in lines[1:-1]:
        assert DIAGRAM_LINE.fullmatch(line), line
        if line.startswith("    participant"):
            _, name, _, label = line.split(maxsplit=3)
            declared.add(name)
        else:
            head, label = line.split(": ", 1)
            used = re.findall(r"[wo]\d+", head.removeprefix("    Note over"))
            assert set(used) <= declared, line
        assert DIAGRAM_TEXT.fullmatch(label), label


def test_diagrams_keep_to_the_grammar(library: list[tuple[str, Trace]]) -> None:
    for _, trace in library:
        line = timeline(trace, [range(min(60, len(trace.events)))])
        diagram_holds(mermaid(trace, line))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(texts=st.lists(NASTY, min_size=3, max_size=3))
def test_diagrams_of_strangers_keep_to_the_grammar(texts: list[str]) -> None:
    trace = nasty(texts)
    diagram_holds(mermaid(trace, timeline(trace)))


def test_quoted_text_can_be_read_back() -> None:
    text = 'a;b#c:d [0] "q" %% -->> end'
    back = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), quoted(text))
    assert back == text


# --- attachments ---------------------------------------------------------------------------------
def test_a_small_trace_is_folded_in_and_replays(tmp_path: Path) -> None:
    trace = recorded("deadlock_ab_ba")
    text = attachment(Subject(trace, path="somewhere/else.json"))
    folded = re.search(
        r"<details><summary>.*?</summary>\n\n```json\n(.*?)\n```\n\n</details>", text, re.DOTALL
    )
    assert folded is not None
    path = tmp_path / "trace.json"
    path.write_text(folded[1], encoding="utf-8")
    again = tracelock.load_trace(path)
    assert again == trace
    assert tracelock.replay(again).reproduced
    assert "tracelock replay trace.json" in text and "somewhere" not in text


def test_a_trace_with_fences_in_it_is_folded_in_whole() -> None:
    trace = make([(0, "write", "x", {"value": "```\n</details>", "enabled": [1]})])
    text = attachment(Subject(trace))
    folded = re.search(r"^(`{4,})json\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    assert folded is not None
    assert tracelock.load_trace_text(folded[2], "x") == trace


def test_a_large_trace_is_not_folded_in() -> None:
    rows = [(n % 2, "read", "x", {"result": n, "enabled": [0, 1]}) for n in range(1_000)]
    text = attachment(Subject(make(rows), path="big.json"))
    assert "<details>" not in text
    assert "too large to be folded in here: attach the file `big.json`" in text
    assert len(text) < LIMIT


# --- Chrome trace, ShiViz ------------------------------------------------------------------------
def check_chrome(trace: Trace) -> dict[str, Any]:
    """The rules of the Trace Event Format that a viewer depends on."""
    data: dict[str, Any] = json.loads(tracelock.render_report(trace, "chrome"))
    open_: dict[int, str] = {}
    slices: dict[int, list[tuple[float, float]]] = {}
    flows: dict[int, list[str]] = {}
    for one in data["traceEvents"]:
        phase = one["ph"]
        if phase == "M":
            continue
        assert isinstance(one["ts"], int | float) and one["ts"] >= 0 and one["pid"] == 1
        if phase == "X":
            assert one["dur"] >= 0
            slices.setdefault(one["tid"], []).append((one["ts"], one["ts"] + one["dur"]))
        elif phase == "b":
            assert one["id"] not in open_
            open_[one["id"]] = one["name"]
        elif phase == "e":
            assert open_.pop(one["id"]) == one["name"]
        elif phase in ("s", "f"):
            flows.setdefault(one["id"], []).append(phase)
        else:
            assert phase == "C" and isinstance(one["args"]["value"], int | float)
    assert not open_
    assert all(phases == ["s", "f"] for phases in flows.values())
    for own in slices.values():
        own.sort()
        for (_, end), (start, _) in pairwise(own):
            assert start >= end - 0.002  # rounded to a nanosecond
    return data


def test_chrome_traces_are_what_viewers_read(library: list[tuple[str, Trace]]) -> None:
    for _, trace in library:
        data = check_chrome(trace)
        own = [one for one in data["traceEvents"] if one["ph"] == "X" and "event" in one["args"]]
        assert [one["args"]["event"] for one in own] == list(range(len(trace.events)))
        assert [one["tid"] - 1 for one in own] == list(trace.events.workers)


def test_a_free_run_keeps_its_times() -> None:
    scenario = tracelock.load_scenario(ROOT / "scenarios" / "locked_counter.yaml")
    trace = tracelock.run(scenario, backend="threading")
    data = check_chrome(trace)
    own = [one for one in data["traceEvents"] if one["ph"] == "X" and "event" in one["args"]]
    assert [one["ts"] for one in own] == [round(t / 1_000, 3) for t in trace.events.times]


def test_chrome_says_who_holds_what() -> None:
    data = check_chrome(recorded("deadlock_ab_ba"))
    held = [one["name"] for one in data["traceEvents"] if one["ph"] == "b"]
    assert held == ["account[0] held by transfer[0]", "account[1] held by transfer[1]"]
    waits = [one["name"] for one in data["traceEvents"] if one.get("cat") == "blocked"]
    assert waits == [
        "waits for account[1] (held by transfer[1])", "waits for account[0] (held by transfer[0])",
    ]  # fmt: skip
    assert data["otherData"]["verdict"] == "deadlock"


def test_shiviz_logs_are_what_its_parser_reads(library: list[tuple[str, Trace]]) -> None:
    from tracelock.analysis.derived.edges import observed_edges
    from tracelock.analysis.derived.steps import Steps

    for name, trace in library:
        text = tracelock.render_report(trace, "shiviz")
        first, second, log = text.split("\n", 2)
        assert second == ""
        # its named groups are JavaScript's; . and \S are the same here
        parser = re.compile(first.replace("(?<", "(?P<"))
        found = list(parser.finditer(log))
        assert "".join(match[0] + "\n" for match in found) == log, name
        assert len(found) == len(trace.events)
        clocks = [json.loads(match["clock"]) for match in found]
        hosts = [match["host"] for match in found]
        counts: dict[str, int] = {}
        for clock, host in zip(clocks, hosts, strict=True):
            counts[host] = counts.get(host, 0) + 1
            assert clock[host] == counts[host], name  # from 1, by one
            assert all(0 < n <= counts.get(other, 0) for other, n in clock.items()), name
        for source, dest, _ in observed_edges(Steps(trace)):
            assert all(clocks[dest].get(host, 0) >= n for host, n in clocks[source].items()), name


def test_hosts_have_no_blanks_and_differ() -> None:
    rows = [(n, "checkpoint", None, {"enabled": []}) for n in range(3)]
    text = tracelock.render_report(make(rows, workers=("a b", "a_b", "{x}")), "shiviz")
    hosts = [line.split(" ")[0] for line in text.split("\n")[3::2]]
    assert hosts == ["a_b", "a_b_", "_x_"]


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.chdir(tmp_path)
    recorded("deadlock_ab_ba").save(tmp_path / "t.json")
    return shell_of(capsys)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("r.html", "<!doctype html>"), ("r.md", "## deadlock"), ("r.json", '{"displayTimeUnit"'),
        ("r.shiviz", "(?<event>"), ("r.txt", "scenario:"), ("r.json.gz", '{"displayTimeUnit"'),
    ],
)  # fmt: skip
def test_the_form_is_the_files_ending(shell: Shell, tmp_path: Path, name: str, start: str) -> None:
    status, out, err = shell("report", "t.json", "-o", name)
    assert (status, out) == (0, "")
    assert err.startswith(f"{name}: ")
    content = (tmp_path / name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    assert text.startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["t.json", name])


@pytest.mark.parametrize("form", FORMS)
def test_to_standard_output(shell: Shell, form: str) -> None:
    status, out, err = shell("report", "t.json", "--as", form, "-o", "-")
    assert (status, err) == (0, "")
    assert out.rstrip("\n") and (status, out) == shell("report", "t.json", "--as", form)[:2]


def test_a_twin_that_is_given_or_found(shell: Shell, tmp_path: Path) -> None:
    status, found, _ = shell("report", "t.json", "--as", "html", "--find-twin")
    assert status == 0
    assert "The run that passes" in found
    small = tracelock.shrink(recorded("deadlock_ab_ba"), confirm=0)
    small.trace_of(small.twin.passing).save(tmp_path / "twin.json")  # type: ignore[union-attr]
    assert shell("report", "t.json", "--as", "html", "--twin", "twin.json")[1] == found
    here = shell("report", str(tmp_path / "t.json"), "--as", "markdown")[1]
    assert "tracelock replay t.json\n" in here and str(tmp_path) not in here
    both = shell("attach", "t.json", "--twin", "twin.json")[1]
    assert "### The same, where it passes" in both
    assert "### The same" not in shell("attach", "t.json")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.json"], "where to?"),
        (["t.json", "-o", "-"], "standard output has no name to go by"),
        (["t.json", "-o", "x.pdf"], "what x.pdf is to be is not clear"),
        (["t.json", "-o", "t.json"], "is what this command reads"),
        (["t.json", "-o", "no/such/x.html"], "cannot write no/such/x.html"),
        (["none.json", "-o", "x.html"], "none.json"),
        (["t.json", "-o", "x.html", "--around", "2"], "there is no event 2 in 2 events"),
        (["t.json", "-o", "x.html", "--twin", "other.json"], "is of another scenario"),
        (["passed.json", "-o", "x.html", "--find-twin"], "there is no failure to avoid"),
        (["c.json", "-o", "x.md"], "a comparison is rendered as html"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    shell: Shell, tmp_path: Path, arguments: list[str], message: str
) -> None:
    recorded("unlocked_counter").save(tmp_path / "other.json")
    make([(0, "checkpoint", None, {})]).save(tmp_path / "passed.json")
    (tmp_path / "c.json").write_text('{"format": "tracelock-comparison/1"}')
    before = {path.name for path in tmp_path.iterdir()}
    assert message in refused(shell, "report", *arguments)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["c.json", "c.json.gz"])
def test_a_comparison_goes_to_its_own_page(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = {"format": "tracelock-comparison/1", "name": "x", "rows": [1] * 3_000}
    text = json.dumps(data).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    given: list[Any] = []
    module = types.ModuleType("tracelock.report.comparison.page")
    module.comparison_html = lambda one: given.append(one) or "<p>it"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tracelock.report.comparison.page", module)
    assert shell("report", name, "-o", "c.html")[0] == 0
    assert (tmp_path / "c.html").read_text() == "<p>it"
    assert given == [data]
    (tmp_path / name).write_bytes(text[:-5])
    assert shell("report", name, "-o", "c.html")[0] == 2


def test_the_command_line_knows_all_forms() -> None:
    from tracelock.cli.options import REPORTS

    assert tuple(FORMS) == REPORTS
    for form, endings in FORMS.items():
        assert all(form_of(f"x{ending.upper()}") == form for ending in endings)
    with pytest.raises(UsageError, match="unknown form"):
        tracelock.render_report(make([]), "pdf")
    with pytest.raises(UsageError, match="no event 0"):
        tracelock.render_report(make([]), around=0)


def test_runs_without_events_in_every_form() -> None:
    for form in FORMS:
        assert tracelock.render_report(make([]), form)
    assert isinstance(attachment(Subject(make([]))), str)


def test_the_assets_are_in_the_package() -> None:
    from importlib.resources import files

    assets = files("tracelock.report").joinpath("assets").iterdir()
    checked = [one for one in assets if one.name.endswith((".css", ".js"))]
    assert {"report.css", "report.js", "panes.css", "panes.js"} <= {one.name for one in checked}
    for one in checked:
        content = one.read_text(encoding="utf-8")
        assert "</s" not in content  # it stands in a style or script element as it is
        assert content.isascii()


def test_a_value_in_a_template_is_text_unless_it_is_marked() -> None:
    from jinja2 import UndefinedError

    from tracelock.report.templates import fill, markup

    page = {"style": markup("a>b"), "script": "a<b"}
    with pytest.raises(UndefinedError):  # a name that nobody gives is an error, not a gap
        fill("report.html", **page)
    drawn = fill(
        "costs.svg", style=markup("a>b"), name="<b>\x1b", alternative='"&', width=1, height=1,
        top=0, left=0, thickness=1, decades=[], groups=[],
    )  # fmt: skip
    assert "<style>a>b</style>" in drawn and "What &lt;b&gt;\\x1b costs" in drawn
    assert "&quot;&amp;" in drawn


def test_a_file_is_found_below_the_folder_of_the_project(tmp_path: Path) -> None:
    from tracelock.report.sources import sources_below

    trace = python_trace(SOURCE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "bank.py").write_text(SOURCE)
    assert sources_below(trace, str(tmp_path)) == {}, "the name alone does not say where it lies"
    trace.extra["files"] = {"bank.py": "src/bank.py"}
    assert sources_below(trace, str(tmp_path)) == {"bank.py": SOURCE}
    trace.extra["files"] = {"bank.py": "../src/bank.py"}
    (tmp_path / "inner").mkdir()
    assert sources_below(trace, str(tmp_path / "inner")) == {}, "no file outside the folder is read"


def test_paths_are_kept_below_the_project_alone(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert path_in_project(str(tmp_path / "tests" / "test_a.py"), root) == "tests/test_a.py"
    assert path_in_project(str(tmp_path.parent / "other.py"), root) is None
    assert path_in_project("/home/somebody/x.py", root) is None
