"""Time in a worker: it stands still, but for sleeping and waiting."""

from __future__ import annotations

import time
from typing import Any, Final

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.worker import Worker
from tracelock.ops import SLEEP, Op

#: The originals, before anything is patched.
REAL: Final = {
    name: getattr(time, name)
    for name in (
        "sleep", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
    )
}  # fmt: skip
#: What the clocks show when a schedule begins: always the same, in any process.
START: Final = {"time": 1_700_000_000, "monotonic": 1_000, "perf_counter": 1_000}
#: How often a worker may look at a clock without doing anything else: it waits for time to pass
#: that never does.
LOOKS: Final = 100_000


def _now(name: str) -> int | None:
    """Virtual time in ns, None on a thread that is no worker."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
        return None
    controller = worker.hub.controller
    looks = worker.counts.get("clock", (0, 0))
    done = len(controller.log)
    count = looks[1] + 1 if looks[0] == done else 1
    worker.counts["clock"] = (done, count)
    if count > LOOKS:
        raise LimitReached("it waits for the clock, which stands still while it computes")
    return START[name] * 1_000_000_000 + round(controller.now * 1e9)


def _seconds(name: str) -> Any:
    real = REAL[name]

    def clock() -> float:
        now = _now(name)
        return real() if now is None else now / 1e9

    clock.__name__ = name
    return clock


def _ns(name: str) -> Any:
    real = REAL[f"{name}_ns"]

    def clock() -> int:
        now = _now(name)
        return real() if now is None else now

    clock.__name__ = f"{name}_ns"
    return clock


def sleep(seconds: float) -> None:
    """``time.sleep``: others go on meanwhile, and no time is lost."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
        REAL["sleep"](seconds)
        return
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    worker.step(Op(SLEEP, -1, caller(worker), float(seconds)))


CLOCKS: Final = {
    **{name: _seconds(name) for name in START},
    **{f"{name}_ns": _ns(name) for name in START},
    "sleep": sleep,
}
