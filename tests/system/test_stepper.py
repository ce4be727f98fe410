"""``tracelock show --step``: what it shows, where keys lead, and one real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import tracelock
from tracelock.cli.main import main
from tracelock.cli.stepper import moved, screen
from tracelock.report.frames import story
from tracelock.report.terminal import Style

ROOT = Path(__file__).resolve().parents[2]
DEADLOCK = ROOT / "traces" / "deadlock_ab_ba.json"


def test_a_screen_has_the_rows_and_the_state() -> None:
    one = story(tracelock.load_trace(DEADLOCK))
    lines = [line.plain for line in screen(one, 1, Style(100))]
    assert lines[0].split() == ["#", "transfer[0]", "transfer[1]"]
    state = lines[lines.index("after event 0") + 1 :]
    assert state[:6] == [
        "  transfer[0]: next: acquire account[1]  holds account[0]"
        "  at workers.transfer.steps[0].do[0]",
        "  transfer[1]: next: acquire account[1]  at workers.transfer.steps[0]",
        "  balance[0] = 100",
        "  balance[1] = 100",
        "  account[0] (lock): held by transfer[0]",
        "  account[1] (lock): free",
    ]
    marked = [
        line for line in screen(one, 1, Style(100)) if any(s.style == "reverse" for s in line.spans)
    ]
    assert [line.plain.split()[0] for line in marked] == ["0"]
    last = [line.plain for line in screen(one, 2, Style(100))]
    assert "  account[0] (lock): held by transfer[0], waited for by transfer[1]" in last
    assert "before the first event shown" in [line.plain for line in screen(one, 0, Style(100))]


def test_where_keys_lead() -> None:
    one = story(tracelock.load_trace(ROOT / "traces" / "unlocked_counter.json"))
    assert [moved(one, 1, action) for action in ("next", "back", "first", "last", "")] == [
        2, 0, 0, 4, 1,
    ]  # fmt: skip
    assert moved(one, 4, "next") == 4
    assert moved(one, 0, "back") == 0
    assert [moved(one, at, "switch") for at in range(5)] == [2, 2, 4, 4, 4]
    assert [moved(one, at, "before") for at in range(5)] == [0, 1, 2, 2, 2]


def test_off_a_terminal_there_is_nothing_to_step_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(DEADLOCK), "--step"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tracelock", "show", str(DEADLOCK), "--step"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        while text not in seen:
            part = os.read(ours, 65_536)
            assert part
            seen += part.decode()
        seen = seen.partition(text)[2]

    try:
        until("before the first event shown")
        until("q: quit")
        os.write(ours, b"\x1b[C")
        until("after event 0")
        until("q: quit")
        os.write(ours, b"G")
        until("waits for account[1] (held by transfer[1])")
        until("q: quit")
        os.write(ours, b"q")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
