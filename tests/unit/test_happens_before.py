"""Vector clocks against reachability; each kind of edge; must edges against other schedules."""

from __future__ import annotations

from collections import Counter
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.tracing import trace_of
from tests.oracles.generate import THEMES, generate
from tracelock.analysis.derived.edges import Edge, observed_edges
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.happens_before import Order
from tracelock.analysis.derived.must import must_edges
from tracelock.analysis.derived.objects import KINDS, by_kind
from tracelock.analysis.derived.state import ObjectState
from tracelock.analysis.derived.steps import Steps
from tracelock.engine.limits import RunLimits
from tracelock.engine.recording import record_log
from tracelock.explore.running import Runner
from tracelock.scenario.language.objects import OBJECTS as DECLARABLE
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.simple import RandomScheduler
from tracelock.session import rules_of
from tracelock.trace import Trace


# --- clocks ----------------------------------------------------------------------------------
@st.composite
def graphs(draw):
    size = draw(st.integers(1, 24))
    workers = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    pairs = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))))
    return workers, [Edge(a, b, "") for a, b in pairs if a < b]


def reachable(workers, edges):
    """All pairs (a, b), a before b, by brute force (Warshall)."""
    n = len(workers)
    before = [[False] * n for _ in range(n)]
    for a, b, _ in edges:
        before[a][b] = True
    for a in range(n):
        for b in range(a + 1, n):
            if workers[a] == workers[b]:
                before[a][b] = True
    for k, a, b in product(range(n), repeat=3):
        before[a][b] = before[a][b] or (before[a][k] and before[k][b])
    return before


@settings(derandomize=True, deadline=None, max_examples=200)
@given(graphs())
def test_clocks_are_reachability(graph):
    workers, edges = graph
    counters = [count(1) for _ in range(4)]
    order = Order(workers, [next(counters[worker]) for worker in workers], edges, 4)
    expected = reachable(workers, edges)
    for a, b in product(range(len(workers)), repeat=2):
        assert order.before(a, b) == (a != b and expected[a][b])
        assert order.concurrent(a, b) == (a != b and not expected[a][b] and not expected[b][a])


# --- edges -----------------------------------------------------------------------------------
OBJECTS = {
    "m": "lock", "c": {"type": "condition", "lock": "m"}, "e": "event", "q": "queue",
    "one": {"type": "queue", "maxsize": 1}, "lifo": {"type": "queue", "order": "lifo"},
    "s": {"type": "semaphore", "value": 0}, "two": {"type": "semaphore", "value": 2},
    "mutex": "semaphore", "b": {"type": "barrier", "parties": 2},
}  # fmt: skip

LOCK = """
    a acquire m
    a release m
    b acquire m
    b release m
"""
WAITED = """
    a acquire m
    a wait c
    b acquire m
    b notify c -> [0]
    b release m
    a wake c
    a release m
"""
BARRIER = """
    a wait b
    b wait b -> true
    b read y -> 0
    a wake b
"""
RETURNED = """
    a acquire mutex
    b release mutex
    c acquire mutex
"""
EDGES = [
    # the trace, the observed edges, the must edges
    (LOCK, {(1, 2)}, set()),
    (LOCK.replace(" m", " mutex"), {(1, 2)}, set()),
    ("a acquire m\nb acquire m timeout=0 -> false\na release m", set(), set()),
    (WAITED, {(1, 2), (3, 5), (4, 5)}, {(3, 5)}),
    (WAITED.replace("wake c", "wake c -> false").replace("[0]", "[]"), {(1, 2), (4, 5)}, set()),
    ("a spawn b\nb read x -> 0\na join b\na read x -> 0", {(0, 1), (1, 2)}, {(0, 1), (1, 2)}),
    ("a spawn b\nb read x -> 0\na join b -> false", {(0, 1)}, {(0, 1)}),
    ("a set e\nb wait e -> true", {(0, 1)}, {(0, 1)}),
    ("a wait e\nb set e\na wake e", {(1, 2)}, {(1, 2)}),
    ("a wait e timeout=1\na wake e timeout=1 -> false\nb set e", set(), set()),
    # a second one that sets it: the wait may be without the first
    ("a set e\nb set e\nc wait e -> true", {(0, 2)}, set()),
    ("a wait e\nb set e\nb clear e\na wake e", {(1, 3)}, {(1, 3)}),
    ("a put q = 1\nb get q -> 1", {(0, 1)}, {(0, 1)}),
    # two equal items: each may have been the one
    ("a put q = 1\nb put q = 1\nc get q -> 1", {(0, 2)}, set()),
    ("a put q = 1\na put q = 2\nb get q -> 1", {(0, 2)}, {(0, 2)}),
    ("a put lifo = 1\nc put lifo = 2\nb get lifo -> 2", {(1, 2)}, {(1, 2)}),
    ("a put one = 1\nb get one -> 1\na put one = 2", {(0, 1), (1, 2)}, {(0, 1), (1, 2)}),
    ('a get q timeout=0 -> {"error":"Empty"}\nb put q = 1', set(), set()),
    ("a release s\nb acquire s", {(0, 1)}, {(0, 1)}),
    # two permits come from two workers: the second acquire needs both, the first either
    (
        "a release s\nb release s\nc acquire s\nc acquire s",
        {(0, 2), (1, 3)}, {(0, 3), (1, 3)},
    ),
    ("a release s n=2\nb acquire s\nb acquire s", {(0, 1), (0, 2)}, {(0, 1), (0, 2)}),
    ("a acquire two\nb acquire two\na release two\nc acquire two", {(2, 3)}, set()),
    (RETURNED, {(1, 2)}, {(1, 2)}),
    (BARRIER, {(0, 2), (1, 3)}, {(0, 2), (1, 3)}),
    ("a fetch_add x = 1 -> 0\nb read x -> 1", {(0, 1)}, {(0, 1)}),
    ("a write x = 1\nb read x -> 1", set(), set()),
    ('a atomic . = {"x":1} -> {"x":0}\nb atomic . = {"x":2} -> {"x":1}', {(0, 1)}, {(0, 1)}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "observed", "must"), EDGES)
def test_edges(text, observed, must):
    steps = Steps(trace_of(text, OBJECTS))
    assert {edge[:2] for edge in observed_edges(steps)} == observed
    assert {edge[:2] for edge in must_edges(steps)} == must


def test_a_variable_changed_indivisibly_orders_unless_left_out():
    facts = Facts(trace_of("a fetch_add x = 1 -> 0\nb read x -> 1"))
    assert facts.must.before(0, 1)
    assert not facts.definite.before(0, 1)


def test_objects_that_nothing_declares_are_told_by_their_use():
    steps = Steps(
        trace_of("""
        a acquire lock
        a acquire pool
        b acquire pool
        a release lock
        a wait flag
        b set flag
        a wake flag
        a acquire news
        a notify news -> []
        b put line = 1
    """)
    )
    assert {name: thing.type for name, thing in steps.objects.items()} == {
        "lock": "lock", "pool": "semaphore", "flag": "event", "news": "condition", "line": "queue",
    }  # fmt: skip


def test_a_condition_of_a_lock_that_nothing_declares_gives_it_up():
    facts = Facts(
        trace_of("""
        a acquire guard
        a wait ready
        b acquire guard
        b wait ready
        c acquire guard
        c notify ready -> [0,1]
        c release guard
        a wake ready
        a release guard
        b wake ready
    """)
    )
    objects = facts.steps.objects
    assert (objects["guard"].type, objects["ready"].type) == ("lock", "condition")
    assert objects["ready"].lock == "guard"
    state = ObjectState(facts.steps)
    held = []
    for seq in range(len(facts.steps) + 1):
        state.advance(seq)
        held.append("".join("abc"[worker] for worker in state.holders("guard")))
    assert held == ["", "a", "", "b", "", "c", "c", "", "a", "", "b"]
    assert state.waiting == {"ready": []}


def test_a_table_by_kind_lists_every_kind_of_a_scenario():
    assert set(KINDS) == set(DECLARABLE)
    with pytest.raises(LookupError, match="queue"):
        by_kind(**dict.fromkeys(KINDS[:-1]))
    with pytest.raises(LookupError, match="latch"):
        by_kind(**dict.fromkeys([*KINDS, "latch"]))


def test_a_declaration_of_an_unknown_kind_counts_for_nothing():
    trace = trace_of("a acquire door\nb put door = 1")
    trace.scenario["objects"] = {"door": "latch", "c": {"type": "condition", "lock": "away"}}
    objects = Steps(trace).objects
    assert (objects["door"].type, objects["door"].declared) == ("queue", False)
    assert objects["away"].type == "lock"


# --- other schedules -------------------------------------------------------------------------
#: Kinds of edges that are proof. The others rest on values, which another schedule may change.
PROOF = {"set", "barrier", "room", "notify", "spawn", "join", "item"}


def passing_traces(document, wanted):
    scenario = scenario_from_data(document)
    runner = Runner(Program(scenario), rules_of("threading"), limits=RunLimits(steps=500))
    layout = runner.program.layout
    names = [worker.name for worker in layout.workers]
    found: list[Trace] = []

    def done(controller):
        found.append(Trace(
            document, "threading", "controlled", None, "virtual", {}, names,
            record_log(layout, controller.log), runner.verdict(controller),
        ))  # fmt: skip
        return len(found) >= wanted

    runner.run(RandomScheduler(5), done)
    return [trace for trace in found if trace.verdict.kind == "passed"]


def places(steps):
    """Each event by what it is, so that it can be found in another schedule."""
    seen: Counter = Counter()
    where = {}
    for seq, shape in enumerate(steps.shapes):
        step = steps.events.table[shape]
        key = (steps.workers[seq], step.op, step.target, step.at)
        where[(*key, seen[key], repr(steps.results[seq]))] = seq
        seen[key] += 1
    return where


@pytest.mark.parametrize("theme", ["events", "barriers", "queues", "conditions", "spawning"])
def test_no_schedule_turns_a_must_edge_round(theme):
    assert theme in THEMES
    checked = 0
    for seed in range(25):
        all_steps = [Steps(trace) for trace in passing_traces(generate(seed, theme), 25)]
        where = [places(steps) for steps in all_steps]
        for steps, here in zip(all_steps[:5], where[:5], strict=True):
            names = {seq: place for place, seq in here.items()}
            for source, dest, why in must_edges(steps):
                if why not in PROOF:
                    continue
                for there in where:
                    a, b = there.get(names[source]), there.get(names[dest])
                    if a is not None and b is not None:
                        assert a < b, (theme, seed, why, names[source], names[dest])
                        checked += 1
    assert checked > 40
