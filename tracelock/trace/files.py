"""Writing a trace: whole or not at all, or as the run goes.

Either way a temporary file beside the target is renamed onto it at the end, so the target is
never half a trace.
"""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tracelock.errors import TraceError, UsageError, cure_of
from tracelock.trace import text
from tracelock.trace.events import Events
from tracelock.trace.header import check_header, check_workers
from tracelock.trace.verdict import Verdict

__all__ = ["TraceWriter", "check_parts", "parts_of", "save", "write_whole"]

_TRIES = 1000
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


def write_whole(
    path: str | os.PathLike[str], parts: Iterable[str], *, make_folder: bool = False
) -> int:
    """Write a file as a whole or not at all, compressed if it is a ``.gz``; its size in bytes.

    ``make_folder``: make the folder that it goes to. Raises UsageError where it cannot be written.
    """
    target = _target(path, make_folder)
    if target is None:  # a device or a pipe: there is nothing to rename onto
        with _writing(path), open(path, "wb") as sink:
            return _fill(sink, parts)
    temporary, raw = _beside(target, f".{target.name}.{os.getpid()}", ".tmp", path)
    try:
        with _writing(path):
            with raw:
                size = _fill(raw, parts, packed=target.suffix == ".gz")
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _fill(raw: IO[bytes], parts: Iterable[str], packed: bool = False) -> int:
    with _gzip(raw) if packed else nullcontext(raw) as sink:
        size = sum(sink.write(text.encode(part)) for part in parts)
    return raw.tell() if packed else size


def _gzip(raw: IO[bytes]) -> gzip.GzipFile:
    # No name and no time in it, so that equal traces are equal bytes. Level 6 costs a third of
    # the time of 9 for two per cent more size.
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)


def _target(path: str | os.PathLike[str], make_folder: bool = True) -> Path | None:
    """The file to be replaced (links followed), its folder made; None for a device or pipe."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except (OSError, ValueError) as problem:
        raise _cannot(path, problem) from problem
    if stat.S_ISDIR(mode):
        raise UsageError(f"cannot write {os.fspath(path)}: it is a folder")
    if not stat.S_ISREG(mode):
        return None
    target = Path(os.path.realpath(path))
    if make_folder:
        with _writing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _beside(
    target: Path, stem: str, suffix: str, path: str | os.PathLike[str]
) -> tuple[Path, IO[bytes]]:
    """A new file in the target's folder, under the first free name. ``path``: what the user calls
    the target.

    Not ``tempfile``: its files are readable by their owner alone, and a trace is to be shared.
    """
    for number in range(1, _TRIES):
        middle = "" if number == 1 else f".{number}"
        temporary = target.with_name(f"{stem}{middle}{suffix}")
        try:
            return temporary, open(temporary, "xb")
        except FileExistsError:
            continue
        except OSError as problem:
            raise _cannot(path, problem) from problem
    raise UsageError(f"cannot write {path}: {_TRIES} unfinished files lie beside it")


def _cannot(path: str | os.PathLike[str], problem: Exception) -> UsageError:
    why = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
    return UsageError(f"cannot write {os.fspath(path)}: {why}{cure_of(problem)}")


@contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the system refuses in this block is a :class:`UsageError` that names ``path``."""
    try:
        yield
    except OSError as problem:
        raise _cannot(path, problem) from problem


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
        target = _target(path)
        if target is None:
            raise UsageError(f"cannot write {os.fspath(path)} as the run goes: it is no file")
        head = text.header_text(header)
        self._header = dict(header)
        self._sync = sync
        self._pending = 0  # characters that wait for the compressor
        self.path = target
        self.partial, self._raw = _beside(target, target.name, ".partial", target)
        self._sink: IO[bytes] | gzip.GzipFile = self._raw
        if target.suffix == ".gz":
            self._sink = _gzip(self._raw)
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
        with _writing(self.partial):
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
        with _writing(self.path):
            os.replace(self.partial, self.path)
        return self.path

    def abort(self) -> None:
        """Stop here and leave the ``.partial`` file, for ``recover``. Harmless when closed."""
        if not self._open:
            return
        self._open = False
        with _writing(self.partial):
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
        with _writing(self.partial):
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
