"""The debugger on a replay: a prompt on a real terminal, and what it does to what it looks at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.debugged import (
    DEADLOCK,
    MORTAL,
    POOL,
    POOL_OF_TASKS,
    TRIO,
    failing,
    terminal,
)
from tracelock.cli.main import main
from tracelock.debugger.places import place_from
from tracelock.debugger.reversible import Reversible
from tracelock.debugger.stops import END, EVENT, FAILURE, LINE
from tracelock.session.targets import target_of

#: Each program: its module, its text, its backend, where it fails, and the innermost function.
CASES = {
    "threads": ("dbg_pool", POOL, "threading", "take", "return self._idle.pop()"),
    "asyncio": ("dbg_tasks", POOL_OF_TASKS, "asyncio", "take", "return self._idle.pop()"),
    "trio": ("dbg_trio", TRIO, "trio", "check", "assert total == 2, total"),
    "mortal": ("dbg_mortal", MORTAL, "threading", "check", "assert not shared.dead"),
    "deadlock": ("dbg_deadlock", DEADLOCK, "threading", "one", "with two.b:"),
}


class Recorded:
    """The programs, in one folder, with their traces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.traces: dict[str, Any] = {}

    def trace(self, case: str) -> Any:
        if case not in self.traces:
            module, text, backend, _, _ = CASES[case]
            self.traces[case] = failing(self.folder, module, text, backend)
        return self.traces[case]

    def file(self, case: str) -> str:
        self.trace(case)
        return f"{CASES[case][0]}.json"

    def replay(self, case: str) -> Reversible:
        trace = self.trace(case)
        return Reversible(target_of(trace, allow_call=True), trace)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("debugged")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        yield Recorded(folder)
    for module, *_ in CASES.values():
        sys.modules.pop(module, None)


def line_of(replay: Reversible) -> tuple[str, str]:
    """The function and the source at which a replay stands."""
    frame, line = replay.stack()[-1]
    with open(frame.f_code.co_filename, encoding="utf-8") as file:
        return frame.f_code.co_name, file.read().splitlines()[line - 1].strip()


@pytest.mark.parametrize("case", CASES)
def test_it_stops_in_the_users_frame_at_the_failure(recorded: Recorded, case: str) -> None:
    with recorded.replay(case) as replay:
        stop = replay.start("failure")
        assert stop.kind == FAILURE
        assert line_of(replay) == CASES[case][3:]
        # and the others stand where they are, with their own frames
        own = [one for one in replay.workers() if one.goes_on]
        assert len(own) == 1 and own[0].state.startswith(("fails", "waits"))


@pytest.mark.parametrize("case", CASES)
def test_every_event_is_a_stop_forward_and_back(recorded: Recorded, case: str) -> None:
    """Forward step by step, then back to the first: the same stops, in the other order."""
    with recorded.replay(case) as replay:
        replay.start("start")
        there = []
        while replay.stop.kind == EVENT:
            there.append((replay.stop.seq, line_of(replay)))
            replay.step()
        assert [seq for seq, _ in there] == sorted({seq for seq, _ in there})
        # a task of trio that has not begun has no code of the user's yet
        assert there[0][0] == (1 if case == "trio" else 0) and there[-1][0] == replay.last
        back = []
        for _ in there:
            replay.back()
            back.append((replay.stop.seq, line_of(replay)))
        assert back == there[::-1]
        with pytest.raises(tracelock.UsageError, match="nothing before it"):
            replay.back()


@pytest.mark.parametrize("case", ["threads", "asyncio", "mortal"])
def test_a_replay_that_is_looked_at_comes_to_the_same_end(recorded: Recorded, case: str) -> None:
    """Nothing that was looked at is kept alive by that, either: each worker is, at its first."""
    with recorded.replay(case) as replay:
        replay.start("start")
        seen: set[int] = set()
        while replay.stop.kind == EVENT:
            for one in replay.workers():
                if not one.goes_on or one.number in seen:
                    continue
                seen.add(one.number)
                for frame, _ in one.stack:
                    repr(frame.f_locals)
            replay.step()
        while replay.proceed().kind != END:
            pass
        result = replay.stop.result
        assert result is not None and result.reproduced
        assert result.trace.events.workers == recorded.trace(case).events.workers
        with pytest.raises(tracelock.UsageError, match="is over"):
            replay.step()


def test_lines_and_the_way_back_to_them(recorded: Recorded) -> None:
    trace = recorded.trace("threads")
    path = str((recorded.folder / "dbg_pool.py").resolve())
    line = POOL.splitlines().index("            return self._idle.pop()") + 1
    with recorded.replay("threads") as replay:
        stop = replay.start(place_from("dbg_pool.py:13", len(trace.events)))
        assert (stop.kind, line, line_of(replay)[0]) == (LINE, 13, "take")
        replay.set_lines({path: [line]})
        replay.start("start")
        hits = []
        while replay.proceed().kind == LINE:
            hits.append(replay.stop.order)
            assert line_of(replay) == ("take", "return self._idle.pop()")
        assert len(hits) == 3 and replay.stop.kind == FAILURE
        for order in hits[::-1]:
            assert replay.back_to_breakpoint().order == order
        assert replay.back_to_breakpoint().seq == 0
        # of a line that nothing comes to, the end is told
        assert replay.start(place_from("dbg_pool.py:1", len(trace.events))).kind == END


@pytest.mark.parametrize("case", ["threads", "asyncio", "trio"])
def test_a_line_that_is_left_is_not_run(recorded: Recorded, case: str) -> None:
    """From a line in the middle of a worker's code: no line further, as often as asked."""
    module, text, *_ = CASES[case]
    wanted = {"trio": "    counter.n = mine + 1"}.get(case, "            return self._idle.pop()")
    path = str((recorded.folder / f"{module}.py").resolve())
    with recorded.replay(case) as replay:
        replay.set_lines({path: [text.splitlines().index(wanted) + 1]})
        for _ in range(3):
            replay.start("start")
            assert replay.proceed().kind == LINE
            frame, _ = replay.stack()[-1]
            holder = frame.f_locals.get("self", frame.f_locals.get("counter"))
            kept = {name: repr(value) for name, value in vars(holder).items()}
            del frame
            replay.goto(0 if case != "trio" else 1)
            left = {name: repr(value) for name, value in vars(holder).items()}
            assert left.get("_idle", left.get("n")) == kept.get("_idle", kept.get("n"))
        while replay.stop.kind != END:
            replay.proceed()
        result = replay.stop.result
        assert result is not None and result.reproduced


def test_steps_of_one_worker(recorded: Recorded) -> None:
    workers = recorded.trace("threads").events.workers
    with recorded.replay("threads") as replay:
        stop = replay.start("start")
        first = stop.worker.number
        seen = [stop.seq]
        while replay.step(first).kind == EVENT:
            seen.append(replay.stop.seq)
        assert seen == [seq for seq, worker in enumerate(workers) if worker == first]


def test_a_prompt_on_a_terminal(recorded: Recorded) -> None:
    file = recorded.file("threads")
    with terminal(recorded.folder, "tracelock", "replay", file, "--pdb", "--allow-call") as one:
        shown = one.until("(tracelock) ")
        assert "-- failure in " in shown and "IndexError: pop from empty list" in shown
        assert "dbg_pool.py(13)take()" in shown and "-> return self._idle.pop()" in shown
        stack = one.ask("w")
        assert "user()" in stack and "take()" in stack and "tracelock/" not in stack
        assert "user()" in one.ask("up")
        assert one.ask("p mine").strip() in ("'one'", "'two'", "'three'")
        assert "conn = pool.take()" in one.ask("l")
        listed = one.ask("workers")
        assert "fails: IndexError" in listed and ">*" in listed and "dbg_pool.py:" in listed
        assert "no worker goes on any more" in one.ask("why")
        before = one.ask("back")
        assert f"next: event {len(recorded.trace('threads').events) - 1} of" in before
        assert "next: event 3 of" in one.ask("goto 3")
        assert "goes on: " in one.ask("why")
        other = next(name for name in ("three", "two") if f" {name} " in one.ask("workers"))
        assert f"-- {other}:" in one.ask(f"worker {other}")
        one.ask("up")
        assert one.ask("p mine").strip() == repr(other)
        assert "there are: " in one.ask("worker nobody")
        assert "there is no event 999" in one.ask("goto 999")
        assert "not in a replay" in one.ask("help jump").lower()
        assert "does what the trace says" in one.ask("jump 3")
        # a breakpoint with a condition, which is evaluated here and not in the replay
        assert "Breakpoint 1" in one.ask("b dbg_pool.py:21, name == 'two'")
        one.ask("goto 0")
        assert "next: event" in one.ask("next")
        one.type("q\n")
        assert one.ends() == 0


@pytest.mark.parametrize(("keys", "status"), [("\x04", 0), ("\x03", 130)], ids=["EOF", "Ctrl-C"])
def test_ways_to_leave(recorded: Recorded, keys: str, status: int) -> None:
    file = recorded.file("deadlock")
    with terminal(recorded.folder, "tracelock", "replay", file, "--pdb", "--allow-call") as one:
        assert "deadlock: no worker can go on" in one.until("(tracelock) ")
        # one that comes before the line editor waits for keys is seen with the next one
        while one.process.poll() is None:
            one.type(keys)
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(5)
        assert one.ends() == status


def test_what_is_evaluated_is_no_step_and_cannot_hang(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A property that takes a lock that a worker holds: bounded; and the replay goes on as ever."""
    from tracelock.debugger import prompt
    from tracelock.debugger.evaluating import EvaluationTooLong, bounded

    monkeypatch.setattr(prompt, "bounded", lambda: bounded(0.2))
    with recorded.replay("deadlock") as replay:
        replay.start("failure")
        frame, _ = replay.stack()[-1]
        with pytest.raises(EvaluationTooLong, match="stands still"), bounded(0.2):
            eval("two.held", frame.f_globals, frame.f_locals)
        del frame
        replay.start("start")
        frame, _ = replay.stack()[-1]
        with bounded(5.0):  # the lock is free before the first event
            assert eval("two.held", frame.f_globals, frame.f_locals) is False
        del frame
        while replay.proceed().kind != END:
            pass
        result = replay.stop.result
        assert result is not None and result.reproduced


def test_a_replay_is_left_as_it_runs(recorded: Recorded) -> None:
    """Whoever looks may go at any moment, as a client that closes its connection."""

    class Gone(Exception):
        pass

    def gone() -> None:
        raise Gone

    with recorded.replay("threads") as replay:
        replay.start("start")
        told, replay.watch.told = replay.watch.told, lambda seconds: None  # type: ignore[method-assign]
        replay.idle = gone
        with pytest.raises(Gone):
            replay.proceed()
        replay.watch.told = told  # type: ignore[method-assign]
    assert tracelock.explore(workers=[list]).verdict != "failed", "all patches are undone"


def test_what_it_refuses(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).resolve().parents[2]
    trace = str(recorded.folder / recorded.file("threads"))

    def said(*arguments: str) -> str:
        assert main(["replay", *arguments]) == 2
        return capsys.readouterr().err

    scenario = str(root / "traces" / "deadlock_ab_ba.json")
    assert "tracelock show --step" in said(scenario, "--pdb")
    assert "--at is for --pdb" in said(trace, "--at", "3")
    assert "has to be allowed" in said(trace, "--pdb")
    assert "no such event" in said(trace, "--pdb", "--allow-call", "--at", "999")
    assert "that is no place" in said(trace, "--pdb", "--allow-call", "--at", "nowhere")
    assert "does not go with" in said(trace, "--pdb", "--allow-call", "--json")
    assert "right here" in said(trace, "--pdb", "--allow-call", "--isolation", "always")
    assert "up to 65535" in said(trace, "--dap", "70000", "--allow-call")
