"""Writing a trace: whole or not at all, or as the run goes.

Either way a temporary file beside the target is renamed onto it at the end, so the target is
never half a trace.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tracelock.errors import TraceError, UsageError
from tracelock.trace import text
from tracelock.trace.events import Events
from tracelock.trace.header import check_header, check_workers
from tracelock.trace.outputs import beside, gzipped, target_of, write_whole, writing
from tracelock.trace.verdict import Verdict

__all__ = ["TraceWriter", "check_parts", "parts_of", "save", "write_whole"]

_SYNC_POINT = 1 << 16  # each costs the compressor a few bytes and its recent past


def check_parts(header: dict[str, Any], events: Events, verdict: Verdict) -> None:
    """Raises :class:`TraceError` where these are no trace together."""
    check_header(header)
    count = len(header["workers"])
    check_workers(events, count)
    if verdict.worker is not None and not 0 <= verdict.worker < count:
        raise TraceError(f"verdict: worker is {verdict.worker}, of {count}")


def parts_of(header: dict[str, Any], events: Events, verdict: Verdict) -> Iterator[str]:
    """The text of the file, piece by piece. Raises :class:`TraceError` as ``save`` does."""
    end = verdict.to_data()
    check_parts(header, events, Verdict.from_data(end))
    yield text.header_text(header)
    before = "\n"
    for chunk in events.chunks():
        yield before
        yield chunk
        before = ",\n"
    yield _tail(end)


def _tail(verdict: dict[str, Any]) -> str:
    return f'\n ],\n "verdict": {text.dumps(verdict, "verdict")}\n}}\n'


def save(
    path: str | os.PathLike[str], header: dict[str, Any], events: Events, verdict: Verdict
) -> None:
    """See :meth:`Trace.save`."""
    write_whole(path, parts_of(header, events, verdict), make_folder=True)


class TraceWriter:
    """Writes a trace as the run goes, to ``TARGET.partial``, renamed to TARGET by `close`.

    ::

        with TraceWriter("run.json", header) as writer:
            writer.write(events)        # what is new in them since the last call
            writer.close(verdict)

    Left without `close` (an exception, a kill) the ``.partial`` file stays: ``recover`` reads
    what is whole in it. One that is there already is never overwritten: the next free name is
    taken (``TARGET.2.partial``), see ``partial``. What `write` was given has left this process
    when it returns (compressed: once 64 KB have come together). ``sync`` asks the system to
    have the data on the disk before each `flush` returns, which guards against a power cut (a
    killed process loses nothing that was flushed either way).

    Raises :class:`UsageError` where the file cannot be written, :class:`TraceError` for what
    the format does not allow.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: dict[str, Any], *, sync: bool = False
    ) -> None:
        check_header(header)
        target = target_of(path)
        if target is None:
            raise UsageError(f"cannot write {os.fspath(path)} as the run goes: it is no file")
        head = text.header_text(header)
        self._header = dict(header)
        self._sync = sync
        self._pending = 0  # characters that wait for the compressor
        self.path = target
        self.partial, self._raw = beside(target, target.name, ".partial", target)
        self._sink: IO[bytes] | gzip.GzipFile = self._raw
        if target.suffix == ".gz":
            self._sink = gzipped(self._raw)
        self.written = 0  # events
        self._open = True
        self._put(head)
        self.flush()

    def write(self, events: Events) -> None:
        """Write the events from number ``written`` on; the earlier ones are there already."""
        if len(events) == self.written:
            return
        check_workers(events, len(self._header["workers"]), self.written)
        for chunk in events.chunks(self.written):
            self._put((",\n" if self.written else "\n") + chunk)
            self.written += chunk.count("\n") + 1
        if self._sink is self._raw or self._pending >= _SYNC_POINT:
            self.flush()

    def flush(self) -> None:
        """Hand everything written to the system, so that it outlives this process."""
        with writing(self.partial):
            if self._sink is not self._raw:
                self._sink.flush()  # zlib's sync point: all so far can be decompressed
            self._raw.flush()
            self._pending = 0
            if self._sync:
                os.fsync(self._raw.fileno())

    def close(self, verdict: Verdict) -> Path:
        """Write the verdict and put the file in its place; the path of the trace."""
        data = verdict.to_data()
        check_parts(self._header, Events(), Verdict.from_data(data))
        self._put(_tail(data))
        self.flush()
        self.abort()
        with writing(self.path):
            os.replace(self.partial, self.path)
        return self.path

    def abort(self) -> None:
        """Stop here and leave the ``.partial`` file, for ``recover``. Harmless when closed."""
        if not self._open:
            return
        self._open = False
        with writing(self.partial):
            if self._sink is not self._raw:
                self._sink.close()
            self._raw.close()

    def discard(self) -> None:
        """Stop here and remove the ``.partial`` file: the run is not wanted."""
        self.abort()
        self.partial.unlink(missing_ok=True)

    def _put(self, part: str) -> None:
        if not self._open:
            raise TraceError(f"{self.path} is closed")
        with writing(self.partial):
            self._sink.write(text.encode(part))
            self._pending += len(part)

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()
