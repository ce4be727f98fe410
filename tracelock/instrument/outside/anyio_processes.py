"""Subprocesses of anyio on asyncio, by the road of asyncio's own (``asyncio_processes``). On trio
anyio asks trio for them."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import anyio.lowlevel
import sniffio
from anyio import abc
from anyio._core import _subprocesses

from tracelock.instrument.outside.asyncio_processes import (
    OutsideProcess,
    OutsideReader,
    OutsideWriter,
    start,
)
from tracelock.instrument.outside.calls import asks
from tracelock.instrument.outside.subprocesses import refuse_process
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker

_LIMIT = 2**16


class OutsideReceive(abc.ByteReceiveStream):
    """``stdout`` or ``stderr`` of a process."""

    def __init__(self, reader: OutsideReader) -> None:
        self._reader = reader
        self._closed = False

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        if self._closed:
            raise anyio.ClosedResourceError
        data = await self._reader.read(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def aclose(self) -> None:
        self._closed = True
        await anyio.lowlevel.checkpoint()


class OutsideSend(abc.ByteSendStream):
    """``stdin`` of a process."""

    def __init__(self, writer: OutsideWriter) -> None:
        self._writer = writer

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._writer.is_closing():
            raise anyio.ClosedResourceError
        try:
            self._writer.write(item)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise anyio.BrokenResourceError from error
        await anyio.lowlevel.cancel_shielded_checkpoint()

    async def aclose(self) -> None:
        self._writer.close()
        await anyio.lowlevel.checkpoint()


class OutsideAnyioProcess(abc.Process):
    """What ``anyio.open_process`` gives."""

    def __init__(self, process: OutsideProcess) -> None:
        self._process = process
        found = process.stdin, process.stdout, process.stderr
        self._stdin = None if found[0] is None else OutsideSend(found[0])
        self._stdout, self._stderr = (
            None if one is None else OutsideReceive(one) for one in found[1:]
        )

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True) as scope:
            for stream in (self._stdin, self._stdout, self._stderr):
                if stream is not None:
                    await stream.aclose()
            scope.shield = False
            try:
                await self.wait()
            except BaseException:
                scope.shield = True
                with contextlib.suppress(ProcessLookupError):
                    self.kill()
                await self.wait()
                raise

    async def wait(self) -> int:
        return await self._process.wait()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, signal: int) -> None:
        self._process.send_signal(signal)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def stdin(self) -> abc.ByteSendStream | None:
        return self._stdin

    @property
    def stdout(self) -> abc.ByteReceiveStream | None:
        return self._stdout

    @property
    def stderr(self) -> abc.ByteReceiveStream | None:
        return self._stderr


@patch("anyio.open_process", SEEN, of=_subprocesses)
async def open_process(
    worker: Worker, real: Any, command: Any, *, stdin: Any = -1, stdout: Any = -1, stderr: Any = -1,
    **more: Any,
) -> Any:  # fmt: skip
    streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    trio = sniffio.current_async_library() == "trio"
    if trio or worker.elsewhere or worker.importing:
        return await real(command, **streams, **more)
    await anyio.lowlevel.checkpoint()
    if not asks(worker):
        refuse_process(worker, command)
    shell = isinstance(command, (str, bytes))
    args = command if shell else list(command)
    return OutsideAnyioProcess(start(worker, args, shell, _LIMIT, streams, more))
