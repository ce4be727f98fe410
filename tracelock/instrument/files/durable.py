"""Operations on files where a crash may come: each is told to the disk of the schedule.

Where none may, this costs one look. ``os.fsync`` and ``os.fdatasync`` are steps only where a crash
may come; the real ones are not called then, since what would be lost is known. ``os.sync`` is left
alone: it makes nothing durable here.

Not seen: memory maps, files that were opened before there was control, and what code in C or other
programs write. ``Disk.compare`` finds that out for every file that is also changed by what is seen.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.crashes.disk import Disk, disk_of
from tracelock.instrument.crashes.points import change_disk
from tracelock.instrument.crashes.recording import RECORDED, DiskEffect, DiskRecorder
from tracelock.instrument.files.access import absolute, paths_of
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Uncontrolled, Worker

#: What writes through a descriptor: of one that is not known something may be lost unseen.
_WRITES: Final = frozenset({"write", "pwrite", "writev", "pwritev", "ftruncate", "sendfile"})


def recorder_of(worker: Worker) -> DiskRecorder | None:
    """What records the calls of this schedule, None where no crash may come."""
    disk = disk_of(worker.hub)
    return None if disk is None else _recorder(worker, disk)


def _recorder(worker: Worker, disk: Disk) -> DiskRecorder:
    if disk.recorder is None:
        disk.recorder = DiskRecorder(disk, paths_of(worker.hub).label, absolute)
    found: DiskRecorder = disk.recorder
    return found


def looked(worker: Worker, look: Callable[[], Any]) -> Any:
    """What ``look`` says of real files. What cannot be looked at raises UsageError, and ends the
    exploration also where the program catches that."""
    try:
        with Uncontrolled(worker):
            return look()
    except UsageError as error:
        worker.hub.error = error
        raise


def made(
    worker: Worker, at: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any],
    call: Callable[[], Any],
) -> Any:  # fmt: skip
    """The result of ``call``, which calls the function of ``os`` of this name with these
    arguments."""
    recorder = recorder_of(worker) if name in RECORDED else None
    if recorder is None:
        return call()
    if name in _WRITES and (args or kwargs):
        _known(worker, recorder, args[0] if args else next(iter(kwargs.values())))
    return change_disk(worker, at, _looking(worker, recorder.effect, name, args, kwargs), call)


def _looking(
    worker: Worker, look: Callable[..., DiskEffect | None], *arguments: Any
) -> Callable[[], DiskEffect | None]:
    """What gives the effect of a call. None where that is going to fail: the original then raises
    what there is to raise."""

    def effect() -> DiskEffect | None:
        with contextlib.suppress(OSError, TypeError, ValueError):
            found: DiskEffect | None = looked(worker, partial(look, *arguments))
            return found
        return None

    return effect


def _known(worker: Worker, recorder: DiskRecorder, descriptor: Any) -> None:
    """Something is written through a descriptor: whether it is known what that is."""
    if not isinstance(descriptor, int) or descriptor in recorder.disk.descriptors:
        return
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return
    if regular:
        worker.hub.names.doubts.setdefault(
            f"a file that was opened before control began, at {caller(worker, 4)}",
            "what of it is lost in a crash is not tried",
        )


def opened(
    worker: Worker, at: str, path: Any, directory: int | None, follow: bool,
    flags: int, call: Callable[[], Any],
) -> Any:  # fmt: skip
    """The result of ``call``, which opens a path, as an object with a ``fileno`` or as a
    descriptor, with these flags of ``os.open``."""
    recorder = recorder_of(worker)
    if recorder is None or flags & getattr(os, "O_TMPFILE", 0) == getattr(os, "O_TMPFILE", -1):
        return call()
    creates, empties = bool(flags & os.O_CREAT), bool(flags & os.O_TRUNC)
    name = ""

    def opening() -> DiskEffect | None:
        nonlocal name
        name = recorder.path(path, directory, follow)
        return recorder.opening(name, creates, empties) if creates or empties else None

    result = change_disk(worker, at, _looking(worker, opening), call)
    descriptor = result if isinstance(result, int) else result.fileno()
    if name:
        looked(worker, partial(recorder.opened, descriptor, name, flags))
    return result


def written(worker: Worker, at: str, descriptor: int, data: Any, call: Callable[[], Any]) -> Any:
    """The result of ``call``, which writes bytes to an open file."""
    recorder = recorder_of(worker)
    if recorder is None:
        return call()
    return change_disk(worker, at, _looking(worker, recorder.writing, descriptor, data), call)


def cut(worker: Worker, at: str, descriptor: int, size: int, call: Callable[[], Any]) -> Any:
    """The result of ``call``, which gives an open file this size."""
    return made(worker, at, "ftruncate", (descriptor, size), {}, call)


def closed(worker: Worker, descriptor: int) -> None:
    """A descriptor stands for nothing any more. What was written through it is no safer."""
    disk = disk_of(worker.hub)
    if disk is not None:
        disk.descriptors.pop(descriptor, None)


def copied(worker: Worker, descriptor: int, copy: int) -> None:
    """Another descriptor stands for the same open file."""
    disk = disk_of(worker.hub)
    if disk is not None and descriptor in disk.descriptors:
        disk.descriptors[copy] = disk.descriptors[descriptor]


def _sync(worker: Worker, real: Any, fd: Any) -> None:
    recorder = recorder_of(worker)
    if recorder is None:
        real(fd)
        return
    descriptor = fd if isinstance(fd, int) else fd.fileno()
    if descriptor not in recorder.disk.descriptors:
        real(fd)
        return
    look = _looking(worker, recorder.syncing, descriptor)
    change_disk(worker, caller(worker, 4), look, lambda: None)


@patch("os.fsync", SEEN)
def fsync(worker: Worker, real: Any, fd: Any) -> None:
    _sync(worker, real, fd)


@patch("os.fdatasync", SEEN, optional=True)
def fdatasync(worker: Worker, real: Any, fd: Any) -> None:
    _sync(worker, real, fd)
