"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final

from tracelock.cli.output import Output, is_terminal

EVERY: Final = 0.1  # seconds between two looks

Advance = Callable[[int, int], None]


@contextlib.contextmanager
def progress(out: Output, total: int) -> Iterator[Advance]:
    """Give a function to call with the runs done and the failures among them.

    Drawn from here and not by a thread of its own: a thread would get between the runs that are
    watched, and processes cannot safely be forked beside one.
    """
    if not is_terminal(out.stderr):
        yield lambda done, failures: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[found]}"),
        TimeRemainingColumn(), console=Console(file=out.stderr), auto_refresh=False,
        transient=True, redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    task = bar.add_task("runs", total=total, found="")
    due = monotonic() + EVERY

    def advance(done: int, failures: int) -> None:
        nonlocal due
        if monotonic() < due:
            return
        found = f"{failures:,} failed" if failures else ""
        bar.update(task, completed=done, found=found, refresh=True)
        due = monotonic() + EVERY

    with bar:
        yield advance
