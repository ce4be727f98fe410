"""Schedules in forked processes: each may die, hang, or leave a mess, and nothing else does."""

from __future__ import annotations

import ctypes
import locale
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers import apart
from tests.helpers.apart import (
    Account,
    add,
    add_later,
    add_safely,
    add_twice,
    dying,
    one_way,
    other_way,
)
from tests.helpers.forked import QUICK, it_can_be_forked, waiting_in_c

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.usefixtures(it_can_be_forked.__name__),
]


def two(account: Account) -> None:
    assert account.total == 2


def explore(*workers: Callable[..., Any], **options: Any) -> tracelock.Explored:
    options.setdefault("setup", Account)
    options.setdefault("schedules", 200)
    options.setdefault("isolation", "always")
    options.setdefault("confirm", 1)
    return tracelock.explore(workers=workers, **options)


ENDS = {
    "exit": (lambda: ctypes.CDLL(None)._exit(3), "the process died: exit status 3, in dies"),
    "segfault": (lambda: ctypes.string_at(0), "the process was killed by SIGSEGV, in dies"),
}


# --- what ends a process ends one schedule ----------------------------------------------------
@pytest.mark.parametrize("name", ENDS)
def test_what_ends_the_process_is_found_made_small_confirmed_and_replayed(name: str) -> None:
    end, told = ENDS[name]
    worker = dying(end)
    found = explore(worker, add)
    trace = found.trace
    assert found.failed and trace is not None
    assert (trace.verdict.kind, trace.verdict.message) == ("crashed", told)
    assert found.switches == 1 and found.confirmed == {"threading": "1/1"}
    assert [event.op for event in trace.events if event.worker == 0] == ["read", "write", "read"]
    replayed = tracelock.replay(trace, setup=Account, workers=[worker, add])
    assert replayed.reproduced and replayed.verdict.message == told
    again = explore(worker, add, first=[trace], isolation="auto")
    assert again.failed and again.schedules == 1


def test_the_search_goes_on_after_each_death() -> None:
    found = explore(dying(ENDS["exit"][0]), add_twice, strategy="dpor", every=True, shrink=False)
    plain = explore(dying(lambda: 1 / 0), add_twice, strategy="dpor", every=True, shrink=False)
    assert {way.kind: way.count for way in found.ways}.keys() == {"passed", "crashed"}
    assert {way.kind: way.count for way in plain.ways}.keys() == {"passed", "failed"}
    assert found.schedules == plain.schedules
    assert [way.count for way in found.ways] == [way.count for way in plain.ways]


def test_deaths_before_the_first_step_in_setup_and_in_the_check() -> None:
    end = ENDS["exit"][0]
    found = explore(lambda _: end(), add)
    assert found.trace is not None and not found.trace.events
    assert found.trace.verdict.message == "the process died: exit status 3"
    with pytest.raises(tracelock.UsageError, match="setup failed: the process died: exit status 3"):
        explore(add, setup=lambda: end())
    found = explore(add, add, check=lambda account: account.total == 2 or end())
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert found.trace.verdict.message == "the process died: exit status 3, in the check"


@pytest.mark.parametrize("held", [False, True])
def test_a_call_into_c_that_never_returns_is_told_and_ended(held: bool) -> None:
    pause = (ctypes.PyDLL if held else ctypes.CDLL)(None).pause  # with the GIL, or without
    found = explore(dying(pause), add, limits=QUICK)
    assert found.trace is not None and found.trace.verdict.kind == "crashed"
    assert "stuck in C" in found.trace.verdict.message
    assert found.confirmed == {"threading": "1/1"}


def test_a_call_into_c_that_another_could_end_is_no_failure() -> None:
    """It may wait for what a worker has that does not go on as long as this one does not."""
    with waiting_in_c() as (waits, ends):
        found = explore(waits, ends, limits=QUICK, schedules=4, strategy="random", shrink=False)
    assert not any(way.kind == "crashed" for way in found.ways)
    assert any("stuck outside" in way.message for way in found.ways if way.kind == "unfinished")


def test_a_call_into_c_that_only_takes_long_is_no_failure() -> None:
    found = explore(
        lambda account: ctypes.CDLL(None).usleep(1_200_000), add, schedules=1,
        limits=tracelock.RunLimits(steps=20_000, stall=0.9), strategy="random",
    )  # fmt: skip
    assert not found.failed
    assert {way.kind for way in found.ways} <= {"passed", "unfinished"}


def raising(account: Account) -> None:
    try:
        dying(lambda: os._exit(3))(account)
    finally:
        os._exit(4)


SEEN: dict[str, tuple[Callable[..., Any], str]] = {
    "exit": (dying(lambda: os._exit(3)), "the process died: exit status 3, in dies"),
    "kill": (
        dying(lambda: os.kill(os.getpid(), signal.SIGKILL)),
        "the process was killed by SIGKILL, in dies",
    ),
    "finally": (raising, "the process died: exit status 4, in raising"),
}


@pytest.mark.parametrize("isolation", ["auto", "always"])
@pytest.mark.parametrize("name", SEEN)
def test_what_ends_the_process_from_python_needs_no_other(name: str, isolation: str) -> None:
    worker, told = SEEN[name]
    found = explore(worker, add, isolation=isolation)
    assert found.trace is not None and found.confirmed == {"threading": "1/1"}
    assert (found.trace.verdict.kind, found.trace.verdict.message) == ("crashed", told)
    replayed = tracelock.replay(
        found.trace, setup=Account, workers=[worker, add], isolation="never"
    )  # fmt: skip
    assert replayed.reproduced


def test_a_process_that_ends_in_setup_or_check_or_a_task_is_told_here_too() -> None:
    with pytest.raises(tracelock.UsageError, match="setup failed: the process died: exit status 2"):
        explore(add, setup=lambda: os._exit(2), isolation="never")
    found = explore(add, add, check=lambda account: os._exit(5), isolation="never")
    assert found.trace is not None
    assert found.trace.verdict.message == "the process died: exit status 5, in the check"

    async def dies(account: Account) -> None:
        await add_later(account)
        if account.total == 2:
            os._exit(7)

    found = explore(add_later, dies, isolation="never")
    assert found.trace is not None and found.confirmed == {"asyncio": "1/1"}
    assert found.trace.verdict.message == "the process died: exit status 7, in dies"


# --- what is left behind ----------------------------------------------------------------------
def make_a_mess(account: Account) -> None:
    add(account)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    os.environ["LEFT"] = "behind"
    os.chdir("/")
    locale.setlocale(locale.LC_ALL, "C")
    ctypes.CDLL(None).umask(0o77)  # which nothing puts back
    with account.other:
        account.lock.acquire()
        account.lock.acquire()  # for ever


def test_what_a_bad_schedule_leaves_behind_is_gone_with_it() -> None:
    mask = os.umask(0o22)
    os.umask(0o22)
    before = (sys.stdout, dict(os.environ), os.getcwd(), locale.setlocale(locale.LC_ALL))
    found = explore(make_a_mess, add, strategy="dpor")
    assert found.trace is not None and found.trace.verdict.kind == "deadlock"
    assert found.confirmed == {"threading": "1/1"}
    after = (sys.stdout, dict(os.environ), os.getcwd(), locale.setlocale(locale.LC_ALL))
    assert before == after
    assert os.umask(mask) == 0o22


def test_each_process_begins_from_the_state_that_there_was() -> None:
    """Of what nothing puts back, too: here a number that C keeps."""
    seen: list[Account] = []

    def worker(account: Account) -> None:
        ctypes.CDLL(None).srand(1)
        seen.append(account)
        add(account)

    explore(worker, add_safely, schedules=50)
    assert len(seen) <= 1  # only that of the schedule that was run here


# --- the same search --------------------------------------------------------------------------
PROGRAMS: dict[str, tuple[list[Callable[..., Any]], Any]] = {
    "locked": ([add_safely, add_safely], None),
    "three": ([add, add_safely, add], None),
    "lost": ([add_twice, add_twice], lambda account: account.total == 4),
    "deadlock": ([one_way, other_way], None),
}


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("locked", "auto"), ("three", "dpor"), ("three", "random"), ("lost", "auto"),
     ("deadlock", "dpor"), ("deadlock", "auto")],
)  # fmt: skip
def test_the_search_is_the_same_as_in_this_process(name: str, strategy: str) -> None:
    workers, check = PROGRAMS[name]
    here, apart = (
        explore(*workers, check=check, strategy=strategy, every=True, isolation=isolation,
                schedules=150)
        for isolation in ("never", "always")
    )  # fmt: skip

    def told(found: tracelock.Explored) -> Any:
        ways = [(way.kind, way.message, way.count) for way in found.ways]
        trace = None if found.trace is None else [*found.trace.events, found.trace.verdict]
        return (
            found.verdict, found.schedules, found.redundant, ways, found.summary, found.confirmed,
            found.minimum, trace,
        )  # fmt: skip

    assert told(here) == told(apart)


async def die_later(account: Account) -> None:
    await add_later(account)
    if account.total == 2:
        ctypes.string_at(0)


def test_tasks_run_apart_too() -> None:
    here, apart = (
        explore(add_later, add_later, check=two, isolation=isolation)
        for isolation in ("never", "always")
    )
    assert here.failed and here.schedules == apart.schedules
    found = explore(add_later, die_later)
    assert found.trace is not None and found.confirmed == {"asyncio": "1/1"}
    assert found.trace.verdict.message == "the process was killed by SIGSEGV, in die_later"


# --- when it begins by itself -----------------------------------------------------------------
def falls(account: Account) -> None:
    add_twice(account)
    if account.total != 2:
        ctypes.string_at(0)


def test_modules_that_call_c_functions_run_apart_by_themselves() -> None:
    found = explore(falls, add, isolation="auto")
    assert found.trace is not None and found.trace.verdict.kind == "crashed"
    assert any("code in C, which may end their process: ctypes" in one for one in found.notes)
    seen: list[int] = []
    explore(lambda account: seen.append(account.total), add, isolation="never", schedules=9)
    assert len(seen) > 5  # of what is not asked for nothing is lost


def test_the_search_goes_on_when_a_worker_was_left_behind() -> None:
    def pause() -> None:
        sys.modules["ctypes"].CDLL(None).pause()  # which nobody can know before

    found = explore(
        dying(pause), add_safely, isolation="auto", limits=QUICK, schedules=25,
        instrument=[apart.__name__], strategy="random", seed=2,
    )  # fmt: skip
    assert not found.failed and found.schedules == 25, found.summary
    assert {way.kind for way in found.ways} == {"passed", "unfinished"}
    assert found.verdict == "unfinished"
    assert any("left behind" in note and "is stuck outside" in note for note in found.notes)


# --- bounds -----------------------------------------------------------------------------------
def test_threads_that_are_alive_keep_schedules_in_this_process() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="somebody")
    thread.start()
    try:
        seen: list[int] = []
        found = explore(lambda _: seen.append(1), add)
    finally:
        over.set()
        thread.join()
    assert seen and any("threads are alive" in note and "somebody" in note for note in found.notes)


PROGRAM = """
import ctypes, os, tracelock
from tests.helpers.apart import Account, add, add_safely

def told(progress):
    print("begun", flush=True)

def hangs(account):
    print("begun", flush=True)
    ctypes.{library}(None).pause()

found = tracelock.explore(
    setup=Account, workers=[{worker}, add_safely, add_safely], isolation="always",
    schedules=10**9, seconds=100, strategy="random", progress=told, confirm=0, shrink=False,
    limits=tracelock.RunLimits(stall=50.0),
)
print(found.stopped, end=" ")
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("nobody is left")
"""


@pytest.mark.parametrize(
    ("worker", "library"), [("add_safely", "CDLL"), ("hangs", "CDLL"), ("hangs", "PyDLL")]
)
def test_an_interrupt_ends_the_search_wherever_it_is(worker: str, library: str) -> None:
    program = PROGRAM.format(worker=worker, library=library)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=30)[0]
    finally:
        process.kill()
    assert told.splitlines()[-1] == "interrupted nobody is left", told


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_time_is_kept_and_no_process_is_left(tmp_path: Path) -> None:
    before = children()
    found = explore(add_safely, add_safely, add_safely, seconds=0.5, schedules=None)
    assert found.stopped == "seconds" or found.verdict == "verified"
    explore(dying(ENDS["segfault"][0]), add)
    assert children() == before


# --- temporary names ---------------------------------------------------------------------------
def test_temporary_names_are_not_those_of_an_exploration_before(tmp_path: Path) -> None:
    """What was left behind under a name would be met by each process that begins with it."""
    left = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()

        def leave(_: Any, place: str = place) -> None:
            tempfile.mkdtemp(dir=tmp_path / place)

        found = explore(leave, strategy="random", schedules=2)
        assert found.verdict != "failed"
        left.append({one.name for one in (tmp_path / place).iterdir()})
    assert left[0] and left[1] and left[0].isdisjoint(left[1])
