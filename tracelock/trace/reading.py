"""Loading a trace: from a file, compressed or not, or from text.

A file that has one event a line, as every trace of ours does, is read in blocks of a megabyte
that are parsed a block at a time: the text of the whole trace is never in memory (the peak is
the trace itself and some 15 MB). Any other JSON document, and any that has something wrong in
it, is read whole and walked value by value, about three times slower.
"""

from __future__ import annotations

import gc
import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import IO

from tracelock.errors import TraceError
from tracelock.trace.header import check_format, check_header, wrong_worker
from tracelock.trace.model import Trace
from tracelock.trace.parsing import (
    Broken,
    EventBuilder,
    PartialTrace,
    TraceTooLarge,
    check_parts_of,
    decode_events,
    read_document,
)
from tracelock.trace.verdict import Verdict

__all__ = [
    "BOM", "EVENTS", "LONGEST", "Limits", "Pieces", "Source", "collector_paused", "decoded",
    "load_trace", "load_trace_text", "opened", "read_all", "recovered_name",
]  # fmt: skip

_BLOCK = 1 << 20
LONGEST = 1 << 24  # of the header, or of a line, where the quick way is tried
_SMALL = 1 << 24  # of text: whatever it was compressed to
_GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
EVENTS = b'\n "events": ['  # where they begin, one a line

Source = Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trace may be at most.

    ``text``: in bytes, uncompressed; ``whole``: where it is not one event a line, so that it has to
    be in memory as a whole. ``growth``: so many times the bytes that it has compressed (our own
    grow some 20 times, one made to fill memory 1,000 times). ``values``: events, and values in
    lists and objects. ``depth``: of nesting.
    """

    text: int = 2 << 30
    whole: int = 1 << 28
    growth: int = 50
    values: int = 8_000_000
    depth: int = 200

    def text_from(self, packed: int) -> int:
        """How many bytes may come of so many compressed ones."""
        return min(self.text, _SMALL + self.growth * packed)


DEFAULT = Limits()


def load_trace(path: str | os.PathLike[str], *, limits: Limits = DEFAULT) -> Trace:
    """The trace in a file, ``.json`` or ``.json.gz`` (told by its first bytes, not its name).

    Raises :class:`TraceError` that says what is wrong and at which line: not a trace, of a
    newer format, cut off in the middle, inconsistent, beyond the limits, or not readable.
    """
    name = os.fspath(path)
    return _load(opened(name, limits), name, limits)


def load_trace_text(text: str | bytes, name: str, *, limits: Limits = DEFAULT) -> Trace:
    """The trace in a text (or in the bytes of a file); ``name`` is for messages.

    Raises :class:`TraceError` as :func:`load_trace` does.
    """
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    return _load(lambda: io.BytesIO(data), name, limits)


def opened(name: str, limits: Limits) -> Source:
    """How to open the file, as often as wanted. Raises :class:`TraceError` if it cannot be."""
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise TraceError(f"{name} is a folder, not a trace")
        if stat.S_ISREG(mode):
            with open(name, "rb"):
                pass
            return lambda: open(name, "rb")
        with open(name, "rb") as pipe:  # it can be read once only
            data = pipe.read(_BLOCK)
            if _may_be_one(data):
                data += pipe.read(limits.whole + 1 - len(data))
        return lambda: io.BytesIO(data)
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise TraceError(f"cannot read {name}: {why}") from problem


def recovered_name(name: str) -> str:
    """Where ``tracelock recover`` puts what it found in the file ``name``."""
    return f"{name}.recovered.json"


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection: a million dicts without a cycle would be traversed for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _load(source: Source, name: str, limits: Limits) -> Trace:
    with collector_paused():
        try:
            trace = _by_lines(source, limits)
            return _whole(source, name, limits) if trace is None else trace
        except TraceTooLarge as problem:
            raise TraceError(f"{name} is too large: {problem}") from None
        except OSError as problem:
            raise TraceError(f"cannot read {name}: {problem.strerror or problem}") from problem


# --- one event a line ------------------------------------------------------------------------
def _by_lines(source: Source, limits: Limits) -> Trace | None:
    """The trace, or None where anything is not as our own writer would have it.

    Why this accepts nothing that the other way refuses: the events are taken out of the text
    between an opening bracket and the next closing one at a line's start (no string of JSON
    has a line feed in it). Each block between them is a list of JSON values, so the brackets
    between are balanced and the two belong together; and what is left, with a stand-in for
    the array, is a whole document whose top-level ``events`` is the stand-in.
    """
    try:
        with source() as raw:
            magic = raw.read(2)
            raw.seek(0)
            packed = magic == _GZIP
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            return _lines(_Bounded(stream, limits, raw.tell if packed else None), limits)
    except TraceTooLarge:
        raise
    except (Broken, TraceError, ValueError, RecursionError):
        return None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None


def _lines(stream: _Bounded, limits: Limits) -> Trace | None:
    buffer = b""
    while EVENTS not in buffer:
        more = stream.read()
        if not more or len(buffer) > LONGEST:
            return None
        buffer += more
    at = buffer.index(EVENTS) + len(EVENTS)
    head, buffer = buffer[: at - 1], buffer[at:]
    builder = EventBuilder(limits.depth, limits.values)
    while True:
        end = buffer.find(b"\n ]")
        stop = end if end >= 0 else buffer.rfind(b"},\n") + 1
        if end >= 0 or stop > 0:
            lines = buffer[:stop].decode("utf-8")
            # Nothing after a comma is not JSON; without events at all it is.
            if not lines.strip() and len(builder.events):
                return None
            if not builder.add_chunk(decode_events(lines)):
                return None
        if end >= 0:
            break
        buffer = buffer[stop + 1 :] if stop > 0 else buffer
        more = stream.read()
        if not more or len(buffer) > LONGEST:
            return None
        buffer += more
    tail = [buffer[end + 3 :]]
    while more := stream.read():
        tail.append(more)
        if len(tail) * _BLOCK > LONGEST:
            return None
    rest = b"".join(tail)
    stand_in = sha256(head + rest).hexdigest()
    document = PartialTrace(limits.depth, limits.values)
    frame = (b'%s"%s"%s' % (head.removeprefix(BOM), stand_in.encode(), rest)).decode("utf-8")
    check_parts_of(frame, limits.values)
    read_document(frame, document, limits.depth, stand_in)
    if not document.keys.issuperset(("events", "verdict")):
        return None
    verdict = Verdict.from_data(document.fields.pop("verdict"))
    return Trace.from_parts(document.fields, builder.events, verdict)


class _Bounded:
    """A stream read in blocks that ends beyond the limits, with :class:`TraceTooLarge`. ``packed``:
    how many compressed bytes it has come from so far."""

    def __init__(
        self, stream: IO[bytes] | gzip.GzipFile, limits: Limits, packed: Callable[[], int] | None
    ) -> None:
        self._stream = stream
        self._limits = limits
        self._packed = packed
        self._size = 0

    def read(self) -> bytes:
        block = self._stream.read(_BLOCK)
        self._size += len(block)
        _check_size(self._size, self._limits, None if self._packed is None else self._packed())
        return block


# --- any document ----------------------------------------------------------------------------
def _whole(source: Source, name: str, limits: Limits) -> Trace:
    data, cut = read_all(source, name, limits)
    text, wrong_byte = decoded(data)
    if wrong_byte is not None and not wrong_byte.cut:
        line = data.count(b"\n", 0, wrong_byte.position) + 1
        raise TraceError(
            f"{name}:{line}: not UTF-8 text (byte {wrong_byte.position}), so not a trace"
        )
    cut = cut or wrong_byte is not None
    document = PartialTrace(limits.depth, limits.values)
    check_parts_of(text, limits.values)
    try:
        read_document(text, document, limits.depth)
    except Broken as problem:
        if problem.cut or (cut and problem.position == len(text)):
            raise TraceError(_cut_off(name, document)) from None
        _check_format_first(name, document)
        raise TraceError(f"{_place(name, text, problem.position)}: {problem}") from None
    if cut:
        raise TraceError(_cut_off(name, document))
    events = document.builder.events
    header = {key: value for key, value in document.fields.items() if key != "verdict"}
    try:
        check_header(header)
        for key in ("events", "verdict"):
            if key not in document.keys:
                raise TraceError(f"key {key!r} is missing")
        verdict = Verdict.from_data(document.fields["verdict"])
        wrong = wrong_worker(events, len(header["workers"]))
        if wrong is None:
            return Trace.from_parts(header, events, verdict)
    except TraceError as problem:
        raise TraceError(f"{name}: {problem}") from None
    place = _place(name, text, document.starts[wrong[0]])
    raise TraceError(f"{place}: event {wrong[0]}: {wrong[1]}")


def _check_format_first(name: str, document: PartialTrace) -> None:
    """A newer format may well have other events: then that is what to say."""
    if "format" in document.fields:
        try:
            check_format(document.fields["format"])
        except TraceError as problem:
            raise TraceError(f"{name}: {problem}") from None


def _place(name: str, text: str, position: int) -> str:
    return f"{name}:{text.count(chr(10), 0, position) + 1}"


def _cut_off(name: str, document: PartialTrace) -> str:
    count = len(document.starts)
    if document.end < 0:
        return f"{name} is cut off in its header: nothing in it can be recovered"
    where = f"after event {count - 1}" if count else "before its first event"
    return (
        f"{name} is cut off {where}: `tracelock recover {name}` writes what is whole to "
        f"{recovered_name(name)}"
    )


def read_all(
    source: Source, name: str, limits: Limits, *, damaged: bool = False
) -> tuple[bytes, bool]:
    """All bytes, uncompressed, and whether the compressed stream is cut off: see ``Pieces``. No
    more than a document may have that has to be in memory as a whole."""
    pieces = Pieces(source, name, replace(limits, text=limits.whole), damaged=damaged)
    return b"".join(pieces), pieces.cut


class Pieces:
    """The bytes of a file, uncompressed, piece by piece. Once they have come, ``cut`` says whether
    the compressed stream is cut off; ``size`` is how many have.

    With ``damaged`` a stream that is damaged in the middle counts as cut off there. Raises
    :class:`TraceError` for one that is, and :class:`TraceTooLarge` beyond the limits.
    """

    def __init__(self, source: Source, name: str, limits: Limits, *, damaged: bool = False) -> None:
        self._source = source
        self._name = name
        self._limits = limits
        self._damaged = damaged
        self.cut = False
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        with self._source() as raw:
            first = raw.read(_BLOCK)
            if first[:2] == _GZIP[: len(first)] and len(first) >= 2:
                yield from self._unpacked(raw, first)
                return
            yield self._counted(first, None)
            if not _may_be_one(first):
                return  # do not read gigabytes of something else
            while more := raw.read(_BLOCK):
                yield self._counted(more, None)

    def _counted(self, piece: bytes, packed: int | None) -> bytes:
        self.size += len(piece)
        _check_size(self.size, self._limits, packed)
        return piece

    def _unpacked(self, raw: IO[bytes], block: bytes) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(wbits=31)
        packed = 0
        while block:
            bite = block
            packed += len(block)
            while bite:
                if unpacker.eof:  # padding, or another member: a gzip file may have several
                    bite = bite.lstrip(b"\0")
                    if not bite:
                        break
                    unpacker = zlib.decompressobj(wbits=31)
                before = unpacker.copy() if self._damaged else None
                try:
                    out = unpacker.decompress(bite, _BLOCK)
                except zlib.error as problem:
                    if before is None:
                        raise TraceError(f"{self._name} is damaged: {problem}") from None
                    self.cut = True
                    yield from (self._counted(one, None) for one in _bytewise(before, bite))
                    return
                bite = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                yield self._counted(out, packed - len(bite))
            block = raw.read(_BLOCK)
        if not unpacker.eof:
            self.cut = True
            yield self._counted(unpacker.flush(), None)


def _bytewise(unpacker: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """All that comes before the damage: one call for all would lose it with its error."""
    for i in range(len(data)):
        try:
            yield unpacker.decompress(data[i : i + 1])
        except zlib.error:
            return


def _may_be_one(start: bytes) -> bool:
    """Whether a file that begins like this may be a trace: an object of JSON, or compressed."""
    plain = start.removeprefix(BOM).lstrip(b" \t\r\n")[:1]
    return plain in (b"{", b"") or start[:2] == _GZIP


def _check_size(size: int, limits: Limits, packed: int | None = None) -> None:
    if size > limits.text:
        raise TraceTooLarge(f"its text has more than {limits.text} bytes")
    if packed is not None and size > limits.text_from(packed):
        raise TraceTooLarge(
            f"its text has more than {limits.growth} times the bytes that it was compressed to"
        )


def decoded(data: bytes) -> tuple[str, Broken | None]:
    """The text, as far as it is UTF-8, and the first byte that is not (``cut``: at the end)."""
    data = data.removeprefix(BOM)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as problem:
        cut = problem.reason == "unexpected end of data"
        text = data[: problem.start].decode("utf-8")
        return text, Broken("not UTF-8", problem.start, cut)
