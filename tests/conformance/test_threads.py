"""The threading backend does what the models say, and its free runs are faithful."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from tests.helpers.amount import amount
from tests.helpers.cases import CASES
from tests.helpers.support import assert_same_as_simulated
from tracelock.backends.base import Options
from tracelock.backends.threads.backend import ThreadingBackend
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("clock", ["virtual", "adversarial"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_controlled_is_the_model(name: str, clock: str) -> None:
    program = Program(scenario_from_data(CASES[name]))
    before = set(threading.enumerate())
    with ThreadingBackend(program, Options()) as backend:
        assert_same_as_simulated(backend, program, seed=7, count=amount(20, 60), clock=clock)
    left = set(threading.enumerate()) - before
    assert not left
