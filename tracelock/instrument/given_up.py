"""A worker that is left behind: it is in a call into C, which no exception ends."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracelock.instrument.account.looks import processor_time
from tracelock.instrument.callers import place_in
from tracelock.instrument.failures import stack_of

if TYPE_CHECKING:
    from tracelock.engine.open import OpenController
    from tracelock.instrument.worker import Worker

#: How long is looked whether its thread uses the processor, in seconds.
SAMPLE: Final = 0.1
_sleep: Final = time.sleep


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A worker that is in a call into C. ``for_good``: it waits there, and nobody else could go on
    who might end that."""

    worker: int
    at: str
    for_good: bool

    @classmethod
    def of(cls, controller: OpenController, worker: Worker) -> GivenUp:
        """``worker``, which is given up now."""
        thread = threading._active.get(worker.ident)  # type: ignore[attr-defined]
        if thread is not None:
            thread._tracelock_own = True  # it is of no account any more
        frame = sys._current_frames().get(worker.ident)
        others = [one for one in controller.active if one != worker.number]
        hub = worker.hub
        able: object = {*controller._options(), *controller.timers} & {*others}
        able = able or hub.to_launch or worker.launcher not in (None, hub.main)
        idle = not able and not _computes(worker.ident)
        return cls(worker.number, place_in(frame), idle)


def _computes(ident: int) -> bool:
    """Whether a thread uses the processor; True where that cannot be told."""
    before = processor_time(ident)
    _sleep(SAMPLE)
    after = processor_time(ident)
    return before is None or after is None or after - before > SAMPLE * 100


def stuck_message(worker: Worker) -> str:
    """That a worker does not go on, and where it is."""
    frame = sys._current_frames().get(worker.ident)
    where = stack_of(frame) if frame is not None else ""
    return f"{worker.label} is stuck outside tracelock's control:\n{where}"


class Stuck(Exception):
    """A worker is stuck and cannot be ended."""
