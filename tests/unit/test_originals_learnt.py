"""What forked processes have looked at of the code as it was written is looked at once, for all."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracelock.instrument.gil import originals

SOURCE = """
def one(state):
    state.n += 1


def other(state):
    return state.n
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[dict[str, Any]]:
    originals.forget()
    path = tmp_path / "made.py"
    path.write_text(SOURCE)
    names: dict[str, Any] = {}
    exec(compile(SOURCE, str(path), "exec"), names)
    yield names
    for key in [key for key in originals.functions() if key[0] == str(path)]:
        del originals.functions()[key]
    originals.forget()
    linecache.checkcache()


def test_no_file_is_compiled_for_functions_that_were_learnt(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = made["one"].__code__, made["other"].__code__
    before = len(originals.functions())
    flow = originals.flow_of(one)
    assert flow is not None and flow.accesses
    told = [*originals.functions()][before:]
    assert told == [(one.co_filename, "one", 2)]
    # in another process, which has not looked at anything
    for key in told:
        del originals.functions()[key]
    originals.forget()
    originals.learn([*told, ("<made by exec>", "f", 1)])
    asked: list[str] = []

    def compiled(name: str) -> Any:
        asked.append(name)
        return None, {}

    monkeypatch.setattr(originals, "_compiled", compiled)
    again = originals.flow_of(one)
    assert again is not None and asked == []
    assert [access.span for access in again.accesses] == [access.span for access in flow.accesses]
    originals.flow_of(other)  # its file is not kept, and it was not learnt
    assert asked == [one.co_filename]
