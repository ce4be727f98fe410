"""Shrinking: every known failure to its known minimum, and what a shrinker must hold to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tracelock
from tests.conformance.test_library import FILES, scenario_in, small_program
from tests.helpers.amount import amount
from tests.helpers.support import random_run
from tests.oracles.brute import all_states
from tests.oracles.generate import THEMES, generate
from tracelock.engine.recording import record_log
from tracelock.errors import ImpossibleHere, TraceError, UsageError
from tracelock.explore.running import Executed, Guide, Runner, preemptions, same_failure
from tracelock.explore.shrink import known, twin
from tracelock.explore.shrink.best import Effort, Shrinking, sort_key
from tracelock.explore.shrink.commuting import accesses_of, causes, dependences, reordered
from tracelock.explore.shrink.fewest import fewest
from tracelock.explore.shrink.schedule import Shrunk, shrink
from tracelock.explore.shrink.trials import FAR, BlockPlan, Trials, Tried, blocks_of, follow_trace
from tracelock.ops import conflicts
from tracelock.scenario.language.usage import features_of
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.base import WORKER, Choice, Scheduler
from tracelock.session import replay, rules_of, run
from tracelock.session.shrinking import shrink as shrink_trace
from tracelock.trace import Trace, environment

FAILED = ("failed", "deadlock", "crashed")
FAILING = [
    pytest.param(path, backend, expected.switches, id=f"{path.stem}-{backend}")
    for path in FILES
    for backend, expected in scenario_in(path).expect.items()
    if expected.verdict != "passes"
]
#: No bound in seconds: what a shrink comes to must not hang on the machine.
CALM = Effort(seconds=None)

profile = settings(
    derandomize=True, deadline=None, max_examples=amount(20, 60),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)  # fmt: skip


@cache
def runner_of(path: Path, backend: str) -> Runner:
    return Runner(small_program(path), rules_of(backend))


def runner_for(data: dict[str, Any], backend: str = "threading", clock: str = "virtual") -> Runner:
    return Runner(Program(scenario_from_data(data)), rules_of(backend), clock=clock)


def failures(runner: Runner, seed: int, most: int = 10_000) -> Iterator[Executed]:
    """Failing schedules of a random walk."""
    for schedule in range(most):
        executed = random_run(runner, seed, schedule)
        if executed.verdict.kind in FAILED:
            yield executed


def tried(runner: Runner, picks: list[int]) -> Tried:
    found = Trials(runner).play(picks)
    assert found is not None
    return found


def story(executed: Executed) -> list[Any]:
    """The events, without the op objects, which are made anew in every run."""
    return [(w, kind, op.at, op.target, result) for w, kind, op, result, _, _ in executed.log]


def check(runner: Runner, start: Executed, shrunk: Shrunk) -> None:
    """What must hold of any result."""
    again = tried(runner, shrunk.executed.picks)
    assert story(again.executed) == story(shrunk.executed), "the picks are those of the log"
    assert same_failure(shrunk.executed.verdict, start.verdict)
    assert sort_key(again) <= sort_key(tried(runner, start.picks))
    assert shrunk.executed.switches == preemptions(shrunk.executed.log)
    assert shrunk.executed.switches >= shrunk.fewest or shrunk.minimum == "proved"
    assert shrunk.history[0].by == "start"
    assert shrunk.history[-1].switches == shrunk.executed.switches
    whole = runner.execute(shrunk.executed.picks)
    assert whole is not None and same_failure(whole.verdict, start.verdict), "and without the cut"


# --- the library -------------------------------------------------------------------------------
@pytest.mark.parametrize(("path", "backend", "switches"), FAILING)
def test_known_minimum(path: Path, backend: str, switches: int) -> None:
    runner = runner_of(path, backend)
    for number, start in enumerate(failures(runner, 1)):
        if number == 5:
            break
        shrunk = shrink(runner, start, effort=CALM)
        check(runner, start, shrunk)
        assert shrunk.executed.switches == switches
        assert (shrunk.minimum, shrunk.certified, shrunk.fewest) == ("proved", True, switches)


def test_it_comes_to_the_same_if_every_plan_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    for one in FAILING[::3]:
        path, backend, _ = one.values
        runner = runner_of(path, backend)
        starts.append((runner, next(failures(runner, 4))))

    def shrunk(runner: Runner, start: Executed) -> tuple[Any, ...]:
        one = shrink(runner, start, effort=Effort(states=0, seconds=None))
        nearest = twin.passing_twin(runner, one.executed, states=0)
        passing = nearest.passing.picks if isinstance(nearest, twin.Twin) else None
        found = (one.executed.picks, story(one.executed), one.runs, one.certified, one.history)
        return (*found, passing, nearest.runs)

    first = [shrunk(*one) for one in starts]
    monkeypatch.setattr(known, "MOST", 0)
    assert [shrunk(*one) for one in starts] == first


@pytest.mark.parametrize("backend", ["threading", "asyncio"])
def test_of_real_code_it_comes_to_the_same_too(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class State:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.order: list[int] = []

    def works(number: int) -> Any:
        async def task(state: State) -> None:
            await asyncio.sleep(0.01)
            state.order.append(number)

        def thread(state: State) -> None:
            with state.lock:
                state.order.append(number)

        return task if backend == "asyncio" else thread

    def shrunk() -> tuple[Any, ...]:
        found = tracelock.explore(
            setup=State, workers=[works(number) for number in range(2)],
            check=lambda state: state.order[0] == 0, backend=backend, seconds=None,
        )  # fmt: skip
        assert found.trace is not None and found.shrunk is not None
        assert isinstance(found.twin, twin.Twin)
        events = [(one.worker, one.op, one.at) for one in found.trace.events]
        return events, found.shrunk.runs, found.minimum, found.twin.explanation, found.confirmed

    first = shrunk()
    monkeypatch.setattr(known, "MOST", 0)
    assert shrunk() == first


@pytest.mark.parametrize(("path", "backend", "switches"), FAILING)
def test_passes_alone_reach_the_minimum(path: Path, backend: str, switches: int) -> None:
    runner = runner_of(path, backend)
    start = next(failures(runner, 2))
    shrunk = shrink(runner, start, effort=Effort(states=0, seconds=None))
    assert shrunk.certified
    assert shrunk.executed.switches == switches
    assert shrunk.minimum == ("proved" if switches == 0 else "1-minimal")


@pytest.mark.soak
@pytest.mark.parametrize(("path", "backend", "switches"), FAILING)
def test_known_minimum_of_fifty(path: Path, backend: str, switches: int) -> None:
    runner = runner_of(path, backend)
    runs = []
    for number, start in enumerate(failures(runner, 3)):
        if number == 50:
            break
        shrunk = shrink(runner, start, effort=CALM)
        check(runner, start, shrunk)
        assert shrunk.executed.switches == switches
        assert shrunk.minimum == "proved"
        runs.append(shrunk.runs)
    print(f"{path.stem} | {backend} | {switches} | {len(runs)} x {switches} | "
          f"{sum(runs) / len(runs):.0f} (most {max(runs)})")  # fmt: skip


@pytest.mark.parametrize(("path", "backend", "switches"), FAILING)
def test_the_search_for_the_fewest_agrees_with_brute_force(
    path: Path, backend: str, switches: int
) -> None:
    runner = runner_of(path, backend)
    found = fewest(runner, lambda verdict: verdict.kind in FAILED)
    assert found.complete and found.picks is not None
    assert found.switches == switches
    executed = runner.execute(found.picks)
    assert executed is not None and executed.verdict.kind in FAILED
    assert tried(runner, found.picks).executed.switches == switches
    # one state less than it took is too few to know
    short = fewest(runner, lambda verdict: verdict.kind in FAILED, states=max(found.states - 1, 0))
    assert short.picks is None and not short.complete and short.switches <= switches


REAL = [
    ("check_then_act_await", "asyncio"), ("check_then_act_await", "trio"),
    ("failure_inside_with", "asyncio"), ("deadlock_ab_ba", "threading"),
    ("check_then_act", "threading"), ("crash_holding_lock", "multiprocessing"),
    ("unlocked_counter", "multiprocessing"), ("cancelled_lock_holder", "trio"),
    ("double_checked", "threading"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "backend"), REAL)
def test_a_shrunk_trace_replays_on_the_real_backend(name: str, backend: str) -> None:
    path = next(path for path in FILES if path.stem == name)
    runner = runner_of(path, backend)
    shrunk = shrink(runner, next(failures(runner, 4)), effort=CALM)
    result = replay(trace_of(runner, shrunk.executed, shrunk.clock))
    assert result.reproduced, result.diverged
    assert same_failure(result.verdict, shrunk.executed.verdict)


def trace_of(runner: Runner, executed: Executed, clock: str) -> Trace:
    program = runner.program
    return Trace(
        program.scenario.to_data(), runner.rules.backend, "controlled", {"name": "test"}, clock,
        environment(), [worker.name for worker in program.layout.workers],
        record_log(program.layout, executed.log), executed.verdict,
    )  # fmt: skip


# --- what must hold of any shrink -----------------------------------------------------------------
class GoOn(Scheduler):
    """``picks`` up to choice ``place``; there the running worker goes on, for ``length`` events of
    its own, and the rest comes as it was, as far as it can be had."""

    def __init__(self, picks: list[int], place: int, worker: int, length: int) -> None:
        self.picks = picks
        self.place = place
        self.worker = worker
        self.left = length
        self.at = 0

    def begin(self) -> bool:
        self.rest = self.picks[self.place :]
        return True

    def pick(self, choice: Choice) -> int:
        at, self.at = self.at, self.at + 1
        if at < self.place:
            return self.picks[at]
        if choice.kind == WORKER and self.left and self.worker in choice.options:
            self.left -= 1
            return self.worker
        self.left = 0
        while self.rest:
            picked = self.rest.pop(0)
            if picked in choice.options:
                return picked
        return choice.current if choice.current in choice.options else choice.options[0]

    def describe(self) -> dict[str, Any]:
        return {"name": "go-on"}


def removable(runner: Runner, shrunk: Shrunk) -> bool:
    """Whether some single preemptive switch can be removed, found without the shrinker."""
    executed = shrunk.executed
    spots: list[tuple[int, int]] = []

    class Spots(Guide):
        def pick(self, choice: Choice) -> int:
            at = len(self.picks)
            picked = super().pick(choice)
            taken = choice.kind == WORKER and choice.current in choice.options
            if at < len(executed.picks) and taken and picked != choice.current:
                spots.append((at, choice.current))
            return picked

    runner.run(Spots(executed.picks), lambda _: True)
    for place, worker in spots:
        for length in (1, 2, 3, FAR):
            controller = runner.run(GoOn(executed.picks, place, worker, length), lambda _: True)
            if not same_failure(runner.verdict(controller), executed.verdict):
                continue
            if preemptions(controller.log) < executed.switches:
                return True
    return False


@st.composite
def starts(draw: st.DrawFn) -> tuple[Runner, Executed]:
    """A failing schedule of a small generated scenario, on any backend's rules, of either clock."""
    backend = draw(st.sampled_from(("threading", "multiprocessing", "asyncio", "trio")))
    clock = draw(st.sampled_from(("virtual", "adversarial")))
    data = generate(draw(st.integers(0, 40)), draw(st.sampled_from(sorted(THEMES))))
    data["finally"] = ["x + y < 4"]
    scenario = scenario_from_data(data)
    assume(not any(one in rules_of(backend).refuses for one, _ in features_of(scenario)))
    runner = Runner(Program(scenario), rules_of(backend), clock=clock)
    start = next(failures(runner, draw(st.integers(0, 3)), 20), None)
    assume(start is not None)
    assert start is not None
    return runner, start


@profile
@given(starts())
def test_any_shrink(start: tuple[Runner, Executed]) -> None:
    runner, executed = start
    shrunk = shrink(runner, executed, effort=CALM)
    check(runner, executed, shrunk)
    assert shrunk.certified and shrunk.minimum == "proved"
    true = fewest(runner, lambda verdict: same_failure(verdict, executed.verdict))
    assert true.complete and true.switches == shrunk.executed.switches
    # the same again, and nothing more to do
    twice = shrink(runner, executed.picks, effort=CALM)
    assert (twice.executed.picks, twice.runs) == (shrunk.executed.picks, shrunk.runs)
    assert shrink(runner, shrunk.executed, effort=CALM).executed.picks == shrunk.executed.picks


@profile
@given(starts())
def test_passes_alone_leave_no_switch_to_remove(start: tuple[Runner, Executed]) -> None:
    runner, executed = start
    shrunk = shrink(runner, executed, effort=Effort(states=0, seconds=None))
    check(runner, executed, shrunk)
    assert shrunk.certified
    assert not removable(runner, shrunk)


def test_the_fewest_of_a_kind_is_never_below_brute_force() -> None:
    for theme in ("locks", "variables", "conditions"):
        for seed in range(amount(3, 6)):
            data = generate(seed, theme if theme in THEMES else "locks")
            runner = runner_for(data)
            start = next(failures(runner, 0, 20), None)
            if start is None:
                continue
            shrunk = shrink(runner, start, effort=CALM, anywhere=True)
            verdict = start.verdict
            kind = f"failed:{verdict.failure}" if verdict.kind == "failed" else verdict.kind
            found = all_states(runner.program, runner.rules)
            assert shrunk.executed.switches == found.fewest[kind]


# --- commuting -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["philosophers", "spawn_join", "cas_counter", "aba"])
def test_reordering_changes_no_result(name: str) -> None:
    path = next(path for path in FILES if path.stem == name)
    runner = runner_of(path, "threading")
    trials = Trials(runner, cut=False)
    orders = 0
    for schedule in range(20):
        executed = random_run(runner, 5, schedule)
        layout, log = runner.program.layout, executed.log
        before = dependences(layout, log)
        for blocks in reordered(layout, log):
            if _events(blocks) < len(log):
                continue  # only what the last event depends on
            other = trials.follow(BlockPlan(blocks)).executed
            orders += 1
            assert other.verdict.kind == executed.verdict.kind
            assert other.verdict.state == executed.verdict.state
            assert _stories(other) == _stories(executed)
            assert blocks_of(other.log) == blocks
        assert causes(before, 0) == [0]
    assert orders


def _events(blocks: Any) -> int:
    return sum(dict(blocks).values())


def _stories(executed: Executed) -> dict[int, list[Any]]:
    """What each worker did and saw."""
    stories: dict[int, list[Any]] = {}
    for worker, *rest in story(executed):
        stories.setdefault(worker, []).append(rest)
    return stories


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_whatever_conflicts_does_not_commute(path: Path) -> None:
    backend = next(iter(scenario_in(path).expect))
    runner = runner_of(path, backend)
    layout = runner.program.layout
    ops = {}
    for schedule in range(5):
        executed = random_run(runner, 6, schedule)
        ops.update({(entry[0], id(entry[2])): entry for entry in executed.log[:60]})
    entries = list(ops.values())
    for a in entries:
        for b in entries:
            if a[0] != b[0] and conflicts(a[2], b[2]):
                mine, theirs = dict(accesses_of(layout, *a[:3])), dict(accesses_of(layout, *b[:3]))
                assert any(mine[t] or theirs[t] for t in mine.keys() & theirs.keys()), (a, b)


# --- where a shrink can start ---------------------------------------------------------------------
LOST: dict[str, Any] = {
    "format": "tracelock-scenario/1",
    "name": "lost",
    "shared": {"c": 0},
    "objects": {"seen": {"type": "event", "count": 2}},
    "workers": {
        "w": {"count": 2, "steps": [
            {"read": "c", "into": "v"}, {"set": "seen[index]"}, {"wait": "seen[1 - index]"},
            {"sleep": 0.001}, {"write": "c", "value": "v + 1"},
        ]},
        "other": {"steps": [{"repeat": 3, "do": ["checkpoint"]}]},
    },
    "finally": ["c == 2"],
}  # fmt: skip


@pytest.mark.parametrize("backend", ["threading", "asyncio", "multiprocessing", "trio"])
def test_a_free_run_is_shrunk(backend: str) -> None:
    trace = run(scenario_from_data(LOST), backend=backend)
    assert trace.verdict.kind == "failed"
    runner = runner_for(LOST, backend)
    shrunk = shrink(runner, trace, effort=CALM)
    assert shrunk.executed.verdict.failure == "finally"
    assert (shrunk.executed.switches, shrunk.minimum) == (0, "proved")


EARLY: dict[str, Any] = {
    "format": "tracelock-scenario/1",
    "name": "early",
    "objects": {"m": "lock"},
    "workers": {
        "holder": {"steps": [{"with": "m", "do": ["checkpoint", "checkpoint"]}]},
        "late": {"steps": [
            {"acquire": "m", "timeout": 5, "into": "got"}, {"assert": "got"},
        ]},
        "other": {"steps": ["checkpoint", {"with": "m", "do": []}]},
    },
}  # fmt: skip


def test_a_timer_that_fired_early_needs_the_other_clock() -> None:
    adversarial = runner_for(EARLY, clock="adversarial")
    trace = trace_of(adversarial, next(failures(adversarial, 1)), "real")
    runner = runner_for(EARLY)
    shrunk = shrink(runner, trace, effort=CALM)
    assert shrunk.clock == "adversarial"
    again = tried(adversarial, shrunk.executed.picks)
    assert same_failure(again.executed.verdict, trace.verdict)
    assert len(shrunk.executed.log) <= 2, "the lock is taken, the timer fires"
    followed, picks, verdict = follow_trace(runner, trace)
    assert followed.clock == "adversarial" and verdict.kind == "failed" and picks


def test_a_timer_does_not_fire_where_it_need_not() -> None:
    data = {
        **EARLY,
        "workers": {
            "patient": {"steps": [{"acquire": "m", "timeout": 5, "into": "got"}]},
            "failing": {"steps": ["checkpoint", {"fail": "no"}]},
        },
    }
    runner = runner_for(data, clock="adversarial")
    start = tried(runner, next(failures(runner, 1)).picks)
    odd = next(
        one for one in (tried(runner, e.picks) for e in failures(runner, 1)) if one.plan.extra
    )
    for first in (start, odd):
        shrunk = shrink(runner, first.executed, effort=CALM)
        assert tried(runner, shrunk.executed.picks).plan.extra == ()
        assert len(shrunk.executed.log) == 1


def test_the_waiters_that_wake_are_chosen_on_processes() -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "whom", "shared": {"first": -1},
        "objects": {"c": "condition"},
        "workers": {
            "waiter": {"count": 2, "steps": [{"with": "c", "do": [
                {"wait": "c"}, {"assert": "index == 0", "message": "the second woke"},
            ]}]},
            "waker": {"steps": [{"sleep": 1}, {"with": "c", "do": [{"notify": "c"}]}]},
        },
    }  # fmt: skip
    runner = runner_for(data, "multiprocessing")
    start = next(failures(runner, 1))
    while start.verdict.kind != "failed":
        start = next(failures(runner, 2))
    shrunk = shrink(runner, start, effort=CALM)
    check(runner, start, shrunk)
    assert shrunk.executed.switches == 0
    trial = tried(runner, shrunk.executed.picks)
    # either the second waiter is first in line, or it is woken out of turn
    assert len(trial.plan.extra) <= 1


def test_a_trace_of_another_backend() -> None:
    path = next(path for path in FILES if path.stem == "unlocked_counter")
    threads = runner_of(path, "threading")
    trace = trace_of(threads, next(failures(threads, 1)), "virtual")
    assert shrink(runner_of(path, "multiprocessing"), trace, effort=CALM).executed.switches == 1
    with pytest.raises(ImpossibleHere):
        shrink(runner_of(path, "asyncio"), trace, effort=CALM)


def test_what_cannot_be_shrunk() -> None:
    path = next(path for path in FILES if path.stem == "unlocked_counter")
    runner = runner_of(path, "threading")
    passing = runner.execute(())
    assert passing is not None
    with pytest.raises(UsageError, match="no failure"):
        shrink(runner, passing)
    with pytest.raises(UsageError, match="picks"):
        shrink(runner, [7])
    failing = next(failures(runner, 1))
    with pytest.raises(UsageError, match="does not fail as it should"):
        shrink(runner, failing, passing.verdict)
    trace = trace_of(runner, failing, "virtual")
    trace.verdict.at = "finally[7]"
    with pytest.raises(UsageError, match="does not end here as it says"):
        shrink(runner, trace)


def test_the_twin_of_a_shrunk_trace_has_as_much_time_as_the_shrink(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = next(path for path in FILES if path.stem == "unlocked_counter")
    runner = runner_of(path, "threading")
    given: list[float | None] = []

    def noted(*arguments: Any, seconds: float | None = None) -> Any:
        given.append(seconds)
        return twin.NoTwin(False, 0)

    monkeypatch.setattr(twin, "passing_twin", noted)
    result = shrink_trace(trace_of(runner, next(failures(runner, 1)), "virtual"), confirm=0)
    assert isinstance(result.twin, twin.NoTwin)
    assert given == [Effort().seconds] != [None]


def test_a_trace_of_more_workers_than_there_are() -> None:
    path = next(path for path in FILES if path.stem == "unlocked_counter")
    runner = runner_of(path, "threading")
    trace = trace_of(runner, next(failures(runner, 1)), "virtual")
    few = scenario_in(path).to_data()
    few["workers"] = {name: {**spec, "count": 1} for name, spec in few["workers"].items()}
    fewer = Runner(Program(scenario_from_data(few)), rules_of("threading"))
    assert len(fewer.program.layout.workers) < len(trace.workers)
    with pytest.raises(TraceError, match=r"has steps of 2 workers, the scenario has 1"):
        shrink(fewer, trace)
    trace.scenario = few
    for work in (shrink_trace, replay):
        with pytest.raises(TraceError, match="are not those of its scenario"):
            work(trace)


# --- the effort ---------------------------------------------------------------------------------
def loop(rounds: int) -> dict[str, Any]:
    steps = [{"repeat": rounds, "do": [{"write": "c", "value": "c + 1"}]}]
    return {
        "format": "tracelock-scenario/1", "name": "loop", "shared": {"c": 0},
        "workers": {"w": {"count": 2, "steps": steps}}, "finally": [f"c == {2 * rounds}"],
    }  # fmt: skip


def test_a_long_run_is_shrunk_with_few_runs() -> None:
    runner = runner_for(loop(200))
    start = next(failures(runner, 1))
    assert start.switches > 100
    shrunk = shrink(runner, start, effort=Effort(states=1_000, seconds=None))
    assert (shrunk.executed.switches, shrunk.runs < 200) == (1, True)
    assert shrunk.minimum in ("1-minimal", "proved") and shrunk.certified


def test_a_spent_effort_is_said() -> None:
    runner = runner_for(loop(20))
    start = next(failures(runner, 1))
    shrunk = shrink(runner, start, effort=Effort(runs=2, states=0, seconds=None))
    assert (shrunk.minimum, shrunk.certified, shrunk.fewest) == ("unfinished", False, 0)
    assert shrunk.runs == 2 and same_failure(shrunk.executed.verdict, start.verdict)
    at_once = shrink(runner, start, effort=Effort(seconds=0.0))
    assert at_once.minimum == "unfinished" and at_once.runs == 0


def test_the_gate_takes_only_what_is_smaller_and_fails_so() -> None:
    runner = runner_for(loop(2))
    start = max(failures(runner, 1, 50), key=lambda one: one.switches)
    first = tried(runner, start.picks)
    gate = Shrinking(runner, first, start.verdict, CALM, anywhere=False)
    assert not gate.consider([(0, FAR), (1, FAR)]), "this one passes"
    assert gate.best is first
    longer = [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4)]
    assert not gate.consider(longer) or start.switches > 6
    assert gate.consider([(0, 1), (1, FAR), (0, FAR)])
    assert gate.best.executed.switches == 1
    assert not gate.consider([(0, 1), (1, FAR), (0, FAR)]), "not smaller than itself"
    runs = gate.trials.runs
    assert not gate.consider([(0, FAR), (1, FAR)]) and gate.trials.runs == runs, "tried before"
