"""An exploration in a forked process: whatever becomes of it, the run of pytest goes on as it was.

What it comes to is sent back as simple data. A process that ends by itself, crashes or takes too
long is an answer too.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import time
import traceback
import warnings
from collections.abc import Callable, Generator
from typing import Any, Final, NoReturn

#: Whether there is such a thing here.
POSSIBLE: Final = hasattr(os, "fork")
_HEAD: Final = struct.Struct("<BQ")
_PROGRESS, _RESULT = 0, 1
_CHUNK: Final = 1 << 16


class ApartFailed(Exception):
    """The other process has come to no result. Its text says why."""


def apart(
    job: Callable[[Callable[[Any], None]], Any], seconds: float, progress: Callable[[Any], None]
) -> Any:
    """What ``job(tell)`` returns in a forked process; what it gives to ``tell`` goes to
    ``progress``. Raises ApartFailed where there is no result within ``seconds``."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: they stay here
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run(job, writing)
    os.close(writing)
    try:
        return _result(pid, reading, time.monotonic() + seconds, seconds, progress)
    finally:
        os.close(reading)
        _end(pid)


def _run(job: Callable[[Callable[[Any], None]], Any], writing: int) -> NoReturn:
    """The life of the other process, which ends here whatever happens."""
    try:

        def tell(value: Any) -> None:
            _send(writing, _PROGRESS, value)

        _send(writing, _RESULT, job(tell))
    except BaseException as error:
        with contextlib.suppress(BaseException):
            _send(writing, _RESULT, ApartFailed(_told(error)))
    finally:
        os._exit(0)


def _told(error: BaseException) -> str:
    """What has gone wrong in the exploration itself, and where."""
    where = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{os.path.basename(one.filename)}:{one.lineno}" for one in reversed(where))
    return f"tracelock itself has failed ({type(error).__name__}: {error}, at {places})"


def _send(writing: int, kind: int, value: Any) -> None:
    data = pickle.dumps(value)
    data = _HEAD.pack(kind, len(data)) + data
    while data:
        data = data[os.write(writing, data) :]


def _result(
    pid: int, reading: int, deadline: float, seconds: float, progress: Callable[[Any], None]
) -> Any:
    data = bytearray()
    while True:
        for kind, value in _messages(data):
            if kind == _PROGRESS:
                progress(value)
            elif isinstance(value, ApartFailed):
                raise value
            else:
                return value
        left = deadline - time.monotonic()
        if left <= 0:
            raise ApartFailed(f"the exploration did not end within {seconds:.0f} seconds")
        if not select.select([reading], [], [], left)[0]:
            continue
        chunk = os.read(reading, _CHUNK)
        if not chunk:
            raise ApartFailed(_ended(_wait(pid)))
        data += chunk


def _messages(data: bytearray) -> Generator[tuple[int, Any]]:
    """The messages that are there whole, which are taken away."""
    while len(data) >= _HEAD.size:
        kind, size = _HEAD.unpack_from(data)
        if len(data) < _HEAD.size + size:
            return
        value = pickle.loads(bytes(data[_HEAD.size : _HEAD.size + size]))
        del data[: _HEAD.size + size]
        yield kind, value


def _wait(pid: int) -> int:
    """The status of a process that has ended; -1 where it has not told."""
    for _ in range(100):
        with contextlib.suppress(ChildProcessError):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found == pid:
                return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return -1


def _ended(status: int) -> str:
    if status < -1:
        with contextlib.suppress(ValueError):
            return f"a schedule ended the process by {signal.Signals(-status).name}"
    return f"a schedule ended the process, with status {status}"


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
