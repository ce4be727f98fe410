"""Time in a worker: it stands still, but for sleeping and waiting."""

from __future__ import annotations

from threading import TIMEOUT_MAX
from typing import Any, Final

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker
from tracelock.ops import SLEEP, Op

#: What the clocks show when a schedule begins: always the same, in any process.
START: Final = {"time": 1_700_000_000, "monotonic": 1_000, "perf_counter": 1_000}
#: How often a worker may look at a clock without doing anything else: it waits for time to pass
#: that never does.
LOOKS: Final = 100_000


def _now(worker: Worker, name: str) -> int:
    """Virtual time in ns."""
    controller = worker.hub.controller
    looks = worker.counts.get("clock", (0, 0))
    done = len(controller.log)
    count = looks[1] + 1 if looks[0] == done else 1
    worker.counts["clock"] = (done, count)
    if count > LOOKS:
        raise LimitReached("it waits for the clock, which stands still while it computes")
    return START[name] * 1_000_000_000 + round(controller.now * 1e9)


def _control_clock(name: str) -> None:
    @patch(f"time.{name}", SEEN)
    def seconds(worker: Worker, real: Any) -> float:
        return _now(worker, name) / 1e9

    @patch(f"time.{name}_ns", SEEN)
    def nanoseconds(worker: Worker, real: Any) -> int:
        return _now(worker, name)


for _name in START:
    _control_clock(_name)


@patch("time.sleep")
def sleep(worker: Worker, real: Any, seconds: float) -> None:
    """``time.sleep``: others go on meanwhile, and no time is lost."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if seconds > TIMEOUT_MAX:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")
    worker.step(Op(SLEEP, -1, caller(worker), float(seconds)))
