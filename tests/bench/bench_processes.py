"""Schedules of real code in processes for each second of processor time, in one run.

    python tests/bench/bench_processes.py [schedules] [--peer PYTHON]

Each program is explored twice, in turns: by processes that go on to the next schedule where they
may, and by ones that are forked for each, as all were before. What a fork takes depends on how
large this process is and on what a page fault costs here: the last line is a schedule that does
nothing but fork two processes that end at once. ``--peer`` is an interpreter that has
``frontrun[process]``: what that makes of two processes that count in an SQLite database, which
is what it can interleave.

Where the time of a schedule goes (two processes with a locked increment, 10 messages; CPython
3.12.1, Linux 6.18 in a virtual machine with other work on it, milliseconds of processor time of all
processes): forked for each 12 to 16, of which the two forks alone are 5 to 6.5 (copying the page
tables of 23 MB and giving them back), the pages that parent and children copy at their first write
another 5, and to see the children off 1. With ones that stay 1.3: ``setup`` and what it makes 0.25,
whether that is alike 0.13, the steps and their messages 0.4, in the children to look whether they
may stay 0.2, what remains is the code of the workers and the bookkeeping of the schedule.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tracelock
from tracelock.instrument.processes import team

Program = tuple[Callable[[], Any], list[Callable[[Any], None]], Callable[[Any], bool]]


def setup() -> SimpleNamespace:
    return SimpleNamespace(lock=multiprocessing.Lock(), n=multiprocessing.RawValue("i", 0))


def work(state: SimpleNamespace) -> None:
    with state.lock:
        state.n.value += 1


def queued() -> SimpleNamespace:
    return SimpleNamespace(queue=multiprocessing.Queue(), done=multiprocessing.Event())


def put(state: SimpleNamespace) -> None:
    for number in range(3):
        state.queue.put(number)
    state.done.wait()


def get(state: SimpleNamespace) -> None:
    assert [state.queue.get() for _ in range(3)] == [0, 1, 2]
    state.done.set()


seen: list[int] = []


def remember(state: SimpleNamespace) -> None:
    assert not seen
    seen.append(1)  # in memory of its own, which is put back
    work(state)


PROGRAMS: dict[str, Program] = {
    "locked increment": (setup, [work, work], lambda s: bool(s.n.value == 2)),
    "three items by a queue": (queued, [put, get], lambda s: True),
    "a module's list as well": (setup, [remember, remember], lambda s: bool(s.n.value == 2)),
}


def spent() -> float:
    """Seconds of processor time of this process and of its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def shown(label: str, count: int, seconds: float, cpu: float) -> None:
    print(
        f"{label:46} {count / cpu:8,.0f} a second of processor, {1000 * cpu / count:6.2f} ms each, "
        f"{count / seconds:6,.0f} a second"
    )


def explored(program: Program, schedules: int, stay: bool) -> tuple[float, float]:
    """How long so many schedules take, and how much processor time."""
    make, workers, check = program
    most, team.TRIES = team.TRIES, team.TRIES if stay else 0
    options: dict[str, Any] = {
        "setup": make, "workers": workers, "check": check, "strategy": "random",
        "backend": "multiprocessing", "instrument": [], "seconds": None,
    }  # fmt: skip
    try:
        began, cpu = time.perf_counter(), spent()
        found = tracelock.explore(schedules=schedules, **options)
        assert found.verdict == "passed", found.summary
        return time.perf_counter() - began, spent() - cpu
    finally:
        team.TRIES = most


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


PEER = """
import os, resource, sqlite3, sys, time
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "counter.db")

def run():
    base = sqlite3.connect(PATH, timeout=5, isolation_level=None)
    number = base.execute("select n from c").fetchone()[0]
    base.execute("update c set n = ?", (number + 1,))
    base.close()

def setup():
    if os.path.exists(PATH):
        os.remove(PATH)
    base = sqlite3.connect(PATH)
    base.execute("create table c (n int)")
    base.execute("insert into c values (0)")
    base.commit()
    base.close()

if __name__ == "__main__":
    import frontrun
    for reuse in (False, True):
        began = time.perf_counter()
        used = [sum(resource.getrusage(who)[:2]) for who in (0, -1)]
        found = frontrun.explore_processes(
            frontrun.Subprocess("peer_counter:run"), count=2, setup=setup,
            invariant=lambda state: True, stop_on_first=False, reuse_workers=reuse,
            total_timeout=30,
        )
        cpu = sum(sum(resource.getrusage(who)[:2]) for who in (0, -1)) - sum(used)
        print(reuse, found.iterations, cpu, time.perf_counter() - began, found.failure)
"""


def peer(python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "peer_counter.py")
        path.write_text(PEER)
        found = subprocess.run(
            [python, str(path)], env={**os.environ, "PYTHONPATH": folder}, cwd=folder,
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        for line in found.stdout.splitlines():
            reuse, count, cpu, seconds, why = line.split(" ", 4)
            label = f"frontrun, SQLite, {'workers kept' if reuse == 'True' else 'new ones each'}"
            shown(label, int(count), float(seconds), float(cpu))
            if why != "None":
                print(f"    {why}")
        if found.returncode:
            print(found.stderr.strip().splitlines()[-1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("schedules", type=int, nargs="?", default=1_000)
    parser.add_argument("--peer", metavar="PYTHON")
    given = parser.parse_args()
    count = given.schedules
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"CPython {sys.version.split()[0]}, {os.cpu_count()} cores, load {load}")
    for name, program in PROGRAMS.items():
        explored(program, 5, True)
        for stay in (True, False):
            many = count if stay else max(1, count // 8)
            seconds, cpu = explored(program, many, stay)
            how = "processes that stay" if stay else "forked for each"
            shown(f"{name}, {how}", many, seconds, cpu)
    began, cpu = time.perf_counter(), spent()
    forks(count // 8)
    shown("two forks alone", count // 8, time.perf_counter() - began, spent() - cpu)
    if given.peer:
        peer(given.peer)


if __name__ == "__main__":
    main()
