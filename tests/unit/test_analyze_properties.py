"""What holds for every trace: orders are what their definition says, and nothing is invented."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.tracing import trace_of
from tracelock.analysis.analyze import analyze
from tracelock.analysis.derived.edges import Edge, observed_edges
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.happens_before import order_of
from tracelock.analysis.derived.must import must_edges
from tracelock.analysis.derived.steps import Steps
from tracelock.analysis.findings import SEVERITIES
from tracelock.analysis.kinds import KINDS
from tracelock.ops import NAMES
from tracelock.trace import MISSING, Blocked, Events, Trace, Verdict, load_trace_text

OBJECTS = {
    "a": "lock", "b": "lock", "r": "rlock", "news": {"type": "condition", "lock": "a"},
    "go": "event", "gate": {"type": "barrier", "parties": 2},
    "s": {"type": "semaphore", "value": 0}, "q": {"type": "queue", "maxsize": 1},
}  # fmt: skip
#: For each op the targets and the results that a trace may have.
_OK = (True, False, MISSING, {"error": "RuntimeError"})
STEPS: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
    "read": (("x", "y[0]", "y[1]"), (0, 1)), "write": (("x", "y[0]", "y[1]"), (MISSING,)),
    "compare_exchange": (("x", "z"), (True, False)), "fetch_add": (("z",), (0, 1)),
    "acquire": (("a", "b", "r", "s", "news", "Lock#1"), _OK),
    "release": (("a", "b", "r", "s", "news", "Lock#1"), (MISSING, {"error": "RuntimeError"})),
    "request": (("a", "b", "q"), (MISSING,)),
    "wait": (("news", "go", "gate", "Event#1"), (MISSING, True, False)),
    "wake": (("news", "go", "gate", "Event#1"), (True, False, {"error": "BrokenBarrierError"})),
    "notify": (("news",), ([], [0], [1, 2], MISSING)), "set": (("go", "Event#1"), (MISSING,)),
    "clear": (("go",), (MISSING,)), "put": (("q",), (True, False)),
    "get": (("q",), (0, 1, {"error": "Empty"})), "sleep": ((".",), (MISSING,)),
    "checkpoint": ((".",), (MISSING,)), "cancelled": ((".",), (MISSING,)),
    "crash": ((".",), (MISSING,)), "spawn": (("w1", "w2"), (MISSING,)),
    "join": (("w0", "w1"), (True, False)), "cancel": (("w0", "w1"), (MISSING,)),
    "timeout": ((".", "news"), (MISSING,)), "call": (("m:f",), (MISSING,)),
    "atomic": ((".",), ({"x": 0}, MISSING)), "exchange": (("z",), (0,)),
    "choose": (("choice", "integers"), (0, 1)),
}  # fmt: skip


def test_every_op_is_tried() -> None:
    assert set(STEPS) == set(NAMES)


@st.composite
def traces(draw: st.DrawFn, most: int = 30) -> Trace:
    """Any sequence of events at all, most of which no program would make."""
    declared = draw(st.booleans())
    controlled = draw(st.booleans())
    events = Events()
    count = draw(st.integers(1, 3))
    for number in range(draw(st.integers(0, most))):
        op = draw(st.sampled_from(sorted(STEPS)))
        targets, results = STEPS[op]
        target = draw(st.sampled_from(targets))
        timeout = draw(st.sampled_from((MISSING, MISSING, 0, 0.5)))
        at = draw(st.sampled_from(("a.py:1", "a.py:2", "workers.w.steps[0]", "s.then[0]")))
        shape = events.shape(op, None if target == "." else target, at, timeout)
        value = {"x": 1} if op == "atomic" else 1 if op in ("write", "put") else MISSING
        events.append(
            draw(st.integers(0, count - 1)), shape, number * 1000, value,
            draw(st.sampled_from(results)),
            waited=draw(st.sampled_from((-1, 0, 1500))),
            enabled=draw(st.lists(st.integers(0, count - 1), max_size=2, unique=True))
            if controlled and draw(st.booleans()) else None,
        )  # fmt: skip
    names = [f"w{i}" for i in range(count)]
    blocked = [
        Blocked(
            draw(st.sampled_from(names)), draw(st.sampled_from(("acquire", "wait", "get", "join"))),
            draw(st.sampled_from(("a", "news", "go", "gate", "s", "q", "w1", "nobody"))), "s",
            draw(st.lists(st.sampled_from(names), max_size=2)),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    kind = draw(st.sampled_from(("passed", "failed", "deadlock", "crashed", "unfinished")))
    failure = draw(st.sampled_from(("assert", "finally", "error"))) if kind == "failed" else None
    worker = draw(st.sampled_from((None, 0))) if kind == "failed" else None
    verdict = Verdict(kind, failure, "x is 1", {"x": 1}, blocked, at="s", worker=worker)
    backend = draw(st.sampled_from(("threading", "asyncio", "trio")))
    mode = "controlled" if controlled else "recorded"
    scenario = {"objects": OBJECTS} if declared else {}
    return Trace(
        scenario, backend, mode, {"name": "random"} if controlled else None,
        "virtual" if controlled else "real", {}, names, events, verdict,
    )  # fmt: skip


@settings(max_examples=amount(80, 250), deadline=None)
@given(traces())
def test_any_trace_is_analysed_and_every_finding_is_sound_in_form(trace: Trace) -> None:
    before = trace.to_text()
    analysis = analyze(trace)
    assert trace.to_text() == before  # it only reads
    assert analyze(load_trace_text(before, "t.json")).to_data() == analysis.to_data()
    ranks = [SEVERITIES.index(one.severity) for one in analysis]
    assert ranks == sorted(ranks)
    for one in analysis:
        assert one.kind in KINDS
        assert one.title and "\n" not in one.title
        assert len(one.explanation) > len(one.title) // 2
        assert len(set(one.events)) == len(one.events)
        assert all(0 <= seq < len(trace.events) for seq in one.events)
        assert len(set(one.workers)) == len(one.workers)
        assert all(0 <= worker < len(trace.workers) for worker in one.workers)
        # whoever made an event of the proof is named among the workers
        if one.kind not in ("failed-check", "worker-error"):
            assert {trace.events[seq].worker for seq in one.events} <= set(one.workers), one
        assert all(target for target in one.targets)
    for use in analysis.locks:
        assert use.wait.count == use.waited <= use.taken
        assert 0 <= use.wait.p50 <= use.wait.p90 <= use.wait.p99 <= use.wait.max
        assert use.held.count <= use.taken


@settings(max_examples=amount(25, 60), deadline=None)
@given(traces(), st.integers(0, 40))
def test_a_trace_that_was_cut_off_is_analysed_too(trace: Trace, at: int) -> None:
    trace.events = trace.events.part(0, at)
    trace.verdict = Verdict("unfinished", message="cut off")
    assert any(one.kind == "unfinished" for one in analyze(trace))


# --- happens-before, by its definition ---------------------------------------------------------
def closure(steps: Steps, edges: list[Edge]) -> set[tuple[int, int]]:
    """Program order and the edges, closed under transitivity: every pair, one step at a time."""
    pairs = {(a, b) for seqs in steps.by_worker for a in seqs for b in seqs if a < b}
    pairs |= {(edge.source, edge.dest) for edge in edges}
    grown = True
    while grown:
        longer = {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs
        grown = bool(longer)
        pairs |= longer
    return pairs


@settings(max_examples=amount(30, 80), deadline=None)
@given(traces(most=14))
def test_happens_before_is_the_transitive_closure(trace: Trace) -> None:
    steps = Steps(trace)
    for edges in (observed_edges(steps), must_edges(steps)):
        order = order_of(steps, edges)
        pairs = closure(steps, edges)
        for a in range(len(steps)):
            for b in range(len(steps)):
                assert order.before(a, b) == ((a, b) in pairs), (a, b, edges)


def test_observed_order_of_a_lock_by_hand() -> None:
    facts = Facts(trace_of("v acquire a\nv release a\nw acquire a\nw release a\nu acquire b"))
    assert facts.observed.before(0, 3)
    assert not facts.observed.before(3, 0)
    assert facts.observed.concurrent(0, 4)


def races_by_definition(trace: Trace) -> set[frozenset[int]]:
    """Pairs on one variable, one a write, without a common lock and in neither order."""
    facts = Facts(trace)
    steps = facts.steps
    pairs = closure(steps, must_edges(steps))
    found = set()
    for b in range(len(steps)):
        for a in range(b):
            kinds = {NAMES[steps.kinds[a]], NAMES[steps.kinds[b]]}
            if (
                steps.targets[a] == steps.targets[b]
                and steps.targets[a] not in steps.atomics
                and steps.workers[a] != steps.workers[b]
                and kinds <= {"read", "write"} and "write" in kinds
                and not facts.locks.at(a) & facts.locks.at(b)
                and (a, b) not in pairs
            ):  # fmt: skip
                found.add(frozenset((a, b)))
    return found


@settings(max_examples=amount(30, 80), deadline=None)
@given(traces(most=20))
def test_a_variable_races_exactly_where_the_definition_says(trace: Trace) -> None:
    from tracelock.analysis.finders.races import races

    trace.backend = "threading"
    trace.events.choices = None
    found = {frozenset(one.events) for one in races(Facts(trace))}
    true = races_by_definition(trace)
    assert found <= true
    names = {trace.events[min(pair)].target for pair in true}
    assert {trace.events[min(pair)].target for pair in found} == names


def test_the_numbers_in_an_explanation_are_events_of_its_proof() -> None:
    text = "v acquire a\nv acquire b\nv release b\nv release a\n" + "\n".join(
        f"w {step}" for step in ("acquire b", "acquire a", "release a", "release b")
    )
    (found,) = [one for one in analyze(trace_of(text, OBJECTS)) if one.kind == "lock-order"]
    assert {int(n) for n in re.findall(r"event (\d+)", found.explanation)} <= set(found.events)
