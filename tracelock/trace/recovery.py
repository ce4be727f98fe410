"""What is whole in a trace whose recorder was killed, or whose file was cut off or damaged.

A file of ours is read in blocks as ``reading`` does, up to the first block with something wrong in
it. That one is walked value by value, as is all of any other document.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracelock.errors import TraceError
from tracelock.trace.header import check_header, wrong_worker
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
from tracelock.trace.reading import (
    BOM,
    DEFAULT,
    EVENTS,
    LONGEST,
    Limits,
    Pieces,
    Source,
    collector_paused,
    decoded,
    opened,
    read_all,
    recovered_name,
)
from tracelock.trace.verdict import Verdict

__all__ = ["Recovered", "recover", "recovered_name"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """The header and the whole events of a damaged file.

    ``dropped_bytes``: how many bytes of text (uncompressed) after the last whole event were
    left out; 0 for a file that is whole, whose verdict is then kept.
    """

    trace: Trace
    events_kept: int
    dropped_bytes: int
    note: str


def recover(path: str | os.PathLike[str], *, limits: Limits = DEFAULT) -> Recovered:
    """Read what is whole in the file; the file itself is not touched.

    The events are those before the first that is cut off, damaged or inconsistent, and the
    verdict becomes ``unfinished``: nothing is claimed about a run whose end is not there. Raises
    :class:`TraceError` where not even the header is whole (or the file cannot be read).
    """
    name = os.fspath(path)
    with collector_paused():
        try:
            return _recovered(name, limits)
        except TraceTooLarge as problem:
            raise TraceError(f"{name} is too large: {problem}") from None
        except OSError as problem:
            raise TraceError(f"cannot read {name}: {problem.strerror or problem}") from problem


def _recovered(name: str, limits: Limits) -> Recovered:
    source = opened(name, limits)
    rest = _by_lines(source, name, limits)
    if rest is None:
        data, cut = read_all(source, name, limits, damaged=True)
        document = PartialTrace(limits.depth, limits.values)
        rest = _Rest(document, data, cut, len(data.removeprefix(BOM)))
    return _put_together(name, rest, limits)


@dataclass(slots=True)
class _Rest:
    """A document whose first events have been taken out: the builder of ``document`` has them.

    ``data``: the bytes without these; ``cut``: whether the file ends before it should. ``size``:
    how many bytes the file has; ``head``: of ``data``, before where the events were that were
    taken out, and ``taken`` of these. ``open``: the file goes on beyond ``data``.
    """

    document: PartialTrace
    data: bytes
    cut: bool
    size: int
    head: int = 0
    taken: int = 0
    open: bool = False


def _by_lines(source: Source, name: str, limits: Limits) -> _Rest | None:
    """All but the events that are whole beyond doubt, without the text of these in memory; None
    where the file is not as our own writer begins one. See ``reading._by_lines``."""
    pieces = Pieces(source, name, limits, damaged=True)
    reader = iter(pieces)
    buffer = next(reader).removeprefix(BOM)
    bom = pieces.size - len(buffer)
    while EVENTS not in buffer:
        piece = next(reader, None)
        if piece is None or len(buffer) > LONGEST:
            return None
        buffer += piece
    at = buffer.index(EVENTS) + len(EVENTS)
    head, buffer = buffer[:at], buffer[at:]
    count = _workers(head, limits)
    if count is None:
        return None
    document = PartialTrace(limits.depth, limits.values)
    taken, ended = 0, False
    while not ended:
        end = buffer.find(b"\n ]")
        stop = end if end >= 0 else buffer.rfind(b"},\n") + 1
        if end >= 0 or stop > 0:
            if not _added(document.builder, buffer[:stop], count):
                break
            ended = end >= 0
            stop += not ended  # the comma
            taken += stop
            buffer = buffer[stop:]
            document.follows = not ended
        if not ended:
            if len(buffer) > LONGEST:
                return None
            piece = next(reader, None)
            if piece is None:
                break
            buffer += piece
    for piece in reader:  # to its end, for its size
        if len(buffer) <= LONGEST:
            buffer += piece
    document.follows = document.follows and len(document.builder.events) > 0
    size = pieces.size - bom
    beyond = len(head) + taken + len(buffer) < size
    return _Rest(document, head + buffer, pieces.cut, size, len(head), taken, beyond)


def _workers(head: bytes, limits: Limits) -> int | None:
    """How many workers a header names; None where it is not whole."""
    try:
        text = head.decode("utf-8") + "]}"
        document = PartialTrace(limits.depth, limits.values)
        check_parts_of(text, limits.values)
        read_document(text, document, limits.depth)
        check_header(document.fields)
    except (Broken, TraceError, ValueError):
        return None
    return len(document.fields["workers"])


def _added(builder: EventBuilder, data: bytes, count: int) -> bool:
    """Add the events of some whole lines, if none of them is wrong."""
    before = len(builder.events)
    try:
        lines = data.decode("utf-8")
        if not lines.strip() and before:  # after a comma that is not JSON
            return False
        if not builder.add_chunk(decode_events(lines)):
            return False
    except (ValueError, RecursionError):
        return False
    if wrong_worker(builder.events, count, before) is None:
        return True
    builder.events = builder.events.part(0, before)
    return False


def _put_together(name: str, rest: _Rest, limits: Limits) -> Recovered:
    document = rest.document
    first = len(document.builder.events)
    text, wrong_byte = decoded(rest.data)
    check_parts_of(text, limits.values)
    why = "the file was cut off" if rest.cut or wrong_byte is not None else ""
    try:
        read_document(text, document, limits.depth)
    except Broken as problem:
        cut = problem.cut and not (rest.open and (wrong_byte is None or wrong_byte.cut))
        why = "the file was cut off" if cut else f"the file is damaged ({problem})"
    header = {key: value for key, value in document.fields.items() if key != "verdict"}
    try:
        check_header(header)
    except TraceError as problem:
        reason = f"its header is not whole: {problem}" if why else str(problem)
        raise TraceError(f"{name}: nothing can be recovered: {reason}") from None
    if document.end < 0:
        raise TraceError(f"{name}: nothing can be recovered: it is cut off before its events")
    events, end = document.builder.events, document.end
    wrong = wrong_worker(events, len(header["workers"]), first)
    if wrong is not None:
        why = f"the file is damaged (event {wrong[0]}: {wrong[1]})"
        events, end = events.part(0, wrong[0]), document.starts[wrong[0] - first]
    if not why:
        try:
            if "verdict" not in document.fields:
                raise TraceError("it has no verdict")
            verdict = Verdict.from_data(document.fields["verdict"])
            trace = Trace.from_parts(header, events, verdict)
            return Recovered(trace, len(events), 0, "the file is whole: nothing was dropped")
        except TraceError as problem:
            why = f"the file is damaged ({problem})"
    where = f"after event {len(events) - 1}" if len(events) else "before its first event"
    note = f"{why} {where}"
    verdict = Verdict("unfinished", message=f"recovered: {note}")
    trace = Trace.from_parts(header, events, verdict)
    kept = rest.taken + len(text[:end].encode("utf-8"))
    if document.follows and len(events) == first and wrong is None:
        kept -= 1  # the comma
    return Recovered(trace, len(events), rest.size - kept, note)
