"""The corpus of real bugs: each is found by the default strategy, and its mend stays silent.

Those that need libraries at other versions than are installed are skipped here;
``tests/bench/corpus.py`` installs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.corpus.cases import CASES, Case
from tests.corpus.run import SCHEDULES, explore
from tests.helpers.amount import amount

ROOT = Path(__file__).resolve().parents[2]
BUGS = [case for case in CASES if not case.mended]
MENDED = [case for case in CASES if case.mended]


def marked(cases: list[Case]) -> list[object]:
    """Those that need more than the standard library are marked ``corpus``."""
    return [
        pytest.param(case, id=case.name, marks=[pytest.mark.corpus] if case.pins else [])
        for case in cases
    ]


def needs(case: Case) -> None:
    """Skip what cannot run here."""
    missing = case.missing()
    if case.tasks and find_spec("tracelock.instrument.loops.asyncio_backend") is None:
        missing = "real asyncio code is not under control yet"
    if missing:
        pytest.skip(missing)


def test_every_bug_has_a_file_and_every_file_a_bug() -> None:
    files = {path.stem for path in (ROOT / "tests" / "corpus").glob("*.py")}
    assert files - {"__init__", "cases", "run"} == {case.program for case in CASES}
    assert {case.program for case in MENDED} <= {case.program for case in BUGS}
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", marked(BUGS))
def test_a_bug_is_found_and_replayed_in_a_fresh_process(case: Case, tmp_path: Path) -> None:
    needs(case)
    trace = tmp_path / "trace.json"
    found = explore(case, str(trace))
    assert found["verdict"] == "failed", found
    assert found["schedules"] <= SCHEDULES
    assert (found["failure"] or "deadlock") in case.kinds, found
    command = [sys.executable, "-m", "tests.corpus.run", case.name, "--replay", "--trace"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    for _ in range(amount(1, 2)):
        done = subprocess.run(
            [*command, str(trace)], cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        replayed = json.loads(done.stdout.splitlines()[-1])
        assert replayed["reproduced"], replayed


@pytest.mark.parametrize("case", marked(MENDED))
def test_where_it_is_mended_nothing_is_found(case: Case) -> None:
    needs(case)
    for strategy in ("auto", "random"):
        found = explore(case, None, strategy=strategy)
        assert found["verdict"] in ("passed", "verified"), found
