"""Traces of real code as programs: forced at its own lines, without tracelock."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.amount import amount
from tests.helpers.real_bugs import BUGS, RealBug
from tracelock.errors import UsageError
from tracelock.export.forced.program import ForcedSubject, forced_program
from tracelock.export.forced.schedule import ForcedSchedule
from tracelock.instrument.callers import digest
from tracelock.session.exporting import export
from tracelock.session.forcing.exporting import export_forced, lines_of
from tracelock.trace import Events, Trace, Verdict

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
TIMES = amount(4, 20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("buggy", None)


def failing(bug: RealBug, folder: Path) -> Trace:
    """The trace of a bug, whose module is written into the folder."""
    (folder / "buggy.py").write_text(bug.source, encoding="utf-8")
    sys.modules.pop("buggy", None)
    importlib.invalidate_caches()
    module: Any = importlib.import_module("buggy")
    explored = tracelock.explore(
        setup=module.setup, workers=[getattr(module, name) for name in bug.workers],
        check=module.check, instrument=["buggy"], backend=bug.backend, confirm=0,
    )  # fmt: skip
    assert explored.trace is not None and explored.trace.verdict.kind == bug.kind
    return explored.trace


def ran(folder: Path, source: str, *options: str, times: int = 1) -> list[tuple[int, str]]:
    """Run a program so often, where no tracelock can be imported; its statuses and what it said."""
    (folder / "tracelock.py").write_text("raise ImportError('there is none')\n")
    path = folder / "forced.py"
    # what counts as a deadlock need not be as patient here
    path.write_text(source.replace("DEADLOCK = 5", "DEADLOCK = 1.5"), encoding="utf-8")

    def run(_: int) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *options, str(path)], capture_output=True, text=True, check=False,
            cwd=folder, timeout=120, env={**os.environ, "PYTHONPATH": str(folder)},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(run, range(times)))


@pytest.mark.parametrize("name", list(BUGS))
def test_a_forced_program_of_real_code_fails_every_time_and_passes_once_mended(
    name: str, folder: Path
) -> None:
    bug = BUGS[name]
    source = export(failing(bug, folder), "python")
    ast.parse(source, feature_version=(3, 9))
    assert "import tracelock" not in source
    results = ran(folder, source, times=TIMES)
    assert {status for status, _ in results} == {1}, results
    said = results[0][1]
    assert ("deadlock" in said) == (bug.kind == "deadlock"), said
    assert "could not be followed" not in said
    (folder / "buggy.py").write_text(f"# a line above\n{bug.mended}", encoding="utf-8")
    ((status, said),) = ran(folder, source)
    assert status == 0, said
    assert said.startswith(("passed", "note: the schedule could not be followed"))
    assert "passed" in said


def test_lines_that_move_are_found_again(folder: Path) -> None:
    bug = BUGS["pool"]
    source = export(failing(bug, folder), "python")
    moved = bug.source.replace("class Pool", "UNUSED = 1\n\n\nclass Pool")
    (folder / "buggy.py").write_text(moved, encoding="utf-8")
    ((status, said),) = ran(folder, source)
    assert status == 1, (said, source)


def test_it_is_tried_before_it_is_handed_out(folder: Path) -> None:
    trace = failing(BUGS["pool"], folder)
    made = export_forced(trace, pytest=False, allow_call=True, tries=1)
    assert made.tried == 1
    # the source is what was recorded, and what is imported is another module
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "buggy.py").write_text(BUGS["pool"].mended, encoding="utf-8")
    trace.scenario["python"]["setup"] = "elsewhere.buggy:setup"
    for worker in trace.scenario["workers"].values():
        worker["steps"][0]["call"] = "elsewhere.buggy:user"
    with pytest.raises(UsageError, match="did not fail, it passed"):
        export_forced(trace, pytest=False, allow_call=True, tries=1)


def test_the_trace_of_a_test_becomes_a_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        buggy=BUGS["pool"].source,
        test_pool="""
        import threading
        import pytest
        import buggy

        @pytest.fixture
        def state():
            return buggy.setup()

        @pytest.mark.tracelock
        @pytest.mark.parametrize("users", [3])
        def test_users(state, users):
            threads = [threading.Thread(target=buggy.user, args=(state,)) for _ in range(users)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            buggy.check(state)
        """,
    )
    pytester.runpytest_subprocess().assert_outcomes(failed=1)
    (path,) = pytester.path.glob(".tracelock/*.json")
    source = export(path, "pytest", origin="tracelock export")
    pytester.makepyfile(test_forced=source)
    result = pytester.runpytest_subprocess("test_forced.py", "-p", "no:tracelock")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*IndexError('pop from empty list')*"])
    pytester.makepyfile(buggy=BUGS["pool"].mended)
    result = pytester.runpytest_subprocess("test_forced.py", "-p", "no:tracelock")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*note: the schedule could not be followed*"])


def test_what_cannot_be_forced_is_refused_with_its_reason(folder: Path) -> None:
    trace = failing(BUGS["pool"], folder)
    for change, message in (
        ({"backend": "multiprocessing"}, "on multiprocessing cannot be forced"),
        ({"verdict": tracelock.Verdict("passed")}, "no failure to force"),
    ):
        kept = {name: getattr(trace, name) for name in change}
        for name, value in change.items():
            setattr(trace, name, value)
        with pytest.raises(UsageError, match=message):
            export(trace, "python")
        for name, value in kept.items():
            setattr(trace, name, value)
    trace.scenario["python"]["check"] = "buggy:setup.<locals>.check"
    with pytest.raises(UsageError, match="cannot be imported by its name"):
        export(trace, "python")
    (folder / "buggy.py").write_text("# another\n" + BUGS["pool"].source, encoding="utf-8")
    with pytest.raises(UsageError, match="not what they were when the trace was recorded"):
        export(trace, "python")


HOSTILE = ['"""', "'''", "\\", "\n", "{x}", '"); import os; os._exit(9)  #', "\x1b[31m", "é\u2028"]


def test_names_of_strangers_stay_texts(folder: Path) -> None:
    """Whatever files, functions and workers are called: it is a literal, or text of a docstring."""
    trace = failing(BUGS["counter"], folder)
    for text in HOSTILE:
        trace.scenario["name"] = text
        rows = [(text, f"{text}.py", text, text, "", 0)]
        schedule = ForcedSchedule(rows, {text: [text]}, [text])
        subject = ForcedSubject("", f"{text}:setup", {text: (f"{text}:f", [text])}, text, [text])
        for made in (subject, ForcedSubject(f"{text}.py::{text}")):
            source = forced_program(trace, schedule, made, origin=text, pytest=True)
            tree = ast.parse(source)
            (told,) = (
                ast.literal_eval(node.value)
                for node in tree.body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SCHEDULE"
            )
            assert told == rows
            assert not any(
                isinstance(node, ast.Attribute) and node.attr == "_exit" and node.lineno < 30
                for node in ast.walk(tree)
            )


# --- tokens, reports and check -----------------------------------------------------------------
TEST = """
import threading
import buggy
import pytest


@pytest.mark.tracelock
def test_users():
    state = buggy.setup()
    threads = [threading.Thread(target=buggy.user, args=(state,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buggy.check(state)


@pytest.mark.tracelock
def test_other():
    assert True
"""


def test_a_failing_test_is_made_again_from_its_token_and_has_a_report(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(buggy=BUGS["pool"].source, test_pool=TEST)
    result = pytester.runpytest_subprocess("--tracelock-report", "out", "test_pool.py")
    (line,) = [line for line in result.stdout.lines if line.startswith("  token: ")]
    token = line.split()[1]
    names = sorted(path.suffix for path in pytester.path.glob("out/*"))
    assert names == [".html", ".json", ".md"]
    (page,) = pytester.path.glob("out/*.md")
    text = page.read_text(encoding="utf-8")
    assert token in text and "class Pool:" in text and str(pytester.path) not in text

    def again(*options: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(
            f"--tracelock-token={token}", "--tracelock-replay-status", *options
        )

    result = again()
    assert result.ret == 100
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["still fails: reproduced, it ended as recorded"])
    result = pytester.runpytest_subprocess("--tracelock-token=tl1-AAAA", "test_pool.py")
    result.stderr.fnmatch_lines(["*--tracelock-token: the token is damaged, its checksum*"])
    assert again("test_pool.py::test_other").ret == 102  # it is of another test
    pytester.makepyfile(buggy=BUGS["pool"].mended)
    result = again()
    assert result.ret in (101, 103)
    result.stdout.re_match_lines(["(passes now|stale): .*"])


def command(folder: Path, *words: str) -> tuple[int, str]:
    """The command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tracelock", *words], capture_output=True, text=True, check=False,
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_check_says_what_became_of_an_old_failure_of_real_code(folder: Path) -> None:
    bug = BUGS["counter"]
    (folder / "buggy.py").write_text(bug.source, encoding="utf-8")
    (folder / "c.yaml").write_text(
        "format: tracelock-scenario/1\nname: c\n"
        'workers:\n  add: {count: 2, steps: [{call: "buggy:add"}]}\n'
        'python: {setup: "buggy:setup", check: "buggy:check"}\n'
    )
    assert command(folder, "explore", "c.yaml", "--allow-call", "--trace", "old.json")[0] == 1
    check = ("check", "old.json", "c.yaml", "--allow-call", "--no-trace")
    status, out = command(folder, *check)
    assert status == 1 and "it ends failed" in out
    (folder / "buggy.py").write_text(bug.mended, encoding="utf-8")
    status, out = command(folder, *check)
    assert status == 0 and ("verified" in out or "passed" in out), out
    status, out = command(folder, "explore", "c.yaml", "--allow-call", "--output-format", "junit")
    assert status == 0 and out.startswith("<?xml"), out


def test_lines_are_counted_as_python_counts_them(folder: Path) -> None:
    (folder / "paged.py").write_text("first = 1\n\x0c\ndef second():\n    third = 3\n")
    python = {"sources": {"paged.py": digest("paged.py")}}
    trace = Trace(
        {"name": "x", "python": python}, "threading", "controlled", None, "virtual", {}, ["w"],
        Events(), Verdict("failed"),
    )  # fmt: skip
    line, function = lines_of(trace)
    assert (line("paged.py:4"), function("paged.py:4")) == ("third = 3", "second")
    assert (line("other.py:1"), function("other.py:1")) == ("", "")
