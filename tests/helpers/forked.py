"""Explorations whose forked processes are counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tests.helpers.apart import Account
from tracelock.engine.limits import RunLimits
from tracelock.instrument.isolation.forkable import unforkable
from tracelock.instrument.isolation.where import Isolation
from tracelock.session.code import PythonCode
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan
from tracelock.session.targets import target_for

QUICK = RunLimits(steps=20_000, stall=0.4)


@pytest.fixture
def it_can_be_forked() -> None:
    """Else what ends a process would end that of the tests: those before may have left threads."""
    end = time.monotonic() + 20
    while (why := unforkable()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not why


def explored(*workers: Callable[..., Any], **options: Any) -> tuple[tracelock.Explored, Isolation]:
    """What an exploration has found, and where its schedules ran."""
    setup = options.pop("setup", Account)
    code = PythonCode(workers, setup, options.pop("check", None), options.pop("instrument", None))
    options = {"schedules": 60, "confirm": 1, "isolation": "auto", **options}
    backend = options.pop("backend", "")
    with Exploration(target_for(code=code), Plan(backend, **options)) as exploration:
        found = exploration.run()
        host: Any = exploration.host
        return found, host.isolation
