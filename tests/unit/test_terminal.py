"""The timeline of a trace, and how it is drawn in terminals of several widths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tracelock.report.terminal import Style, header_lines, table, verdict_block
from tracelock.report.timeline import selection, timeline
from tracelock.report.wording import clean, describe, said_of, shown
from tracelock.trace import MISSING, Blocked, Event, Events, Trace, Verdict, story

PATH = "workers.transfer.steps[0]"


def make(
    rows: list[tuple[Any, ...]],
    verdict: Verdict | None = None,
    *,
    workers: tuple[str, ...] = ("transfer[0]", "transfer[1]"),
    backend: str = "threading",
    clock: str = "virtual",
    objects: dict[str, Any] | None = None,
) -> Trace:
    """A trace from (worker, op, target, keys...); ``enabled`` in the keys makes it controlled."""
    events = Events()
    for worker, op, target, keys in rows:
        shape = events.shape(
            op, target, keys.get("at", PATH), keys.get("timeout", MISSING), keys.get("n", MISSING)
        )
        events.append(
            worker, shape, 0, keys.get("value", MISSING), keys.get("result", MISSING),
            keys.get("expect", MISSING), keys.get("waited", -1), keys.get("enabled"),
        )  # fmt: skip
    mode = "controlled" if clock != "real" else "recorded"
    return Trace(
        {"name": "t", "objects": objects or {}}, backend, mode, None, clock, {}, list(workers),
        events, verdict or Verdict("passed"),
    )  # fmt: skip


def drawn(trace: Trace, width: int = 80, *, unicode: bool = True) -> str:
    return "\n".join(line.plain for line in table(timeline(trace), Style(width, unicode)))


def reasons(trace: Trace) -> list[str | None]:
    return [row.switch.text if row.switch else None for row in timeline(trace).rows]


def kinds(trace: Trace) -> list[str | None]:
    return [row.switch.kind if row.switch else None for row in timeline(trace).rows]


DEADLOCK = make(
    [
        (1, "acquire", "account[1]", {"result": True, "enabled": [0]}),
        (0, "acquire", "account[0]", {"result": True, "enabled": [1]}),
    ],
    Verdict(
        "deadlock", None, "", {"balance": [100, 100]},
        [
            Blocked("transfer[0]", "acquire", "account[1]", PATH + ".do[0]", ["transfer[1]"]),
            Blocked("transfer[1]", "acquire", "account[0]", PATH + ".do[0]", ["transfer[0]"]),
        ],
    ),
)  # fmt: skip


def test_a_deadlock_in_120_columns() -> None:
    assert drawn(DEADLOCK, 120) == (
        "  #  transfer[0]                                   transfer[1]"
        "                                   step\n" + "─" * 105 + "\n"
        "  0                                                acquire account[1]"
        "                            steps[0]\n"
        "  1  acquire account[0]                            "
        "┄ preempted (could have gone on)              steps[0]\n"
        "end  ┄ waits for account[1] (held by transfer[1])  "
        "┄ waits for account[0] (held by transfer[0])"
    )


def test_a_deadlock_in_60_columns() -> None:
    assert drawn(DEADLOCK, 60) == (
        "  #  transfer[0]                  transfer[1]\n" + "─" * 60 + "\n"
        "  0                               acquire account[1]\n"
        "  1  acquire account[0]           ┄ preempted\n"
        "end  ┄ waits for account[1]       ┄ waits for account[0]\n"
        "     (held by transfer[1])        (held by transfer[0])"
    )


def test_a_deadlock_in_ascii() -> None:
    text = drawn(DEADLOCK, 60, unicode=False)
    assert text.isascii()
    assert "- preempted" in text


def test_too_narrow_for_columns_is_a_list() -> None:
    workers = ("producer[0]", "producer[1]", "consumer[0]", "consumer[1]")
    trace = make(
        [
            (0, "put", "buffer", {"value": 1, "result": True, "enabled": [1, 2]}),
            (2, "get", "buffer", {"result": 1, "enabled": [0, 1]}),
            (3, "notify", "news", {"result": [0, 1], "enabled": [0]}),
        ],
        workers=workers,
    )
    assert drawn(trace, 60) == (
        "  0  producer[0]  put buffer = 1\n"
        "     ┄ producer[0]: preempted (could have gone on)\n"
        "  1  consumer[0]  get buffer = 1\n"
        "     ┄ consumer[0]: ended\n"
        "  2  consumer[1]  notify news: wakes producer[0],\n"
        "                    producer[1]"
    )
    assert drawn(trace, 80).startswith("  #  producer[0]")


def test_what_is_left_out_is_said() -> None:
    trace = make([(0, "checkpoint", None, {}) for _ in range(300)], clock="real")
    whole = timeline(trace, selection(300))
    assert [row.seq for row in whole.rows] == [*range(100), *range(200, 300)]
    text = "\n".join(line.plain for line in table(whole, Style(60)))
    assert "  ⋮  100 events left out" in text
    near = timeline(trace, selection(300, around=3))
    assert [row.seq for row in near.rows] == list(range(14))
    assert list(table(near, Style(60)))[-1].plain == "  ⋮  286 events left out"
    assert list(selection(200)) == [range(200)]


def test_why_a_controlled_run_switched() -> None:
    trace = make(
        [
            (0, "acquire", "guard", {"result": True, "enabled": [1]}),
            (1, "read", "x", {"result": 0, "enabled": [0]}),
            (0, "release", "guard", {"enabled": []}),
            (1, "acquire", "guard", {"result": True, "enabled": []}),
            (0, "sleep", None, {"value": 1, "enabled": [1]}),
            (1, "release", "guard", {"enabled": []}),
            (0, "acquire", "guard", {"result": True, "enabled": []}),
        ]
    )
    assert reasons(trace) == [
        None,
        "preempted (could have gone on)",
        "blocked: guard is held by transfer[0]",
        "sleeps",
        "could have gone on: the timer of transfer[0] fires",
        "blocked: guard is held by transfer[1]",
        "ended",
    ]
    assert timeline(trace).switches == 6
    assert timeline(trace).preemptions == 2


def test_why_it_switched_where_a_worker_waits() -> None:
    trace = make(
        [
            (0, "wait", "news", {"enabled": [1]}),
            (1, "notify", "news", {"result": [0], "enabled": []}),
            (0, "wake", "news", {"result": True, "enabled": [1]}),
            (1, "join", "transfer[0]", {"result": True, "enabled": []}),
        ]
    )
    assert reasons(trace) == [
        None,
        "waits at news",
        "preempted (could have gone on)",
        "ended",
    ]


def test_a_condition_gives_up_the_lock_it_shares() -> None:
    objects = {"guard": "lock", "news": {"type": "condition", "lock": "guard"}}
    trace = make(
        [
            (0, "acquire", "guard", {"result": True, "enabled": [1]}),
            (0, "wait", "news", {"enabled": [1]}),
            (1, "acquire", "guard", {"result": True, "enabled": []}),
            (1, "release", "guard", {"enabled": []}),
        ],
        Verdict("deadlock", blocked=[Blocked("transfer[0]", "wait", "news", PATH)]),
        objects=objects,
    )
    assert reasons(trace)[2] == "waits at news"
    assert [end.text for end in timeline(trace).ends] == ["waits at news", "ended"]


def test_why_a_recorded_run_switched_comes_from_its_events() -> None:
    trace = make(
        [
            (0, "acquire", "guard", {"result": True}),
            (1, "read", "x", {"result": 0}),
            (0, "write", "x", {"value": 1}),
            (0, "release", "guard", {}),
            (1, "acquire", "guard", {"result": True, "waited": 900}),
            (1, "release", "guard", {}),
        ],
        clock="real",
    )
    assert kinds(trace) == [None, "system", "blocked", None, "ended", None]
    assert reasons(trace)[2] == "blocked: guard is held by transfer[0]"
    assert timeline(trace).preemptions is None
    assert timeline(trace).switches == 3


def test_semaphores_are_taken_when_no_permit_is_left() -> None:
    objects = {"slots": {"type": "semaphore", "value": 2}}
    rows: list[tuple[Any, ...]] = [
        (0, "acquire", "slots", {"result": True}),
        (1, "acquire", "slots", {"result": True}),
        (0, "acquire", "slots", {"result": True}),
    ]
    assert kinds(make(rows, clock="real", objects=objects)) == [None, "system", "ended"]
    rows = [
        (0, "acquire", "slots", {"result": True}),
        (0, "acquire", "slots", {"result": True}),
        (1, "read", "x", {"result": 0}),
        (0, "release", "slots", {"n": 2}),
        (1, "acquire", "slots", {"result": True}),
    ]
    text = reasons(make(rows, clock="real", objects=objects))[3]
    assert text == "blocked: slots is held by transfer[0]"


def test_queues_are_empty_or_full() -> None:
    objects = {"items": {"type": "queue", "maxsize": 1}}
    trace = make(
        [
            (0, "put", "items", {"value": 1, "result": True, "enabled": [1]}),
            (1, "get", "items", {"result": 1, "enabled": []}),
            (0, "put", "items", {"value": 2, "result": True, "enabled": []}),
            (1, "get", "items", {"result": 2, "enabled": []}),
        ],
        objects=objects,
    )
    assert reasons(trace)[1:] == [
        "blocked: items is full",
        "blocked: items is empty",
        "ended",
    ]


def test_tasks_suspend() -> None:
    trace = make(
        [
            (0, "checkpoint", None, {}),
            (1, "read", "x", {"result": 0, "enabled": [0]}),
            (1, "sleep", None, {"value": 0, "enabled": [0]}),
            (0, "read", "x", {"result": 0, "enabled": [1]}),
            (1, "read", "x", {"result": 0, "enabled": []}),
        ],
        backend="asyncio",
    )
    assert reasons(trace) == [
        None, "suspended at checkpoint", None, "suspended at sleep", "ended",
    ]  # fmt: skip


def test_an_early_timer_is_named() -> None:
    trace = make(
        [
            (0, "read", "x", {"result": 0, "enabled": [1]}),
            (1, "acquire", "guard", {"timeout": 1, "result": False, "enabled": [0]}),
            (0, "read", "x", {"result": 0, "enabled": []}),
        ],
        clock="adversarial",
    )
    assert kinds(trace) == [None, "timer", "ended"]
    assert timeline(trace).rows[1].timer
    assert timeline(trace).rows[1].text == "acquire guard: not got, timed out"


def test_the_last_row_says_who_failed() -> None:
    verdict = Verdict("failed", "assert", "x == 1 is false", {}, at=PATH, worker=0)
    trace = make([(0, "read", "x", {"result": 0, "enabled": [1]})], verdict)
    assert drawn(trace).splitlines()[-1] == "end  ┄ failed"


@pytest.mark.parametrize(
    ("op", "target", "keys", "text"),
    [
        ("read", "x", {"result": None}, "read x = null"),
        ("write", "x", {"value": "red"}, 'write x = "red"'),
        (
            "compare_exchange",
            "x",
            {"expect": 0, "value": 1, "result": True},
            "compare_exchange x: 0 -> 1, done",
        ),
        (
            "compare_exchange",
            "x",
            {"expect": 0, "value": 1, "result": False},
            "compare_exchange x: 0 -> 1, refused",
        ),
        ("exchange", "x", {"value": 1, "result": 0}, "exchange x = 1, was 0"),
        ("fetch_add", "x", {"value": 2, "result": 0}, "fetch_add x by 2, was 0"),
        (
            "atomic",
            None,
            {"value": {"y": 1}, "result": {"x": 0}},
            "atomic: read x = 0, write y = 1",
        ),
        ("acquire", "a", {"result": True}, "acquire a"),
        ("acquire", "a", {"result": False, "timeout": 0}, "acquire a: not got"),
        ("acquire", "a", {"result": False, "timeout": 0.5}, "acquire a: not got, timed out"),
        ("release", "a", {"result": {"error": "RuntimeError"}}, "release a: raises RuntimeError"),
        ("release", "a", {"n": 2}, "release a 2 times"),
        ("get", "q", {"result": {"error": "Empty"}, "timeout": 1}, "get q: empty, timed out"),
        ("get", "q", {"result": [1, 2]}, "get q = [1, 2]"),
        ("put", "q", {"value": 1, "result": False, "timeout": 0}, "put q: not put"),
        ("sleep", None, {"value": 0.25}, "sleep 0.25 s"),
        ("notify", "c", {"result": []}, "notify c: wakes nobody"),
        ("notify", "c", {"result": [1, 7]}, "notify c: wakes b, 7"),
        (
            "wait",
            "gate",
            {"result": {"error": "BrokenBarrierError"}},
            "wait gate: raises BrokenBarrierError",
        ),
        ("join", "b", {"result": False, "timeout": 1}, "join b: not ended, timed out"),
        ("call", "m:f", {"value": [1, "a"], "result": 3}, 'call m:f(1, "a") = 3'),
        ("request", "a", {}, "request a: queues"),
    ],
)
def test_events_in_words(op: str, target: str | None, keys: dict[str, Any], text: str) -> None:
    event = Event(0, 0, op, target, PATH, 0, **keys)
    assert describe(event, ["a", "b"]) == text


def test_a_verdict_for_a_newcomer() -> None:
    places = {PATH + ".do[0]": "bank.yaml:18"}
    lines = verdict_block(DEADLOCK.verdict, DEADLOCK.workers, "2 events", places)
    assert [line.plain for line in lines] == [
        "deadlock  2 events",
        "  transfer[0] waits for account[1] (held by transfer[1]) "
        "at workers.transfer.steps[0].do[0]  (bank.yaml:18)",
        "  transfer[1] waits for account[0] (held by transfer[0]) "
        "at workers.transfer.steps[0].do[0]  (bank.yaml:18)",
        "  final state: balance = [100, 100]",
    ]
    failed = Verdict("failed", "assert", "no", {}, at=PATH, worker=1)
    assert said_of(failed, ["a", "b"]) == [("b failed: no", PATH, [])]
    ends = [
        Blocked("a", "join", "b", "p"), Blocked("b", "get", "q", "p"),
        Blocked("c", "acquire", "m", "p", ["c"]),
    ]  # fmt: skip
    assert [said.text for said in said_of(Verdict("deadlock", blocked=ends), [])] == [
        "a waits for b to end",
        "b waits for something to get from q",
        "c waits for m (held by itself)",
    ]
    heard = Verdict("deadlock", None, f"{story(ends)}; one thing; another\nof two", {}, ends)
    assert said_of(heard, [])[3:] == [("one thing", None, []), ("another", None, ["of two"])]


def test_header_lines_are_aligned() -> None:
    lines = header_lines([("a", 1), ("longer", "x"), ("none", None)])
    assert [line.plain for line in lines] == ["a:      1", "longer: x"]


def test_nothing_a_terminal_obeys_comes_through() -> None:
    evil = "a\x1b[31m\u202eb\n\x9b"
    assert clean(evil) == r"a\x1b[31m\u202eb\n\x9b"
    trace = make(
        [(0, "write", evil, {"value": evil, "at": evil, "enabled": []})],
        Verdict("failed", "assert", evil, {evil: evil}, at=evil, worker=0),
        workers=(evil, "ok"),
    )
    lines = [*table(timeline(trace), Style(100)), *table(timeline(trace), Style(30))]
    lines += list(verdict_block(trace.verdict, trace.workers, "", {evil: evil}))
    assert all(line.plain.isprintable() for line in lines)
    assert len(shown("x" * 1000)) == 60


NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    names=st.lists(NAMES, min_size=1, max_size=5, unique=True),
    steps=st.lists(st.tuples(st.integers(0, 4), NAMES, NAMES, st.booleans()), max_size=12),
    width=st.integers(20, 130),
    unicode=st.booleans(),
)
def test_no_line_is_wider_than_the_terminal(
    names: list[str], steps: list[tuple[int, str, str, bool]], width: int, unicode: bool
) -> None:
    rows = [
        (worker % len(names), "write", target, {"value": value, "enabled": [0] if more else []})
        for worker, target, value, more in steps
    ]
    trace = make(rows, workers=tuple(names))
    lines = [line.plain for line in table(timeline(trace), Style(width, unicode))]
    assert all(cell_len(line) <= width for line in lines)
    numbered = [line for line in lines if line[:3].strip().isdigit()]
    assert len(numbered) == len(steps)
