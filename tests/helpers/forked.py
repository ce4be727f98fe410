"""Explorations whose forked processes are counted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tracelock
from tests.helpers.apart import Account, add
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


@contextlib.contextmanager
def waiting_in_c() -> Iterator[tuple[Callable[[Account], None], Callable[[Account], None]]]:
    """A worker that waits in C for what another one does after its step, and that other one."""
    import ctypes  # of what this module names nothing is to be feared

    libc, (there, here) = ctypes.CDLL(None), os.pipe()

    def waits(account: Account) -> None:
        add(account)
        libc.read(there, ctypes.create_string_buffer(1), 1)

    def ends(account: Account) -> None:
        add(account)
        libc.write(here, b"x", 1)

    yield waits, ends
    os.close(there)
    os.close(here)


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
