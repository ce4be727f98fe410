"""The backends of tasks do what their models say, and their free runs are faithful."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.amount import amount
from tests.helpers.cases import CASES
from tests.helpers.support import assert_same_as_simulated
from tests.helpers.task_cases import TASK_CASES
from tests.helpers.task_fuzz import random_scenario
from tracelock.backends.base import Options
from tracelock.backends.tasks.asyncio_backend import AsyncioBackend
from tracelock.backends.tasks.backend import TaskBackend
from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.errors import ModelMismatch
from tracelock.objects import make_model
from tracelock.ops import NAMES, ObjectSpec
from tracelock.scenario.language.usage import features_of
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.simple import RandomScheduler
from tracelock.session import replay, rules_of, run

pytest.importorskip("trio")
from tracelock.backends.tasks.trio_backend import TrioBackend

EXAMPLES = Path(__file__).resolve().parents[1] / "data" / "examples"
BACKENDS: dict[str, type[TaskBackend]] = {"asyncio": AsyncioBackend, "trio": TrioBackend}
ALL = CASES | TASK_CASES


def allowed(document: Any, backend: str) -> bool:
    refused = {"call", *BACKENDS[backend].rules.refuses}
    return all(feature not in refused for feature, _ in features_of(scenario_from_data(document)))


BOTH = pytest.mark.parametrize("backend", sorted(BACKENDS))
EACH = pytest.mark.parametrize(
    ("backend", "name"),
    [(b, name) for b in sorted(BACKENDS) for name in sorted(ALL) if allowed(ALL[name], b)],
)
CLOCKS = pytest.mark.parametrize("clock", ["virtual", "adversarial"])


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith("tracelock:loop")]
    assert not left


def quick(document: Any, scale: float = 0.02) -> Any:
    """The same scenario with shorter times, for a real clock."""
    if isinstance(document, list):
        return [quick(item, scale) for item in document]
    if not isinstance(document, dict):
        return document
    return {
        key: f"({value}) * {scale}" if key in ("timeout", "sleep") else quick(value, scale)
        for key, value in document.items()
    }


# --- controlled ------------------------------------------------------------------------------
@CLOCKS
@EACH
def test_controlled_is_the_model(backend: str, name: str, clock: str) -> None:
    program = Program(scenario_from_data(ALL[name]))
    with BACKENDS[backend](program, Options()) as real:
        for seed in range(amount(2, 4)):
            assert_same_as_simulated(real, program, seed=seed, count=15, clock=clock)


@CLOCKS
@BOTH
def test_random_scenarios(backend: str, clock: str) -> None:
    for number in range(amount(12, 40)):
        program = Program(scenario_from_data(random_scenario(number, backend)))
        with BACKENDS[backend](program, Options()) as real:
            assert_same_as_simulated(real, program, seed=number, count=8, clock=clock)


@BOTH
def test_a_batch_is_what_its_schedules_are_alone(backend: str) -> None:
    program = Program(scenario_from_data(TASK_CASES["nested-timeouts"]))

    def logs(first: int, count: int) -> list[Any]:
        found: list[Any] = []
        controller = Controller(
            program.layout, BACKENDS[backend].rules, RandomScheduler(5, first), clock="adversarial"
        )

        def done(controller: Controller) -> bool:
            found.append([(w, NAMES[k], op.at, str(r)) for w, k, op, r, *_ in controller.log])
            return len(found) >= count

        BACKENDS[backend](program, Options()).controlled(controller, done)
        return found

    together = logs(0, 12)
    assert together == [logs(number, 1)[0] for number in range(12)]
    assert len({str(log) for log in together}) > 1


def model_of(kind: str, backend: str) -> Any:
    """The class of the model of such an object."""
    return type(make_model(rules_of(backend), ObjectSpec(kind, kind), []))


@BOTH
def test_a_wrong_result_is_noticed(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("lock", backend)
    right: Callable[..., Any] = model.apply

    def wrong(self: Any, op: Any, worker: int) -> Any:
        answer = right(self, op, worker)
        return False if answer is True else answer

    monkeypatch.setattr(model, "apply", wrong)
    scenario = scenario_from_data(CASES["try-acquire"])
    with pytest.raises(ModelMismatch, match="the model says False, the real object did True"):
        run(scenario, backend=backend, strategy="random", seed=1)


@BOTH
def test_a_wake_up_that_does_not_come_is_noticed(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("event", backend)
    monkeypatch.setattr(model, "ready", lambda self, op, worker: True)
    monkeypatch.setattr(model, "finish", lambda self, op, worker: True)
    scenario = scenario_from_data(
        {
            "format": "tracelock-scenario/1",
            "name": "never",
            "objects": {"e": "event"},
            "workers": {"w": {"steps": [{"wait": "e"}]}},
        }
    )
    with pytest.raises(ModelMismatch):
        run(
            scenario, backend=backend, strategy="random", seed=1, limits=RunLimits(stall=0.2)
        )  # fmt: skip


@BOTH
def test_a_wake_up_too_many_is_noticed(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_of("event", backend), "ready", lambda self, op, worker: False)
    steps = {"waiter": [{"wait": "e"}], "setter": ["checkpoint", {"set": "e"}, "checkpoint"]}
    scenario = scenario_from_data(
        {
            "format": "tracelock-scenario/1",
            "name": "silent",
            "objects": {"e": "event"},
            "workers": {name: {"steps": worker} for name, worker in steps.items()},
        }
    )
    with pytest.raises(ModelMismatch, match="has been woken"):
        for seed in range(amount(4, 10)):
            run(scenario, backend=backend, strategy="random", seed=seed)


# --- free runs -------------------------------------------------------------------------------
def assert_faithful(document: Any, backend: str) -> None:
    trace = run(scenario_from_data(quick(document)), backend=backend)
    assert trace.mode == "recorded"
    for where in (backend, "simulated"):
        result = replay(trace, backend=where)
        assert result.reproduced, (where, result.diverged, trace.verdict, result.verdict)


@EACH
def test_free_runs_replay(backend: str, name: str) -> None:
    for _ in range(2):
        assert_faithful(ALL[name], backend)


@BOTH
def test_random_free_runs_replay(backend: str) -> None:
    for number in range(100, 100 + amount(8, 30)):
        assert_faithful(random_scenario(number, backend), backend)


@BOTH
@pytest.mark.parametrize(
    "name", ["bank_timeout", "bank_transfer", "bounded_buffer", "cas_counter", "check_then_act"]
)
def test_examples(backend: str, name: str) -> None:
    scenario = load_scenario(EXAMPLES / f"{name}.yaml")
    program = Program(scenario)
    for clock in ("virtual", "adversarial"):
        assert_same_as_simulated(
            BACKENDS[backend](program, Options()), program, seed=3, count=15, clock=clock
        )
    assert_faithful(scenario.to_data(), backend)


@BOTH
def test_a_deadlock_is_seen(backend: str) -> None:
    program = Program(load_scenario(EXAMPLES / "bank_transfer.yaml"))
    left = BACKENDS[backend](program, Options()).free()
    assert sorted(left.blocked) == [0, 1]
    assert {op.at for op in left.blocked.values()} == {"workers.transfer.steps[0].do[1]"}
    assert left.limit is None
    assert left.order is not None
    assert len(left.order) == 6  # each: one lock, a checkpoint, in line for the other


def endless(steps: list[Any]) -> Program:
    return Program(
        scenario_from_data(
            {
                "format": "tracelock-scenario/1",
                "name": "endless",
                "shared": {"x": 0},
                "workers": {"w": {"steps": [{"while": "true", "do": steps}]}},
            }
        )
    )


@BOTH
@pytest.mark.parametrize("steps", [[{"write": "x", "value": 1}], ["checkpoint"], [{"sleep": 0.01}]])
def test_limits(backend: str, steps: list[Any]) -> None:
    real = BACKENDS[backend](endless(steps), Options(RunLimits(seconds=0.2)))
    assert real.free().limit == "the limit of 0.2 seconds was reached"
    real = BACKENDS[backend](endless(steps), Options(RunLimits(steps=7)))
    left = real.free()
    assert left.limit == "the limit of 7 steps was reached"
    assert left.order is not None
    assert len(left.order) == 7


@BOTH
def test_nothing_is_kept_that_is_not_wanted(backend: str) -> None:
    program = Program(load_scenario(EXAMPLES / "locked_counter.yaml"))
    left = BACKENDS[backend](program, Options()).free(record=False)
    assert not left.recorded
    assert not any(left.logs)
    assert [cell[-1][0] for cell in left.cells] == [2]


@BOTH
def test_interrupted(backend: str) -> None:
    import _thread

    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    left = BACKENDS[backend](endless([{"sleep": 0.01}]), Options()).free()
    timer.join()
    assert left.limit == INTERRUPTED
    assert left.order


# --- differences between versions ------------------------------------------------------------
def test_the_rules_are_those_of_this_python() -> None:
    rules = AsyncioBackend.rules
    assert rules.passes_notify_on == hasattr(asyncio.Condition, "_notify")
    waker = asyncio.Semaphore(0)._wake_up_next  # type: ignore[attr-defined]
    assert rules.wakes_all == (waker() is False)


def test_a_lost_notification() -> None:
    program = Program(scenario_from_data(TASK_CASES["notified-and-cancelled"]))
    ends: set[int] = set()
    controller = Controller(program.layout, AsyncioBackend.rules, RandomScheduler(1))

    def done(controller: Controller) -> bool:
        events = [(w, NAMES[k]) for w, k, *_ in controller.log]
        told = [r for _, k, _, r, *_ in controller.log if NAMES[k] == "notify"]
        if told == [[0]] and (0, "cancelled") in events:
            waiting = [w for w, kind in events[: events.index((0, "cancelled"))] if kind == "wait"]
            if len(waiting) > 1:
                ends.add(sum((w, "wake") in events for w in (1, 2)))
        return controller.scheduler.schedule >= 400  # type: ignore[attr-defined]

    AsyncioBackend(program, Options()).controlled(controller, done)
    # whom the cancelled waiter's notification goes to: nobody, before CPython 3.13
    assert ends == ({1} if hasattr(asyncio.Condition, "_notify") else {0})


# --- in a loop that runs already -------------------------------------------------------------
@pytest.mark.asyncio
@BOTH
async def test_inside_asyncio(backend: str) -> None:
    scenario = load_scenario(EXAMPLES / "locked_counter.yaml")
    assert run(scenario, backend=backend).verdict.kind == "passed"
    trace = run(scenario, backend=backend, strategy="random", seed=1)
    assert trace.verdict.kind == "passed"
    await asyncio.sleep(0)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.anyio
@BOTH
async def test_inside_anyio(backend: str, anyio_backend: str) -> None:
    import anyio

    scenario = load_scenario(EXAMPLES / "bank_transfer.yaml")
    assert run(scenario, backend=backend).verdict.kind in ("passed", "deadlock")
    trace = run(scenario, backend=backend, strategy="random", seed=1)
    assert replay(trace).reproduced
    await anyio.lowlevel.checkpoint()
