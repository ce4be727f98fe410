"""Schedules and CPU seconds to the bug, over seeds: the documented examples, and six situations
beside a peer.

    python tests/bench/bench_situations.py examples [--seeds 20] [--fixed]
    python tests/bench/bench_situations.py peer [--seeds 20] [--interpreter PYTHON]

``examples``: each buggy example of `docs/examples` by the default strategy; with ``--fixed`` also
what ``dpor`` claims of the fixed ones (at most 20,000 schedules and a minute each). ``peer``: the
programs of `situations_asyncio.py`, which know of no tool, by this one and by detangle (which has
such examples of its own, and asyncio alone) where PYTHON has it; the same situations on threads and
trio by this one. Both by their default strategies, up to the first failing schedule, without making
it small. Detangle is given the network of its own examples (``fragment=0.3``, latencies), without
which it splits nothing. CPU seconds are those of the process that explores, without its start. The
first exploration of each row is made once more before, so that nothing is imported in what is
measured. The row ``nothing`` fails in its first step: what an exploration costs besides its
schedules.

The partition of ``parted`` is begun by a task of the program, since the peer has no other; on
threads and trio, and in the row ``asyncio, as a fault``, it is a fault that the search has come in.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SITUATIONS = ("nothing", "orders", "pool", "lines", "store", "parted", "register")
MOST = 2_000
#: Schedules until the first failure, None for none.
Search = Callable[[int], "int | None"]
Measured = dict[str, Any]


def measure(search: Search, seeds: int) -> Measured:
    search(0)
    counts: list[int | None] = []
    times: list[float] = []
    for seed in range(seeds):
        begun = time.process_time()
        counts.append(search(seed))
        times.append(time.process_time() - begun)
    found = [one for one in counts if one is not None]
    return {
        "found": len(found), "of": seeds, "seconds": statistics.median(times),
        "median": statistics.median(found) if found else 0, "most": max(found, default=0),
    }  # fmt: skip


def shown(name: str, tool: str, one: Measured) -> None:
    print(
        f"{name:30}{tool:11}{one['found']:>4}/{one['of']:<4}{one['median']:>8g}{one['most']:>8}"
        f"{one['seconds']:>10.3f}",
        flush=True,
    )


def head() -> None:
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"CPython {platform.python_version()}, {platform.machine()}, load {load}")
    print(f"{'program':30}{'tool':11}{'found':>8} {'median':>8}{'most':>8}{'CPU s':>10}")


# --- this tool ---------------------------------------------------------------------------------
def here(program: dict[str, Any]) -> Search:
    import tracelock

    def search(seed: int) -> int | None:
        found = tracelock.explore(
            **program, seed=seed, schedules=MOST, seconds=None, shrink=False, confirm=0
        )
        return found.schedules if found.failed else None

    return search


def on_asyncio(name: str) -> dict[str, Any]:
    import tracelock
    from tests.bench import situations_asyncio as programs
    from tracelock.history import models
    from tracelock.history.recording import History

    async def interrupted(awaited: Any) -> Any:
        with tracelock.cancellable():
            return await awaited

    async def pool() -> None:
        await programs.pool(interrupted)

    async def register() -> None:
        history = History()

        async def recorded(who: str, name: str, argument: Any, awaited: Any) -> Any:
            given = () if argument is None else (argument,)
            call = history.begin(name, *given, worker=who)
            value = await awaited
            history.returned(call, value)
            return value

        await programs.register(recorded)
        history.check(models.RegisterSpec(0)).require()

    class World:
        on = staticmethod(lambda host, work: tracelock.host(host)(work)())
        part = staticmethod(tracelock.partition)
        heal = staticmethod(tracelock.heal)

    async def parted() -> None:
        await programs.parted(World())

    of_tools = {"pool": pool, "register": register, "parted": parted}
    main = of_tools.get(name) or getattr(programs, name)
    return {"workers": [main], **({"cancellations": 1} if name == "pool" else {})}


def elsewhere(name: str, runtime: str) -> dict[str, Any]:
    """The situation on threads or trio."""
    from docs.examples.listing import load
    from tests.bench.situations_here import PROGRAMS

    examples = {
        "pool": "leaking_pool", "lines": "line_protocol", "store": "stale_read",
        "parted": "partitioned_store",
    }  # fmt: skip
    if name in examples:
        program: dict[str, Any] = load(f"{examples[name]}/on_{runtime}").BUGGY
        return program
    return PROGRAMS[runtime, name]


def fault() -> dict[str, Any]:
    """The documented example, into which the search has a partition come in."""
    from docs.examples.listing import load

    program: dict[str, Any] = load("partitioned_store/on_asyncio").BUGGY
    return program


# --- the peer ----------------------------------------------------------------------------------
def peer(name: str) -> Search:
    import detangle
    from detangle.lin import History, Register

    from tests.bench import situations_asyncio as programs

    async def pool() -> None:
        await programs.pool(detangle.maybe_timeout)

    async def register() -> None:
        history = History()

        async def recorded(who: str, name: str, argument: Any, awaited: Any) -> Any:
            return await history.call(who, name, argument, awaited)

        await programs.register(recorded)
        history.assert_linearizable(Register(0))

    class World:
        on = staticmethod(lambda host, work: detangle.spawn(work(), host=host))
        part = staticmethod(lambda a, b: detangle.network().partition([a], [b]))
        heal = staticmethod(lambda a, b: detangle.network().heal())

    async def parted() -> None:
        await programs.parted(World())

    of_tools = {"pool": pool, "register": register, "parted": parted}
    main = of_tools.get(name) or getattr(programs, name)
    net = {"net": {"fragment": 0.3, "latency": (0.001, 0.02)}} if name in ("lines", "store") else {}

    def search(seed: int) -> int | None:
        try:
            detangle.explore(main, runs=MOST, seed=seed, shrink=False, database=False, **net)
        except detangle.BugFound as bug:
            runs: int = bug.report.runs
            return runs
        return None

    return search


def of_the_peer(interpreter: str, seeds: int) -> dict[str, Measured]:
    """What the peer does in its own interpreter; nothing where that has none."""
    if not interpreter:
        return {}
    done = subprocess.run(
        [interpreter, __file__, "inside", "--seeds", str(seeds)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, timeout=1800, check=True,
    )  # fmt: skip
    found: dict[str, Measured] = json.loads(done.stdout)
    return found


# --- the command -------------------------------------------------------------------------------
def examples(seeds: int, fixed: bool) -> None:
    import tracelock
    from docs.examples.listing import load, names

    head()
    for name in names():
        shown(name, "tracelock", measure(here(load(name).BUGGY), seeds))
    for name in names() if fixed else ():
        found = tracelock.explore(
            **load(name).FIXED, strategy="dpor", schedules=20_000, seconds=60.0
        )
        print(f"{name:30}fixed: {found.verdict}, {found.schedules:,} schedules", flush=True)


def beside(seeds: int, interpreter: str) -> None:
    theirs = of_the_peer(interpreter, seeds)
    head()
    for name in SITUATIONS:
        shown(f"{name}, asyncio", "tracelock", measure(here(on_asyncio(name)), seeds))
        if name in theirs:
            shown(f"{name}, asyncio", "detangle", theirs[name])
        if name == "parted":
            shown(f"{name}, asyncio, as a fault", "tracelock", measure(here(fault()), seeds))
        for runtime in ("threads", "trio"):
            program = elsewhere(name, runtime)
            shown(f"{name}, {runtime}", "tracelock", measure(here(program), seeds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("examples", "peer", "inside"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--interpreter", default="")
    parser.add_argument("--fixed", action="store_true")
    options = parser.parse_args()
    if options.what == "examples":
        examples(options.seeds, options.fixed)
    elif options.what == "peer":
        beside(options.seeds, options.interpreter)
    else:
        print(json.dumps({name: measure(peer(name), options.seeds) for name in SITUATIONS}))


if __name__ == "__main__":
    main()
