"""The programs and traces of what went wrong in an audit."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from tracelock.audit.going import Going, JudgedClient
from tracelock.audit.matrix import AuditCell
from tracelock.audit.program import explored_program
from tracelock.audit.task_bench import EARLY
from tracelock.errors import TracelockError

#: So much of the time of an audit may be spent on programs in addition; those of other kinds come
#: first.
_AFTERWARDS: Final = 1.0
#: Seconds for the program of an anomaly, and the share of the time where that is more.
_PROGRAM: Final = 5.0
_SHARE: Final = 1 / 6
#: Why there is no program of threads.
_WAITS: Final = (
    "there is no program of it: calls of it wait for ever in some schedules, rightly, which it "
    "would tell as a deadlock"
)


def programs(going: Going, instrument: Sequence[str]) -> None:
    """The program and the trace of each anomaly."""
    options = going.options
    until = monotonic() + max(_PROGRAM * 2, options.seconds * _AFTERWARDS)
    seen: set[str] = set()
    first: list[tuple[AuditCell, JudgedClient]] = []
    others: list[tuple[AuditCell, JudgedClient]] = []
    for failure in going.failures:
        (others if failure[0].kind in seen else first).append(failure)
        seen.add(failure[0].kind)
    for cell, entry in (*first, *others):
        if monotonic() > until:
            cell.reason = "there was no time left for its program and trace"
        elif options.folder is None:
            cell.reason = "no folder was given for programs: there is no trace"
        elif going.subject.given:
            cell.reason = "its arguments have no text, so that there is no program of it"
        else:
            _program(going, cell, entry, options.folder, instrument)


def _program(
    going: Going, cell: AuditCell, entry: JudgedClient, folder: str, instrument: Sequence[str]
) -> None:
    try:
        text = going.kind.program_text(going.subject, entry.judge, instrument, going.options.ignore)
        explored, cell.program, cell.reason = explored_program(
            folder,
            going.subject,
            text,
            going.options.interpreter,
            max(_PROGRAM, going.options.seconds * _SHARE),
            going.kind.backend if going.subject.tasks else "",
            EARLY if going.subject.tasks and entry.client in going.expired else "virtual",
        )
    except TracelockError as error:
        cell.reason = f"there is no program of it: {error}"
        return
    anomaly = entry.judge.anomaly
    if explored is None or anomaly is None or explored.trace is None:
        return
    if explored.trace.verdict.kind == "deadlock" and anomaly.kind != "never ends":
        # threads that wait cannot be ended: the client has an order in which some do
        cell.program, cell.reason = None, _WAITS
        return
    cell.recorded = explored.trace
