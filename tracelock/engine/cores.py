"""One core for a controlled run: to hand over a baton between two costs several times more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator


@contextlib.contextmanager
def one_core(processes: Callable[[], Iterable[int]] = tuple) -> Iterator[None]:
    """Keep this thread, ``processes()`` and what they start to one core; undone afterwards."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    # not always the first: several of us may be at work at once
    _keep_to({sorted(before)[os.getpid() % len(before)]}, processes())
    try:
        yield
    finally:
        _keep_to(before, processes())


def _keep_to(cores: set[int], processes: Iterable[int]) -> None:
    for pid in (0, *processes):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(pid, cores)
