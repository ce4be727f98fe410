"""``tracelock atomic``: real interpreters are asked, and real schedules shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tracelock.atomicity import asked
from tracelock.atomicity.common import FAQ, MORE, common_operations
from tracelock.atomicity.cures import cure_of
from tracelock.cli.main import main
from tracelock.interpreter.asking import AskingProblem, ask

#: Whether the running interpreter has a GIL: without one its answers are those of the second line.
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_json_is_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["atomic", "self.n += 1", "--with", "self.n = 0", "--json"]) == (not GIL)
    data = json.loads(capsys.readouterr().out)
    assert list(data) == ["statement", "with", "answers", "accesses", "cure", "trace"]
    assert (data["statement"], data["with"]) == ("self.n += 1", "self.n = 0")
    here, free = data["answers"]
    assert list(here) == list(free) == ["interpreter", "gil", "atomic", "why"]
    assert (here["gil"], here["atomic"]) == (GIL, GIL)
    assert here["interpreter"].startswith("cpython-3.")
    assert (free["gil"], free["atomic"]) == (False, False)
    assert "between reading self.n and writing self.n" in free["why"]
    assert [one["access"] for one in data["accesses"]] == ["read", "write"]
    assert data["cure"] == "with lock: self.n += 1"
    assert tracelock.load_trace(data["trace"]).verdict.kind == "failed"


def test_one_screen_in_plain_words_and_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["atomic", "self.n = max(self.n + 1, 0)"]) == 1
    text = capsys.readouterr().out
    assert "where self = Object(n=10)" in text
    assert "NO   cpython-3." in text and "NO   without the GIL" in text
    assert "reading self.n   <- a switch can come here" in text
    assert "<- a check follows every call" in text
    assert "an interleaving that shows it:" in text
    assert "with lock: self.n = max(self.n + 1, 0)" in text
    line = next(line for line in text.splitlines() if line.startswith("replay it: "))
    assert line.startswith("replay it: PYTHONPATH=.tracelock tracelock replay .tracelock/atomic-")
    root = str(Path(tracelock.__file__).resolve().parents[1])
    again = subprocess.run(
        [sys.executable, "-m", "tracelock", *line.split()[4:], "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".tracelock", root])},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr


def test_what_is_atomic_keeps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["atomic", "l.append(x)", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [one["atomic"] for one in data["answers"]] == [True, True]
    assert (data["cure"], data["trace"]) == (None, None)
    assert not os.path.exists("traces") and not os.path.exists(".tracelock")


def test_other_interpreters_and_a_run_for_real(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["atomic", "n += 1", "--python", sys.executable, "--stress", "2000", "--json"]
    assert main([*command, "--no-trace"]) == (not GIL)
    here, free, other = json.loads(capsys.readouterr().out)["answers"]
    for answer in (here, other):
        assert answer["atomic"] == GIL and answer["stress"]["rounds"] == 2000
        assert not GIL or answer["stress"]["anomalies"] == 0
    assert ("stress" in free) == (not GIL)


def test_an_anomaly_of_what_is_called_atomic_is_a_fault_of_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lying(*args: Any) -> list[dict[str, Any]]:
        (found,) = ask(*args)
        found["stress"]["anomalies"] = 1
        return [found]

    monkeypatch.setattr(asked, "ask", lying)
    assert main(["atomic", "l.append(x)", "--stress", "10", "--no-trace"]) == 4
    assert "a fault of the table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["self.n +="], "no Python"),
        (["unheard_of += 1"], "nothing is known of the name 'unheard_of'"),
        (["no_bank:withdraw"], "there is no module 'no_bank'"),
        (["n += 1", "--python", "/no/such/python"], "cannot run /no/such/python"),
        (["n += 1", "--setup", "n = 1 / 0"], "the set-up raises ZeroDivisionError"),
        ([], "needs a STATEMENT"),
        (["n += 1", "--list"], "takes no statement"),
    ],
)
def test_what_cannot_be_asked(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["atomic", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_statement_that_waits_for_ever_is_told() -> None:
    question = {"statement": "lock.acquire(); lock.acquire()"}
    with pytest.raises(AskingProblem, match="gave no answer within 1 s"):
        ask(sys.executable, [question], 1.0)


def test_an_end_state_that_no_order_explains_is_found_and_one_that_one_does_is_not() -> None:
    lost = tracelock.atomic("self.n += 1", "self.n = 0")
    assert lost.trace is not None and "one after the other gives" in lost.trace.verdict.message
    same = tracelock.atomic("x.n = self.n", setup="x = Object(n=0); self = Object(n=10)")
    assert same.trace is None


# --- await and yield -------------------------------------------------------------------------
def test_what_others_do_at_an_await_that_suspends_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["atomic", "x = n; await f(); n = x + 1", "--json", "--stress", "100"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert list(data)[:6] == ["statement", "with", "answers", "accesses", "cure", "trace"]
    tasks = data["tasks"]
    assert not tasks["atomic"] and tasks["stress"]["anomalies"]
    assert "suspends at 'await f()', between reading n and writing n" in tasks["why"]
    assert data["cure"].startswith("async with lock:")
    trace = tracelock.load_trace(data["trace"])
    assert trace.verdict.message.startswith(
        "AssertionError: n = 11: one after the other gives n = 12"
    )


@pytest.mark.parametrize(
    ("statement", "setup", "atomic", "how"),
    [
        ("x = await f(); n += 1", "", True, ["suspends"]),
        ("await lock.acquire()", "", True, ["may"]),
        ("await lock.acquire(); n += 1", "", True, ["may"]),
        ("x = n; await lock.acquire(); n = x + 1; lock.release()", "", False, ["may"]),
        ("async with lock: x = n; await f(); n = x + 1", "", True, ["may", "suspends"]),
        ("x = n; await f(); n = x + 1", "async def f(): return 1", True, ["never"]),
        ("self.n += await self.load(k)", "", False, ["suspends"]),
        ("n += await q.get()", "", False, ["may"]),
        ("await asyncio.gather(f(), f())", "", True, ["suspends"]),
    ],
)
def test_tasks(statement: str, setup: str, atomic: bool, how: list[str]) -> None:
    found = tracelock.atomic(statement, setup=setup)
    assert found.tasks is not None and not found.faults
    assert found.atomic == found.tasks.atomic == atomic, found.tasks
    assert {one["how"] for one in found.tasks.suspends} == set(how)


def test_a_generator_lets_others_in_where_it_yields() -> None:
    found = tracelock.atomic("t = n; yield t; n = t + 1")
    assert [one.atomic for one in found.answers] == [False, False]
    assert found.trace is not None and found.tasks is None
    whole = tracelock.atomic("yield x; n += 1")
    assert whole.answers[0].atomic


def test_what_waits_for_the_other_has_an_answer_and_no_end_to_compare_with() -> None:
    found = tracelock.atomic("lock.acquire()", stress=10)
    assert [one.atomic for one in found.answers] == [True, True] and found.trace is None
    assert found.answers[0].stress is not None and found.answers[0].stress["anomalies"] is None


def test_names_that_say_what_they_are_need_no_set_up() -> None:
    found = tracelock.atomic("data.append(random.random()); seen.add(1)")
    assert found.samples == {"data": "[3, 1, 2]", "seen": "{1}"}
    assert not tracelock.atomic("print(n)").answers[0].atomic


def test_what_a_statement_prints_is_no_part_of_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["atomic", "print(n); n += 1", "--json", "--no-trace"]) == 1
    assert json.loads(capsys.readouterr().out)["statement"] == "print(n); n += 1"


def test_a_lock_around_both_makes_it_atomic() -> None:
    held = tracelock.atomic("with lock: n += 1")
    assert [one.atomic for one in held.answers] == [True, True]
    apart = tracelock.atomic("with lock: n += 1", "n += 1")
    assert [one.atomic for one in apart.answers] == [False, False] and apart.trace is not None


def test_the_table_of_common_operations(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(FAQ) == 15 and len(MORE) >= 40
    rows = {row.statement: row for row in common_operations(500)}
    assert not [row for row in rows.values() if row.contradicted]
    both = ["L.append(x)", "L1.extend(L2)", "x = L[i]", "D[x] = y", "D1.update(D2)", "D.keys()"]
    assert all(rows[text].gil and rows[text].free for text in both)
    gil_only = ["i = i + 1", "D[x] = D[x] + 1", "d[k] += 1", "if k in d: del d[k]", "if l: l.pop()"]
    assert all(rows[text].gil == GIL and not rows[text].free for text in gil_only)
    neither = ["d[k] = d.get(k, 0) + 1", "self.n = max(self.n, x)", "n = sum(l)"]
    assert not any(rows[text].gil or rows[text].free for text in neither)


def test_a_cure_is_one_step_itself_and_does_the_same() -> None:
    assert tracelock.atomic("if x not in s: s.add(x)").cure == "s.add(x)"
    assert tracelock.atomic("x = d[k] if k in d else 0").cure == "x = d.get(k, 0)"
    python = "class K:\n    def __hash__(self): return 1\nk = K(); d = {k: 1}"
    hashed = tracelock.atomic("if k in d: del d[k]", setup=python)
    assert hashed.cure == "with lock:\n    if k in d: del d[k]"  # d.pop(k, None) calls __hash__


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("l += [x]", "l.append(x)"),
        ("if k not in d: d[k] = x", "d.setdefault(k, x)"),
        ("if k not in d: d[k] = f()", "with lock:\n    if k not in d: d[k] = f()"),
        ("if k in d: del d[k]", "d.pop(k, None)"),
        ("d[k] += 1", "with lock: d[k] += 1"),
        ("s |= {x}", "s.add(x)"),
        ("s -= {x}", "s.discard(x)"),
        ("s += {x}", "with lock: s += {x}"),
        ("d |= {k: x}", "d.update({k: x})"),
        ("if x not in s: s.add(x)", "s.add(x)"),
        ("if x in s: s.remove(x)", "s.discard(x)"),
        ("if q: q.popleft()", "try: q.popleft()\nexcept IndexError: pass"),
        ("x = d[k] if k in d else 0", "x = d.get(k, 0)"),
        ("d[k] = d.get(k, 0)", "d.setdefault(k, 0)"),
        ("for y in l2: l.append(y)", "l.extend(l2)"),
        ("for y in l2: l.append(y + 1)", "with lock:\n    for y in l2: l.append(y + 1)"),
    ],
)
def test_cures(text: str, cure: str) -> None:
    assert cure_of(text) == cure
