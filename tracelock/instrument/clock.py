"""Time in a worker: it stands still, but for sleeping and waiting."""

from __future__ import annotations

import datetime as _datetime
import time as _time
from threading import TIMEOUT_MAX
from typing import Any, Final

from tracelock.errors import LimitReached
from tracelock.instrument.callers import caller
from tracelock.instrument.outside.calls import ask, outside_of, recorded_here
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.primitives import time_limit
from tracelock.instrument.shown_clock import shown
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import SLEEP, Op

#: What the clocks show when a schedule begins: always the same, in any process.
START: Final = {"time": 1_700_000_000, "monotonic": 1_000, "perf_counter": 1_000}
#: How often a worker may look at a clock without doing anything else: it waits for time to pass
#: that never does.
LOOKS: Final = 20_000
#: Less than this no clock shows, so that whoever sleeps less until some time has come never sees
#: it come; in truth such a sleep takes at least ``LEAST``.
SHOWN: Final = 1e-6
LEAST: Final = 1e-4


def now(worker: Worker, name: str) -> int:
    """Virtual time in ns."""
    controller = worker.hub.controller
    looks = worker.counts.get("clock", (0, 0))
    done = len(controller.log)
    count = looks[1] + 1 if looks[0] == done else 1
    worker.counts["clock"] = (done, count)
    if count > LOOKS:
        raise LimitReached("it waits for the clock, which stands still while it computes")
    passed = shown(worker.hub, worker.number, round(controller.now * 1e9))
    return (_day(worker, passed) if name == "time" else START[name] * 1_000_000_000) + passed


def _day(worker: Worker, passed: int) -> int:
    """What the wall clock shows as the schedule begins, in ns: always the same, or, where what is
    outside is asked, what it really was when it was first looked at."""
    outside = outside_of(worker.hub)
    if outside.clock is None and recorded_here(worker):
        outside.clock = ask(worker, "clock", "the time of day", _time.time_ns) - passed
    return START["time"] * 1_000_000_000 if outside.clock is None else outside.clock


def _control_clock(name: str) -> None:
    @patch(f"time.{name}", SEEN)
    def seconds(worker: Worker, real: Any) -> float:
        return now(worker, name) / 1e9

    @patch(f"time.{name}_ns", SEEN)
    def nanoseconds(worker: Worker, real: Any) -> int:
        return now(worker, name)


for _name in START:
    _control_clock(_name)


#: Clocks of what the processor has done, which costs no time here: what they show, in seconds.
WORKED: Final = 1
_MONOTONIC: Final = frozenset(
    getattr(_time, f"CLOCK_{name}", None)
    for name in ("MONOTONIC", "MONOTONIC_RAW", "BOOTTIME", "UPTIME_RAW", "HIGHRES")
)
_WORKING: Final = frozenset(
    getattr(_time, f"CLOCK_{name}", None) for name in ("PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID")
)


def _worked(worker: Worker) -> int:
    now(worker, "monotonic")  # which bounds how often it is asked
    return WORKED * 1_000_000_000


def _control_worked(name: str) -> None:
    @patch(f"time.{name}", SEEN, optional=True)
    def seconds(worker: Worker, real: Any) -> float:
        return _worked(worker) / 1e9

    @patch(f"time.{name}_ns", SEEN, optional=True)
    def nanoseconds(worker: Worker, real: Any) -> int:
        return _worked(worker)


for _name in ("process_time", "thread_time"):
    _control_worked(_name)


#: Those of other processes and threads have higher numbers.
_HIGHEST: Final = max(
    (value for name, value in vars(_time).items() if name.startswith("CLOCK_")), default=0
)


def _clock(worker: Worker, real: Any, clock: int) -> int:
    if clock in _MONOTONIC:
        return now(worker, "monotonic")
    if not (0 <= clock <= _HIGHEST):
        real(clock)  # raises where there is none
    elif clock not in _WORKING:
        return now(worker, "time")
    return _worked(worker)


@patch("time.clock_gettime", SEEN, optional=True)
def clock_gettime(worker: Worker, real: Any, clock: int) -> float:
    return _clock(worker, real, clock) / 1e9


@patch("time.clock_gettime_ns", SEEN, optional=True)
def clock_gettime_ns(worker: Worker, real: Any, clock: int) -> int:
    return _clock(worker, real, clock)


# --- the time of day, where none is given ----------------------------------------------------
def _control_now(name: str) -> None:
    @patch(f"time.{name}", SEEN)
    def of(worker: Worker, real: Any, seconds: float | None = None) -> Any:
        return real(now(worker, "time") / 1e9 if seconds is None else seconds)


for _name in ("localtime", "gmtime", "ctime"):
    _control_now(_name)
_localtime: Final = _time.localtime


@patch("time.asctime", SEEN)
def asctime(worker: Worker, real: Any, *when: Any) -> str:
    return str(real(*when or (_localtime(now(worker, "time") / 1e9),)))


@patch("time.strftime", SEEN)
def strftime(worker: Worker, real: Any, form: str, *when: Any) -> str:
    return str(real(form, *when or (_localtime(now(worker, "time") / 1e9),)))


_from_timestamp: Final[Any] = vars(_datetime.datetime)["fromtimestamp"]


@patch("datetime.datetime.now", SEEN)
def datetime_now(worker: Worker, real: Any, cls: Any, tz: Any = None) -> Any:
    return _from_timestamp.__get__(None, cls)(now(worker, "time") / 1e9, tz)


@patch("datetime.datetime.utcnow", SEEN)
def datetime_utcnow(worker: Worker, real: Any, cls: Any) -> Any:
    with Uncontrolled(worker):
        real(cls)  # which warns of itself
    seconds = now(worker, "time") / 1e9
    found = _from_timestamp.__get__(None, cls)(seconds, _datetime.UTC)
    return found.replace(tzinfo=None)


@patch("datetime.date.today", SEEN)
def date_today(worker: Worker, real: Any, cls: Any) -> Any:
    return cls.fromtimestamp(now(worker, "time") / 1e9)


@patch("time.sleep")
def sleep(worker: Worker, real: Any, seconds: float) -> None:
    """``time.sleep``: others go on meanwhile, and no time is lost."""
    length = time_limit(seconds)
    if length is None:
        real(seconds)  # raises
        return
    if length < 0:
        raise ValueError("sleep length must be non-negative")
    seconds = length
    if seconds > TIMEOUT_MAX:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")
    if 0 < seconds < SHOWN:
        seconds = LEAST
    worker.step(Op(SLEEP, -1, caller(worker), float(seconds)))
