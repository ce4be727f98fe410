"""What comes with the package to learn from: ``@name``, ``scenarios`` and ``tour``."""

from __future__ import annotations

import argparse
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.text import Text

from tests.helpers.commands import Shell, refused, shell_of
from tracelock.cli.learning import showing
from tracelock.cli.learning.chapter import CONCEPTS, Concept
from tracelock.cli.learning.shipped import names
from tracelock.cli.learning.showing import page
from tracelock.cli.learning.tour import tour_command
from tracelock.cli.output import Output
from tracelock.report.terminal import Style
from tracelock.scenario.loading import load_scenario

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return shell_of(capsys)


# --- the scenarios ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("run @locked_counter --strategy round-robin --no-trace", 0),
        ("explore @deadlock_ab_ba --trace t.json", 1),
        ("explore @deadlock-ab-ba --no-trace --json", 1),
        ("check t.json @deadlock_lock_order --no-trace", 0),
        ("validate @pi @aba", 0),
        ("export @locked_counter --as trio", 0),
        ("compare @unlocked_counter --runs 2 --backends asyncio --seconds 5", 0),
    ],
)
def test_every_command_that_takes_a_scenario_takes_a_name(
    shell: Shell, line: str, status: int
) -> None:
    if "t.json @" in line:
        assert shell("explore", "@deadlock_ab_ba", "--trace", "t.json")[0] == 1
    found, out, err = shell(*line.split())
    assert found == status, (out, err)
    assert "no such file" not in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("explore @deadlock_ab_b", "did you mean @deadlock_ab_ba?"),
        ("run @zzz", "'tracelock scenarios' lists them"),
        ("validate @pi @piii", "did you mean @pi?"),
        ("scenarios philosopher", "did you mean @philosophers?"),
        ("replay @pi", "pi.yaml: this is a scenario, not a trace"),
        ("tour deadlok", "did you mean deadlock?"),
    ],
)
def test_a_name_that_is_wrong(shell: Shell, line: str, said: str) -> None:
    err = refused(shell, *line.split())
    assert said in err and err.count("\n") == 1


def test_a_file_of_such_a_name_is_reached_by_its_path(shell: Shell) -> None:
    Path("@mine").write_text((ROOT / "scenarios" / "pi.yaml").read_text())
    assert shell("validate", "./@mine")[1] == "./@mine: OK\n"
    assert "did you mean" not in shell("validate", "@mine")[1]


def test_what_is_read_is_never_overwritten(shell: Shell) -> None:
    path = str(ROOT / "scenarios" / "pi.yaml")
    before = Path(path).read_text()
    status, _, err = shell("run", "@pi", "--trace", path)
    assert status == 2 and "is what this command reads" in err
    assert Path(path).read_text() == before


def test_the_list_has_a_line_for_each(shell: Shell) -> None:
    status, out, err = shell("scenarios")
    assert (status, err) == (0, "")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("@")]
    assert listed == [f"@{name}" for name in names()] and len(listed) > 40
    told = json.loads(shell("scenarios", "--json")[1])["scenarios"]
    assert [one["name"] for one in told] == names()
    assert all(load_scenario(one["path"]).description == one["description"] for one in told)


def test_one_is_printed_as_it_stands(shell: Shell) -> None:
    text = (ROOT / "scenarios" / "aba.yaml").read_text()
    assert shell("scenarios", "aba")[1] == text == shell("scenarios", "@aba.yaml")[1]
    one = json.loads(shell("scenarios", "aba", "--json")[1])
    assert (one["name"], one["expect"]["threading"]) == ("aba", "fails")


def test_the_wheel_takes_them_from_where_they_are() -> None:
    """One source: the build maps the folder into the package, and no copy is kept."""
    import tomllib

    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["sources"] == {"scenarios": "tracelock/scenarios"}
    assert "scenarios" in build["targets"]["wheel"]["only-include"]
    assert not (ROOT / "tracelock" / "scenarios").exists()


@pytest.mark.extended
def test_a_wheel_has_them(tmp_path: Path) -> None:
    """Built without a network, where what builds it is installed."""
    import zipfile

    pytest.importorskip("hatchling")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        there = {name for name in packed.namelist() if name.startswith("tracelock/scenarios/")}
        assert {f"tracelock/scenarios/{name}.yaml" for name in names()} <= there
        text = packed.read("tracelock/scenarios/pi.yaml")
    assert text == (ROOT / "scenarios" / "pi.yaml").read_bytes()


# --- the tour ----------------------------------------------------------------------------------
@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda one: one.name)
def test_a_page_shows_what_its_scenarios_expect(concept: Concept) -> None:
    """Its verdicts come from runs; they are those that the files expect, and a run is shown."""
    lines = [line.plain for line in page(concept, Style(80, True))]
    words = {"passes": {"passes", "(passes)"}, "fails": {"fails", "crashed"},
             "deadlock": {"deadlock"}}  # fmt: skip
    for name in concept.scenarios:
        expect = load_scenario(ROOT / "scenarios" / f"{name}.yaml").expect
        row = next(line for line in lines if line.split()[:1] == [f"@{name}"] and "  " in line[2:])
        for backend, word in zip(("threading", "multiprocessing", "asyncio", "trio"),
                                 row.split()[1:], strict=True):  # fmt: skip
            assert word in (words[expect[backend].verdict] if backend in expect else {"-"}), row
    for name in concept.runs:
        assert any(line.startswith(f"@{name} on ") and ": " in line for line in lines)
    code = [line for line in lines if line.startswith("    ")]
    assert any("def " in line for line in code)
    rows = [line for line in lines if line[:3].strip().isdecimal() and "  " in line]
    assert len(rows) >= len(concept.runs)
    assert lines[-len(concept.go_on) - 1] == "Go on with"
    shown = [line for line in lines if line not in code and not line.startswith("  tracelock ")]
    assert max(map(len, shown)) <= 80


@pytest.mark.extended
@pytest.mark.parametrize("width", [60, 40])
def test_pages_fit_narrow_terminals(width: int) -> None:
    for concept in CONCEPTS:
        for line in (one.plain for one in page(concept, Style(width, False))):
            copied = line.startswith(("    ", "  tracelock "))
            long = max(map(len, line.split()), default=0)
            assert len(line) <= max(width, long + 4) or copied, line
            assert copied or line.isascii(), line


def test_the_run_that_passes_shows_what_it_is_about() -> None:
    """Somebody gave up in it, though the scenario passes."""
    concept = next(one for one in CONCEPTS if one.name == "blocking")
    lines = [line.plain for line in page(concept, Style(100, True))]
    assert any("not got, timed" in line for line in lines)


def test_the_list_and_one_page_piped(shell: Shell) -> None:
    listed = shell("tour", "--list")[1].splitlines()
    assert [line.split()[1] for line in listed] == [one.name for one in CONCEPTS]
    by_number = shell("tour", "1")[1]
    assert (
        by_number.startswith("1/14  A race") and "tracelock explore @unlocked_counter" in by_number
    )


@pytest.mark.extended
def test_all_of_it_piped(shell: Shell) -> None:
    status, out, err = shell("tour")
    assert (status, err) == (0, "")
    places = [out.index(f"{number}/14  {one.title}") for number, one in enumerate(CONCEPTS, 1)]
    assert places == sorted(places)


def test_what_nobody_reads_is_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``tracelock tour | head``."""
    shown: list[str] = []

    def counted(concept: Concept, style: Style) -> Iterator[Text]:
        shown.append(concept.name)
        yield Text("one line")

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(showing, "page", counted)
    monkeypatch.setattr(sys, "stdout", Closed())
    tour_command(argparse.Namespace(list=False, name=None), Output())
    assert shown == ["race"]


class OnTerminal:
    """The tour on a terminal of its own, of 80 columns and 24 lines."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.theirs = theirs
        self.before = termios.tcgetattr(theirs)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1",
        }  # fmt: skip
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tracelock", "tour"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
            preexec_fn=lambda: os.set_inheritable(theirs, True) or _controlling(theirs),
        )  # fmt: skip
        self.seen = ""

    def until(self, text: str) -> str:
        """What is shown up to ``text``."""
        while text not in self.seen:
            assert select.select([self.ours], [], [], 60)[0], self.seen
            part = os.read(self.ours, 65_536)
            assert part
            self.seen += part.decode("utf-8", "replace")
        shown, _, self.seen = self.seen.partition(text)
        return shown

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())


def _controlling(terminal: int) -> None:
    import fcntl

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal() -> Iterator[OnTerminal]:
    one = OnTerminal()
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        os.close(one.ours)
        os.close(one.theirs)


def test_keys_lead_through_it(terminal: OnTerminal) -> None:
    shown = terminal.until("q: quit")
    assert "1/14  A race" in shown and "def incrementer" in shown
    assert "part 1 of" in shown
    terminal.press(" ")
    assert "1/14, part 2 of" in terminal.until("q: quit")
    terminal.press("n")
    assert "2/14  A lock" in terminal.until("q: quit")
    terminal.press("b")
    assert "1/14  A race" in terminal.until("q: quit")
    terminal.press("1")
    assert "go to 1_" in terminal.until("space")
    terminal.press("2")
    assert "12/14  Atomic operations" in terminal.until("q: quit")
    terminal.press("q")
    assert terminal.process.wait(20) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("how", ["key", "signal"])
def test_the_terminal_is_as_it_was_when_it_is_interrupted(terminal: OnTerminal, how: str) -> None:
    terminal.until("q: quit")
    end: dict[str, Callable[[], None]] = {
        "key": lambda: terminal.press("\x03"),
        "signal": lambda: terminal.process.send_signal(signal.SIGTERM),
    }
    assert termios.tcgetattr(terminal.theirs) != terminal.before
    end[how]()
    assert terminal.process.wait(20) == (130 if how == "key" else -signal.SIGTERM)
    assert termios.tcgetattr(terminal.theirs) == terminal.before
