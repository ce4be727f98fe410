"""What it costs to run schedules in forked processes: schedules a second, and how many processes.

    python tests/bench/bench_isolation.py [--schedules N]

Each program is explored with ``isolation="never"``, ``"auto"`` and ``"always"``, by a random walk
and by DPOR; in one each schedule leaks state, and so has a process of its own. The failing programs
are shrunk and confirmed, where each trial is a process of its own. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.apart import (  # noqa: E402
    Account,
    add_safely,
    add_twice,
    dying,
    one_way,
    other_way,
    ticks,
)
from tracelock.session.code import PythonCode  # noqa: E402
from tracelock.session.exploring import Exploration  # noqa: E402
from tracelock.session.plan import Plan  # noqa: E402
from tracelock.session.targets import target_for  # noqa: E402


def four(account: Account) -> None:
    assert account.total == 4


async def later(account: Account) -> None:
    for _ in range(3):
        account.total += 1
        await asyncio.sleep(0)


TICKS = ticks()


def leaks(account: Account) -> None:
    add_twice(account)
    next(TICKS)


PROGRAMS: dict[str, tuple[list[Any], Any, str, dict[str, Any]]] = {
    "passes, random": ([add_safely, add_safely], None, "random", {}),
    "passes, dpor": ([add_twice, add_twice], None, "dpor", {}),
    "tasks, random": ([later, later], None, "random", {}),
    "state leaks": ([leaks, add_twice], None, "random", {"schedules": 200}),
    "every deadlock": ([one_way, other_way], None, "random", {"every": True, "shrink": False}),
    "a lost update": ([add_twice, add_twice], four, "auto", {}),
    "a death": ([dying(lambda: os._exit(3)), add_twice], None, "auto", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=2_000)
    options = parser.parse_args()
    print(f"{'':18}{'isolation':12}{'seconds':>9}{'schedules':>11}{'each second':>13}{'forks':>7}")
    for name, (workers, check, strategy, more) in PROGRAMS.items():
        for isolation in ("never", "auto", "always"):
            code = PythonCode(workers, Account, check)
            bounds = {"schedules": options.schedules, **more}
            plan = Plan(strategy=strategy, isolation=isolation, **bounds)
            with Exploration(target_for(code=code), plan) as exploration:
                begun = time.perf_counter()
                found = exploration.run()
                seconds = time.perf_counter() - begun
                host: Any = exploration.host
                print(
                    f"{name:18}{isolation:12}{seconds:9.2f}{found.schedules:11,}"
                    f"{found.schedules / seconds:13.0f}{host.isolation.forks:7}"
                )


if __name__ == "__main__":
    main()
