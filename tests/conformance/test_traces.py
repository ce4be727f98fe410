"""The recorded bad interleavings in ``traces/`` happen again, wherever they can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.make_traces import BACKENDS, SCENARIOS, TRACES, failing_backend
from tracelock.errors import ImpossibleHere, UnsupportedError
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.session import replay
from tracelock.trace import Verdict, load_trace

PATHS = sorted(TRACES.glob("*.json"))


def test_there_is_one_for_each_scenario_that_can_fail() -> None:
    can_fail = {path.stem for path in SCENARIOS if failing_backend(path) is not None}
    assert {path.stem for path in PATHS} == can_fail


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_trace_is_of_the_scenario_as_it_is(path: Path) -> None:
    scenario = load_scenario(TRACES.parent / "scenarios" / f"{path.stem}.yaml")
    assert scenario_from_data(load_trace(path).scenario) == scenario


#: What a replay comes to on threading, multiprocessing, asyncio, trio: = is the same end, i that it
#: is impossible there, and why, d that it diverges, - that the backend refuses the scenario.
REPLAYED = {
    "aba": "==ii",
    "bounded_semaphore_over_release": "====",
    "broken_barrier": "==d-",
    "cancelled_lock_holder": "--=i",
    "check_then_act": "==ii",
    "check_then_act_await": "==ii",
    "condition_lost_wakeup": "==ii",
    "crash_holding_lock": "-=--",
    "deadlock_ab_ba": "==i=",
    "double_checked": "==ii",
    "event_pulse": "===-",
    "failure_inside_with": "====",
    "forgotten_notify": "====",
    "lock_fairness": "==ii",
    "notify_wrong_waiter": "====",
    "peterson_reordered": "==ii",
    "philosophers": "==i=",
    "release_by_another": "iii=",
    "release_unlocked": "=i==",
    "self_deadlock": "===d",
    "starvation": "==ii",
    "unlocked_counter": "==ii",
}


def ended(verdict: Verdict) -> tuple[object, ...]:
    """How a run ended, but for the words, which say where the scenario was read from, and for who
    else had not ended: a trace ends at its failure."""
    blocked = [one.to_data() for one in verdict.blocked if verdict.kind == "deadlock"]
    return verdict.kind, verdict.failure, verdict.at, verdict.worker, verdict.state, blocked


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("backend", [*BACKENDS, "simulated"])
def test_it_is_replayed_on_every_backend_where_it_is_possible(path: Path, backend: str) -> None:
    trace = load_trace(path)
    told = dict(zip(BACKENDS, REPLAYED[path.stem], strict=True)).get(backend, "=")
    if told == "-":
        with pytest.raises(UnsupportedError, match="can be run on"):
            replay(trace, backend=backend)
        return
    result = replay(trace, backend=backend)
    assert result.reproduced is (told == "="), result.diverged or result.verdict
    if told == "=":
        assert result.diverged is None
        assert ended(result.verdict) == ended(trace.verdict)
        return
    assert result.diverged is not None and result.verdict.kind == "unfinished"
    assert result.diverged.seq <= len(trace.events)
    assert isinstance(result.diverged, ImpossibleHere) is (told == "i")
    if told == "i":
        # another backend's objects may not do this: it is told which, and why
        assert result.diverged.why.startswith(f"{backend}: ")


def test_it_is_told_of_each_what_a_replay_comes_to() -> None:
    assert set(REPLAYED) == {path.stem for path in PATHS}
