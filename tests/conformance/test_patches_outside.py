"""A use of each row of the table of patches that is not controlled: the run says so.

A worker that blocks in it is named with its stack, and nothing is claimed; what does not block is
no scheduling point, and is answered anew in every schedule.
"""

from __future__ import annotations

import _thread
import ctypes
import io
import mmap
import multiprocessing
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tests.helpers.patch_uses import explore_uses, worker_name
from tracelock.engine.limits import RunLimits
from tracelock.instrument import backend
from tracelock.instrument.patches import table

#: For how long the uses block, in seconds, where they can be told: longer than is waited for them.
LONG = 1.6
#: What ends those that would block for ever.
later: list[Callable[[], object]] = []


def waits_for_descriptors() -> None:
    select.epoll().poll(LONG)


def reads_pipe() -> None:
    reading, writing = os.pipe()
    later.append(lambda: os.write(writing, b"x"))
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)


def receives_object() -> None:
    one, other = multiprocessing.Pipe()
    later.append(lambda: one.send(1))
    other.recv()
    one.close()
    other.close()


def sleeps_in_c() -> None:
    ctypes.CDLL(None).usleep(int(LONG * 1e6))


#: What blocks, and which line of the stack says so.
BLOCKS: dict[str, tuple[Callable[[], Any], str]] = {
    "select.epoll": (waits_for_descriptors, "select.epoll().poll(LONG)"),
    "subprocess.run": (lambda: subprocess.run(["sleep", str(LONG)]), "subprocess.run("),
    "os.system": (lambda: os.system(f"sleep {LONG}"), "os.system("),
    "os.pipe": (reads_pipe, "os.read(reading, 1)"),
    "multiprocessing.Pipe": (receives_object, "other.recv()"),
    "signal.sigtimedwait": (
        lambda: signal.sigtimedwait([signal.SIGUSR2], LONG), "signal.sigtimedwait("
    ),
    "ctypes.CDLL": (sleeps_in_c, "usleep("),
}  # fmt: skip


#: Those of which each stands for others; all of them take a second each.
SAMPLE = ("os.pipe", "select.epoll", "subprocess.run")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.extended) for name in BLOCKS],
)
def test_a_worker_that_blocks_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LOOK", 0.1)
    use, line = BLOCKS[name]
    use.__name__ = worker_name(name)
    found = tracelock.explore(
        workers=[use], instrument=[], schedules=1, seconds=None,
        limits=RunLimits(steps=1_000, stall=0.3),
    )  # fmt: skip
    while later:
        later.pop()()
    assert found.verdict == "unfinished" and not found.exhaustive
    told = [note for note in found.notes if "is stuck outside tracelock's control:" in note]
    assert worker_name(name) in told[-1] and line in told[-1]


# --- what does not block ---------------------------------------------------------------------
def raw_thread() -> int:
    """On a thread that is started past ``threading``, the originals are called."""
    done = _thread.allocate_lock()
    done.acquire()
    real: list[float] = []

    def run() -> None:
        real.append(time.monotonic())
        done.release()

    _thread.start_new_thread(run, ())
    return 1  # it may have run by now, or not


def handles_signal() -> str:
    try:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    except ValueError as error:  # "only works in main thread": as ever
        return str(error)
    return ""


def raw_file() -> bytes:
    with io.FileIO(__file__) as file:
        return file.read(3)


def maps_memory() -> int:
    with mmap.mmap(-1, 8) as memory:
        memory[0] = 1
        return memory[0]


#: What is the same in every schedule, and what is not, so that a trace of it may not be replayed.
SAME: dict[str, Callable[[], Any]] = {
    "_thread.start_new_thread": raw_thread,
    "signal.signal": handles_signal,
    "io.FileIO": raw_file,
    "mmap.mmap": maps_memory,
    "os.listxattr": lambda: tuple(os.listxattr(__file__)) or "none",
}


def fails(now: bool) -> None:
    threading.Event().wait(10_000.0)
    if now:
        raise RuntimeError("the last one, so that there is a trace")


def test_what_does_not_block_is_no_scheduling_point_and_answered_as_ever() -> None:
    seen = explore_uses(SAME, fails=fails)
    for name in SAME:
        assert len(seen.gave[name]) > 2 and seen.gave[name][0] is not None
        if name != "_thread.start_new_thread":  # whose lock is one under control
            assert worker_name(name) not in seen.events, name
        assert len(set(seen.gave[name])) == 1, name


def test_there_is_a_use_for_each_row() -> None:
    rows = [row.name for row in table("outside")]
    assert rows == [*BLOCKS, *SAME]
