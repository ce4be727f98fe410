"""Libraries look for calls that block a loop: they put their own in place of functions of ``os``,
which raise where a loop runs. What we read to give names is no call of the program's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tracelock.instrument import callers

PROGRAM = """
import asyncio

class State:
    def __init__(self):
        self.value = 0

async def adds(s):
    lock = asyncio.Lock()
    async with lock:
        value = s.value
        await asyncio.sleep(0)
        s.value = value + 1

def check(s):
    assert s.value == 2
"""


class Blocks(Exception):
    pass


def forbidden(real: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return real(*args, **kwargs)
        raise Blocks(real.__name__)

    return call


@pytest.fixture
def looked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    callers.clear()
    for name in ("getcwd", "stat", "lstat", "listdir"):
        monkeypatch.setattr(os, name, forbidden(getattr(os, name)))
    monkeypatch.setattr(os.path, "abspath", forbidden(os.path.abspath))
    yield
    callers.clear()


def test_names_are_given_where_blocking_is_looked_for(
    looked_for: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocking_program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    import blocking_program as program  # type: ignore[import-not-found]

    found = tracelock.explore(
        setup=program.State, workers=[program.adds] * 2, check=program.check, backend="asyncio",
        instrument=[program.__name__], schedules=20,
    )  # fmt: skip
    assert found.verdict == "failed" and found.trace is not None, found.summary
    verdict = found.trace.verdict
    assert verdict.failure == "finally" and verdict.worker is None, verdict
    assert not any("not deterministic" in note for note in found.notes), found.notes
