"""Modules that workers are the first to import: looked into, waited for, and left as they were."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock

LATE = """\
import threading
from threading import Lock as MyLock

lock = threading.Lock()
table = {"a": threading.RLock()}
changed = threading.Condition()
n = 0


class Kept:
    factory = threading.Lock

    def __init__(self, lock=threading.Lock):
        self.own = threading.Lock()


kept = Kept()


def bump():
    global n
    n += 1


def safe():
    global n
    with lock, kept.own, changed:
        n += 1
"""
SLOW = """\
import time

time.sleep(1)
done = True
"""
PROGRAM = """\
import importlib
import sys


def bump():
    import late_module
    late_module.bump()


def safe():
    importlib.import_module("late_module").safe()


def check():
    return sys.modules["late_module"].n == 2


def slow():
    import slow_module
    assert slow_module.done


def looks():
    module = sys.modules.get("slow_module")
    if module is not None:
        assert module.done


def first():
    import round_first
    assert round_first.done


def second():
    import round_second
    assert round_second.done


def again():
    importlib.reload(sys.modules["late_module"])


def lazily():
    import lazy_package
    lazy_package.inner.bump()


def lazy_check():
    return sys.modules["lazy_package.inner"].n == 2
"""
LAZY = """\
def __getattr__(name):
    import importlib
    if name != "inner":
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{name}")
"""
ROUND = "import time\n\ntime.sleep(1)\nimport {}\ndone = True\n"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_module.py").write_text(LATE)
    (tmp_path / "slow_module.py").write_text(SLOW)
    (tmp_path / "uses_late.py").write_text(PROGRAM)
    (tmp_path / "round_first.py").write_text(ROUND.format("round_second"))
    (tmp_path / "round_second.py").write_text(ROUND.format("round_first"))
    package = tmp_path / "lazy_package"
    package.mkdir()
    (package / "__init__.py").write_text(LAZY)
    (package / "inner.py").write_text(LATE)
    before = set(sys.modules)
    yield importlib.import_module("uses_late")
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def explore(*workers: Callable[[], None], check: Any = None) -> Any:
    return tracelock.explore(workers=workers, check=check, schedules=60, strategy="dpor")


def real_locks(late: Any) -> list[Any]:
    return [late.lock, late.kept.own, late.changed._lock, late.table["a"]]


@pytest.mark.parametrize("times", [1, 2])
def test_a_module_that_a_worker_imports_is_looked_into(program: Any, times: int) -> None:
    for _ in range(times):
        found = explore(program.bump, program.bump, check=program.check)
        assert found.failed, found.summary
        assert found.trace.scenario["python"]["instrument"] == ["uses_late", "late_module"]
        assert found.confirmed == {"threading": "3/3"}
    del sys.modules["late_module"]
    again = tracelock.replay(found.trace, workers=[program.bump] * 2, check=program.check)
    assert again.reproduced, again.diverged


def test_it_keeps_nothing_of_ours(program: Any) -> None:
    for verdict in ("passed", "verified"):
        found = explore(program.safe, program.safe, check=program.check)
        assert found.verdict == verdict, found.summary
        late = sys.modules["late_module"]
        kinds = [type(one).__module__ for one in real_locks(late)]
        assert kinds == ["_thread"] * 4, real_locks(late)
        assert late.MyLock is late.Kept.factory is threading.Lock
        assert late.Kept.__init__.__defaults__ == (threading.Lock,)
        assert late.n == 0
    # the first time a worker imported it, which happens once
    assert "late_module" not in found.account.not_seen


def test_a_lazy_package_is_looked_into(program: Any) -> None:
    found = explore(program.lazily, program.lazily, check=program.lazy_check)
    assert found.failed, found.summary
    assert "lazy_package.inner" in found.account.looked


def test_whoever_comes_second_waits_for_the_first(program: Any) -> None:
    found = explore(program.slow, program.slow)
    assert found.verdict == "passed", found.summary
    assert "import of slow_module" in found.account.locks
    assert "a worker was the first" in found.account.unseen["slow_module"]


def test_imports_that_go_round_end_as_they_do_in_python(program: Any) -> None:
    found = explore(program.first, program.second)
    assert found.verdict == "passed", found.summary


DEADLOCK = """\
import threading


def setup():
    global lock
    lock = threading.Lock()
    return lock


def first(lock):
    with lock:
        import needs_lock


def second(lock):
    import needs_lock
"""


def test_a_deadlock_of_an_import_and_a_lock_is_told_as_one(program: Any) -> None:
    folder = Path(program.__file__).parent
    (folder / "deadlocks.py").write_text(DEADLOCK)
    (folder / "needs_lock.py").write_text("import deadlocks\n\nwith deadlocks.lock:\n    pass\n")
    deadlocks = importlib.import_module("deadlocks")
    found = tracelock.explore(
        setup=deadlocks.setup, workers=[deadlocks.first, deadlocks.second], schedules=20
    )
    assert found.failed and "import of needs_lock (held by second)" in found.ways[-1].message
    assert any("as needs_lock was first imported" in note for note in found.notes), found.notes


def test_who_looks_for_a_module_in_sys_modules_may_find_it_half_done(program: Any) -> None:
    found = explore(program.looks, program.slow)
    assert found.verdict in ("passed", "failed")
    if found.verdict == "passed":
        assert "slow_module" in found.account.not_seen


def test_a_module_can_be_loaded_again_under_control(program: Any) -> None:
    importlib.import_module("late_module")
    found = explore(program.again, program.again)
    assert found.verdict in ("passed", "verified"), found.summary
