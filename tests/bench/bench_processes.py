"""Schedules a second of real code in processes, beside what the forks alone take.

    python tests/bench/bench_processes.py [schedules]

Two processes with one locked increment each. A schedule forks both of them anew, so that the
figure depends on how large this process is and on what a page fault costs here: the second line
is a schedule that does nothing but fork two processes that end at once.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from types import SimpleNamespace
from typing import Any

import tracelock


def setup() -> SimpleNamespace:
    return SimpleNamespace(lock=multiprocessing.Lock(), n=multiprocessing.RawValue("i", 0))


def work(state: SimpleNamespace) -> None:
    with state.lock:
        state.n.value += 1


def spent() -> float:
    """Seconds of processor time of this process and of its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def shown(label: str, count: int, seconds: float, cpu: float) -> None:
    print(f"{label:28} {count / seconds:8,.0f}/s {1000 * cpu / count:8.2f} ms of processor each")


def forks(count: int) -> None:
    for _ in range(count):
        pids = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    options: dict[str, Any] = {
        "setup": setup, "workers": [work, work], "check": lambda s: s.n.value == 2,
        "strategy": "random", "backend": "multiprocessing", "instrument": [], "seconds": None,
    }  # fmt: skip
    tracelock.explore(schedules=5, **options)
    began, cpu = time.perf_counter(), spent()
    found = tracelock.explore(schedules=count, **options)
    assert found.verdict == "passed", found.summary
    shown("locked increment, 2 processes", count, time.perf_counter() - began, spent() - cpu)
    began, cpu = time.perf_counter(), spent()
    forks(count)
    shown("two forks alone", count, time.perf_counter() - began, spent() - cpu)


if __name__ == "__main__":
    main()
