"""Stepping through a trace on a terminal: ``tracelock show --step``."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import current_thread, main_thread
from types import FrameType
from typing import Final

from rich.text import Text

from tracelock.cli.output import Output, is_terminal
from tracelock.errors import UsageError
from tracelock.names import for_display
from tracelock.report.frames import Story, story
from tracelock.report.terminal import Style, table
from tracelock.report.timeline import Timeline
from tracelock.report.window import focus, window
from tracelock.report.wording import clean
from tracelock.trace import Trace

#: Rows on either side of the one that was done last.
AROUND: Final = 5
#: Events that can be stepped through at once; ``--around`` chooses others.
MOST: Final = 2_000
_HELP: Final = (
    "right/space: on, left: back, n/p: next and previous switch, g/G: start, end, q: quit"
)
#: What terminals send for the keys that have no letter.
_KEYS: Final = {
    "\x1b[C": "next", "\x1bOC": "next", " ": "next", "l": "next", "j": "next", "\r": "next",
    "\n": "next", "\x1b[D": "back", "\x1bOD": "back", "h": "back", "k": "back", "\x7f": "back",
    "n": "switch", "p": "before", "g": "first", "\x1b[H": "first", "G": "last", "\x1b[F": "last",
    "q": "quit", "\x03": "quit", "\x04": "quit", "": "quit", "\x1b": "quit",
}  # fmt: skip


def step_through(trace: Trace, around: int | None, out: Output) -> None:
    """Show the run a step at a time until the user quits. Raises UsageError off a terminal."""
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError("--step needs a terminal to read keys from and to draw on")
    middle = focus(trace) if around is None else around
    one = story(for_display(trace), window(len(trace.events), middle, MOST))
    seqs = [row.seq for row in one.rows]
    at = 0 if around is None else seqs.index(around) + 1
    with RawTerminal() as read:
        while True:
            out.text("\x1b[H\x1b[2J")
            out.lines(screen(one, at, out.style))
            out.flush()
            action = _KEYS.get(read(), "")
            if action == "quit":
                return
            at = moved(one, at, action)


def moved(one: Story, at: int, action: str) -> int:
    """Where an action leads from the state after ``at`` rows."""
    last = len(one.rows)
    if action in ("switch", "before"):
        way = 1 if action == "switch" else -1
        places = range(at + 1, last + 1) if way > 0 else range(at - 1, 0, -1)
        return next((place for place in places if one.rows[place - 1].switch is not None), at)
    to = {"next": at + 1, "back": at - 1, "first": 0, "last": last}.get(action, at)
    return max(0, min(last, to))


def screen(one: Story, at: int, style: Style) -> Iterator[Text]:
    """The rows around the one done last, and the state after it."""
    line = one.timeline
    start = max(0, min(at - AROUND, len(line.rows) - 2 * AROUND))
    rows = line.rows[start : start + 2 * AROUND]
    part = Timeline(
        line.workers, rows, line.events, line.switches, line.preemptions, line.ends
    )  # fmt: skip
    done = f"{line.rows[at - 1].seq}" if at else ""
    for text in table(part, style):
        if text.plain.split(maxsplit=1)[:1] == [done]:
            text.stylize("reverse")
        yield text
    yield Text()
    yield Text(f"after event {done}" if at else "before the first event shown", "bold")
    frame = one.frames[at]
    for number, worker in zip(one.workers, frame.workers, strict=True):
        name = line.workers[number]
        held = f"  holds {', '.join(map(clean, worker.holds))}" if worker.holds else ""
        place = f"  at {clean(worker.place)}" if worker.place else ""
        colour = "red" if worker.kind in ("waits", "failed", "died") else ""
        yield Text.assemble(f"  {name}: ", (worker.status, colour), (f"{held}{place}", "dim"))
    variables: dict[str, str] = {}
    for before in one.frames[: at + 1]:
        variables.update(before.variables)
    for name, value in list(variables.items())[:20]:
        yield Text(f"  {clean(name)} = {value}")
    for name, (state, waiters) in list(frame.objects.items())[:20]:
        waits = f", waited for by {waiters}" if waiters else ""
        yield Text(f"  {clean(name)} ({one.types[name]}): {state}{waits}")
    yield Text()
    yield Text(_HELP, "dim")


class RawTerminal:
    """The terminal with keys as they are pressed; as it was before when this ends, also by a
    signal that ends the process."""

    def __enter__(self) -> Callable[[], str]:
        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal)
        self._handlers = {
            number: signal.signal(number, self._ended)
            for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) is signal.SIG_DFL and current_thread() is main_thread()
        }
        tty.setcbreak(self._terminal)
        return self._read

    def __exit__(self, *problem: object) -> None:
        self._restore()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _restore(self) -> None:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def _ended(self, number: int, frame: FrameType | None) -> None:
        """Let the signal end the process as it would have."""
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _read(self) -> str:
        """One key. What a key sends comes in one piece."""
        return os.read(self._terminal, 16).decode("utf-8", "replace")
