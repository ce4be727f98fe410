"""What really breaks: the programs of ``programs_interpreter`` run freely, without tracelock.

Run ``python -m tests.bench.bench_interpreters [SECONDS [PYTHON ...]]``. Each program runs for up to
SECONDS (5) on this interpreter, or on those named, at a switch interval of one microsecond: its
workers go through a row of states at the same time, so that a thread that is interrupted in one of
them is overtaken there. What is "right" must never break; most of what "breaks" should.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.programs_interpreter import PROGRAMS, Program

INTERVAL = 1e-6
#: States that the workers go through together.
ROW = 2_000
#: So long without a step of any worker is a deadlock.
STILL = 10.0


@dataclass
class Ran:
    """``rounds``: executions of the program; ``wrong``: what the first that broke came to."""

    rounds: int
    wrong: str = ""
    seconds: float = 0.0


def has_gil() -> bool:
    """Whether the running interpreter has its GIL, and has not switched it off."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return True
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def truth_here(program: Program) -> str:
    """What is known of a program on the running interpreter."""
    return program.under_gil(sys.version_info[:2]) if has_gil() else program.free


def run_freely(program: Program, seconds: float, rounds: int = 10**9) -> Ran:
    """Run a program until it breaks, or for so long, or so often."""
    begun, done, wrong = time.monotonic(), 0, ""
    old = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL)
    try:
        while not wrong and done < rounds and time.monotonic() - begun < seconds:
            row = min(ROW, rounds - done)
            wrong = _row(program, row)
            done += row
    finally:
        sys.setswitchinterval(old)
    return Ran(done, wrong, time.monotonic() - begun)


def _row(program: Program, number: int) -> str:
    states = [program.setup() for _ in range(number)]
    at = [0] * len(program.workers)
    raised: list[tuple[int, str]] = []
    ready = threading.Barrier(len(program.workers))

    def run(which: int, worker: Callable[[Any], Any]) -> None:
        ready.wait(30)
        for state in states:
            try:
                worker(state)
            except Exception as error:
                raised.append((at[which], f"{type(error).__name__}: {error}"))
            at[which] += 1

    threads = [
        threading.Thread(target=run, args=one, daemon=True) for one in enumerate(program.workers)
    ]
    for thread in threads:
        thread.start()
    if not _ended(threads, at):
        return f"stands still in state {min(at)}"
    if raised:
        return min(raised)[1]
    for state in states:
        if program.check(state) is False:
            return "the check is false"
    return ""


def _ended(threads: Sequence[threading.Thread], at: Sequence[int]) -> bool:
    last, since = list(at), time.monotonic()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)
            if list(at) != last:
                last, since = list(at), time.monotonic()
            elif time.monotonic() - since > STILL:
                return False
    return True


def main(arguments: list[str]) -> int:
    seconds = float(arguments[0]) if arguments else 5.0
    if arguments[1:]:
        command = ["-m", "tests.bench.bench_interpreters", str(seconds)]
        return max(subprocess.run([one, *command]).returncode for one in arguments[1:])
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"cpython {version}, {'with' if has_gil() else 'without'} the GIL")
    contradictions = shown = can = 0
    for program in PROGRAMS:
        truth = truth_here(program)
        found = run_freely(program, seconds)
        broke = bool(found.wrong)
        contradictions += broke and truth == "right"
        can += truth == "breaks"
        shown += broke and truth == "breaks"
        mark = "CONTRADICTION " if broke and truth == "right" else ""
        what = f"{found.rounds:,} rounds: {found.wrong or 'nothing went wrong'}"
        print(f"  {truth:7} {mark}{program.name}: {what} ({found.seconds:.1f} s)", flush=True)
    print(f"{shown} of the {can} that can break did; contradictions: {contradictions}")
    return min(1, contradictions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
