"""Whoever has an original or a lock that exists already is reached by the next exploration: random
holders that come and go between explorations of a process (``tests/helpers/holders.py``)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracelock.instrument.scanning.marks import BY_AGE

pytestmark = pytest.mark.skipif(not BY_AGE, reason="the collector has no lists by age")
ROOT = Path(__file__).resolve().parents[2]
EXTENDED = pytest.mark.extended


@pytest.mark.parametrize(
    ("seed", "explorations"), [(3, 12), pytest.param(2, 60, marks=EXTENDED)],
)  # fmt: skip
def test_the_next_exploration_reaches_whoever_has_one(seed: int, explorations: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.holders", str(seed), str(explorations)],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, timeout=200, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    *wrong, last = done.stdout.splitlines()
    assert not wrong
    word, asked = last.split()
    assert word == "asked" and int(asked) >= explorations
