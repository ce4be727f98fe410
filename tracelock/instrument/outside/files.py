"""Files outside of the project that the program's own code reads: their content is recorded.

What is opened is a temporary file with that content, in a replay as when it was recorded, so that
all that can be done to a file that is read can be done to it.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.callers import by_library
from tracelock.instrument.files.access import FILE, paths_of
from tracelock.instrument.outside.answers import LARGEST
from tracelock.instrument.outside.calls import ask, named, recorded_here
from tracelock.instrument.worker import Uncontrolled, Worker

#: What belongs to Python itself, and is there wherever the program can be replayed.
_PYTHON: Final = tuple(
    os.path.join(os.path.realpath(path), "")
    for path in (os.path.dirname(os.__file__), *sys.path)
    if path
)


def outside_file(worker: Worker, file: Any, mode: str) -> Callable[..., int] | None:
    """What opens ``file`` in the place of ``open``, as its ``opener``; None where it is inside of
    the project or a temporary one, is written to, or is opened by the library itself.

    Raises what opening it has raised.
    """
    if not recorded_here(worker) or isinstance(file, int) or set(mode) & set("wax+"):
        return None
    with Uncontrolled(worker):
        path = os.path.abspath(os.fsdecode(file))
        name = paths_of(worker.hub).label(path).removeprefix(FILE)
        inside = not os.path.isabs(name) or os.path.realpath(path).startswith(_PYTHON)
    if inside or by_library():
        return None

    def live() -> bytes | None:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as real:
            return real.read(LARGEST + 1)

    data = ask(worker, "file", name, live)
    if data is None:  # a device or a pipe: it is what it is
        named(worker, "file")
        return None

    def opener(*_: Any) -> int:
        with Uncontrolled(worker), tempfile.TemporaryFile() as held:
            held.write(data)
            held.seek(0)
            return os.dup(held.fileno())

    return opener
