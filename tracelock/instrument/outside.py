"""What is known to be outside of control: rows in which nothing is replaced.

A worker that blocks in one of these is named with its stack, and the verdict is unfinished; what
does not block is done, or answered, as ever, in every schedule anew.
"""

from __future__ import annotations

from tracelock.instrument.patching import NOT_CONTROLLED, listed

listed(
    __name__, NOT_CONTROLLED,
    "socket.socket.accept", "socket.socket.recv", "socket.socket.send",
    "select.select", "select.poll", "selectors.DefaultSelector",
    "subprocess.run", "subprocess.Popen", "os.system", "os.posix_spawn",
    "os.pipe", "mmap.mmap", "io.FileIO", "sqlite3.connect",
    "signal.signal", "signal.pause", "signal.sigwait",
    "multiprocessing.Pipe", "multiprocessing.Pool", "multiprocessing.Manager",
    "datetime.datetime.now", "time.process_time", "random.random", "os.urandom",
)  # fmt: skip
