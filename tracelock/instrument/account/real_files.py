"""Files of the interpreter's own kind, which the program has made before there was control, or of
``io.FileIO`` itself: what is read and written by them is no step, whichever objects others have of
the same file or pipe."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import Any, Final

#: What the account calls them.
REAL_FILES: Final = "files opened before tracelock had control"
_BUFFERS: Final = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)
#: Descriptors that every process has.
_STANDARD: Final = frozenset({0, 1, 2})
_fileno: Final = io.FileIO.fileno


def _below(cls: Any, name: str, layer: Any) -> Any:
    """What is below a layer, without running code of a class that somebody has derived from it."""
    home = next(base for base in cls.__mro__ if name in vars(base))
    return vars(home)[name].__get__(layer, cls)


def is_real_file(obj: object) -> bool:
    """Whether ``obj`` is, or is a layer on, an open file by which others may learn of what is done
    to it. Nobody in the run reads the standard streams, and no device keeps what it is given."""
    streams = sys.stdout, sys.stderr
    if any(obj is one or obj is getattr(one, "buffer", None) for one in streams):
        return False
    raw: Any = obj
    try:
        if isinstance(raw, io.TextIOWrapper):
            raw = _below(io.TextIOWrapper, "buffer", raw)
        if isinstance(raw, _BUFFERS):
            raw = _below(type(raw), "raw", raw)
        if not isinstance(raw, io.FileIO) or type(raw).__module__.startswith("tracelock."):
            return False
        descriptor = _fileno(raw)
        return descriptor not in _STANDARD and not stat.S_ISCHR(os.fstat(descriptor).st_mode)
    except (OSError, ValueError, AttributeError):  # it is closed, or detached
        return False
