"""Targets: scenarios and Python programs answer the same questions, by the same roads."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tracelock.engine.limits import TimeUp
from tracelock.errors import UnsupportedError, UsageError
from tracelock.scenario.loading import scenario_from_data
from tracelock.schedulers.base import Choice, Scheduler
from tracelock.session import api, exploring
from tracelock.session.code import PythonCode
from tracelock.session.exploring import Exploration
from tracelock.session.host import Host
from tracelock.session.plan import Plan, Settings, Spreading
from tracelock.session.running import Session, run_target
from tracelock.session.shrinking import shrink
from tracelock.session.target import Capability, Target, refusal, require
from tracelock.session.targets import target_for, target_of

ADD = [{"read": "n", "into": "seen"}, {"write": "n", "value": "seen + 1"}]
DOCUMENT = {
    "format": "tracelock-scenario/1", "name": "lost update", "shared": {"n": 0},
    "workers": {"a": {"steps": ADD}, "b": {"steps": ADD}}, "finally": ["n == 2"],
}  # fmt: skip


class Counter:
    def __init__(self) -> None:
        self.n = 0


def add(counter: Counter) -> None:
    seen = counter.n
    counter.n = seen + 1


def whole(counter: Counter) -> bool:
    return counter.n == 2


def scenario_target() -> Target:
    return target_for(scenario_from_data(DOCUMENT))


def python_target() -> Target:
    return target_for(code=PythonCode([add, add], Counter, whole))


BOTH = pytest.mark.parametrize("make", [scenario_target, python_target])
Make = Callable[[], Target]


class Last(Scheduler):
    """A strategy of a user: always the last option, then the last but one, each schedule."""

    def __init__(self, most: int = 20) -> None:
        self.begun = 0
        self.most = most
        self.ended = 0

    def begin(self) -> bool:
        self.begun += 1
        return self.begun <= self.most

    def pick(self, choice: Choice) -> int:
        turn = choice.seq + self.begun if self.begun % 2 else 0
        return choice.options[-1 - turn % len(choice.options)]

    def end(self, steps: int) -> None:
        assert steps > 0
        self.ended += 1

    def describe(self) -> dict[str, Any]:
        return {"name": "last", "most": self.most}


# --- the protocol ----------------------------------------------------------------------------
@BOTH
def test_every_capability_is_answered_with_yes_or_a_reason(make: Make) -> None:
    target = make()
    for capability in Capability:
        reason = refusal(target, capability, strategy="states", backend="threading")
        assert "{" not in reason
        if reason:
            with pytest.raises(UsageError) as error:
                require(target, capability, strategy="states", backend="threading")
            assert str(error.value) == reason
        else:
            require(target, capability)
    assert set(target.lacks) <= set(Capability)


def test_each_capability_is_one_that_some_target_has() -> None:
    lacking = [set(make().lacks) for make in (scenario_target, python_target)]
    assert not set.intersection(*lacking)
    assert set.union(*lacking) == set(Capability), "what every target can do is no question"


@BOTH
def test_a_target_says_what_it_is(make: Make) -> None:
    target = make()
    assert isinstance(target.name, str) and target.name
    assert target.noun in ("scenario", "program")
    assert len(target.workers) == 2
    assert target.natural_backend() == "threading"
    assert target.engine in ("simulated", "real")
    assert target.search_limits.steps <= target.run_limits.steps


def test_hosts_have_the_same_methods() -> None:
    """What a host offers beyond the protocol, nothing above it can use."""
    declared = {name for name in dir(Host) if not name.startswith("_")}
    attributes = set(Host.__annotations__) | {"notes", "executions", "states"}
    for make in (scenario_target, python_target):
        target = make()
        with target.open(Plan().completed(target)) as host:
            assert all(hasattr(host, name) for name in declared | attributes)
            for name in declared:
                ours, theirs = getattr(Host, name), getattr(type(host), name)
                if inspect.isfunction(ours):
                    assert list(inspect.signature(ours).parameters) == list(
                        inspect.signature(theirs).parameters
                    ), name


@BOTH
def test_one_road_from_a_search_to_a_replay_and_a_shrink(make: Make) -> None:
    target = make()
    with Exploration(target, Plan()) as exploration:
        explored = exploration.run()
    assert explored.failed and explored.trace is not None
    assert explored.confirmed == {"threading": "3/3"}
    assert explored.switches == 1
    again = target_of(explored.trace, code=PythonCode(), allow_call=True)
    assert (again.noun, again.lacks) == (target.noun, target.lacks)
    with again.replaying(explored.trace, Settings()) as host:
        assert host.workers[:2] == target.workers
    assert api.replay(explored.trace, allow_call=True).reproduced
    small = shrink(explored.trace, allow_call=True)
    assert small.shrunk.executed.switches == 1 and small.confirmed == {"threading": "3/3"}
    with Exploration(target, Plan(schedules=2)) as exploration:
        assert exploration.run([explored.trace]).failed


@BOTH
def test_what_was_not_said_is_what_is_natural(make: Make) -> None:
    target = make()
    plan = Plan().completed(target)
    assert (plan.backend, plan.engine) == ("threading", target.engine)
    assert plan.limits == target.search_limits
    settings = Settings().completed(target)
    assert settings.limits == target.run_limits
    assert settings.strategy == (None if not refusal(target, Capability.FREE_RUNS) else "random")
    assert run_target(target, Settings(strategy="random", seed=1)).strategy is not None


# --- what makes no sense ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(strategy="states"), "real code cannot be copied"),
        (Plan(engine="simulated"), "no simulation of Python code"),
        (Plan(backend="simulated"), "Python code runs on threading"),
        (Plan(spreading=Spreading(jobs=0)), "at least one job"),
    ],
)
def test_plans_that_python_code_refuses(plan: Plan, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Exploration(python_target(), plan)


@BOTH
@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(strategy="guessing"), "unknown strategy 'guessing': it is one of auto, random"),
        (Plan(strategy="dpro"), r"unknown strategy 'dpro' \(did you mean 'dpor'\?\): it is one"),
        (Plan(backend="greenlets"), "unknown backend 'greenlets'"),
        (Plan(clock="virtaul"), r"unknown clock 'virtaul' \(did you mean 'virtual'\?\): "),
        (Plan(engine="steam"), "unknown engine 'steam'"),
        (Plan(clock="sundial"), "unknown clock 'sundial'"),
        (Plan(isolation="perhaps"), "unknown isolation 'perhaps': it is one of auto, always"),
        (Plan(schedules=0), "more than nothing"),
        (Plan(seconds=0.0), "more than nothing"),
        (Plan(start_method="fork"), "a start method is for the multiprocessing backend"),
    ],
)
def test_plans_that_every_target_refuses(make: Make, plan: Plan, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Exploration(make(), plan)


def test_a_scenario_of_steps_takes_nothing_that_is_for_code() -> None:
    scenario = scenario_from_data(DOCUMENT)
    with pytest.raises(UsageError, match="are for scenarios of Python code"):
        api.explore(scenario, gc=True)
    with pytest.raises(UsageError, match="isolation is for scenarios of Python code"):
        api.explore(scenario, isolation="always")
    with pytest.raises(UsageError, match="a scenario has workers of its own"):
        api.explore(scenario, workers=[add])
    with pytest.raises(UsageError, match="nothing to explore"):
        api.explore()


def test_code_that_a_document_names_is_imported_when_it_is_needed() -> None:
    document = {
        "format": "tracelock-scenario/1", "name": "named",
        "workers": {"a": {"steps": [{"call": "nowhere_at_all:work"}]}}, "python": {},
    }  # fmt: skip
    target = target_for(scenario_from_data(document))
    assert target.name == "named" and refusal(target, Capability.PREDICT)
    with pytest.raises(UnsupportedError, match="has to be allowed"):
        target.workers  # noqa: B018


def test_a_trace_of_code_needs_the_code_or_the_word() -> None:
    found = api.explore(setup=Counter, workers=[add, add], check=whole)
    assert found.trace is not None
    with pytest.raises(UsageError, match="give its setup=, workers= and check= again"):
        api.replay(found.trace)
    with pytest.raises(UsageError, match="which a replay runs: that has to be allowed"):
        shrink(found.trace)
    with pytest.raises(UsageError, match="on the backend that it was recorded on, threading"):
        api.replay(found.trace, backend="asyncio", allow_call=True)
    given = api.replay(found.trace, setup=Counter, workers=[add, add], check=whole)
    assert given.reproduced


# --- a scheduler of the user's own -----------------------------------------------------------
@BOTH
def test_a_scheduler_of_the_users_own_searches(make: Make) -> None:
    scheduler = Last()
    with Exploration(make(), Plan(strategy=scheduler, every=True, shrink=False)) as exploration:
        explored = exploration.run()
        assert explored.trace is not None
        assert explored.trace.strategy == {"name": "last", "seed": 0}
    assert explored.failed and scheduler.ended >= 20
    assert explored.strategy == "last"
    assert sum(way.count for way in explored.ways) == explored.schedules


@BOTH
def test_a_scheduler_of_the_users_own_runs(make: Make) -> None:
    scheduler = Last(most=3)
    with Session(make(), Settings(strategy=scheduler)) as session:
        outcomes = [outcome.trace().strategy for outcome in session.each(10)]
    assert outcomes == [{"name": "last", "most": 3}] * 3


def test_the_public_function_takes_it_too() -> None:
    scenario = scenario_from_data(DOCUMENT)
    assert tracelock.explore(scenario, strategy=Last()).failed
    assert tracelock.explore(setup=Counter, workers=[add, add], check=whole, strategy=Last()).failed
    few = tracelock.explore(scenario, strategy=Last(most=1))
    assert few.verdict in ("passed", "failed") and few.schedules == 1


def test_a_scheduler_of_the_users_own_cannot_be_spread() -> None:
    plan = Plan(strategy=Last(), spreading=Spreading(jobs=2))
    with pytest.raises(UsageError, match="a scheduler of your own can be neither spread"):
        Exploration(scenario_target(), plan)


@pytest.mark.parametrize("given", [[add, add], (add, add), [add, add].__iter__()])
def test_workers_in_the_place_of_a_scenario(given: Any) -> None:
    with pytest.raises(UsageError, match=r"as in explore\(workers=\[add, add\]\)"):
        tracelock.explore(given, setup=Counter)


def test_what_is_no_scenario() -> None:
    with pytest.raises(UsageError, match=r"explore\(workers=\[add\]\)"):
        tracelock.explore(add)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"as load_scenario\(\) gives it, not 'a.yaml'"):
        tracelock.explore("a.yaml")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"not \{"):
        tracelock.run(DOCUMENT)  # type: ignore[arg-type]


def test_what_was_not_tried_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_up(*arguments: Any) -> str:
        raise TimeUp

    async def fail() -> None:
        raise ValueError

    monkeypatch.setattr(exploring, "own_order", time_up)
    found = tracelock.explore(workers=[fail])
    assert found.confirmed == {"asyncio": "3/3"}
    assert [note for note in found.notes if "was not tried: the time was up" in note]
    assert not [note for note in found.notes if "was not run again" in note]


# --- the options ------------------------------------------------------------------------------
#: Arguments of ``explore`` that are no options of a search.
ARGUMENTS = {"scenario", "first", "progress", "forecast"}


def test_every_option_of_explore_is_a_field_once() -> None:
    plan = {field.name for field in dataclasses.fields(Plan)}
    code = {field.name for field in dataclasses.fields(PythonCode)}
    asked = set(inspect.signature(tracelock.explore).parameters)
    assert asked == (asked & (plan | code)) | ARGUMENTS
    assert not plan & code
    assert code <= asked
    # the rest of a plan is for the command line, or filled in
    assert plan - asked == {"depth", "estimate", "rules"}
    kinds = inspect.signature(tracelock.explore).parameters.values()
    assert all(one.kind is one.KEYWORD_ONLY for one in kinds if one.name != "scenario")


@pytest.mark.parametrize("documented", [Plan, PythonCode, tracelock.explore])
def test_every_option_is_documented(documented: Any) -> None:
    text = inspect.getdoc(documented) or ""
    if documented is Plan:
        text += inspect.getdoc(Settings) or ""
    if dataclasses.is_dataclass(documented):
        names = {field.name for field in dataclasses.fields(documented)}
    else:
        names = set(inspect.signature(documented).parameters) - {"scenario"}
    assert not {name for name in names if f"``{name}" not in text}
