"""Variables of the environment that the program's own code reads: under ``outside="real"`` they are
recorded one by one. What the standard library reads for itself is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tracelock.instrument.callers import by_library
from tracelock.instrument.outside.calls import ask, recorded_here
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker


@patch("os._Environ.__getitem__", SEEN)
def getitem(worker: Worker, real: Any, self: Any, key: Any) -> Any:
    if not recorded_here(worker) or not isinstance(key, str) or by_library():
        return real(self, key)
    return ask(worker, "environment", key, lambda: real(self, key))


@patch("os._Environ.__iter__", SEEN)
def iterate(worker: Worker, real: Any, self: Any) -> Iterator[Any]:
    if not recorded_here(worker) or self is not os.environ or by_library():
        found: Iterator[Any] = real(self)
        return found
    return iter(ask(worker, "environment", "all names", lambda: sorted(real(self))))
