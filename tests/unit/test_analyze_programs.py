"""Whole programs: what is right (steps come in one order) is not called wrong, its twin is.

Each pair is run with many seeds. The right one never gets an error or a warning; the wrong one,
which differs by a line, gets the finding that names its trouble.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tracing import stuck, trace_of
from tracelock.analysis.analyze import analyze
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import NOTE, WARNING
from tracelock.scenario.loading import scenario_from_data
from tracelock.session import run
from tracelock.trace import Trace, Verdict, load_trace


def traces(workers: dict[str, Any], *, shared: dict[str, Any], **more: Any) -> list[Trace]:
    backend = more.pop("backend", "simulated")
    scenario = scenario_from_data(
        {
            "format": "tracelock-scenario/1", "name": "program", "shared": shared,
            "workers": workers, **more,
        }
    )  # fmt: skip
    return [
        run(scenario, backend=backend, strategy=strategy, seed=seed)
        for seed in range(10) for strategy in ("random", "pct")
    ]  # fmt: skip


def publish(flag_last: bool) -> dict[str, Any]:
    """Data is written, then a flag; the reader spins on the flag and reads the data."""
    writes = [{"write": "data", "value": 42}, {"write": "ready", "value": True}]
    return {
        "writer": {"steps": writes if flag_last else writes[::-1]},
        "reader": {
            "steps": [{"while": "not ready", "do": ["checkpoint"]}, {"read": "data", "into": "got"}]
        },
    }


def double_checked(flag_last: bool) -> dict[str, Any]:
    writes = [{"write": "content", "value": 42}, {"write": "created", "value": True}]
    inner = {"if": "not created", "then": writes if flag_last else writes[::-1]}
    use = {"read": "content", "into": "got"}
    body = [{"if": "not created", "then": [{"with": "guard", "do": [inner]}]}, use]
    return {"user": {"count": 2, "steps": body}}


def dekker(with_turn: bool) -> dict[str, Any]:
    """Each says that it wants to go in and waits while the other does; ``turn`` breaks the tie."""
    inner: list[Any] = ["checkpoint"]
    if with_turn:
        inner = [
            {"if": "turn != index", "then": [
                {"write": "wants[index]", "value": False},
                {"while": "turn != index", "do": ["checkpoint"]},
                {"write": "wants[index]", "value": True},
            ]},
            "checkpoint",
        ]  # fmt: skip
    first: list[Any] = [{"write": "wants[index]", "value": True}]
    return {
        "w": {"count": 2, "steps": [
            *(first if with_turn else []),
            {"while": "wants[1 - index]", "do": inner},
            {"write": "counter", "value": "counter + 1"},
            {"write": "turn", "value": "1 - index"}, {"write": "wants[index]", "value": False},
        ]},
    }  # fmt: skip


def handoff(by_event: bool) -> dict[str, Any]:
    """The result is read when an event says that it is there; or just so."""
    wait = [{"wait": "done"}] if by_event else []
    return {
        "worker": {"steps": [{"write": "result", "value": 1}, {"set": "done"}]},
        "asker": {"steps": [*wait, {"read": "result", "into": "got"}]},
    }


PROGRAMS = {
    "publish": (publish, {"shared": {"data": 0, "ready": False}}, "data-race"),
    "double_checked": (
        double_checked, {"shared": {"created": False, "content": 0}, "objects": {"guard": "lock"}},
        "data-race",
    ),
    "dekker": (
        dekker, {"shared": {"wants": [False, False], "turn": 0, "counter": 0}}, "lost-update",
    ),
    "handoff": (handoff, {"shared": {"result": 0}, "objects": {"done": "event"}}, "data-race"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_right_and_wrong(name: str) -> None:
    make, more, kind = PROGRAMS[name]
    for trace in traces(make(True), **more):
        loud = [(one.kind, one.title) for one in analyze(trace) if one.severity != NOTE]
        assert loud == [], trace.strategy
    wrong = [analyze(trace) for trace in traces(make(False), **more)]
    assert any(one.kind == kind and one.severity != NOTE for found in wrong for one in found)


def test_a_race_on_a_flag_is_still_told_with_the_reason() -> None:
    make, more, _ = PROGRAMS["publish"]
    found = [one for trace in traces(make(True), **more) for one in analyze(trace)]
    races = [one for one in found if one.kind == "data-race"]
    assert {one.targets for one in races} == {("ready",)}
    assert all("used as a flag" in one.title and one.severity == NOTE for one in races)
    assert "only decides whether to go on" in races[0].explanation


def test_a_variable_that_is_also_used_as_a_value_is_no_flag() -> None:
    workers = publish(True)
    assert "ready" in Facts(traces(workers, shared={"data": 0, "ready": False})[0]).flags
    workers["reader"]["steps"].append({"read": "ready", "into": "seen"})
    assert "ready" not in Facts(traces(workers, shared={"data": 0, "ready": False})[0]).flags
    workers["reader"]["steps"][-1] = {"assert": "ready == true"}
    assert "ready" not in Facts(traces(workers, shared={"data": 0, "ready": False})[0]).flags
    workers["reader"]["steps"][-1] = {"write": "data", "value": "1 if ready else 2"}
    assert "ready" not in Facts(traces(workers, shared={"data": 0, "ready": False})[0]).flags


def test_in_a_run_that_failed_no_race_is_presumed_harmless() -> None:
    trace = trace_of(
        "w read ready -> false @ check\nv write ready = true",
        scenario={"workers": publish(False)},
        verdict=Verdict("failed", "assert", "not ready", at="check", worker=0),
    )
    (race,) = [one for one in analyze(trace) if one.kind == "data-race"]
    assert race.severity == "error"
    assert "flag" not in race.title
    trace.verdict = Verdict("passed")
    (race,) = [one for one in analyze(trace) if one.kind == "data-race"]
    assert race.severity == NOTE


# --- traces of Python code: nothing is declared ------------------------------------------------
PYTHON = {
    "python": {"instrument": ["bank"], "places": {"bank.py:31": "Account.withdraw"}},
    "workers": {"withdraw": {"count": 2}},
}  # fmt: skip


def python_trace(text: str, **more: Any) -> Trace:
    return trace_of(text, scenario=PYTHON, **more)


def test_the_function_of_a_line_is_told() -> None:
    trace = python_trace(
        "t1 read Account#1.balance -> 100 @ bank.py:31\n"
        "t2 write Account#1.balance = 40 @ bank.py:31\nt1 write Account#1.balance = 40 @ bank.py:31"
    )
    (lost,) = [one for one in analyze(trace) if one.kind == "lost-update"]
    assert "at bank.py:31 in Account.withdraw" in lost.explanation
    assert lost.targets == ("Account#1.balance",)


def test_objects_are_known_by_name_and_use() -> None:
    facts = Facts(
        python_trace("""
        t1 acquire Semaphore#1
        t1 acquire lock@bank.py:12
        t1 acquire RLock#2
        t1 wait Event#1 -> true
        t1 wait Barrier#1
        t1 put Queue#1 = 1
        t1 wait Condition#1
        t1 acquire thing
        t2 acquire thing
        t1 notify other -> []
        t1 set Lock#9
        t1 put pkg.PriorityQueue#3 = 1
        t1 release bank.ready
        t2 acquire bank.ready
        t1 acquire m
        t1 wait cond@bank.py:6
        t1 wait unknown
    """)
    )
    kinds = {name: info.type for name, info in facts.steps.objects.items()}
    assert kinds == {
        "Semaphore#1": "semaphore", "lock@bank.py:12": "lock", "RLock#2": "rlock",
        "Event#1": "event", "Barrier#1": "barrier", "Queue#1": "queue", "Condition#1": "condition",
        "thing": "semaphore", "other": "condition",
        "Lock#9": "event",  # whatever its name says: it was set
        "pkg.PriorityQueue#3": "queue",
        "bank.ready": "semaphore",  # given before anybody took it: a signal
        "m": "lock", "cond@bank.py:6": "condition", "unknown": "condition",
    }  # fmt: skip
    assert facts.steps.objects["pkg.PriorityQueue#3"].order == "priority"
    assert facts.steps.objects["bank.ready"].value == 0


def test_a_wait_that_keeps_its_lock_is_none_at_a_condition() -> None:
    text = "t1 acquire m\nt2 read x -> 0\nt1 wait unknown"
    verdict = stuck("t1 wait unknown", "t2 acquire m t1")
    trace = python_trace(text, verdict=verdict)
    assert Facts(trace).steps.objects["unknown"].type == "event"
    assert [one.kind for one in analyze(trace) if one.severity != NOTE] == ["deadlock"]
    trace.verdict = stuck("t1 wait unknown")
    info = Facts(trace).steps.objects["unknown"]
    assert (info.type, info.lock) == ("condition", "m")


def test_a_stale_look_of_python_code_in_a_run_that_failed() -> None:
    text = (
        "t2 read A#1.n -> 100 @ b.py:13\nt1 read A#1.n -> 100 @ b.py:13\n"
        "t1 write A#1.n = 40 @ b.py:14\n"
        "t2 read A#1.n -> 40 @ b.py:14\nt2 write A#1.n = -20 @ b.py:14"
    )
    verdict = Verdict("failed", "finally", "AssertionError\n  test.py:3 in check", at="test:check")
    found = analyze(python_trace(text, verdict=verdict))
    (stale,) = [one for one in found if one.kind == "check-then-act"]
    assert (stale.severity, stale.events) == ("error", (0, 2, 3, 4))
    (check,) = [one for one in found if one.kind == "failed-check"]
    assert "AssertionError; test.py:3 in check" in check.explanation
    assert "check-then-act" not in {one.kind for one in analyze(python_trace(text))}


def test_a_condition_of_another_lock_gives_that_up() -> None:
    text = """
        t1 acquire lock@a.py:1
        t1 wait Condition#1
        t2 acquire lock@a.py:1
        t2 write x = 1
        t2 notify Condition#1 -> [0]
        t2 release lock@a.py:1
        t1 wake Condition#1
        t1 read x -> 1
        t1 release lock@a.py:1
    """
    facts = Facts(python_trace(text))
    assert facts.steps.objects["Condition#1"].lock == "lock@a.py:1"
    assert facts.locks.at(3) == {"lock@a.py:1"} == facts.locks.at(7)
    assert [one for one in analyze(python_trace(text)) if one.severity != NOTE] == []


@pytest.mark.parametrize(("again", "severity"), [(True, NOTE), (False, WARNING)])
def test_double_checked_locking_in_python(again: bool, severity: str) -> None:
    look = "t1 read Pool.instance -> 0 @ p.py:{}\n"
    text = "t2 read Pool.instance -> 0 @ p.py:3\n" + look.format(3) + "t1 acquire Lock#1\n"
    text += (look.format(5) if again else "") + "t1 write Pool.instance = 1 @ p.py:6\n"
    text += "t1 release Lock#1\nt2 acquire Lock#2\nt2 read Pool.instance -> 1 @ p.py:3"
    races = [one for one in analyze(python_trace(text)) if one.kind == "data-race"]
    assert {one.severity for one in races} == {severity}


SPIN = "t1 read App.level -> 0 @ a.py:9\nt1 sleep . @ a.py:10\n"
FLAGS = {
    "spun on": (
        SPIN + "t2 write App.level = 3 @ a.py:20\nt1 read App.level -> 3 @ a.py:9", NOTE,
    ),
    "looked at in two places": (
        SPIN + "t2 write App.level = 3 @ a.py:20\nt1 read App.level -> 3 @ a.py:12", WARNING,
    ),
    "something else is done in between": (
        SPIN + "t1 acquire Lock#1\nt2 write App.level = 3 @ a.py:20\n"
        "t1 read App.level -> 3 @ a.py:9", WARNING,
    ),
    "a yes or no": (
        "t1 read App.stop -> false @ a.py:9\nt2 write App.stop = true @ a.py:20", NOTE,
    ),
    "a yes or no that is claimed": (
        "t1 read App.stop -> false @ a.py:9\nt2 read App.stop -> false @ a.py:9\n"
        "t2 write App.stop = true @ a.py:20", WARNING,
    ),
    "a yes or no that is waited for": (
        "t1 read App.stop -> false @ a.py:9\nt2 acquire Lock#1\n"
        "t2 write App.stop = true @ a.py:20\nt2 notify Condition#1 -> []\nt2 release Lock#1\n"
        "t1 acquire Lock#1\nt1 wait Condition#1 timeout=1", WARNING,
    ),
    "looked at again only to be changed": (
        "t1 read App.n -> 9 @ a.py:9\nt2 acquire Lock#1\nt2 read App.n -> 9 @ a.py:20\n"
        "t2 write App.n = 8 @ a.py:20\nt2 release Lock#1\nt1 acquire Lock#1\n"
        "t1 read App.n -> 8 @ a.py:20\nt1 write App.n = 7 @ a.py:20\nt1 release Lock#1", WARNING,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_what_python_code_takes_for_a_flag(name: str) -> None:
    text, severity = FLAGS[name]
    races = [one for one in analyze(python_trace(text)) if one.kind == "data-race"]
    assert {one.severity for one in races} == {severity}


def test_a_deadlock_of_python_threads() -> None:
    text = "t1 acquire lock@a.py:1 @ bank.py:31\nt2 acquire lock@a.py:2 @ bank.py:40"
    verdict = stuck("t1 acquire lock@a.py:2 t2", "t2 acquire lock@a.py:1 t1")
    (found,) = [one for one in analyze(python_trace(text, verdict=verdict)) if one.severity != NOTE]
    assert found.kind == "deadlock"
    assert "which t1 holds (since event 0, at bank.py:31 in Account.withdraw)" in found.explanation


# --- edges ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["passed", "deadlock", "crashed", "unfinished"])
def test_no_events(kind: str) -> None:
    trace = trace_of("", verdict=Verdict(kind, message="nothing"))
    found = analyze(trace)
    assert {one.kind for one in found} <= {"crash", "unfinished"}
    assert found.locks == ()
    assert list(found.to_data()["findings"]) == [one.to_data() for one in found]


def test_an_analysis_is_the_sequence_of_its_findings() -> None:
    found = analyze(
        trace_of("v write x = 1\nw read x -> 1\nw acquire a\nw release a", {"a": "lock"})
    )
    assert len(found) == len(found.findings) > 1
    assert list(found) == list(found.findings)
    assert found[0] is found.findings[0]
    assert found[:2] == found.findings[:2]
    assert repr(found) == f"<Analysis of 4 events: {len(found)} findings>"


def test_what_is_alike_is_told_once_with_its_number() -> None:
    text = "\n".join(f"{w} read x[{i}] -> 0 @ s\n{w} write x[{i}] = 1 @ s" for i in (0, 1)
                     for w in "uvz")  # fmt: skip
    lost = [one for one in analyze(trace_of(text)) if one.kind == "lost-update"]
    assert len(lost) == 1
    assert "(11 times more in this trace" in lost[0].explanation


def test_the_use_of_a_lock_in_numbers() -> None:
    rows = ["v acquire a", "v release a"] * 9 + ["w acquire a waited=700", "w release a"]
    (use,) = analyze(trace_of("\n".join(rows), {"a": "lock"}, apart=1000)).locks
    assert (use.name, use.type, use.workers) == ("a", "lock", (0, 1))
    assert (use.taken, use.waited, use.failed, use.again) == (10, 1, 0, 8)
    assert use.wait.to_data() == {
        "count": 1, "total": 700, "p50": 700, "p90": 700, "p99": 700, "max": 700,
    }  # fmt: skip
    assert use.held.to_data() == {
        "count": 10, "total": 10_000, "p50": 1000, "p90": 1000, "p99": 1000, "max": 1000,
    }  # fmt: skip


@pytest.mark.parametrize("sort", ["locked", "contended", "racing", "waiting"])
@pytest.mark.parametrize("controlled", [False, True])
def test_the_traces_of_the_benchmark_are_analysed(sort: str, controlled: bool) -> None:
    from tests.bench.bench_analyze import make

    trace = make(sort, 2000, controlled)
    assert len(trace.events) == 2000
    kinds = {one.kind for one in analyze(trace)}
    assert kinds & {"contention", "lost-update", "timeout-only"}


@pytest.mark.parametrize("runtime", ["threads", "asyncio", "trio"])
def test_a_partition_that_another_worker_met_is_the_root(runtime: str) -> None:
    examples = Path(__file__).parents[2] / "docs/examples"
    trace = load_trace(examples / f"partitioned_store/on_{runtime}.json")
    roots = [one for one in analyze(trace).findings if one.root]
    assert [one.kind for one in roots] == ["network-fault"]
    assert roots[0].title.startswith("partition: ")


def test_a_server_that_waits_for_connections_is_not_the_root() -> None:
    examples = Path(__file__).parents[2] / "docs/examples"
    found = analyze(load_trace(examples / "leaking_pool/on_threads.json")).findings
    (root,) = [one for one in found if one.root]
    assert root.title.startswith("ask[1] waits for an item of")
    assert any("waits for a connection to" in one.title for one in found)
