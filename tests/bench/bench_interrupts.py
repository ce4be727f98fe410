"""How soon an exploration ends after Ctrl-C, and how far it runs over ``seconds=``.

    python tests/bench/bench_interrupts.py [--moments N] [--only NAME] [--seed N]

Each program is explored in a process of its own, once without a bound to learn how long it takes
(at most eight seconds), then N times with SIGINT and N times with ``seconds=``, at moments drawn
over that time: they fall into set-up, search, shrinking, the twin, confirmation. Printed are the
median and the longest time until the exploration had ended, and every ending that is not one of
its own: an exception, another process left, no answer within thirty seconds. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """
import asyncio, ctypes, os, sys, threading, time
import tracelock

class Shared:
    def __init__(self):
        self.n = 0
        self.items = {}
        self.lock = threading.Lock()
        self.other = threading.Lock()

setup, check, options = Shared, None, {}

def adds(s):
    for i in range(12):
        s.items[i] = s.items.get(i, 0) + 1
        s.n += 1

def adds_locked(s):
    for _ in range(6):
        with s.lock:
            s.n += 1

def busy(seconds):
    end = time.process_time_ns() + seconds * 1_000_000_000
    x = 0
    for _ in range(int(seconds * 12_000_000)):
        x += 1
"""
#: name -> what comes after the head.
PROGRAMS = {
    "a race to be shrunk": """
workers = [adds, adds, adds]
def check(s): assert s.n == 36
""",
    "dpor without end": """
workers = [adds_locked] * 3
options = dict(strategy="dpor", schedules=None)
""",
    "random without end": """
workers = [adds_locked] * 3
options = dict(strategy="random", schedules=None)
""",
    "every deadlock": """
def one(s):
    adds_locked(s)
    with s.lock:
        with s.other: s.n += 1
def two(s):
    with s.other:
        with s.lock: s.n += 1
workers = [one, two, adds_locked]
options = dict(every=True, schedules=None)
""",
    "tasks and cancellations": """
class Shared:
    def __init__(self):
        self.n, self.lock = 0, asyncio.Lock()
setup = Shared
async def add(s):
    for _ in range(4):
        async with s.lock:
            n = s.n
            await asyncio.sleep(0)
            s.n = n + 1
workers = [add] * 3
options = dict(backend="asyncio", cancellations=2, schedules=None)
""",
    "a loop of its own": """
async def main(s):
    async def add():
        for _ in range(5):
            n = s.n
            await asyncio.sleep(0)
            s.n = n + 1
    await asyncio.gather(add(), add(), add())
def work(s): asyncio.run(main(s))
workers = [work, adds]
options = dict(schedules=None)
""",
    "isolation": """
workers = [adds, adds]
def check(s): assert s.n == 24
options = dict(isolation="always")
""",
    "a slow set-up": """
class Shared(Shared):
    def __init__(self):
        super().__init__()
        busy(3)
setup = Shared
workers = [adds_locked] * 2
options = dict(schedules=None)
""",
    "a slow check": """
def check(s):
    busy(3)
workers = [adds_locked] * 2
options = dict(schedules=None)
""",
    "a worker slow between points": """
def slow(s):
    with s.lock: busy(4)
workers = [slow, adds_locked]
options = dict(schedules=None)
""",
    "a worker asleep in C": """
def asleep(s):
    s.n += 1
    ctypes.CDLL(None).usleep(6_000_000)
workers = [asleep, adds_locked]
options = dict(schedules=None)
""",
}
_TAIL = """
if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8
    # what is imported at first use: a Ctrl-C before that is the program's own
    tracelock.explore(workers=[lambda: None] * 2, schedules=2)
    print("begins", flush=True)
    began = time.monotonic()
    explored = tracelock.explore(
        setup=setup, workers=workers, check=check, seconds=seconds, **options
    )
    print("ended", explored.verdict, explored.stopped, time.monotonic() - began, flush=True)
    sys.stdout.flush()
    os._exit(0)
"""


def run(file: Path, seconds: float, interrupt: float | None) -> tuple[float, str]:
    """Seconds from the moment that was asked for to the end, and how it ended."""
    child = subprocess.Popen(
        [sys.executable, str(file), str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    began = time.monotonic()
    if interrupt is not None:
        time.sleep(interrupt)
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
    try:
        out, err = child.communicate(timeout=30 + seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return float("inf"), "no end within 30 seconds: killed"
    took = time.monotonic() - began - (seconds if interrupt is None else interrupt)
    try:
        os.killpg(child.pid, signal.SIGKILL)
        return took, "a process was left"
    except ProcessLookupError:
        pass
    if not out.startswith("ended"):
        return took, f"status {child.returncode}: {(err.strip().splitlines() or ['-'])[-1]}"
    return took, " ".join(out.split()[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in PROGRAMS.items():
            if options.only not in name:
                continue
            file = Path(folder) / f"{name.replace(' ', '_')}.py"
            file.write_text(_HEAD + text + _TAIL)
            began = time.monotonic()
            run(file, 8, None)
            whole = min(time.monotonic() - began, 8)
            for kind in ("Ctrl-C", "seconds="):
                late, endings = [], set()
                for _ in range(options.moments):
                    moment = draw.uniform(0.02, whole)
                    if kind == "Ctrl-C":
                        took, ending = run(file, 60, moment)
                    else:
                        took, ending = run(file, moment, None)
                    late.append(max(took, 0.0))
                    if not ending.startswith("ended"):
                        endings.add(f"at {moment:.2f}: {ending}")
                print(f"{name:30} {kind:9} median {statistics.median(late):6.2f}  "
                      f"longest {max(late):6.2f}", flush=True)  # fmt: skip
                for ending in sorted(endings):
                    print(f"    {ending}", flush=True)


if __name__ == "__main__":
    main()
