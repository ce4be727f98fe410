"""Functions that the program registers to be called when the process exits: a schedule ends so too.

They are called when ``check`` has been, the last one first, and then forgotten. What libraries
register as they are imported stays registered in the process, as their modules stay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Uncontrolled, Worker


@patch("atexit.register", SEEN)
def register(
    worker: Worker, real: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    frame = sys._getframe(2)  # of whoever called what calls this
    module = frame.f_globals.get("__name__", "")
    hub = worker.hub
    if hub.account is None or not hub.account.looked(module, frame.f_code.co_filename):
        return real(function, *args, **kwargs)
    hub.at_exit.append((function, args, kwargs))
    return function


@patch("atexit.unregister", SEEN)
def unregister(worker: Worker, real: Any, function: Any, /) -> None:
    at_exit = worker.hub.at_exit
    at_exit[:] = [one for one in at_exit if one[0] is not function and one[0] != function]
    with Uncontrolled(worker):
        real(function)
