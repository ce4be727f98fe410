"""A search in shards is the search: in whatever order they come back, and wherever they run."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from multiprocessing import active_children
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.commands import lives
from tests.oracles.classes import Watch, class_of
from tests.oracles.generate import THEMES, generate
from tracelock.backends.rules import ASYNCIO_RULES, MULTIPROCESSING_RULES, THREADING_RULES
from tracelock.engine.controller import Controller
from tracelock.engine.limits import RunLimits
from tracelock.engine.verdicts import first_failure
from tracelock.errors import InternalError, LimitReached, UsageError
from tracelock.explore.running import Runner, Tape
from tracelock.explore.search import Budget, Searched, search
from tracelock.explore.spread import coordinator, executors, sources
from tracelock.explore.spread.coordinator import add_seen, spread
from tracelock.explore.spread.frontier import Frontier
from tracelock.explore.spread.shards import CHUNK, Job, Shard, ShardResult, run_on, run_shard
from tracelock.explore.spread.sources import Tree, make_source
from tracelock.objects import Rules
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.usage import features_of
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.subtree import Subtree, SubtreeScheduler, flat, nested
from tracelock.schedulers.dpor.wakeup import Step, insert
from tracelock.schedulers.simple import RandomScheduler
from tracelock.session.api import explore
from tracelock.session.plan import Spreading
from tracelock.session.spreading import Spreader

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "oracles"
TRACES = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
SMALL = [
    Path(entry["scenario"]).stem for entry in TRACES if entry["executions"] <= 500
]  # fmt: skip


class Watcher(Runner):
    """Counts the class of every execution that is not cut."""

    classes: Counter[Any]

    def controller(self, scheduler: Scheduler) -> Controller:
        always = self.program.always
        check = (lambda values: first_failure(always, "always", values)) if always else None
        return Watch(
            self.program.layout, self.rules, scheduler, clock=self.clock,
            max_steps=self.limits.steps, check=check,
        )  # fmt: skip

    def run(self, scheduler: Scheduler, done: Callable[[Controller], bool]) -> Controller:
        assert isinstance(scheduler, Tape)

        def count(controller: Controller) -> bool:
            if not scheduler.inner.cut:  # type: ignore[attr-defined]
                assert isinstance(controller, Watch)
                self.classes[class_of(controller)] += 1
            return done(controller)

        return super().run(scheduler, count)


def watcher(scenario: Scenario, rules: Rules = THREADING_RULES, clock: str = "virtual") -> Watcher:
    runner = Watcher(Program(scenario), rules, clock=clock, limits=RunLimits(steps=300))
    runner.classes = Counter()
    return runner


def job_of(scenario: Scenario, strategy: str, rules: str = "threading", **more: Any) -> Job:
    return Job(json.dumps(scenario.to_data()), rules, strategy, every=True, **more)


def in_order(runner: Watcher) -> tuple[Counter[Any], Searched]:
    runner.classes = Counter()
    found = search(runner, DporScheduler(), Budget(20_000), every=True)
    return runner.classes, found


def in_parts(runner: Watcher, job: Job, seed: int, width: int = 4) -> tuple[Counter[Any], int, int]:
    """Parts of a few executions each, ``width`` at a time, that come back in any order; and now
    and then all that is left goes through a file."""
    runner.classes = Counter()
    rng = random.Random(seed)
    source = Tree(job, None, runner, 1.0, Frontier())
    flying: list[tuple[Shard, ShardResult]] = []
    schedules = redundant = 0

    def count(results: Any) -> None:
        nonlocal schedules, redundant
        schedules += sum(one.schedules for one in results)
        redundant += sum(one.redundant for one in results)

    while True:
        while len(flying) < width and (shard := source.next(not flying)) is not None:
            shard.count, shard.seconds = rng.choice([1, 1, 2, 3, 7, 20]), None
            travelled = pickle.loads(pickle.dumps(shard))
            flying.append((shard, run_on(runner, travelled)))
        count(source.run_here())
        if not flying:
            break
        shard, result = flying.pop(rng.randrange(len(flying)))
        shard.count = None
        for seen in result.seen:
            seen.executed = None
        count(source.take(shard, pickle.loads(pickle.dumps(result)), rng.random() < 0.7))
        if not flying and rng.random() < 0.5:
            text = json.dumps(source.to_data())
            source = Tree(job, None, runner, 1.0, Frontier())
            source.go_on(json.loads(text), 0, ())
    assert source.finished
    assert sum(runner.classes.values()) == schedules
    return runner.classes, schedules, redundant


# --- dpor ------------------------------------------------------------------------------------
@pytest.mark.parametrize("stem", SMALL)
def test_parts_of_dpor_make_exactly_the_sequential_executions(stem: str) -> None:
    scenario = load_scenario(DATA / f"{stem}.json")
    runner = watcher(scenario)
    orders, found = in_order(runner)
    for seed in range(2):
        classes, schedules, redundant = in_parts(runner, job_of(scenario, "dpor"), seed)
        assert classes == orders, seed
        assert schedules == found.schedules
        assert redundant == 0


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_parts_of_generated_scenarios(theme: str) -> None:
    """On threads, processes and tasks, with both clocks. Where classes are explored more than
    once, because it is not known what a step touches elsewhere, all are still explored."""
    ways = [
        (THREADING_RULES, "virtual"), (THREADING_RULES, "adversarial"),
        (MULTIPROCESSING_RULES, "virtual"), (ASYNCIO_RULES, "virtual"),
    ]  # fmt: skip
    for number, (rules, clock) in enumerate(ways):
        for seed in range(3):
            scenario = scenario_from_data(
                generate(50 + seed, theme, most=400, early=clock == "adversarial")
            )
            if any(feature in rules.refuses for feature, _ in features_of(scenario)):
                continue
            runner = watcher(scenario, rules, clock)
            orders, _ = in_order(runner)
            job = job_of(scenario, "dpor", rules.backend, clock=clock)
            classes, _, _ = in_parts(runner, job, seed + number)
            assert classes.keys() == orders.keys(), (rules.backend, clock, seed)
            if theme != "atomics" and not rules.cooperative:
                assert classes == orders, (rules.backend, clock, seed)


def test_a_tree_as_a_list() -> None:
    steps: list[Step] = [(worker, (), 1 << worker, 1 << 10 + worker) for worker in range(4)]
    tree: Any = []
    for order in ([0, 1], [0, 2, 3], [1, 0], [3]):
        insert(tree, [(steps[k][0], (k,), -1, -1) for k in order])
    assert flat(nested(json.loads(json.dumps(flat(tree))))) == flat(tree)
    assert len(flat(tree)) >= 4
    deep = [(level, steps[level % 4]) for level in range(5000)]
    assert flat(nested(deep)) == deep


def test_a_part_that_is_interrupted_is_as_it_was() -> None:
    """Whatever schedule Ctrl-C comes in: what is left holds that one too."""
    scenario = load_scenario(DATA / "inc-3.json")
    runner = watcher(scenario)
    orders, _ = in_order(runner)
    for when in (1, 2, 17, 36):
        runner.classes = Counter()
        job = job_of(scenario, "dpor")
        part: Subtree | None = Subtree.whole()
        first = run_on(runner, Shard(job, part=part, count=when - 1)) if when > 1 else None
        part = first.left if first is not None else part
        assert part is not None
        scheduler = SubtreeScheduler(part)
        picked = 0

        class Interrupt(Tape):
            def pick(self, choice: Any) -> int:
                nonlocal picked
                picked += 1
                if picked == 4:
                    raise KeyboardInterrupt
                return super().pick(choice)

        controller = Runner.run(runner, Interrupt(scheduler), lambda _: True)
        assert controller.limit == "interrupted"
        left = scheduler.rest()
        assert left is not None
        run_on(runner, Shard(job, part=left))
        assert runner.classes == orders, when


# --- spreading -------------------------------------------------------------------------------
def spread_over(
    scenario: Scenario, strategy: str, executor: Executor, width: int, limit: int | None,
    every: bool = True,
) -> Searched:  # fmt: skip
    runner = Runner(Program(scenario), THREADING_RULES, limits=RunLimits(steps=2000))
    job = Job(json.dumps(scenario.to_data()), "threading", strategy, seed=3, every=every)
    found = Searched(strategy)
    source = make_source(job, limit, runner, here=False)
    spread(
        source, found, runner, executors.on(executor), Budget(limit), width=width, every=every
    )  # fmt: skip
    return found


class Dying:
    """An executor whose process dies when it is handed shard number ``at``, once or always; the
    shards before that are done."""

    def __init__(self, at: int, deaths: int = 1) -> None:
        self.at, self.deaths, self.renewed = at, deaths, 0
        self.broken = False
        self.handed = 0

    def submit(self, shard: Shard) -> Future[ShardResult]:
        if self.broken:
            raise BrokenExecutor
        future: Future[ShardResult] = Future()
        self.handed += 1
        if self.handed >= self.at and self.deaths:
            self.broken = True
            self.deaths -= 1
            future.set_exception(BrokenExecutor())
        else:
            future.set_result(run_shard(shard))
        return future

    def renew(self) -> None:
        self.renewed += 1
        self.broken = False


@pytest.mark.parametrize(("strategy", "at"), [
    ("random", 1), ("random", 2), ("random", 3), ("dpor", 1), ("preemption", 1), ("preemption", 2),
])  # fmt: skip
def test_what_a_process_had_that_died_is_searched_again(strategy: str, at: int) -> None:
    scenario = load_scenario(DATA / "inc-3.json")
    limit = 3 * CHUNK if strategy == "random" else None
    with ThreadPoolExecutor(1) as pool:
        whole = spread_over(scenario, strategy, pool, 2, limit)
    runner = Runner(Program(scenario), THREADING_RULES, limits=RunLimits(steps=2000))
    job = Job(json.dumps(scenario.to_data()), "threading", strategy, seed=3, every=True)
    found, dying = Searched(strategy), Dying(at, deaths=2)
    source = make_source(job, limit, runner, here=False)
    spread(source, found, runner, dying.submit, Budget(limit), width=2, every=True,
           renew=dying.renew)  # fmt: skip
    assert dying.renewed >= 1
    assert found.schedules == whole.schedules
    assert found.exhaustive == whole.exhaustive
    assert counts(found).keys() == counts(whole).keys()
    if strategy == "random":
        assert counts(found) == counts(whole)
    found, dying = Searched(strategy), Dying(at, deaths=1)
    source = make_source(job, limit, runner, here=False)
    with pytest.raises(LimitReached, match="died"):
        spread(source, found, runner, dying.submit, Budget(limit), width=2, every=True)


@pytest.mark.parametrize("deaths", [3, 0])
def test_a_killed_process_is_told(
    deaths: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(executors, "DEATHS", deaths)
    monkeypatch.setattr(Spreader, "_local", lambda self: None)  # all is done by others
    submit = executors.Processes.submit
    killed: list[int] = []

    def kills(self: executors.Processes, shard: Shard) -> Future[ShardResult]:
        future = submit(self, shard)
        if not killed:
            killed.append(next(child.pid for child in active_children() if child.pid))
            os.kill(killed[0], signal.SIGKILL)
        return future

    monkeypatch.setattr(executors.Processes, "submit", kills)
    scenario = load_scenario(DATA / "inc-3.json")
    how = {"strategy": "random", "schedules": 4 * CHUNK, "shrink": False, "confirm": 0}
    if not deaths:
        with pytest.raises(LimitReached, match=r"was killed by SIGKILL.*given up"):
            explore(scenario, every=True, spreading=Spreading(jobs=2), **how)
    else:
        found = explore(scenario, every=True, spreading=Spreading(jobs=2), **how)
        assert found.schedules == 4 * CHUNK
        assert found.notes == [
            "a process that ran a part of the search was killed by SIGKILL: others searched that "
            "part"
        ]
    assert killed and not active_children()


def test_processes_that_do_not_end_are_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "LEAVING", 0.3)
    with executors.Processes(1, lambda told: None) as processes:
        busy = processes._pool.submit(time.sleep, 600)
        while not busy.running():
            time.sleep(0.01)
    assert not active_children()


def test_a_process_of_whose_end_another_thread_was_told_is_waited_for() -> None:
    """``join`` returns at once where the executor's thread has asked and not yet noted it."""

    class Ending:
        asked = joined = 0

        def is_alive(self) -> bool:
            self.asked += 1
            return self.asked < 4

        def join(self, timeout: float) -> None:
            assert 0 < timeout <= 60
            self.joined += 1

    ending: Any = Ending()
    executors._join(ending, time.monotonic() + 60)
    assert (ending.asked, ending.joined) == (4, 3)
    lives: Any = Ending()
    executors._join(lives, time.monotonic() - 1)
    assert (lives.asked, lives.joined) == (1, 0)


def test_a_process_that_cannot_be_started_since_another_died() -> None:
    """3.11 closes the pipes of all while it starts one."""
    told: list[str] = []
    with executors.Processes(2, told.append) as processes:

        def fails(*arguments: object) -> Future[ShardResult]:
            raise ValueError("bad value(s) in fds_to_keep")

        processes._pool.submit(abs, 1).result()
        processes._pool.submit = fails  # type: ignore[method-assign]
        shard: Any = None
        with pytest.raises(ValueError, match="fds_to_keep"):
            processes.submit(shard)
        [process] = processes._context.made
        process.kill()
        process.join()
        with pytest.raises(BrokenExecutor, match="fds_to_keep"):
            processes.submit(shard)
        processes.renew()
    assert told[0].startswith("a process that ran a part of the search was killed by SIGKILL")


def test_how_the_first_one_died_may_be_known_last() -> None:
    """Whoever waits for a process first knows how it ended; the others learn it a moment later."""

    class Late(SpawnProcess):
        asked = 0

        @property
        def exitcode(self) -> int | None:
            self.asked += 1
            return None if self.asked < 5 else super().exitcode

    told: list[str] = []
    with executors.Processes(1, told.append) as processes:
        processes._pool.submit(abs, 1).result()
        for number in (signal.SIGTERM, signal.SIGKILL):
            one = processes._context.Process(target=time.sleep, args=(600,))
            one.start()
            assert one.pid is not None
            os.kill(one.pid, number)
            one.join()
        one.__class__ = Late
        processes.renew()
    assert told[0].startswith("a process that ran a part of the search was killed by SIGKILL")


def test_one_that_the_executor_forgets_is_made_to_end() -> None:
    """In 3.11 it forgets one that is started while it learns that another one has died."""
    told: list[str] = []
    with executors.Processes(1, told.append) as processes:
        processes._pool.submit(os.abort).exception()
        late = processes._context.Process(target=time.sleep, args=(600,))
        late.start()
        processes.renew()
        assert late.exitcode == -signal.SIGTERM
        assert processes._pool.submit(abs, -2).result() == 2
    assert told == [
        "a process that ran a part of the search was killed by SIGABRT: others searched that part"
    ]
    assert not active_children()


def counts(found: Searched) -> dict[Any, Any]:
    return {key: (one.count, one.first.picks) for key, one in found.outcomes.items()}


@pytest.mark.parametrize("strategy", ["random", "pos", "pct", "surw", "auto"])
def test_samplers_are_the_same_however_many_work(strategy: str) -> None:
    scenario = load_scenario(DATA / "inc-3.json")
    limit = 2 * CHUNK + 100
    seen = []
    for width in (1, 2, 5):
        with ThreadPoolExecutor(width) as pool:
            found = spread_over(scenario, strategy, pool, width, limit)
        assert found.schedules == limit
        assert found.stopped == "schedules"
        seen.append(counts(found))
    assert seen[0] == seen[1] == seen[2]
    if strategy == "random":
        runner = Runner(Program(scenario), THREADING_RULES)
        assert counts(search(runner, RandomScheduler(3), Budget(limit), every=True)) == seen[0]


def test_the_first_failure_is_the_first_whoever_finds_it() -> None:
    """One that is rare enough to be in a later chunk."""
    steps = [{"write": "x", "value": "x + 1"}] * 6
    scenario = scenario_from_data(
        {
            "format": "tracelock-scenario/1", "name": "rare", "shared": {"x": 0},
            "workers": {"w": {"count": 2, "steps": steps}}, "finally": ["x != 12"],
        }
    )  # fmt: skip
    runner = Runner(Program(scenario), THREADING_RULES)
    alone = search(runner, RandomScheduler(3), Budget(20_000))
    assert alone.stopped == "failure"
    assert alone.schedules > CHUNK
    for width in (1, 4):
        with ThreadPoolExecutor(width) as pool:
            found = spread_over(scenario, "random", pool, width, 20_000, every=False)
        assert found.stopped == "failure"
        assert found.schedules == alone.schedules
        assert found.failures()[0].first.picks == alone.failures()[0].first.picks
        assert found.failures()[0].schedule == alone.schedules


@pytest.mark.parametrize("strategy", ["delay", "preemption"])
def test_bounded_searches_are_the_same_in_shards(strategy: str) -> None:
    scenario = load_scenario(DATA / "inc-2.json")
    with ThreadPoolExecutor(1) as pool:
        alone = spread_over(scenario, strategy, pool, 1, None)
    with ThreadPoolExecutor(3) as pool:
        found = spread_over(scenario, strategy, pool, 3, None)
    assert found.exhaustive
    assert alone.exhaustive
    assert found.schedules == alone.schedules > 0
    assert {k: v[0] for k, v in counts(found).items()} == {
        k: v[0] for k, v in counts(alone).items()
    }


@pytest.mark.parametrize("strategy", ["dpor", "random", "delay"])
def test_a_budget_of_schedules_is_kept_to(strategy: str) -> None:
    scenario = load_scenario(DATA / "wcas-7.json")
    with ThreadPoolExecutor(3) as pool:
        found = spread_over(scenario, strategy, pool, 3, 200)
    assert found.schedules == 200
    assert found.stopped == "schedules"
    assert not found.exhaustive


def test_a_shard_runs_anywhere() -> None:
    """All that is needed comes with it, and all that comes back is data."""
    scenario = load_scenario(DATA / "wcas-5.json")
    shard = Shard(job_of(scenario, "dpor"), count=10)
    result = run_shard(pickle.loads(pickle.dumps(shard)))
    assert result.schedules == 10
    assert result.left is not None
    back = pickle.loads(pickle.dumps(result))
    assert back.seen[0].picks == result.seen[0].picks
    assert back.seen[0].executed is None
    runner = Runner(Program(scenario), THREADING_RULES)
    found = Searched("dpor")
    add_seen(found, runner, back.seen[0].picks, 1, 1)
    assert list(found.outcomes) == [back.seen[0].key]
    with pytest.raises(InternalError, match="cannot be had here"):
        add_seen(found, runner, [9, 9, 9], 1, 1)


# --- processes -------------------------------------------------------------------------------
def test_processes_verify_and_find() -> None:
    verified = explore(
        load_scenario(DATA / "wcas-7.json"), strategy="dpor", confirm=0, spreading=Spreading(2)
    )
    assert verified.verdict == "verified"
    assert verified.schedules == 449
    assert verified.redundant == 0
    failed = explore(
        load_scenario(ROOT / "scenarios" / "deadlock_ab_ba.yaml"), strategy="random",
        confirm=0, spreading=Spreading(2),
    )  # fmt: skip
    assert failed.verdict == "failed"
    assert failed.trace is not None
    assert failed.trace.verdict.kind == "deadlock"


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in listed.split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_orphans(how: signal.Signals) -> None:
    """Neither Ctrl-C nor a kill of the parent leaves a process behind."""
    command = [
        sys.executable, "-m", "tracelock", "explore", str(DATA / "inc-3.json"), "--jobs", "2",
        "--strategy", "random", "--all", "--seconds", "60", "--no-trace",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        started: list[int] = []
        end = time.monotonic() + 60
        while len(started) < 3 and time.monotonic() < end:  # two, and what tracks resources
            started = children(process.pid)
            time.sleep(0.05)
        assert len(started) >= 3
        time.sleep(0.7)
        process.send_signal(how)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    if how is signal.SIGINT:
        assert process.returncode == 5, output
        assert "interrupted" in output
        assert "Traceback" not in output
    end = time.monotonic() + 30
    while any(lives(pid) for pid in started) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in started if lives(pid)]


def test_a_shard_that_never_comes_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "OVERDUE", 0.1)
    scenario = load_scenario(DATA / "inc-3.json")
    runner = Runner(Program(scenario), THREADING_RULES)
    for strategy in ("random", "dpor"):
        found = Searched(strategy)
        source = make_source(job_of(scenario, strategy), None, runner, here=False)
        spread(source, found, runner, lambda shard: Future(), Budget(None, 0.05), width=2)
        assert (found.stopped, found.exhaustive) == ("seconds", False)


@settings(max_examples=50)
@given(
    st.sampled_from(["random", "pos", "pct"]), st.integers(1, 300), st.integers(1, 4),
    st.integers(0, 40), st.randoms(use_true_random=False),
)  # fmt: skip
def test_shards_of_a_sampler_cover_each_schedule_once(
    strategy: str, chunks: int, width: int, more: int, rng: random.Random
) -> None:
    """Whoever is done first; and where a schedule depends on its chunk no shard goes beyond one."""
    limit = chunks * 7 + more
    source = sources.Chunks(Job("", "threading", strategy, chunk=7), limit)
    out: list[Shard] = []
    counted: list[int] = []
    most = 0
    while not source.finished:
        while len(out) < 2 * width and (shard := source.next(not out)) is not None:
            out.append(shard)
        shard = out.pop(rng.randrange(len(out)))
        count = shard.count or 0
        most = max(most, count)
        assert strategy != "pct" or shard.skip + count <= 7
        result = ShardResult(shard.number, count, 0, 0, "schedules", False, [])
        counted += [one.schedules for one in source.take(shard, result, False)]
    assert (source.done, sum(counted), out) == (limit, limit, [])
    assert most <= max(7, limit // sources.PART) and most <= 7 * sources.GROWN
    assert strategy == "pct" or chunks < 150 or most > 7


# --- dask ------------------------------------------------------------------------------------
def test_a_dask_cluster() -> None:
    distributed = pytest.importorskip("distributed")
    scenario = load_scenario(DATA / "wcas-7.json")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None,
        host="127.0.0.1", protocol="tcp",
    ) as cluster:  # fmt: skip
        how = Spreading(dask=cluster.scheduler_address)
        verified = explore(scenario, strategy="dpor", confirm=0, spreading=how)
        assert verified.verdict == "verified"
        assert (verified.schedules, verified.redundant) == (449, 0)
        sampled = explore(
            scenario, strategy="pct", schedules=1500, every=True, confirm=0, spreading=how
        )
        here = explore(
            scenario, strategy="pct", schedules=1500, every=True, confirm=0,
            spreading=Spreading(executor=ThreadPoolExecutor(2), width=2),
        )  # fmt: skip
        assert [(way.state, way.count) for way in sampled.ways] == [
            (way.state, way.count) for way in here.ways
        ]


def test_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "ANSWER", 0.3)
    scenario = load_scenario(DATA / "inc-2.json")
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        explore(scenario, strategy="dpor", spreading=Spreading(dask="tcp://127.0.0.1:9"))


# --- what does not go together ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "more", "message"),
    [
        (Spreading(0), {}, "at least one job, not 0"),
        (Spreading(2, "tcp://h:1"), {}, "three ways"),
        (Spreading(2), {"engine": "real"}, "simulated engine"),
        (Spreading(2), {"strategy": "states"}, "can be neither spread"),
    ],
)
def test_bad_usage(how: Spreading, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explore(load_scenario(DATA / "inc-2.json"), spreading=how, **more)
