"""What a document says, and what a machine lacks, is no error of tracelock's own: no status 4."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import written
from tracelock.cli import main as cli
from tracelock.engine.linearise import placing
from tracelock.errors import LimitReached
from tracelock.trace.reading import load_trace


def again(*steps: dict[str, Any], times: int = 3000) -> list[dict[str, Any]]:
    return [{"repeat": times, "do": list(steps)}]


#: Runs that are cut while some worker waits, by what it waits for.
CUT = {
    "lock": {"objects": {"l": "lock"}, "workers": {
        "a": {"count": 3, "steps": again({"acquire": "l"}, {"release": "l"})},
    }},
    "timed": {"objects": {"l": "lock"}, "workers": {
        "a": {"count": 3, "steps": again(
            {"acquire": "l", "timeout": 0.0005, "into": "g"},
            {"if": "g", "then": [{"sleep": 0.001}, {"release": "l"}]},
        )},
    }},
    "queue": {"objects": {"q": {"type": "queue", "maxsize": 2}}, "workers": {
        "p": {"count": 2, "steps": again({"put": "q", "value": 1})},
        "c": {"count": 2, "steps": again({"get": "q", "into": "t"})},
    }},
    "condition": {"objects": {"c": "condition"}, "workers": {
        "w": {"count": 2, "steps": again(
            {"acquire": "c"}, {"wait": "c", "timeout": 0.001}, {"release": "c"}
        )},
        "n": {"steps": again({"acquire": "c"}, {"notify": "c"}, {"release": "c"})},
    }},
    "semaphore": {"objects": {"s": {"type": "semaphore", "value": 2}}, "workers": {
        "a": {"count": 4, "steps": again({"acquire": "s"}, {"release": "s"}, times=1000)},
    }},
}  # fmt: skip
EARLY = {"shared": {"x": 0}, "workers": {
    "a": {"steps": [{"assert": "1 == 2"}]}, "b": {"steps": [{"write": "x", "value": 1}]},
    "c": {"steps": []},
}}  # fmt: skip
NO_VALUE = {"shared": {"x": 0}, "finally": ["1 // 0 == 1"], "workers": {
    "a": {"count": 2, "steps": [{"write": "x", "value": 1}]},
}}  # fmt: skip
CALLING = {"workers": {"a": {"steps": [{"call": "raising:interrupt"}]}}}


@pytest.mark.parametrize("backend", ["threading", "multiprocessing", "asyncio", "trio"])
@pytest.mark.parametrize("bound", [["--max-steps", "500"], ["--max-seconds", "0.03"]])
@pytest.mark.parametrize("waits", sorted(CUT))
def test_a_free_run_that_is_cut_is_recorded_in_a_true_order(
    waits: str, bound: list[str], backend: str, tmp_path: Path
) -> None:
    trace = str(tmp_path / "t.json")
    run = ["run", written(tmp_path, CUT[waits]), *bound, "--backend", backend, "--trace", trace]
    assert cli.main(run) in (0, 5)
    assert cli.main(["replay", trace]) == 0
    assert len(load_trace(trace).events) > 0


@pytest.mark.parametrize("backend", ["threading", "asyncio", "trio", "simulated"])
def test_a_worker_that_fails_before_its_first_operation(backend: str, tmp_path: Path) -> None:
    scenario = written(tmp_path, EARLY)
    assert cli.main(["run", scenario, "--backend", backend, "--trace", str(tmp_path / "t")]) == 1


@pytest.mark.parametrize("command", [["explore", "--no-trace"], ["compare"]])
def test_a_condition_without_a_value_is_one_that_does_not_hold(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    more = ["--runs", "1"] if command == ["compare"] else []
    assert cli.main([command[0], written(tmp_path, NO_VALUE), *command[1:], *more]) == 1
    assert "division by zero" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_an_interrupt_that_a_called_function_raises_is_its_own(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising.py").write_text("def interrupt():\n    raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    scenario = written(tmp_path, CALLING)
    trace = ["--trace", str(tmp_path / "t.json")]
    assert cli.main(["run", scenario, "--allow-call", "--backend", backend, *trace]) == 1
    assert "KeyboardInterrupt" in str(load_trace(str(tmp_path / "t.json")).verdict.message)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "(ulimit -n)"),
        (OSError(errno.ENOSPC, "No space left on device"), "give another place"),
        (RuntimeError("can't start new thread"), "(ulimit -u)"),
        (MemoryError(), "(ulimit -v)"),
    ],
)
def test_what_the_machine_lacks_is_said(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "dispatch", fails)
    assert cli.main(["schema"]) == 2
    assert said in capsys.readouterr().err


def test_an_order_that_takes_too_long_to_find_is_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gives_up(self: placing.Placing) -> bool:
        self.budget = -1
        return False

    monkeypatch.setattr(placing.Placing, "_search", gives_up)
    document = {"objects": {"q": {"type": "queue", "order": "lifo"}}, "workers": {
        "p": {"count": 2, "steps": [{"put": "q", "value": 1}, {"get": "q", "into": "x"}]},
    }}  # fmt: skip
    trace = ["--trace", str(tmp_path / "t.json")]
    assert cli.main(["run", written(tmp_path, document), *trace]) == LimitReached.exit_status
    assert "use a --strategy" in capsys.readouterr().err


def test_an_interrupt_before_the_command_begins_is_one_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracelock.cli.options.build_parser", interrupted)
    assert cli.main(["schema"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
