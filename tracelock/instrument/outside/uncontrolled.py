"""What is known to be outside of control: rows in which nothing is replaced.

A worker that blocks in one of these is named with its stack, and the verdict is unfinished; what
does not block is done, or answered, as ever, in every schedule anew.
"""

from __future__ import annotations

from tracelock.instrument.patching import NOT_CONTROLLED, listed

# a worker may block in these
listed(
    __name__, NOT_CONTROLLED,
    "select.epoll", "subprocess.run", "os.system", "os.pipe",
    "multiprocessing.Pipe", "signal.sigtimedwait", "ctypes.CDLL",
)  # fmt: skip
# these are done, or answered, as ever
listed(
    __name__, NOT_CONTROLLED,
    "_thread.start_new_thread", "signal.signal", "io.FileIO", "mmap.mmap", "os.listxattr",
)  # fmt: skip
