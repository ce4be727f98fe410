"""A failing schedule as the text of a failing test: what went wrong, and how it came to it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from tracelock.names import display_names, for_display
from tracelock.session.explored import SearchFailed

if TYPE_CHECKING:
    from tracelock.session.explored import Explored
    from tracelock.trace import Trace

_NARROWEST: Final = 40
_every = False


class ScheduleFailed(SearchFailed):
    """A schedule of the test fails. Its text is all that there is to say; no traceback of ours."""

    __module__ = "builtins"  # pytest's summary shows the name, and need not show where it is from


class TracelockWarning(UserWarning):
    """Something that an exploration did not settle, or that makes its result doubtful."""


def show_as_text(item: pytest.Item) -> None:
    """Let a schedule that fails be shown by its text alone, without our own traceback."""
    here: Any = item
    plain = item.repr_failure

    def repr_failure(excinfo: pytest.ExceptionInfo[BaseException], *more: Any, **named: Any) -> Any:
        if isinstance(excinfo.value, ScheduleFailed):
            return _in_short(excinfo.getrepr(style="value"))
        drop_what_has_no_line(excinfo.value)
        return plain(excinfo, *more, **named)

    here.repr_failure = repr_failure


def _in_short(shown: Any) -> Any:
    """Let the summary, and the message in a JUnit file, have the first line. In CI, which pytest
    knows by the variable ``CI``, its summary would show the whole schedule a second time."""
    if shown.reprcrash is not None:
        shown.reprcrash.message = shown.reprcrash.message.partition("\n")[0]
    return shown


def drop_what_has_no_line(error: BaseException) -> None:
    """Take entries without a line out of the tracebacks of an error and of those that led to it.
    One that a signal raises may be in an instruction that has none, and pytest cannot show that."""
    pending: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while pending:
        one = pending.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        pending += [one.__cause__, one.__context__]
        entry = one.__traceback__
        while entry is not None:
            following = entry.tb_next
            # in a traceback it may be None, whatever its type says
            while following is not None and following.tb_lineno in (None, -1):
                following = entry.tb_next = following.tb_next
            entry = following


def failure_lines(trace: Trace) -> list[str]:
    """What went wrong, then how it came to it: the source lines that matter."""
    from tracelock.report.terminal import verdict_block
    from tracelock.report.wording import clean

    trace = for_display(trace)
    verdict = trace.verdict
    blocks = [text.plain for text in verdict_block(verdict, trace.workers)]
    head, message = blocks[0], blocks[1:]
    if not message or verdict.kind != "failed":
        return [head, *message, "", *_story(trace)]
    # pytest's own summary shows the first line: what went wrong, not in whom
    first = clean(verdict.message.split("\n")[0])
    if verdict.worker:
        first += f"  (in {clean(trace.workers[verdict.worker])})"
    return [first, *message[1:], "", *_story(trace)]


def show_all_events(every: bool) -> None:
    """Whether failures are told with every event, and not in the source lines that matter."""
    global _every
    _every = every


def _story(trace: Trace) -> Iterator[str]:
    from tracelock.report.terminal import Style
    from tracelock.session.story import told

    style = Style(_width(), _unicode())
    if not trace.events:
        yield "(no events)"
    for text in told(trace, style, every=_every):
        yield text.plain


def _width() -> int:
    return max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns)


def _unicode() -> bool:
    stream = sys.__stdout__
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    return encoding.startswith("utf")


def failure_text(explored: Explored) -> str:
    """The text of a test that failed in a schedule."""
    from tracelock.explore.shrink.twin import NoTwin, Twin
    from tracelock.report.plumbing import of_the_loop

    trace = explored.trace
    assert trace is not None
    lines = [*failure_lines(trace), ""]
    told = []
    if isinstance(explored.twin, Twin) and not of_the_loop(explored.twin.explanation):
        told.append(display_names(trace).text(explored.twin.explanation))
    elif isinstance(explored.twin, NoTwin) and explored.twin.proved:
        told.append("No schedule passes: it is not the order of the steps that is wrong.")
    told.append(explored.summary)
    told += [f"note: {text}" for text in explored.notes]
    for text in told:
        lines += textwrap.wrap(text, _width(), subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)
