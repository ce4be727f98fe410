"""What a rewritten access costs, in ns of processor time: inactive, and with a trivial context.

Run ``python -m tests.bench.bench_hooks``. Each line is one construct, repeated in a loop; the
cost of the plain loop is taken off. The best of several rounds counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.helpers.watching import both, under
from tracelock.instrument.rewrite.sites import Site

CONSTRUCTS = {
    "load attribute": "o.n",
    "store attribute": "o.n = 1",
    "self.n += 1 (2 points)": "o.n += 1",
    "call method": "o.m()",
    "load item": "d['k']",
    "store item": "d['k'] = 1",
    "d['k'] += 1 (2 points)": "d['k'] += 1",
    "d.get": "d.get('k')",
    "load list.append": "l.append",
    "len": "len(l)",
    "in": "1 in l",
    "truth": "not l",
    "compare attributes": "o.n == o.k",
    "global": "total",
    "with": "\n        with w: pass",
}
SOURCE = """
total = 0
def bind():
    global total
    total = 1
class O:
    def __init__(self): self.n = self.k = 1
    def m(self): pass
class W:
    def __enter__(self): pass
    def __exit__(self, *a): pass
def run(times, o, d, l, w):
    for _ in times:
        {body}
"""
TIMES = 20_000


class Trivial:
    def access(
        self, kind: int, obj: object, name: str | None, site: Site, value: object = None
    ) -> None:
        pass

    def saw(self, value: object) -> None:
        pass

    def shares(self, objects: Any) -> bool:
        return False

    def together(self, reads: Any, writes: Any, site: Site) -> None:
        pass

    def look(self, reference: Any, site: Site) -> None:
        pass

    def doubt(self, why: str) -> None:
        pass

    def referred(self, reference: Any) -> None:
        pass

    def lock(self, raw: object) -> object:
        return raw


def nanoseconds(names: dict[str, Any]) -> float:
    arguments = (range(TIMES), names["O"](), {"k": 1}, [1], names["W"]())
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        names["run"](*arguments)
        best = min(best, time.process_time() - start)
    return best / TIMES * 1e9


def main(say: Callable[[str], None] = print) -> None:
    say(f"{'':26}{'plain':>8}{'inactive':>10}{'active':>8}   (ns; the last two: on top)")
    for name, body in CONSTRUCTS.items():
        plain, new = both(SOURCE.format(body=body))
        base, idle = nanoseconds(plain), nanoseconds(new)
        with under(Trivial()):  # type: ignore[arg-type]
            busy = nanoseconds(new)
        say(f"{name:26}{base:8.0f}{idle - base:10.0f}{busy - base:8.0f}")


if __name__ == "__main__":
    main()
