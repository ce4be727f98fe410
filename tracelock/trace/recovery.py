"""What is whole in a trace whose recorder was killed, or whose file was cut off or damaged."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracelock.errors import TraceError
from tracelock.trace.header import check_header, wrong_worker
from tracelock.trace.model import Trace
from tracelock.trace.parsing import (
    Broken,
    PartialTrace,
    TraceTooLarge,
    check_parts_of,
    read_document,
)
from tracelock.trace.reading import (
    BOM,
    DEFAULT,
    Limits,
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
    data, cut = read_all(opened(name, limits), name, limits, most=limits.text, damaged=True)
    text, wrong_byte = decoded(data)
    check_parts_of(text, limits.values)
    document = PartialTrace(limits.depth, limits.values)
    why = "the file was cut off" if cut or wrong_byte is not None else ""
    try:
        read_document(text, document, limits.depth)
    except Broken as problem:
        why = "the file was cut off" if problem.cut else f"the file is damaged ({problem})"
    return _put_together(name, document, text, len(data.removeprefix(BOM)), why)


def _put_together(name: str, document: PartialTrace, text: str, size: int, why: str) -> Recovered:
    header = {key: value for key, value in document.fields.items() if key != "verdict"}
    try:
        check_header(header)
    except TraceError as problem:
        reason = f"its header is not whole: {problem}" if why else str(problem)
        raise TraceError(f"{name}: nothing can be recovered: {reason}") from None
    if document.end < 0:
        raise TraceError(f"{name}: nothing can be recovered: it is cut off before its events")
    events, end = document.builder.events, document.end
    wrong = wrong_worker(events, len(header["workers"]))
    if wrong is not None:
        why = f"the file is damaged (event {wrong[0]}: {wrong[1]})"
        events, end = events.part(0, wrong[0]), document.starts[wrong[0]]
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
    return Recovered(trace, len(events), size - len(text[:end].encode("utf-8")), note)
