"""One core for a controlled run: to hand over a baton between two costs several times more.

And who is woken does not interrupt who wakes it: it would find the GIL taken and go to sleep again,
which makes a hand-over take twice as long (sched(7), ``SCHED_BATCH``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_STAT = Path("/proc/thread-self/stat")
#: Where its text says on which core the thread runs, counted behind the name (proc(5), field 39).
_PROCESSOR = 36


@contextlib.contextmanager
def one_core(processes: Callable[[], Iterable[int]] = tuple) -> Iterator[None]:
    """Keep this thread, ``processes()`` and what they start to one core; undone afterwards."""
    if not (hasattr(os, "sched_setaffinity") and hasattr(os, "SCHED_BATCH")):  # not Linux
        yield
        return
    before = os.sched_getaffinity(0)
    _keep_to({_current(before)}, processes())
    patient = _change_policy(os.SCHED_OTHER, os.SCHED_BATCH)
    try:
        yield
    finally:
        if patient:
            _change_policy(os.SCHED_BATCH, os.SCHED_OTHER)
        _keep_to(before, processes())


def _change_policy(before: int, after: int) -> bool:
    """Schedule this thread, and those that it starts from now on, by the policy ``after`` if it is
    scheduled by ``before``: one that somebody has chosen stays. Whether it was changed."""
    try:
        if os.sched_getscheduler(0) != before:
            return False
        os.sched_setscheduler(0, after, os.sched_param(0))
    except OSError:  # a sandbox may not let us
        return False
    return True


def _current(allowed: set[int]) -> int:
    """The core on which this thread runs: the system spreads those that are at work, so that two
    controlled runs at once (workers of a test runner) do not choose the same one."""
    try:
        core = int(_STAT.read_text().rpartition(")")[2].split()[_PROCESSOR])
    except (OSError, ValueError, IndexError):  # another system, or it is not mounted
        core = -1
    return core if core in allowed else min(allowed)


def _keep_to(cores: set[int], processes: Iterable[int]) -> None:
    for pid in (0, *processes):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(pid, cores)
