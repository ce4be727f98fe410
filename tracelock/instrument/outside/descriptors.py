"""Descriptors of real things: out of the way of those that the program gets.

A replay has no real sockets and pipes. The numbers of the descriptors of all others, which programs
see, are the same in it as they were when it was recorded only where these had numbers far off.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

with contextlib.suppress(ImportError):  # a platform without
    import fcntl

#: The lowest number of such a descriptor.
FAR: Final = 200


def moved(descriptor: int) -> int:
    """Another number for what ``descriptor`` stands for, which is closed; the same where there is
    none to be had."""
    try:
        other = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FAR)
    except (NameError, OSError):
        return descriptor
    os.close(descriptor)
    return int(other)
