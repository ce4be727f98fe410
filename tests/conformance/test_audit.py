"""Audits of classes: what is right is verified, each seeded bug is found, and nothing else is
told."""

from __future__ import annotations

import importlib
import json
import queue
import sys
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.audited import NAMES, STRATEGIES
from tracelock.audit.matrix import AuditCell, Audited
from tracelock.errors import UsageError

HERE = "tests.helpers.audited"
#: What each bug is called.
KINDS = {
    "Counter": {"wrong result"}, "Stack": {"raises IndexError"}, "Queue": {"never ends"},
    "Set": {"wrong result"}, "Cache": {"raises KeyError"}, "Once": {"wrong result"},
    "Accounts": {"never ends"}, "Gate": {"never ends"},
    "Pool": {"raises IndexError", "wrong result"}, "Register": {"wrong result"},
}  # fmt: skip


def audited(name: str, **how: Any) -> Audited:
    strategies = STRATEGIES.get(name.removesuffix("Right").removesuffix("Wrong"), {})
    given = {
        "calls": 1,
        "strategies": strategies,
        "instrument": ["threading"],
        "seconds": 240,
        **how,
    }
    return tracelock.audit(f"{HERE}:{name}", **given)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_right_is_verified(name: str) -> None:
    found = audited(f"{name}Right")
    assert found.verdict == "verified", [str(one.to_data()) for one in found.cells]
    assert max(cell.executions for cell in found.cells) >= 2
    assert not found.anomalies and not found.missing


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_in_it_is_found(name: str) -> None:
    found = audited(f"{name}Wrong")
    assert found.verdict == "failed"
    assert {cell.kind for cell in found.anomalies} & KINDS[name], str(found.to_data())


def test_each_anomaly_is_a_program_whose_trace_replays(tmp_path: Path) -> None:
    found = audited("StackWrong", folder=str(tmp_path), methods=["pop", "push"])
    cell = next(one for one in found.anomalies if one.methods == ("pop", "pop"))
    assert cell.kind == "raises IndexError" and cell.methods == ("pop", "pop")
    assert cell.client == "push(1) | pop() || pop()"
    assert cell.recorded is not None and cell.program is not None
    cell.recorded.save(tmp_path / "trace.json")
    sys.path.insert(0, str(tmp_path))
    try:
        module = importlib.import_module(Path(cell.program).stem)
        trace = tracelock.load_trace(tmp_path / "trace.json")
        again = tracelock.replay(
            trace, setup=module.setup, workers=module.WORKERS, check=module.check
        )
        assert again.reproduced
        with pytest.raises(AssertionError, match="this is of no order of the calls"):
            module.test_it()
    finally:
        sys.path.remove(str(tmp_path))


def test_all_clients_of_some_calls_are_tried() -> None:
    found = audited("RegisterRight", calls=2, methods=["compare_set"], before=["read"])
    every = found.every_client
    assert every is not None and found.verdict == "verified"
    # two calls, so four sequences of two, and ten pairs of these
    assert (every.tried, every.verified, every.clients) == (10, 10, 10)
    # two calls of each worker under one lock: six orders
    assert every.executions == 10 * 6
    assert str(every) == "all 10 clients of 2 workers with 2 calls: verified, 60 interleavings"
    assert found.to_data()["every_client"]["verified"] == 10
    wrong = audited("RegisterWrong", calls=2, methods=["compare_set"])
    assert wrong.verdict == "failed" and wrong.every_client is not None
    assert wrong.every_client.tried < wrong.every_client.clients  # it is known to go wrong


def test_the_shape_of_the_data() -> None:
    found = audited("StackWrong")
    data = json.loads(json.dumps(found.to_data()))
    assert data["class"] == f"{HERE}.StackWrong" and data["verdict"] == "failed"
    assert {"methods", "verdict", "kind", "client", "executions", "trace"} <= data["cells"][
        0
    ].keys()
    by_pair = {tuple(cell["methods"]): cell["verdict"] for cell in data["cells"]}
    assert by_pair == {
        ("pop", "pop"): "failed", ("pop", "push"): "verified", ("pop", "len"): "verified",
        ("push", "push"): "verified", ("push", "len"): "verified", ("len", "len"): "verified",
    }  # fmt: skip
    table = found.to_markdown()
    assert "| `pop` | raises IndexError |  |  |" in table and "✓ verified" in table


def test_what_c_does_to_what_it_holds_proves_nothing() -> None:
    found = tracelock.audit(
        "itertools:count", init="count(1)", methods=["next"], calls=1, instrument=[HERE]
    )
    (cell,) = found.cells
    assert cell.verdict == "passed" and "written in C" in cell.reason


def test_what_only_longer_clients_do_unseen_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seldom_unseen.py").write_text(
        "import itertools\nimport threading\n\n\nclass Seldom:\n"
        "    def __init__(self):\n        self.lock = threading.Lock()\n"
        "        self.times, self.counter = 0, itertools.count()\n\n"
        "    def step(self):\n        with self.lock:\n            self.times += 1\n"
        "            times = self.times\n"
        "        return next(self.counter) * 0 if times > 4 else 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = tracelock.audit("seldom_unseen:Seldom", calls=3, seconds=200)
    every = found.every_client
    assert every is not None and (every.tried, every.verified) == (1, 0)
    assert "not seen: count" in every.reason
    assert {one.verdict for one in found.cells} == {"verified"} and found.verdict == "passed"


def test_what_is_done_unseen_after_a_wait_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waited_unseen.py").write_text(
        "import itertools\nimport threading\n\n\nclass Handed:\n"
        "    def __init__(self):\n        self.changed = threading.Condition()\n"
        "        self.items, self.counter = [], itertools.count()\n\n"
        "    def put(self):\n        with self.changed:\n            while self.items:\n"
        "                self.changed.wait()\n            self.items.append(1)\n"
        "            self.changed.notify_all()\n\n"
        "    def get(self):\n        waited = False\n        with self.changed:\n"
        "            while not self.items:\n                waited = True\n"
        "                self.changed.wait()\n            self.items.pop()\n"
        "            self.changed.notify_all()\n"
        "        return next(self.counter) * 0 if waited else 0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = tracelock.audit("waited_unseen:Handed", calls=2, seconds=200)
    every = found.every_client  # one call after the other, the first get waits: no more is made
    assert every is not None and every.tried == 10 and 0 < every.verified < 10
    assert "not seen: count" in every.reason and found.verdict == "passed"


def test_contracts_and_what_is_ignored() -> None:
    unsafe = audited("StackWrong", methods=["pop", "push"], contract={"pop": "unsafe"})
    assert [one.verdict for one in unsafe.cells] == ["skipped", "skipped", "verified"]
    assert unsafe.verdict == "passed"
    (alone,) = audited("StackWrong", methods=["pop"]).cells  # nothing is ever in it
    assert alone.verdict == "verified"
    (filled,) = audited("StackWrong", methods=["pop"], before=["push"]).cells
    assert filled.verdict == "failed" and filled.client.startswith("push(")
    lost = audited("CounterWrong", methods=["increment"], contract="no-crash")
    assert lost.verdict == "verified"
    crash = audited("StackWrong", methods=["pop", "push"], contract="no-crash")
    assert crash.verdict == "failed"


def test_calls_that_wait_for_each_other_meet() -> None:
    found = tracelock.audit(
        "threading:Barrier", init="Barrier(2)", methods=["wait", "n_waiting"], calls=1
    )
    assert found.verdict == "verified", str(found.to_data())


def test_an_invariant_is_asked_in_the_end() -> None:
    found = audited("CounterWrong", methods=["value", "increment"], invariant="it.value() == 0")
    assert found.verdict == "failed"


def test_arguments_that_a_class_does_not_take() -> None:
    """A weak dictionary takes no numbers as its values: it gets objects."""
    found = tracelock.audit(
        "weakref:WeakValueDictionary", methods=["x[k]=v", "len"], calls=1, seconds=30
    )
    assert {cell.verdict for cell in found.cells} <= {"verified", "passed"}
    assert any("THING" in state for state in found.states)


def test_a_strategy_of_values_without_a_text() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd)

        def __hash__(self) -> int:
            return 1

    found = audited("SetWrong", strategies={"item": [Odd()]}, methods=["add"], folder="/nowhere")
    assert found.verdict == "failed"
    assert "no text" in found.anomalies[0].reason and found.anomalies[0].recorded is None


@pytest.mark.parametrize(
    ("cls", "how", "why"),
    [
        ("queue", {}, "module:Class"),
        ("no_such_module:A", {}, "cannot import no_such_module"),
        ("queue:Nothing", {}, "queue has no Nothing"),
        ("queue:heappush", {}, "is no class"),
        ("queue:Queue", {"init": "Queue("}, "is no expression"),
        ("queue:Queue", {"init": "Queue(0, 1, 2)"}, "raises TypeError"),
        ("queue:Queue", {"init": "threading.Lock()"}, "no Queue"),
        ("queue:Queue", {"methods": ["take"]}, "no public method 'take'"),
        ("queue:Queue", {"contract": "safe"}, "unknown contract"),
        ("queue:Queue", {"seconds": 0}, "more than nothing"),
        ("queue:Queue", {"workers": 9}, "2 or 3 workers"),
        ("queue:Queue", {"strategies": {"item": 3}}, "a strategy of"),
        ("queue:SimpleQueue", {}, "takes its place"),
        ("asyncio:Event", {"methods": ["wait"], "tasks": False}, "no method that can be called"),
        ("asyncio:Event", {"interpreter": "this"}, "is of threads"),
        ("queue:Queue", {"model": "line"}, "unknown model 'line'"),
        ("queue:Queue", {"model": "lru"}, "maxsize"),
        ("queue:Queue", {"model": "lru(2"}, "takes NAME or NAME"),
        ("queue:Queue", {"model": "mutex", "methods": ["put"]}, "knows no put"),
        ("queue:Queue", {"model": "queue", "invariant": "True"}, "knows nothing"),
        (int, {"init": "unknown_name"}, "name 'unknown_name' is not defined"),
    ],
)  # fmt: skip
def test_wrong_use_says_what_is_wrong(cls: Any, how: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        tracelock.audit(cls, **how)


def test_a_model_in_place_of_the_class() -> None:
    right = audited("StackRight", model="stack(empty=None)", methods=["pop", "push"])
    assert right.verdict == "verified" and right.model == "stack(empty=None)"
    wrong = audited("StackWrong", model="stack(empty=None)", methods=["pop", "push"])
    assert {one.kind for one in wrong.anomalies} == {"raises IndexError"}
    with pytest.raises(UsageError, match=r"pop\(\) returns None, and StackSpec says"):
        audited("StackRight", model="stack", methods=["pop", "push"])


def test_methods_that_the_model_does_not_know_are_left_out() -> None:
    found = tracelock.audit(
        "queue:Queue", init="Queue(1)", model="bounded-queue(1)", calls=1, seconds=3
    )
    unknown = {"join", "task_done"} | ({"shutdown"} if hasattr(queue.Queue, "shutdown") else set())
    assert set(found.missing) == unknown and not found.anomalies
    assert "knows no join" in found.missing["join"]


def test_what_is_closed_is_closed_twice_and_used() -> None:
    wrong = audited("PoolWrong", methods=["close", "get_connection"])
    assert {one.verdict for one in wrong.columns["closed"]} == {"failed", "verified"}
    assert wrong.to_data()["columns"]["closed"][0]["about"] == "closed"


def test_a_verdict_is_of_all_cells() -> None:
    def of(*verdicts: str, missing: bool = False) -> str:
        cells = [AuditCell(("a", str(n)), one) for n, one in enumerate(verdicts)]
        return Audited("x", "x()", cells=cells, missing={"m": "why"} if missing else {}).verdict

    assert of() == of("skipped") == of("verified", "unfinished") == "unfinished"
    assert of("verified") == "verified" and of("verified", missing=True) == "passed"
    assert of("verified", "skipped") == of("passed", "verified") == "passed"
    assert of("failed", "unfinished") == "failed"
