"""One table for each sort of thing: what is not in it raises, and every room covers what is."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import fields
from typing import Any

import pytest

from tracelock import explore, export, run, scenario_from_data
from tracelock.analysis import analyze as analysis
from tracelock.analysis import ranking
from tracelock.analysis.derived.objects import KINDS as ANALYSED
from tracelock.analysis.derived.objects import by_kind
from tracelock.analysis.findings import Finding
from tracelock.backends.processes.objects import make_objects
from tracelock.cli.options import build_parser
from tracelock.engine.controller import Controller
from tracelock.errors import InternalError, UnsupportedError, UsageError
from tracelock.explore.spread.shards import Job, Shard, run_shard
from tracelock.objects import KINDS, make_model, make_models
from tracelock.objects.base import Model
from tracelock.objects.kinds import FAMILIES, PLAIN, Kind
from tracelock.ops import ACQUIRE, RELEASE, Layout, ObjectSpec, Op, Value, WorkerSpec
from tracelock.report.render import render_report
from tracelock.scenario.language.objects import OBJECTS
from tracelock.scenario.language.usage import features_of
from tracelock.scenario.language.verbs import VERBS
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Choice, Scheduler
from tracelock.schedulers.simple import RoundRobinScheduler
from tracelock.schedulers.strategies import SEEDED, STRATEGIES, Strategy
from tracelock.session import rules_of

BACKENDS = ("threading", "multiprocessing", "asyncio", "trio")
DECLARED = {name: kind for name, kind in KINDS.items() if kind.declared}
#: The smallest use of an object of each kind by the workers of a scenario.
USES: dict[str, list[Any]] = {
    "lock": [{"with": "o", "do": []}],
    "rlock": [{"with": "o", "do": [{"with": "o", "do": []}]}],
    "semaphore": [{"acquire": "o"}, {"release": "o"}],
    "bounded_semaphore": [{"acquire": "o"}, {"release": "o"}],
    "condition": [{"with": "o", "do": [{"notify": "o"}]}],
    "event": [{"set": "o"}, {"wait": "o"}],
    "barrier": [{"wait": "o"}],
    "queue": [{"put": "o", "value": 1}, {"get": "o"}],
}


def using(kind: str) -> Any:
    declared: Any = {"type": kind, "parties": 2} if kind == "barrier" else kind
    return scenario_from_data(
        {
            "format": "tracelock-scenario/1", "name": "use", "objects": {"o": declared},
            "workers": {"w": {"count": 2, "steps": USES[kind]}},
        }
    )  # fmt: skip


def refused(kind: str, backend: str) -> str | None:
    """Why a backend has no such objects, by the features of the scenario language."""
    reasons = rules_of(backend).refuses
    return next((reasons[one] for one, _ in features_of(using(kind)) if one in reasons), None)


# --- kinds of objects ------------------------------------------------------------------------
def test_every_kind_has_a_model_or_a_reason_in_each_family() -> None:
    options = {field.name for field in fields(ObjectSpec)}
    for name, kind in KINDS.items():
        assert set(kind.models) == set(FAMILIES), name
        assert not isinstance(kind.models[PLAIN], str)
        assert set(kind.options) <= options, name


def test_the_language_and_the_analyses_know_the_same_kinds() -> None:
    assert set(OBJECTS) == set(ANALYSED) == set(DECLARED) == set(USES)
    for name, kind in DECLARED.items():
        assert OBJECTS[name].options == kind.options, name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", DECLARED)
def test_every_kind_is_there_or_refused_on_every_backend(kind: str, backend: str) -> None:
    why = KINDS[kind].models[rules_of(backend).family]
    if isinstance(why, str):
        assert refused(kind, backend) == why
        with pytest.raises(UnsupportedError, match=why):
            run(using(kind), backend=backend, strategy="random", seed=1)
        with pytest.raises(UnsupportedError, match=why):
            export(using(kind), backend)
        return
    assert refused(kind, backend) is None
    assert export(using(kind), backend)
    if backend == "multiprocessing":  # without starting a process
        made = make_objects(Program(using(kind)).layout, multiprocessing.get_context())
        assert made[-1] is not None
    else:
        trace = run(using(kind), backend=backend, strategy="random", seed=1)
        assert trace.verdict.kind == "passed"
        text = render_report(trace, "text")
        assert " o" in text


def test_an_unlisted_kind_raises() -> None:
    spec = ObjectSpec("o", "latch")
    layout = Layout(("o",), (), (spec,), (WorkerSpec("w", "w", 0, 1),))
    for backend in BACKENDS:
        with pytest.raises(InternalError, match="'latch' is not a kind of object"):
            make_models(layout, rules_of(backend))
    with pytest.raises(InternalError, match="anyio has no barrier"):
        make_model(rules_of("trio"), ObjectSpec("o", "barrier"), [])
    with pytest.raises(LookupError, match="barrier"):
        by_kind(lock=1)


class LatchModel(Model):
    """Opens when it has been released as often as its value says; then everybody gets on."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.left = count

    def enabled(self, op: Op, worker: int) -> bool:
        return op.kind == RELEASE or self.left == 0

    def apply(self, op: Op, worker: int) -> Value:
        if op.kind == RELEASE:
            self.left = max(0, self.left - 1)
            return None
        return True

    def reset(self) -> None:
        self.left = self.count

    def snapshot(self) -> Any:
        return self.left

    def restore(self, state: Any) -> None:
        self.left = state


def test_a_new_kind_is_one_class_and_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the models: what a scenario, a real object or an analysis makes of it is theirs."""
    latch = Kind(
        {PLAIN: lambda rules, spec, _: LatchModel(spec.value), "asyncio": "not yet",
         "anyio": "not yet"},
        ("value",),
    )  # fmt: skip
    spec = ObjectSpec("o", "latch", value=2)
    workers = tuple(WorkerSpec(f"w{n}", "w", n, 3) for n in range(3))
    layout = Layout(("o",), (), (spec,), workers)
    monkeypatch.setitem(KINDS, "latch", latch)
    controller = Controller(layout, rules_of("threading"), RoundRobinScheduler())
    assert controller.begin()
    controller.ask(0, Op(ACQUIRE, 0, "wait"))
    for worker in (1, 2):
        controller.ask(worker, Op(RELEASE, 0, "open"))
    order = []
    while (worker := controller.next()) >= 0:
        order.append(worker)
        controller.ask(worker, None)
    assert order == [1, 2, 0]
    with pytest.raises(InternalError, match="asyncio has no model of a latch: not yet"):
        make_models(layout, rules_of("asyncio"))
    monkeypatch.undo()
    with pytest.raises(InternalError, match="not a kind"):
        make_models(layout, rules_of("threading"))


# --- strategies ------------------------------------------------------------------------------
COUNTER = {
    "format": "tracelock-scenario/1", "name": "counter", "shared": {"x": 0},
    "workers": {"w": {"count": 2, "steps": [
        {"read": "x", "into": "old"}, {"write": "x", "value": "old + 1"},
    ]}},
    "finally": ["x == 2"],
}  # fmt: skip


class Backwards(Scheduler):
    """The last option, whatever it is."""

    def pick(self, choice: Choice) -> int:
        return choice.options[-1]

    def describe(self) -> dict[str, Any]:
        return {"name": "backwards"}


def test_an_unlisted_strategy_raises() -> None:
    scenario = scenario_from_data(COUNTER)
    for call in (run, explore):
        with pytest.raises(UsageError, match="unknown strategy 'backwards': it is one of"):
            call(scenario, strategy="backwards", backend="threading")
    job = Job(json.dumps(COUNTER), "threading", "backwards")
    with pytest.raises(UsageError, match="unknown strategy 'backwards'"):
        run_shard(Shard(job, count=1))


def test_a_new_strategy_is_one_class_and_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_from_data(COUNTER)
    entry = Strategy(lambda _: Backwards(), "the last option", SEEDED)
    monkeypatch.setitem(STRATEGIES, "backwards", entry)
    trace = run(scenario, strategy="backwards", backend="threading")
    assert trace.strategy == {"name": "backwards"}
    assert [event.worker for event in trace.events] == [1, 1, 0, 0]
    found = explore(scenario, strategy="backwards", schedules=3)
    assert (found.verdict, found.schedules) == ("passed", 3)
    # a shard has a scheduler of its own strategy, not of another
    job = Job(json.dumps(COUNTER), "threading", "backwards")
    shard = run_shard(Shard(job, count=4))
    assert shard.schedules == 4
    assert [one.picks for one in shard.seen] == [[1, 1, 0, 0]]
    for command in ("run", "explore"):
        options = build_parser().parse_args([command, "s.yaml", "--strategy", "backwards"])
        assert options.strategy == "backwards"


def test_a_strategy_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(InternalError, match="states strategy cannot be split"):
        run_shard(Shard(Job(json.dumps(COUNTER), "threading", "states"), count=1))


# --- findings --------------------------------------------------------------------------------
def test_a_new_finding_is_one_finder_and_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = run(scenario_from_data(COUNTER), backend="simulated", strategy="round-robin")
    toy = Finding("toy", "a toy", "Nothing is wrong with it.", (0,), (0,), ("x",))
    monkeypatch.setattr(analysis, "FINDERS", (*analysis.FINDERS, lambda facts: [toy]))
    with pytest.raises(KeyError, match="toy"):
        analysis.analyze(trace)
    monkeypatch.setitem(ranking._PLACE, "toy", len(ranking._PLACE))
    with pytest.raises(KeyError, match="toy"):  # what is to be done about it is not said yet
        analysis.analyze(trace)
    monkeypatch.setitem(analysis.CURES, "toy", "nothing")
    (found,) = [one for one in analysis.analyze(trace) if one.kind == "toy"]
    assert (found.title, found.cure, found.root) == (toy.title, "nothing", False)
    monkeypatch.undo()
    assert "toy" not in {one.kind for one in analysis.analyze(trace)}


def test_each_field_of_a_step_is_listed_once() -> None:
    for verb, row in VERBS.items():
        names = [part.name for part in row.model.parts]
        assert len(names) == len(set(names)), verb
        assert set(names) <= set(row.model.model_fields), verb
