"""Time and chance in workers come from the schedule: the same in each, and what belongs together
agrees."""

from __future__ import annotations

import copy
import datetime
import os
import random
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import date as Date
from datetime import datetime as DateTime
from functools import partial
from typing import Any

import tracelock
from tracelock.instrument.clock import START

HERE = [__name__]


class Moment(DateTime):
    """One of the user's own."""


GETTERS: dict[str, Callable[[], Any]] = {
    "now": lambda: datetime.datetime.now(), "now by name": lambda: DateTime.now(),
    "now there": lambda: DateTime.now(datetime.UTC),
    "now of a subclass": lambda: Moment.now(), "utcnow": lambda: DateTime.utcnow(),
    "today": lambda: Date.today(), "moment today": lambda: DateTime.today(),
    "got by name": lambda: getattr(DateTime, "n" + "ow")(),
    "partial": lambda: partial(DateTime.now, datetime.UTC)(),
    "localtime": lambda: time.localtime(), "gmtime": lambda: time.gmtime(),
    "ctime": lambda: time.ctime(), "asctime": lambda: time.asctime(),
    "strftime": lambda: time.strftime("%X"), "perf_counter_ns": lambda: time.perf_counter_ns(),
    "process_time": lambda: time.process_time(), "thread_time_ns": lambda: time.thread_time_ns(),
    "realtime": lambda: time.clock_gettime(time.CLOCK_REALTIME),
    "monotonic": lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC),
    "uuid1": lambda: uuid.uuid1(), "uuid4": lambda: uuid.uuid4(),
    "secrets": lambda: secrets.token_hex(8), "choice": lambda: secrets.choice(range(1_000_000)),
    "system": lambda: random.SystemRandom().random(), "urandom": lambda: os.urandom(8),
    "own": lambda: random.Random().random(), "module": lambda: random.random(),
}  # fmt: skip


def answers() -> dict[str, list[str]]:
    """What a worker got for each, in each of some schedules."""
    got: dict[str, list[str]] = {name: [] for name in GETTERS}

    def ask() -> None:
        for name, get in GETTERS.items():
            got[name].append(repr(get()))

    tracelock.explore(workers=[ask], instrument=HERE, schedules=3, strategy="random")
    return got


def test_each_schedule_gets_the_same() -> None:
    got = answers()
    assert all(len(each) > 2 for each in got.values())
    assert {name: set(each) for name, each in got.items() if len(set(each)) > 1} == {}


def test_so_does_another_process() -> None:
    code = f"import {__name__} as test; print(sorted((n, a[0]) for n, a in test.answers().items()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == str(sorted((n, a[0]) for n, a in answers().items())), ran.stderr


def agree() -> None:
    before, here = time.time(), DateTime.now()
    assert before == START["time"] == here.timestamp()
    assert type(here) is DateTime and type(Moment.now()) is Moment
    assert isinstance(Moment.today(), Moment) and copy.copy(here) == here
    assert DateTime.now(datetime.UTC).replace(tzinfo=None) == DateTime.utcnow()
    assert time.strftime("%Y-%m-%d") == str(Date.today())
    assert time.mktime(time.localtime()) == before
    assert time.strftime("%Y", time.gmtime(0)) == "1970" and time.localtime(0).tm_year < 1971
    time.sleep(90_000)
    assert (DateTime.now() - here).total_seconds() == 90_000
    assert time.clock_gettime(time.CLOCK_REALTIME) == before + 90_000
    assert time.clock_gettime(time.CLOCK_MONOTONIC) == START["monotonic"] + 90_000
    first, second = uuid.uuid1(), uuid.uuid1()
    assert first.time < second.time and first.version == 1 and first != second
    assert uuid.uuid1(node=5, clock_seq=7).node == 5


def test_clocks_agree_and_go_on_together() -> None:
    found = tracelock.explore(workers=[agree, agree], instrument=HERE, strategy="dpor")
    assert found.verdict == "verified", (found.summary, found.story())


def test_workers_get_different_uuids() -> None:
    def setup() -> list[Any]:
        return []

    def make(made: list[Any]) -> None:
        made.append((uuid.uuid1(), uuid.uuid4()))

    def check(made: list[Any]) -> None:
        assert len({one for pair in made for one in pair}) == 4

    tracelock.explore(
        setup=setup, workers=[make, make], check=check, instrument=HERE, schedules=20
    ).raise_for_failure()


def test_after_an_exploration_the_real_time_and_chance_are_back() -> None:
    before, real = time.time(), vars(DateTime)["now"]
    assert vars(Date)["today"].__class__ is real.__class__
    answers()
    assert vars(DateTime)["now"] is real
    assert before <= DateTime.now().timestamp() <= time.time() + 1
    assert abs(DateTime.now().timestamp() - time.time()) < 60
    assert uuid.uuid1() != uuid.uuid1() and os.urandom(8) != os.urandom(8)
