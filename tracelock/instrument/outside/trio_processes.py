"""Subprocesses of trio: ``trio.run_process`` and ``trio.lowlevel.open_process``.

What they give is trio's own ``Process`` over an object of ``subprocess.Popen``, whose start, pipes
and end are calls to the outside (``subprocesses``). While a task waits for its process, the others
go on in virtual time first.
"""

from __future__ import annotations

import os
import select
import subprocess
import zlib
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

import trio
from trio import _subprocess

from tracelock.instrument.outside.calls import asks
from tracelock.instrument.outside.subprocesses import (
    CHUNK,
    Process,
    answer,
    ended_within,
    of,
    refuse_process,
)
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker

#: What says that streams are of text, or buffered, which those of trio never are.
_TEXT: Final = ("universal_newlines", "text", "encoding", "errors", "bufsize")


_answer: Final = partial(answer, lambda seconds: trio.sleep(seconds))


class _Pipe(trio.abc.AsyncResource):
    """One end of a pipe to a process, of which ``subprocess`` has an object. At most one task may
    be in the middle of an operation on it, as of trio's own."""

    def __init__(self, process: Process, name: str, below: Any) -> None:
        self._process, self._name, self._below = process, name, below
        self._busy = False

    def _begin(self) -> None:
        if self._below.closed:
            raise trio.ClosedResourceError("this pipe is closed")
        if self._busy:
            raise trio.BusyResourceError("another task is using this stream")
        self._busy = True

    @property
    def _real(self) -> Any:
        return getattr(self._process.real, self._name)

    def close(self) -> None:
        self._below.close()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


class OutsideReceiveStream(_Pipe, trio.abc.ReceiveStream):
    """``stdout`` or ``stderr`` of a process."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be integer >= 1")
        size = CHUNK if max_bytes is None else min(max_bytes, CHUNK)

        def live(seconds: float) -> bytes | None:
            descriptor = self._real.fileno()
            if not select.select([descriptor], [], [], seconds)[0]:
                return None
            return os.read(descriptor, size)

        self._begin()
        try:
            return bytes(await _answer(self._process, f"read {self._name}", live))
        finally:
            self._busy = False


class OutsideSendStream(_Pipe, trio.abc.SendStream):
    """``stdin`` of a process. What it has no room for waits until it reads."""

    async def send_all(self, data: Any) -> None:
        left = bytes(data)
        self._begin()
        try:
            await trio.lowlevel.checkpoint()
            while left:
                live = partial(self._write, left[:CHUNK])
                told = len(left[:CHUNK]), zlib.crc32(left[:CHUNK])
                left = left[await _answer(self._process, "write stdin", live, *told) :]
        except BrokenPipeError as error:
            raise trio.BrokenResourceError("the process does not read any more") from error
        finally:
            self._busy = False

    def _write(self, data: bytes, seconds: float) -> int | None:
        descriptor = self._real.fileno()
        os.set_blocking(descriptor, False)
        if not select.select([], [descriptor], [], seconds)[1]:
            return None
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            return None

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()


def _start(worker: Worker, command: Any, streams: dict[str, Any], more: dict[str, Any]) -> Any:
    """A process of trio, that has been started."""
    for name in _TEXT:
        if more.get(name):
            raise TypeError(
                "trio.Process only supports communicating over unbuffered byte streams; the "
                f"'{name}' option is not supported"
            )
    popen = subprocess.Popen(command, bufsize=0, **streams, **more)
    process = of(popen)
    assert process is not None
    ends: dict[str, Any] = {}
    for name in ("stdin", "stdout", "stderr"):
        kind = OutsideSendStream if name == "stdin" else OutsideReceiveStream
        below = getattr(popen, name)
        ends[name] = None if below is None else kind(process, name, below)
    known = _subprocess.can_try_pidfd_open
    _subprocess.can_try_pidfd_open = False  # what has its number may be another process
    try:
        return trio.Process._create(popen, **ends)
    finally:
        _subprocess.can_try_pidfd_open = known


@patch("trio.lowlevel.open_process", SEEN)
async def open_process(
    worker: Worker, real: Any, command: Any, *, stdin: Any = None, stdout: Any = None,
    stderr: Any = None, **more: Any,
) -> Any:  # fmt: skip
    streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    if worker.elsewhere or worker.importing:
        return await real(command, **streams, **more)
    await trio.lowlevel.checkpoint()
    if not asks(worker):
        refuse_process(worker, command)
    return _start(worker, command, streams, more)


@patch("trio.Process.wait_child_exiting", SEEN, of=_subprocess, attribute="wait_child_exiting")
def wait_child_exiting(worker: Worker, real: Any, process: Any) -> Awaitable[None]:
    behind = of(process._proc)
    if behind is None:
        found: Awaitable[None] = real(process)
        return found
    return _ended(process, behind)


async def _ended(process: Any, behind: Process) -> None:
    live = partial(ended_within, behind.real)
    process._proc.returncode = await _answer(behind, "wait", live)
