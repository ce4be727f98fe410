"""Chance in a worker: what the operating system gives for it is a sequence of the worker's own.

It is the same in every schedule, and in any process; the generator of the ``random`` module itself
begins anew with each schedule (see ``afresh``).
"""

from __future__ import annotations

import random
from typing import Any, Final

from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Uncontrolled, Worker

_RANDOM: Final[Any] = random.Random


@patch("os.urandom", SEEN)
def urandom(worker: Worker, real: Any, size: int) -> bytes:
    if worker.hub.account is not None:  # one sequence is tried
        worker.hub.account.account.chance.add("os.urandom")
    own = worker.counts.get("chance")
    if own is None:
        with Uncontrolled(worker):
            own = worker.counts["chance"] = _RANDOM(worker.label)
    return bytes(own.randbytes(size))


@patch("random.Random.seed", SEEN, of=_RANDOM)
def seed(worker: Worker, real: Any, self: Any, a: Any = None, version: int = 2) -> None:
    """A generator without a seed gets one by its number among its worker's own."""
    if a is None:
        a = f"{worker.label}, {worker.count('generators')}"
    real(self, a, version)
