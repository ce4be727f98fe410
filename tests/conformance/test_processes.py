"""The multiprocessing backend does what the models say, its free runs are faithful, and nothing
is left of it: not after a deadlock, a crash, or the death of anybody."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.cases import CASES, scenario
from tests.helpers.commands import lives
from tests.helpers.support import assert_same_as_simulated, schedules
from tracelock.backends.base import Options
from tracelock.backends.processes.backend import MultiprocessingBackend
from tracelock.backends.processes.objects import attempt, make_objects, restore, senders, wait
from tracelock.backends.rules import MULTIPROCESSING_RULES
from tracelock.cli.main import main
from tracelock.engine.controller import Controller
from tracelock.engine.limits import RunLimits
from tracelock.engine.linearise.order import linearise
from tracelock.engine.replaying import Replay
from tracelock.errors import UsageError
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget, search
from tracelock.ops import ACQUIRE, NOTIFY, RELEASE, WAIT, Layout, ObjectSpec, Op, Raised
from tracelock.scenario.language.usage import features_of
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Choice
from tracelock.schedulers.simple import RandomScheduler
from tracelock.session import Session, Settings, replay

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
METHODS = multiprocessing.get_all_start_methods()
QUICK = "fork" if "fork" in METHODS else "spawn"
EXAMPLES = Path(__file__).parents[1] / "data" / "examples"

OWN: dict[str, dict[str, Any]] = {
    one["name"]: one
    for one in (
        scenario(
            "crash",
            {
                "a": [{"acquire": "m"}, {"write": "x", "value": 1}, "crash"],
                "b": [{"acquire": "r"}, {"if": "x == 1", "then": ["crash"]}, {"release": "r"}],
                "c": [
                    {"acquire": "m", "timeout": 1, "into": "got"},
                    {"acquire": "r"},
                    {"write": "x", "value": 3},
                ],
            },
            shared={"x": 0},
            objects={"m": "lock", "r": "rlock"},
        ),
        scenario(
            "foreign-release",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {"acquire": "m"},
                        {"wait": "c", "timeout": 0.2, "into": "z"},
                        {"acquire": "m", "timeout": 0.1, "into": "w"},
                        {"wait": "c", "timeout": 0.2, "into": "y"},
                    ],
                },
                "b": {
                    "count": 2,
                    "steps": [
                        {"release": "m"},
                        {"notify": "c"},
                        {"acquire": "m", "blocking": False, "into": "f"},
                        {"notify": "c", "all": True},
                    ],
                },
            },
            objects={"m": "lock", "c": {"type": "condition", "lock": "m"}},
        ),
        scenario(
            "pulse",
            {
                "w": {"count": 2, "steps": [{"wait": "e", "timeout": 0.3, "into": "r"}]},
                "s": [{"set": "e"}, {"clear": "e"}, {"set": "e"}, {"clear": "e"}],
            },
            objects={"e": "event"},
        ),
        scenario(
            "two-conditions",
            {
                "w": {
                    "count": 3,
                    "steps": [{"acquire": "m"}, {"wait": "c"}, {"notify": "d"}, {"release": "m"}],
                },
                "n": {
                    "count": 2,
                    "steps": [
                        {"acquire": "m"},
                        {"notify": "c", "n": 2},
                        {"wait": "d", "timeout": 0.3, "into": "x"},
                        {"release": "c"},
                    ],
                },
            },
            objects={
                "m": "lock",
                "c": {"type": "condition", "lock": "m"},
                "d": {"type": "condition", "lock": "m"},
            },
        ),
        scenario(
            "broken-barrier",
            {
                "a": {"count": 2, "steps": [{"wait": "b", "timeout": 0.1, "into": "r"}]},
                "c": [{"sleep": 0.1}, {"wait": "b", "timeout": 0.5}],
                "d": [
                    {"sleep": 0.3},
                    {"try": [{"wait": "b"}], "finally": [{"write": "x", "value": 7}]},
                ],
            },
            shared={"x": 0},
            objects={"b": {"type": "barrier", "parties": 3}},
        ),
        scenario(
            "long-values",
            {
                "w": {
                    "count": 2,
                    "steps": [
                        {"exchange": "x", "value": "'" + "y" * 300 + "'", "into": "old"},
                        {"atomic": [{"write": "x", "value": "'" + "z" * 90 + "'"},
                                    {"write": "n", "value": "n + 1"}]},
                        {"read": "x", "into": "now"},
                        {"put": "q", "value": "[now, n]"},
                        {"get": "q", "into": "item"},
                        {"fetch_add": "x", "by": 1},
                    ],
                }
            },
            shared={"x": 0, "n": 0},
            objects={"q": "queue"},
        ),
    )
}  # fmt: skip
ALL = {**CASES, **OWN}


def compiled(name: str) -> Program:
    return Program(scenario_from_data(ALL[name], name))


def supported(name: str) -> bool:
    features = features_of(scenario_from_data(ALL[name], name))
    return not any(feature in MULTIPROCESSING_RULES.refuses for feature, _ in features)


HERE = sorted(name for name in ALL if supported(name))
#: Whose free runs take no longer than a moment of real time.
RACY = sorted(
    {"atomics", "condition", "event-pulse", "queue", "release-by-another", "try-acquire", "arrays",
     "barrier", "rlock", "two-conditions", "long-values", "pulse", "failure-inside", "queue-tries",
     "self-deadlock", "notify-many", "foreign-release", "crash"} & set(HERE)
)  # fmt: skip
#: Those that take longer: they run into timeouts.
TIMED = frozenset({"notify-many", "foreign-release", "crash", "pulse", "two-conditions"})


def offspring() -> list[str]:
    """The command lines of this process's children that are not multiprocessing's own helpers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
            command = (entry.parent / "cmdline").read_text()
        except OSError:
            continue
        helper = "resource_tracker" in command or "forkserver" in command
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and not helper:
            found.append(command)
    return found


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    assert not multiprocessing.active_children()
    if os.path.exists("/proc/self/stat"):
        assert not offspring()
    if cores is not None:
        assert os.sched_getaffinity(0) == cores


# --- controlled ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", HERE)
def test_controlled_is_the_model(name: str) -> None:
    program = compiled(name)
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        for seed in (1, 7):
            for clock in ("virtual", "adversarial"):
                assert_same_as_simulated(backend, program, seed, 15, clock)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    program = Program(load_scenario(path))
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        assert_same_as_simulated(backend, program, 3, 3 if "100k" in path.stem else 25, "virtual")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["two-conditions", "crash"])
def test_start_methods(name: str, method: str) -> None:
    program = compiled(name)
    options = Options(start_method=method, limits=RunLimits(seconds=20))
    with MultiprocessingBackend(program, options) as backend:
        assert_same_as_simulated(backend, program, 5, 1, "virtual")
        run = backend.free()
        assert len(linearise(run.logs, run.cells, program.layout, backend.rules)) > 0


def test_start_method_by_default() -> None:
    program = compiled("condition")
    backend = MultiprocessingBackend(program, Options())
    alone = sys.platform == "linux" and threading.active_count() == 1
    assert backend.start_method == ("fork" if alone else "spawn")
    with pytest.raises(UsageError, match="no start method 'osmosis'"):
        MultiprocessingBackend(program, Options(start_method="osmosis"))


def test_calls_are_made_in_the_worker() -> None:
    steps = [{"call": "os:getpid", "into": "p"}, {"write": "x", "value": "p"}]
    made = scenario("call", {"w": steps}, shared={"x": 0})
    program = Program(scenario_from_data(made))
    with MultiprocessingBackend(program, Options(RunLimits(), QUICK, True)) as backend:
        ((_, values, *_),) = schedules(backend, program, 1, 1, "virtual")
        assert backend.pool is not None
        assert values == [backend.pool.processes[0].pid]


class Killing(RandomScheduler):
    """Kills the process of a worker at a point of each schedule but the last."""

    def __init__(self, backend: MultiprocessingBackend, victim: int, at: int, schedules: int):
        super().__init__(11)
        self.backend, self.victim, self.at, self.left = backend, victim, at, schedules

    def begin(self) -> bool:
        self.left -= 1
        return super().begin() and self.left >= 0

    def pick(self, choice: Choice) -> int:
        if choice.seq == self.at and self.left > 0 and choice.kind == "worker":
            assert self.backend.pool is not None
            process = self.backend.pool.processes[self.victim]
            process.kill()
            process.join()
        return super().pick(choice)


@pytest.mark.parametrize("at", [0, 4, 7])
@pytest.mark.parametrize("name", ["two-conditions", "condition", "queue", "barrier"])
def test_killed_from_outside_while_controlled(name: str, at: int) -> None:
    program = compiled(name)
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        controller = Controller(program.layout, backend.rules, Killing(backend, 0, at, 2))
        ends: list[list[tuple[int, str]]] = []

        def done(controller: Controller) -> bool:
            ends.append(list(controller.crashed))
            if controller.crashed:
                assert [e[2].value for e in controller.log if e[2].value == "killed by signal 9"]
            return False

        backend.controlled(controller, done)
        assert ends == [[(0, "killed by signal 9")], []]
        assert_same_as_simulated(backend, program, 2, 5, "virtual")


def test_a_search_ends_where_a_worker_is_killed_from_outside() -> None:
    program = compiled("condition")
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        runner = Runner(program, backend.rules, backend=backend)
        found = search(runner, Killing(backend, 0, 4, 5), Budget(5), every=True)
    assert (found.stopped, found.schedules, found.exhaustive) == ("killed", 1, False)
    assert not found.failures()
    (outcome,) = found.outcomes.values()
    said = "the process of {} was ended from outside (killed by signal 9)"
    assert outcome.message == said.format(program.layout.workers[0].name)


def test_a_replay_whose_worker_is_killed_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.json"
    made = scenario("s", {w: [{"write": "x", "value": "x + 1"}] * 8 for w in "ab"}, shared={"x": 0})
    (tmp_path / "s.json").write_text(json.dumps(made))
    options = ["--backend", "multiprocessing", "--strategy", "random", "--trace", str(path)]
    assert main(["run", str(tmp_path / "s.json"), *options]) == 0
    kept = path.read_bytes()
    pick = Replay.pick
    killed: list[str] = []

    def kills(self: Replay, choice: Choice) -> int:
        if self.position >= 3 and not killed:
            child = multiprocessing.active_children()[0]
            child.kill()
            child.join()
            killed.append(child.name.removeprefix("tracelock:"))
        return pick(self, choice)

    monkeypatch.setattr(Replay, "pick", kills)
    capsys.readouterr()
    assert main(["replay", str(path)]) == 5
    said = f"the replay was cut off: the process of {killed[0]} was ended from outside"
    assert said in capsys.readouterr().err
    assert path.read_bytes() == kept


def test_a_full_pipe_is_a_limit() -> None:
    made = scenario("full", {"w": [{"put": "q", "value": "big"}]},
                    shared={"big": "x" * 2_000_000}, objects={"q": "queue"})  # fmt: skip
    program = Program(scenario_from_data(made))
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        ((events, *_, limit),) = schedules(backend, program, 1, 1, "virtual")
        assert "the pipe of the queue q is full" in limit
        assert len(events) == 2
        run = backend.free()
        assert run.limit is not None and "full" in run.limit
        assert [record[0] for record in run.logs[0]] == [0]


# --- free ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", RACY)
def test_free_runs_are_faithful(name: str) -> None:
    made = scenario_from_data(ALL[name], name)
    settings = Settings("multiprocessing", start_method=QUICK, limits=RunLimits(seconds=10))
    runs = 6 if name not in TIMED else 1
    with Session(made, settings) as session:
        for outcome in session.each(runs):
            trace = outcome.trace()
            assert trace.verdict.kind != "unfinished", trace.verdict
            for where in ("simulated", None)[: 2 if outcome.events < 40 else 1]:
                result = replay(trace, backend=where)
                assert result.reproduced, result.diverged or result.verdict


RACES = (
    scenario(
        "tries",
        {
            "p": {"count": 2, "steps": [{"repeat": 30, "index": "i", "do": [
                {"put": "q", "value": "i", "blocking": False, "into": "k"}]}]},
            "c": {"count": 2, "steps": [{"repeat": 30, "do": [
                {"get": "q", "into": "v", "blocking": False, "got": "g"}]}]},
        },
        objects={"q": {"type": "queue", "maxsize": 1}},
    ),
    scenario(
        "notify-against-timeout",
        {
            "w": {"count": 2, "steps": [{"repeat": 20, "do": [
                {"with": "c", "do": [{"wait": "c", "timeout": 0.0003, "into": "g"}]}]}]},
            "m": [{"repeat": 20, "do": [
                {"sleep": 0.0003}, {"with": "c", "do": [{"notify": "c"}]}]}],
        },
        objects={"c": "condition"},
    ),
)  # fmt: skip


@pytest.mark.parametrize("made", RACES, ids=lambda made: made["name"])
def test_close_races_are_put_in_order(made: dict[str, Any]) -> None:
    settings = Settings("multiprocessing", start_method=QUICK, limits=RunLimits(seconds=10))
    with Session(scenario_from_data(made), settings) as session:
        for outcome in session.each(15):
            trace = outcome.trace()
            assert trace.verdict.kind == "passed"
            assert replay(trace, backend="simulated").reproduced


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core only")
def test_updates_get_lost() -> None:
    made = scenario("racy", {"w": {"count": 2, "steps": [
        {"repeat": 3000, "do": [{"write": "x", "value": "x + 1"}]}]}}, shared={"x": 0})  # fmt: skip
    program = Program(scenario_from_data(made))
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        finals = []
        for _ in range(5):
            run = backend.free()
            finals.append(run.cells[0][-1][0])
            linear = linearise(run.logs, run.cells, program.layout, backend.rules)
            assert len(linear) == 12000 and len(run.cells[0]) == 6001
        assert min(finals) < 6000


def test_locked_updates_do_not() -> None:
    made = scenario("safe", {"w": {"count": 2, "steps": [{"repeat": 500, "do": [
        {"with": "m", "do": [{"write": "x", "value": "x + 1"}]}, {"fetch_add": "y", "by": 1},
        {"atomic": [{"write": "z[0]", "value": "z[0] + 1"}, {"write": "z[1]", "value": "z[0]"}]},
    ]}]}}, shared={"x": 0, "y": 0, "z": [0, 0]}, objects={"m": "lock"})  # fmt: skip
    program = Program(scenario_from_data(made))
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        for record in (True, False):
            run = backend.free(record)
            assert [cell[-1][0] for cell in run.cells] == [1000] * 4
            assert run.recorded is record and run.limit is None


def test_deadlock_is_found_and_ends() -> None:
    program = Program(load_scenario(EXAMPLES / "bank_transfer.yaml"))
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        for _ in range(30):
            run = backend.free()
            if run.blocked:
                break
        assert sorted(run.blocked) == [0, 1]
        assert {op.kind for op in run.blocked.values()} == {ACQUIRE}
        run = backend.free()
        assert run.limit is None


def test_crash_in_a_free_run() -> None:
    made = scenario("crash", {
        "a": [{"acquire": "m"}, {"write": "x", "value": 1}, "crash"],
        "b": [{"while": "x == 0", "do": ["checkpoint"]}, {"join": "d"}, {"acquire": "m"}],
        "c": [{"write": "y", "value": 1}],
        "d": {"start": "manual", "steps": ["crash"]},
        "e": [{"spawn": "d"}, {"join": "d", "into": "over"}, {"write": "y", "value": "over"}],
    }, shared={"x": 0, "y": 0}, objects={"m": "lock"})  # fmt: skip
    program = Program(scenario_from_data(made))
    with MultiprocessingBackend(program, Options(start_method=QUICK)) as backend:
        for record in (True, False):
            run = backend.free(record)
            assert sorted(run.crashed) == [(0, "crash"), (3, "crash")]
            assert {worker: op.at for worker, op in run.blocked.items()} == {
                1: "workers.b.steps[2]"
            }
            assert run.cells[1][-1][0] in (1, True) and run.limit is None
            if record:
                assert run.logs[0][-1][1].at == "workers.a.steps[2]"
                linearise(run.logs, run.cells, program.layout, backend.rules)
        assert_same_as_simulated(backend, program, 2, 5, "virtual")


@pytest.mark.parametrize("delay", [0.002, 0.01, 0.03])
@pytest.mark.parametrize("name", ["queue", "lock"])
def test_killed_from_outside_while_free(name: str, delay: float) -> None:
    item = [{"put": "q", "value": "i"}]
    locked = [{"with": "m", "do": [{"write": "x", "value": "x + 1"}]}]
    made = scenario("kill", {
        "p": {"count": 2, "steps": [
            {"repeat": 600, "index": "i", "do": item if name == "queue" else locked}]},
        "c": {"count": 2, "steps": [
            {"repeat": 600, "do": [{"get": "q", "into": "v"}] if name == "queue" else locked}]},
    }, shared={"x": 0}, objects={"m": "lock", "q": {"type": "queue", "maxsize": 3}})  # fmt: skip
    program_scenario = scenario_from_data(made)
    settings = Settings("multiprocessing", start_method=QUICK, limits=RunLimits(seconds=10))
    with Session(program_scenario, settings) as session:
        assert isinstance(session.backend, MultiprocessingBackend)
        victim = session.backend.ready().processes[0]
        killer = threading.Timer(delay, victim.kill)
        killer.start()
        (outcome,) = session.each(1)
        killer.join()
        trace = outcome.trace()
        assert trace.verdict.kind in ("crashed", "passed")
        assert replay(trace, backend="simulated").reproduced
        (again,) = session.each(1)
        assert again.verdict.kind == "passed"


def test_time_limit() -> None:
    made = scenario("endless", {"w": [{"while": "true", "do": [{"write": "x", "value": "x + 1"}]}]},
                    shared={"x": 0})  # fmt: skip
    program = Program(scenario_from_data(made))
    options = Options(RunLimits(seconds=0.3), QUICK)
    with MultiprocessingBackend(program, options) as backend:
        run = backend.free()
        assert run.limit == "the limit of 0.3 seconds was reached"
        assert run.logs[0]
    options = Options(RunLimits(steps=500), QUICK)
    with MultiprocessingBackend(program, options) as backend:
        run = backend.free()
        assert run.limit == "the limit of 500 steps was reached"
        assert len(run.logs[0]) == 500


PARENT = """
import sys
from tracelock.backends.base import Options
from tracelock.backends.processes.backend import MultiprocessingBackend
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
program = Program(scenario_from_data({
    "format": "tracelock-scenario/1", "name": "orphans",
    "shared": {"x": 0}, "objects": {"m": "lock"},
    "workers": {
        "holder": {"steps": [{"acquire": "m"}, {"sleep": 60}]},
        "waiter": {"steps": [{"sleep": 0.05}, {"acquire": "m"}]},
        "busy": {"steps": [{"while": True, "do": [{"write": "x", "value": 1}]}]},
    }}))
backend = MultiprocessingBackend(program, Options(start_method=sys.argv[1]))
print(*[process.pid for process in backend.ready().processes], flush=True)
backend.free()
backend.close()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("method", METHODS)
def test_workers_die_with_their_parent(method: str, death: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, method], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 3
    time.sleep(0.3)
    parent.send_signal(death)
    parent.communicate(timeout=60)
    deadline = time.monotonic() + 30

    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(lives, workers))


# --- the objects themselves ------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
def test_rules_are_those_of_the_real_objects(method: str) -> None:
    types = ("lock", "rlock", "bounded_semaphore", "semaphore", "event")
    specs = [ObjectSpec(type_, type_) for type_ in types]
    specs += [ObjectSpec("condition", "condition", lock=1), ObjectSpec("b", "barrier", parties=2)]
    layout = Layout(tuple(s.name for s in specs), (), tuple(specs), ())
    real = make_objects(layout, multiprocessing.get_context(method))
    out = senders(layout, real)
    rules = MULTIPROCESSING_RULES

    def do(kind: int, target: int, value: Any = 1) -> Any:
        return attempt(layout, real, out, Op(kind, target, "", value))

    def kind_of(result: Any) -> str:
        assert isinstance(result, Raised)
        return result.kind

    assert kind_of(do(RELEASE, 0)) == rules.over_release
    assert kind_of(do(RELEASE, 1)) == rules.not_owner
    assert kind_of(do(RELEASE, 2)) == "ValueError"
    assert do(RELEASE, 3) is None
    assert kind_of(do(NOTIFY, 5)) == rules.not_owner
    assert kind_of(wait(real[5], "condition", Op(WAIT, 5, ""), 0.01)) == rules.not_owner
    assert kind_of(wait(real[6], "barrier", Op(WAIT, 6, ""), 0.01)) == "BrokenBarrierError"
    assert wait(real[6], "barrier", Op(WAIT, 6, "", soft=True), None) is False
    assert wait(real[4], "event", Op(WAIT, 4, ""), 0.01) is False
    assert do(ACQUIRE, 0) is True and do(ACQUIRE, 0) is False
    assert do(ACQUIRE, 1) is True and do(ACQUIRE, 1) is True
    assert do(RELEASE, 1) is None and do(RELEASE, 1) is None
    assert restore(layout, real) is True
    assert [do(ACQUIRE, n) for n in (0, 2, 3)] == [True] * 3
    assert do(ACQUIRE, 3) is False
