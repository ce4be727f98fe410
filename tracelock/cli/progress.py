"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.cli.output import Output, is_terminal

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.session.plan import Plan

EVERY: Final = 0.1  # seconds between two looks

#: Called with what is being done, and the share of it that is done.
Advance = Callable[[str, float], None]


@contextlib.contextmanager
def progress(out: Output, name: str, left: bool = False) -> Iterator[Advance | None]:
    """Give a function to call as the work goes on; None off a terminal. ``name``: of the work;
    ``left``: whether to say how long it will take.

    Drawn from here and not by a thread of its own: a thread would get between the runs that are
    watched, and processes cannot safely be forked beside one.
    """
    if not is_terminal(out.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    class WithCursor(Console):
        """Leaves the cursor to be seen: a process that is killed cannot bring it back."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    time_left = [TimeRemainingColumn()] if left else []
    bar = Progress(
        TextColumn(name), BarColumn(), TextColumn("{task.description}"), *time_left,
        console=WithCursor(file=out.stderr), auto_refresh=False, transient=True,
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    task = bar.add_task("", total=1.0)
    due = 0.0

    def advance(what: str, share: float) -> None:
        nonlocal due
        if monotonic() >= due:
            bar.update(task, description=what, completed=min(share, 1.0), refresh=True)
            due = monotonic() + EVERY

    with bar:
        yield advance


@contextlib.contextmanager
def runs_progress(out: Output, total: int) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with the runs done and the failures among them."""
    with progress(out, "runs", left=True) as bar:

        def advance(done: int, failures: int) -> None:
            if bar is not None:
                found = f"  {failures:,} failed" if failures else ""
                bar(f"{done:,}/{total:,}{found}", done / total)

        yield advance


@contextlib.contextmanager
def search_progress(out: Output, plan: Plan) -> Iterator[Callable[[Progress], None] | None]:
    """Give a function to call with how far a search is; None off a terminal."""
    with progress(out, "exploring") as bar:

        def advance(at: Any) -> None:
            assert bar is not None
            share = at.share
            if share is None and plan.schedules:
                share = at.schedules / plan.schedules
            if share is None and plan.seconds:
                share = at.seconds / plan.seconds
            speed = at.schedules / at.seconds if at.seconds else 0.0
            left = f", about {share:.0%} explored" if at.share is not None else ""
            found = f", {at.failures:,} failures" if at.failures else ""
            bar(f"{at.schedules:,} schedules, {speed:,.0f} a second{left}{found}", share or 0.0)

        yield None if bar is None else advance
