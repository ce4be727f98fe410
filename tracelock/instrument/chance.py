"""Chance in a worker: what the operating system gives for it is a sequence of the worker's own.

It is the same in every schedule, and in any process; the generator of the ``random`` module itself
begins anew with each schedule (see ``afresh``).
"""

from __future__ import annotations

import random
import uuid as _uuid
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.clock import now
from tracelock.instrument.outside.calls import ask, recorded_here
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Uncontrolled, Worker

_RANDOM: Final[Any] = random.Random
#: From 1582, as UUIDs count, to 1970, in 100 ns.
_BEFORE: Final = 0x01B21DD213814000
#: The node of UUIDs, marked as one that is no address of hardware.
_NODE: Final = 0x0123456789AB


def _drawn(worker: Worker, what: str, size: int, real: Callable[[], bytes]) -> bytes:
    if recorded_here(worker):
        drawn: bytes = ask(worker, "entropy", f"{size} bytes", real)
        return drawn
    worker.hub.by_chance(what)  # one sequence is tried
    own = worker.counts.get("chance")
    if own is None:
        with Uncontrolled(worker):
            own = worker.counts["chance"] = _RANDOM(worker.label)
    return bytes(own.randbytes(size))


@patch("os.urandom", SEEN)
def urandom(worker: Worker, real: Any, size: int) -> bytes:
    return _drawn(worker, "os.urandom", size, lambda: real(size))


@patch("os.getrandom", SEEN, optional=True)
def getrandom(worker: Worker, real: Any, size: int, flags: int = 0) -> bytes:
    return _drawn(worker, "os.getrandom", size, lambda: real(size, flags))


@patch("uuid.uuid1", SEEN)
def uuid1(
    worker: Worker, real: Any, node: int | None = None, clock_seq: int | None = None
) -> _uuid.UUID:
    """By the virtual time, the worker, and how many that has made."""
    ticks = now(worker, "time") // 100 + _BEFORE + worker.count("uuids")
    sequence = worker.number if clock_seq is None else clock_seq
    with Uncontrolled(worker):
        return _uuid.UUID(
            fields=(
                ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF,
                sequence >> 8 & 0x3F, sequence & 0xFF, _NODE if node is None else node,
            ),
            version=1,
        )  # fmt: skip


@patch("random.Random.seed", SEEN, of=_RANDOM)
def seed(worker: Worker, real: Any, self: Any, a: Any = None, version: int = 2) -> None:
    """A generator without a seed gets one by its number among its worker's own."""
    if a is None:
        a = f"{worker.label}, {worker.count('generators')}"
    # the account takes what is called from here for ours: that this worker uses it, it has to know
    worker.unsure([(self, None)], "random.Random", "its state is set, and read by code in C")
    real(self, a, version)
