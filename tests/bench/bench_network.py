"""What a network in memory costs, and which libraries work on it unmodified.

``python tests/bench/bench_network.py echo``: round trips of an echo over streams of asyncio per
second of processor time, under control, beside those of the plain loop over real sockets.
``... libraries [SCHEDULES]``: for each library that is installed a program with its client and its
server in one run, without faults and with them: schedules per second of processor time, events of a
schedule. With faults a program may fail, as it may in reality: that is no fault of the library's
being run. ``... replays [TIMES]``: failing traces are replayed in fresh
processes: of threads, asyncio and trio, plain and over TLS.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tracelock
from tests.bench import network_libraries
from tests.helpers import lost_updates, network_programs
from tests.helpers.lost_updates import fresh_replays
from tracelock.engine.limits import RunLimits

#: Round trips of the echo.
TRIPS = 3_000


def processor() -> float:
    """Seconds of processor time of this process and of those that have ended."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, -1))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def echo(told: Callable[[float], object], clock: Callable[[], float]) -> Any:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            begun = clock()
            for _ in range(TRIPS):
                writer.write(b"hello\n")
                await writer.drain()
                await reader.readline()
            told(TRIPS / (clock() - begun))
            writer.close()

    return main


def measure_echo() -> None:
    rates: list[float] = []
    found = tracelock.explore(
        workers=[echo(rates.append, processor)], instrument=[], schedules=5, seconds=None,
        strategy="random", limits=RunLimits(steps=10_000_000, seconds=600.0, stall=60.0),
    )  # fmt: skip
    assert found.verdict == "passed", found
    plain: list[float] = []
    asyncio.run(echo(plain.append, processor)())
    print(f"echo: {max(rates):8,.0f} round trips a CPU second (of {len(rates)} schedules)")
    print(f"      {plain[0]:8,.0f} on the plain loop, over real sockets")


def measure_libraries(schedules: int) -> None:
    print(f"{'':18}{'verdict':>12}{'schedules/s':>14}{'events':>8}   with faults")
    for name, (needs, make) in network_libraries.PROGRAMS.items():
        if any(importlib.util.find_spec(one) is None for one in needs):
            print(f"{name:18}  not installed: {', '.join(needs)}")
            continue
        line = f"{name:18}"
        for faults in (0, 1):
            program = make()
            begun = processor()
            found = tracelock.explore(
                **program, schedules=schedules, strategy="random", seed=1, shrink=False,
                seconds=None, every=bool(faults), confirm=0, faults=faults,
            )  # fmt: skip
            rate = found.schedules / (processor() - begun)
            kinds = sorted({way.kind for way in found.ways})
            if faults:
                line += f"   {', '.join(kinds)} at {rate:.1f}/s"
            else:
                line += f"{found.verdict:>12}{rate:14.1f}{events(program):8}"
                line += "" if not found.account.outside else f" ({sorted(found.account.outside)})"
        print(line, flush=True)


def events(program: dict[str, Any]) -> int:
    """How many events a schedule of this program has: it is made to fail at its end."""

    def fails(*state: Any) -> None:
        raise AssertionError("so that there is a trace")

    found = tracelock.explore(
        **{**program, "check": fails}, schedules=3, shrink=False, confirm=0, strategy="random"
    )
    return len(found.trace.events) if found.trace is not None else 0


_REPLAY = """
import sys, tracelock
from tests.helpers import network_programs as programs
trace = tracelock.load_trace(sys.argv[1])
found = tracelock.replay(trace, workers=[getattr(programs, name) for name in sys.argv[3:]],
                         setup=getattr(programs, sys.argv[2]), check=getattr(programs, CHECK))
sys.exit(not found.reproduced)
"""


def measure_replays(times: int) -> None:
    for setup, workers, check, faults in (
        ("unlocked", ["posts", "posts"], "two_posts", 0),
        ("Tries", ["applies", "retries"], "once", 1),
    ):
        found = tracelock.explore(
            workers=[getattr(network_programs, name) for name in workers],
            setup=getattr(network_programs, setup), check=getattr(network_programs, check),
            faults=faults, schedules=500, seed=1,
        )  # fmt: skip
        assert found.trace is not None, found
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "trace.json"
            found.trace.save(path)
            code = _REPLAY.replace("CHECK", repr(check))
            root = Path(__file__).resolve().parents[2]
            good = sum(
                subprocess.run(
                    [sys.executable, "-c", code, str(path), setup, *workers], cwd=root,
                    env={**os.environ, "PYTHONHASHSEED": str(k), "PYTHONPATH": str(root)},
                    timeout=120,
                ).returncode == 0
                for k in range(times)
            )  # fmt: skip
        print(f"{check}: {len(found.trace.events)} events, replayed {good} of {times}")
    for name in lost_updates.NAMES:
        trace = lost_updates.failing(name)
        begun = processor()
        good = sum(fresh_replays(name, trace, range(times)))
        print(
            f"{name}: {len(trace.events)} events, replayed {good} of {times}, "
            f"{(processor() - begun) / times:.2f} CPU s each"
        )


def main() -> None:
    what, number = (*sys.argv[1:], "echo", "")[:2], sys.argv[2] if len(sys.argv) > 2 else ""
    if what[0] == "libraries":
        measure_libraries(int(number or 200))
    elif what[0] == "replays":
        measure_replays(int(number or 20))
    else:
        measure_echo()
    print(f"load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
