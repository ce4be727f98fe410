"""``fcntl.flock`` and ``fcntl.lockf`` under control.

A lock of ``flock`` belongs to the open file: who opens a file twice has two holders. One of
``lockf`` belongs to the process, so that threads do not shut each other out with it, and to close
any descriptor of the file gives it up. Taking a lock in the other mode gives up the old one first,
as the kernel does.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller
from tracelock.instrument.files.access import OpenFile, paths_of
from tracelock.instrument.hub import Phase
from tracelock.instrument.patching import patch
from tracelock.instrument.worker import Worker
from tracelock.objects.files import END
from tracelock.ops import ACQUIRE, RELEASE, ObjectSpec, Op

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    import fcntl

_REAL: Final[dict[str, Any]] = {name: getattr(fcntl, name, None) for name in ("flock", "lockf")}


def _descriptor(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def _number(worker: Worker, handle: OpenFile, kind: str) -> int:
    name = f"{handle.label} {kind}"
    handle.locked.add(name)
    worker.hub.interprocess.add(name)
    return worker.hub.number_for(ObjectSpec(name, "file_lock"))


def _handle(worker: Worker, descriptor: int) -> OpenFile | None:
    return paths_of(worker.hub).handles.get(descriptor)


@patch("fcntl.flock", optional=True)
def flock(worker: Worker, real: Any, fd: Any, operation: int, /) -> None:
    handle = _handle(worker, _descriptor(fd))
    if handle is None:
        real(fd, operation)
        return
    at = caller(worker)
    number = _number(worker, handle, "flock")
    mode = operation & ~fcntl.LOCK_NB
    whole = (handle.key, 0, END)
    if mode == fcntl.LOCK_UN:
        worker.step(Op(RELEASE, number, at, expect=whole))
    else:
        if handle.mode not in (0, mode):
            handle.mode = 0
            worker.step(Op(RELEASE, number, at, expect=whole))
            real(fd, fcntl.LOCK_UN)
        _acquire(worker, number, at, mode, operation, whole)
    _for_real(real, fd, operation, handle)
    handle.mode = 0 if mode == fcntl.LOCK_UN else mode


@patch("fcntl.lockf", optional=True)
def lockf(
    worker: Worker, real: Any, fd: Any, cmd: int, len: int = 0, start: int = 0, whence: int = 0, /
) -> Any:
    handle = _handle(worker, _descriptor(fd))
    if handle is None or whence != 0:
        return real(fd, cmd, len, start, whence)
    at = caller(worker)
    number = _number(worker, handle, "lockf")
    mode = cmd & ~fcntl.LOCK_NB
    part = ((handle.key[0], 0), start, start + len if len else END)
    if mode == fcntl.LOCK_UN:
        worker.step(Op(RELEASE, number, at, expect=part))
    else:
        _acquire(worker, number, at, mode, cmd, part)
    return _for_real(real, fd, cmd, handle, len, start, whence)


def _acquire(
    worker: Worker, number: int, at: str, mode: int, operation: int, part: tuple[Any, int, int]
) -> None:
    value = "exclusive" if mode == fcntl.LOCK_EX else "shared"
    blocking = not operation & fcntl.LOCK_NB
    if not worker.step(Op(ACQUIRE, number, at, value, None, blocking, part)):
        raise BlockingIOError(11, "Resource temporarily unavailable")


def _for_real(call: Any, fd: Any, operation: int, handle: OpenFile, *more: int) -> Any:
    if operation & ~fcntl.LOCK_NB == fcntl.LOCK_UN:
        return call(fd, operation, *more)
    try:
        return call(fd, operation | fcntl.LOCK_NB, *more)
    except BlockingIOError:
        raise ModelMismatch(f"{handle.label} is free, but the real lock cannot be had") from None


def closing(worker: Worker, descriptor: int) -> None:
    """A descriptor is about to be closed: what it holds is given up first."""
    handle = paths_of(worker.hub).handles.pop(descriptor, None)
    if handle is None or worker.hub.phase is not Phase.RUN:
        return
    for name in sorted(handle.locked):
        number = worker.hub.layout.number_of(name)
        if number is None:
            continue
        kind = name.rpartition(" ")[2]
        key = handle.key if kind == "flock" else (handle.key[0], 0)
        worker.step(Op(RELEASE, number, caller(worker, 3), expect=(key, 0, END)))
        _REAL[kind](descriptor, fcntl.LOCK_UN)
