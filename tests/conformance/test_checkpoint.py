"""A search that is stopped and gone on with is the search; and one below a prefix stays there."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.oracles.every import Every
from tracelock.backends.rules import THREADING_RULES
from tracelock.cli.main import main
from tracelock.errors import UsageError
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget, search
from tracelock.explore.spread.checkpoint import FORMAT, digest
from tracelock.explore.spread.shards import CHUNK
from tracelock.explore.spread.sources import Tree
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import load_scenario
from tracelock.scenario.program import Program
from tracelock.session.api import explore, run
from tracelock.session.explored import Explored
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan, Prefix, Spreading
from tracelock.session.spreading import Spreader
from tracelock.trace import Trace

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "oracles"


def oracle(stem: str) -> Scenario:
    return load_scenario(DATA / f"{stem}.json")


def search_all(scenario: Scenario, strategy: str, **more: Any) -> Explored:
    spreading = Spreading(**{k: more.pop(k) for k in list(more) if k in Spreading.__slots__})
    return explore(
        scenario, strategy=strategy, every=True, confirm=0, shrink=False, seconds=None,
        spreading=spreading, **more,
    )  # fmt: skip


def outcomes(explored: Explored) -> list[tuple[str, int, str]]:
    return sorted((way.kind, way.count, repr(way.state)) for way in explored.ways)


# --- stopping and going on -------------------------------------------------------------------
@pytest.mark.parametrize("stem", ["lastzero-4", "wcas-5", "inc-3", "philosophers-5", "readers-4"])
@pytest.mark.parametrize("step", [1, 3, 7])
def test_dpor_stopped_at_every_kth_schedule(stem: str, step: int, tmp_path: Path) -> None:
    scenario = oracle(stem)
    whole = search_all(scenario, "dpor")
    file = str(tmp_path / "c.json")
    limit = 0
    while True:
        limit += step
        part = search_all(scenario, "dpor", schedules=limit, checkpoint=file)
        assert part.schedules == min(limit, whole.schedules)
        if part.stopped != "schedules":
            break
    assert outcomes(part) == outcomes(whole)
    assert (part.verdict, part.redundant) == (whole.verdict, whole.redundant)
    again = search_all(scenario, "dpor", checkpoint=file)  # there is nothing left to do
    assert (again.schedules, again.verdict) == (whole.schedules, whole.verdict)


@pytest.mark.parametrize("strategy", ["random", "pos", "pct", "surw", "delay", "preemption"])
def test_the_others_stopped_at_every_kth_schedule(strategy: str, tmp_path: Path) -> None:
    """Over the edge of a chunk, after which a sampler that learns starts anew."""
    scenario = oracle("inc-3")
    total = CHUNK + 150
    whole = search_all(scenario, strategy, schedules=total, checkpoint=str(tmp_path / "whole"))
    file = str(tmp_path / "c.json")
    for limit in (1, 2, 5, 100, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 90, total):
        part = search_all(scenario, strategy, schedules=limit, checkpoint=file)
        assert part.schedules == min(limit, whole.schedules)
    assert outcomes(part) == outcomes(whole)
    if strategy in ("random", "pos"):
        assert outcomes(whole) == outcomes(search_all(scenario, strategy, schedules=total))


def test_the_end_of_a_bounded_search(tmp_path: Path) -> None:
    scenario = oracle("inc-2")
    whole = search_all(scenario, "preemption")
    assert whole.verdict == "failed" or whole.schedules
    file = str(tmp_path / "c.json")
    limit, part = 0, None
    while part is None or part.stopped == "schedules":
        limit += 4
        part = search_all(scenario, "preemption", schedules=limit, checkpoint=file)
        assert limit <= whole.schedules + 8
    assert outcomes(part) == outcomes(whole)
    assert part.schedules == whole.schedules


def test_auto_goes_on_with_the_stage_it_was_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that dpor comes to its end in its first look, however slow the machine is
    monkeypatch.setattr(sys.modules[Exploration.__module__], "LOOK", 3_600.0)
    scenario = oracle("wcas-7")
    whole = search_all(scenario, "auto")
    assert whole.verdict == "verified"
    file = str(tmp_path / "c.json")
    for limit in (10, 399, 400, 403, 500):
        part = search_all(scenario, "auto", schedules=limit, checkpoint=file)
        assert (part.schedules, part.verdict) == (limit, "unfinished")
    last = search_all(scenario, "auto", checkpoint=file)
    assert last.verdict == "verified"
    assert last.schedules == whole.schedules
    assert outcomes(last) == outcomes(whole)


def test_a_spread_search_goes_on_alone_and_the_other_way_round(tmp_path: Path) -> None:
    scenario = oracle("wcas-7")
    whole = search_all(scenario, "dpor")
    file = str(tmp_path / "c.json")
    for limit, alone in ((50, True), (120, False), (200, False), (260, True), (400, False)):
        with ThreadPoolExecutor(3) as pool:
            executor = None if alone else pool
            part = search_all(
                scenario, "dpor", schedules=limit, checkpoint=file, executor=executor, width=3
            )
        assert part.schedules == limit
    last = search_all(scenario, "dpor", checkpoint=file)
    assert last.verdict == "verified"
    assert (last.schedules, last.redundant) == (whole.schedules, 0)
    assert outcomes(last) == outcomes(whole)


def test_a_failure_is_kept(tmp_path: Path) -> None:
    """Without --all what was found is the answer; with it the search goes on."""
    scenario = load_scenario(ROOT / "scenarios" / "deadlock_ab_ba.yaml")
    file = str(tmp_path / "c.json")
    for _ in range(2):
        found = explore(
            scenario, strategy="dpor", confirm=0, shrink=False,
            spreading=Spreading(checkpoint=file),
        )  # fmt: skip
        assert found.verdict == "failed"
        assert found.trace is not None
        assert found.trace.verdict.kind == "deadlock"
    every = search_all(scenario, "dpor", checkpoint=file)
    assert outcomes(every) == outcomes(search_all(scenario, "dpor"))


def test_ctrl_c_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = oracle("wcas-7")
    file = str(tmp_path / "c.json")
    from tracelock.schedulers.dpor.subtree import SubtreeScheduler

    picks = 0
    pick = SubtreeScheduler.pick

    def interrupted(self: SubtreeScheduler, choice: Any) -> int:
        nonlocal picks
        picks += 1
        if picks == 1000:
            raise KeyboardInterrupt
        return pick(self, choice)

    with monkeypatch.context() as patched:
        patched.setattr(SubtreeScheduler, "pick", interrupted)
        part = search_all(scenario, "dpor", checkpoint=file)
    assert (part.verdict, part.stopped) == ("unfinished", "interrupted")
    assert 0 < part.schedules < 449
    last = search_all(scenario, "dpor", checkpoint=file)
    assert (last.verdict, last.schedules, last.redundant) == ("verified", 449, 0)
    assert outcomes(last) == outcomes(search_all(scenario, "dpor"))


# --- what is no checkpoint of this search ----------------------------------------------------
@pytest.mark.parametrize(
    ("stem", "more", "message"),
    [
        ("inc-2", {}, "it is of another scenario"),
        ("inc-3", {"strategy": "pos"}, "its strategy is random, not pos"),
        ("inc-3", {"seed": 8}, "its seed is 7, not 8"),
        ("inc-3", {"backend": "multiprocessing"}, "its backend is threading, not multiprocessing"),
        ("inc-3", {"clock": "adversarial"}, "its clock is virtual, not adversarial"),
    ],
)
def test_a_checkpoint_of_another_search_is_refused(
    stem: str, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "c.json")
    search_all(oracle("inc-3"), "random", seed=7, schedules=10, checkpoint=file)
    before = Path(file).read_bytes()
    strategy = more.pop("strategy", "random")
    with pytest.raises(UsageError, match=message) as caught:
        search_all(oracle(stem), strategy, **{"seed": 7, **more}, schedules=20, checkpoint=file)
    assert file in str(caught.value)
    assert Path(file).read_bytes() == before


def test_damaged_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    search_all(oracle("inc-3"), "dpor", schedules=10, checkpoint=str(file))
    whole = json.loads(file.read_text(encoding="utf-8"))
    assert whole["format"] == FORMAT
    for text, message in [
        ("", "this is not a checkpoint"),
        ("[1]", "this is not a checkpoint"),
        ("[" * 200_000, "this is not a checkpoint"),
        (json.dumps({**whole, "tracelock": "0.0.1"}), "made by tracelock 0.0.1"),
        (json.dumps({**whole, "stages": 3}), "damaged"),
        (json.dumps({**whole, "stages": {"dpor": {}}}), "its content is not what was written"),
        (json.dumps({**whole, "digest": None, "stages": {"dpor": {}}}), "is damaged .KeyError"),
    ]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            search_all(oracle("inc-3"), "dpor", checkpoint=str(file))
    with pytest.raises(UsageError, match="cannot write"):
        search_all(oracle("inc-3"), "dpor", checkpoint=str(tmp_path / "no" / "c.json"))
    assert [one.name for one in tmp_path.iterdir()] == ["c.json"]


def test_a_search_that_goes_wrong_after_a_whole_checkpoint_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "c.json")
    search_all(oracle("inc-3"), "dpor", schedules=10, checkpoint=file)

    def wrong(*_: Any) -> None:
        raise LookupError("of our own")

    monkeypatch.setattr(Tree, "go_on", wrong)
    with pytest.raises(UsageError, match=r"of our own.*as it was written: please report this"):
        search_all(oracle("inc-3"), "dpor", checkpoint=file)


def test_digests_do_not_go_by_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": frozenset({2, 1})}) == digest({"b": frozenset({1, 2}), "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


# --- below a prefix --------------------------------------------------------------------------
def beginning_with(scenario: Scenario, trace: Trace, events: int) -> set[str]:
    """The final states of every schedule with these first events, by brute force."""
    runner = Runner(Program(scenario), THREADING_RULES)
    wanted = [event.worker for event in trace.events][:events]
    states: set[str] = set()

    def done(controller: Any) -> bool:
        if [entry[0] for entry in controller.log][:events] == wanted:
            states.add(repr(runner.verdict(controller).state))
        return False

    runner.run(Every(), done)
    return states


@pytest.mark.parametrize("stem", ["inc-2", "lastzero-2", "writers-reader-2", "wcas-2"])
def test_dpor_below_a_prefix_reaches_what_is_there_and_no_more(stem: str) -> None:
    scenario = oracle(stem)
    trace = run(scenario, strategy="random", seed=5)
    whole = search_all(scenario, "dpor")
    for events in range(len(trace.events) + 1):
        prefix = Prefix(trace, events, "t.json")
        below = search_all(scenario, "dpor", prefix=prefix)
        assert {repr(way.state) for way in below.ways} == beginning_with(scenario, trace, events)
        assert below.schedules <= whole.schedules
        assert below.redundant == 0
        assert below.verdict in ("passed", "failed")
        if below.verdict == "passed":
            assert below.summary.startswith("verified below this prefix: ")
            assert f"the first {events:,} events of t.json" in below.summary
            assert "nothing is claimed of others" in below.summary
        with ThreadPoolExecutor(3) as pool:
            spread = search_all(scenario, "dpor", prefix=prefix, executor=pool, width=3)
        assert outcomes(spread) == outcomes(below)
    assert below.schedules == 1


@pytest.mark.parametrize("strategy", ["auto", "random", "pct", "surw", "pos", "delay"])
def test_the_others_below_a_prefix(strategy: str) -> None:
    scenario = oracle("inc-2")
    trace = run(scenario, strategy="random", seed=5)
    for events in (0, 1, 2, len(trace.events)):
        found = search_all(scenario, strategy, prefix=Prefix(trace, events), schedules=60)
        assert found.schedules
        wanted = [event.worker for event in trace.events][:events]
        assert {repr(way.state) for way in found.ways} <= beginning_with(scenario, trace, events)
        for way in found.ways:
            assert [event.worker for event in way.trace().events][:events] == wanted


def test_a_prefix_of_tasks_and_of_waiters() -> None:
    """A pick stands for all that a task does until it suspends; data choices belong to a step."""
    for name, backend in (
        ("check_then_act_await", "asyncio"),
        ("condition_lost_wakeup", "threading"),
        ("notify_wrong_waiter", "multiprocessing"),
    ):
        scenario = load_scenario(ROOT / "scenarios" / f"{name}.yaml")
        trace = run(scenario, backend=backend, strategy="random", seed=2)
        for events in range(0, len(trace.events) + 1, 2):
            prefix = Prefix(trace, events)
            found = search_all(scenario, "dpor", backend=backend, prefix=prefix)
            assert found.ways
            for way in found.ways:
                first = list(way.trace().events)[:events]
                assert [(e.worker, e.op, e.target) for e in first] == [
                    (e.worker, e.op, e.target) for e in list(trace.events)[:events]
                ]


def test_prefix_and_checkpoint_together(tmp_path: Path) -> None:
    scenario = oracle("wcas-5")
    trace = run(scenario, strategy="random", seed=1)
    whole = search_all(scenario, "dpor", prefix=Prefix(trace, 3))
    file = str(tmp_path / "c.json")
    for limit in range(1, whole.schedules + 2):
        part = search_all(
            scenario, "dpor", prefix=Prefix(trace, 3), checkpoint=file, schedules=limit
        )
    assert (part.schedules, outcomes(part)) == (whole.schedules, outcomes(whole))
    with pytest.raises(UsageError, match="another prefix"):
        search_all(scenario, "dpor", prefix=Prefix(trace, 4), checkpoint=file)


def test_bad_prefixes() -> None:
    scenario = oracle("inc-2")
    trace = run(scenario, strategy="random", seed=5)
    with pytest.raises(UsageError, match=r"t\.json has \d+ events, not 99"):
        search_all(scenario, "dpor", prefix=Prefix(trace, 99, "t.json"))
    with pytest.raises(UsageError, match="nor begun at a prefix"):
        search_all(scenario, "states", prefix=Prefix(trace, 1))


# --- the command line ------------------------------------------------------------------------
def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = str(DATA / "wcas-5.json")
    file, trace = str(tmp_path / "c.json"), str(tmp_path / "t.json")
    common = ["explore", scenario, "--strategy", "dpor", "--no-trace"]
    assert main([*common, "--schedules", "30", "--checkpoint", file]) == 5
    assert "the budget of schedules is spent" in capsys.readouterr().out
    assert main([*common, "--checkpoint", file]) == 0
    assert "verified: 81 executions" in capsys.readouterr().out
    assert main([*common, "--checkpoint", file, "--backend", "asyncio"]) == 2
    assert "its backend is threading, not asyncio" in capsys.readouterr().err
    assert main(["run", scenario, "--strategy", "random", "--seed", "1", "--trace", trace]) == 0
    capsys.readouterr()
    assert main([*common, "--prefix", f"{trace}:3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "passed"
    assert told["summary"].startswith("verified below this prefix")
    assert main([*common, "--prefix", trace]) == 2
    assert "--prefix takes TRACE:K" in capsys.readouterr().err
    assert main([*common, "--prefix", f"{trace}:1000"]) == 2
    assert "events, not 1,000" in capsys.readouterr().err
    assert main([*common, "--jobs", "2", "--dask", "tcp://127.0.0.1:1"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_search_alone_finds_the_same_as_one_that_is_kept(tmp_path: Path) -> None:
    scenario = oracle("philosophers-5")
    from tracelock.schedulers.dpor.scheduler import DporScheduler

    runner = Runner(Program(scenario), THREADING_RULES)
    found = search(runner, DporScheduler(), Budget(), every=True)
    kept = search_all(scenario, "dpor", checkpoint=str(tmp_path / "c.json"))
    assert kept.schedules == found.schedules
    assert sorted(way.count for way in kept.ways) == sorted(
        one.count for one in found.outcomes.values()
    )


def test_a_stage_that_is_asked_for_again_goes_on(tmp_path: Path) -> None:
    """As ``auto`` does, which looks elsewhere in between: nothing is done or counted twice."""
    file = str(tmp_path / "c.json")
    for checkpoint in (None, file, file):
        plan = Plan(strategy="dpor", every=True, spreading=Spreading(checkpoint=checkpoint))
        with Exploration(oracle("wcas-7"), plan) as exploration:
            spreader = Spreader(exploration.host, exploration.plan)
            parts = [
                spreader.search("dpor", Budget(limit), None) for limit in (10, 20, 200, None, None)
            ]
        if checkpoint is None or not Path(file + ".seen").exists():
            assert [part.schedules for part in parts] == [10, 20, 200, 219, 0]
        else:
            assert [part.schedules for part in parts] == [449, 0, 0, 0, 0]
        if checkpoint is not None:
            Path(file + ".seen").touch()
        assert spreader.executions("dpor") == 449
        assert sum(one.count for part in parts for one in part.outcomes.values()) == 449
