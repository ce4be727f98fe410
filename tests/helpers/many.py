"""Explorations one after the other in one process, half of them ending badly: what they leave."""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tracelock
from tests.helpers.apart import Account, add_later, add_safely, add_twice, one_way, other_way
from tracelock.engine.limits import RunLimits

QUICK = RunLimits(steps=20_000, stall=0.5)
ORIGINAL = [threading.Lock, threading.RLock, threading.Thread.start, _thread.allocate_lock]


async def waits_for_ever(account: Account) -> None:
    await add_later(account)
    await asyncio.Event().wait()


def goes_round(account: Account) -> None:
    add_safely(account)
    while True:
        pass


def is_stuck_in_c(account: Account) -> None:
    add_safely(account)
    ctypes.CDLL(None).pause()


def dies(account: Account) -> None:
    add_safely(account)
    os._exit(3)


#: Workers, how they are explored, and the verdicts that this may come to.
KINDS: dict[str, tuple[tuple[Callable[..., Any], ...], dict[str, Any], str]] = {
    "threads": ((add_safely, add_safely), {}, "passed"),
    "threads that deadlock": ((one_way, other_way), {}, "failed"),
    "tasks": ((add_later, add_later), {}, "passed"),
    "tasks that deadlock": ((add_later, waits_for_ever), {}, "failed"),
    "threads apart": ((add_twice, add_safely), {"isolation": "always"}, "passed"),
    "a loop without end": ((goes_round, add_safely), {"schedules": 1}, "unfinished"),
    "threads, dpor": ((add_twice, add_safely), {"strategy": "dpor"}, "passed"),
    "a death": ((dies, add_safely), {"isolation": "always"}, "failed"),
    "tasks, dpor": ((add_later, add_later), {"strategy": "dpor"}, "passed"),
    "stuck in C": (
        (is_stuck_in_c, add_safely), {"isolation": "always", "shrink": False}, "failed",
    ),
}  # fmt: skip


def explore(kind: str, schedules: int = 20) -> str:
    """How an exploration of this kind ended."""
    workers, options, _ = KINDS[kind]
    options = {"limits": QUICK, "confirm": 1, "schedules": schedules, **options}
    found = tracelock.explore(workers=workers, setup=Account, **options)
    return "passed" if found.verdict == "verified" else found.verdict


def left() -> dict[str, Any]:
    """What there is in this process that explorations might leave behind."""
    gc.collect()
    here = Path("/proc/self")
    now = [threading.Lock, threading.RLock, threading.Thread.start, _thread.allocate_lock]
    return {
        "threads": len(list((here / "task").iterdir())),
        "known threads": threading.active_count(),
        "files": len(list((here / "fd").iterdir())),
        "children": (here / f"task/{os.getpid()}/children").read_text().split(),
        "locks are the original": now == ORIGINAL,
    }


def resident() -> int:
    """The memory of this process that is there, in kilobytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
