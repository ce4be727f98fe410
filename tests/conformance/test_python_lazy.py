"""What would be ``verified`` without a look at it: modules that are loaded at first use, and timers
that wait for the work of threads."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock

#: Until Python 3.12.1 (and 3.11.7) such a module has another class before it has its attributes.
BROKEN = sys.version_info < (3, 12, 2)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "loaded_at_first_use.py").write_text("VALUE = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    name = "loaded_at_first_use"

    def setup() -> Any:
        sys.modules.pop(name, None)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        importlib.util.LazyLoader(spec.loader).exec_module(module)
        return [module]

    def use(state: Any) -> None:
        assert state[0].VALUE == 42

    monkeypatch.setitem(sys.modules, name, None)  # what is there afterwards is taken away
    return {"setup": setup, "workers": [use, use], "schedules": 40, "confirm": 1}


_SCRIPT = """\
import importlib.util
import sys

import tracelock

NAME = "loaded_at_first_use"


def setup():
    sys.modules.pop(NAME, None)
    spec = importlib.util.find_spec(NAME)
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    importlib.util.LazyLoader(spec.loader).exec_module(module)
    return {"module": module, "errors": []}


def use(state):
    try:
        assert state["module"].VALUE == 42
    except Exception as error:
        state["errors"].append(repr(error))


def check(state):
    assert not state["errors"], state["errors"]


if __name__ == "__main__":
    found = tracelock.explore(setup=setup, workers=[use, use], check=check)
    print(found.verdict, *(way.message for way in found.ways))
"""


@pytest.mark.skipif(not BROKEN, reason="it is mended in this version")
def test_a_module_that_is_loaded_at_first_use_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "loaded_at_first_use.py").write_text("VALUE = 42\n")
    (tmp_path / "use_it.py").write_text(_SCRIPT)
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "use_it.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert done.stdout.startswith("failed"), done.stdout + done.stderr
    assert "has no attribute" in done.stdout


def test_where_it_is_not_nothing_is_proved(program: dict[str, Any]) -> None:
    found = tracelock.explore(**program, instrument=["only", __name__])
    assert found.verdict == "passed"
    assert found.account is not None and "importlib.util" in found.account.not_seen


async def works(state: Any) -> None:
    await asyncio.to_thread(state.order.append, "thread")


async def waits(state: Any) -> None:
    await asyncio.sleep(0.1)
    state.order.append("task")


def thread_first(state: Any) -> bool:
    return bool(state.order == ["thread", "task"])


def test_timers_that_wait_for_threads_are_named() -> None:
    program: dict[str, Any] = {
        "setup": lambda: SimpleNamespace(order=[]), "workers": [works, waits],
        "check": thread_first, "schedules": 60,
    }  # fmt: skip
    found = tracelock.explore(**program)
    assert found.verdict == "passed"
    assert found.account is not None
    assert "timers that fire while another thread is at work" in found.account.not_seen
    assert tracelock.explore(**program, clock="adversarial").failed


class Stranger:
    """Stands in ``sys.modules`` and says that it is a module; all it does is counted."""

    asked = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return type(sys)
        Stranger.asked += 1
        raise AttributeError(name)


@pytest.mark.parametrize("name", ["tests.conformance.stranger", "stranger"])
def test_what_says_it_is_a_module_and_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger()
    assert isinstance(stranger, type(sys))
    monkeypatch.setitem(sys.modules, name, stranger)
    monkeypatch.setitem(
        globals(), "stranger", stranger
    )  # where tasks of its library are looked for
    Stranger.asked = 0

    def loses(state: SimpleNamespace) -> None:
        state.n = state.n + 1

    async def adds(state: SimpleNamespace) -> None:
        n = state.n
        await asyncio.sleep(0)
        state.n = n + 1

    for worker in (loses, adds):
        found = tracelock.explore(
            setup=lambda: SimpleNamespace(n=0), workers=[worker, worker],
            check=lambda state: state.n == 2, schedules=40, confirm=1,
        )  # fmt: skip
        assert found.failed and found.confirmed
    assert Stranger.asked == 0
