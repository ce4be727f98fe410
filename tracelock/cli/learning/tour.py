"""``tracelock tour``: the concepts one after the other, a key press each; all of them, one below
the other, where there is no terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from typing import Final

from rich.text import Text

from tracelock.cli.learning.chapter import CONCEPTS, Concept
from tracelock.cli.output import Output, is_terminal
from tracelock.cli.stepper import RawTerminal
from tracelock.cli.usage.suggestions import did_you_mean
from tracelock.errors import UsageError

#: Makes the lines of a page.
Page = Callable[[Concept], Iterable[Text]]

#: What terminals send for the keys that have no letter.
_KEYS: Final = {
    " ": "on", "\x1b[C": "on", "\x1bOC": "on", "\x1b[B": "on", "\x1bOB": "on", "\x1b[6~": "on",
    "\x1b[D": "back", "\x1bOD": "back", "\x1b[A": "back", "\x1bOA": "back", "\x1b[5~": "back",
    "b": "back", "h": "back", "k": "back", "l": "on", "j": "on", "n": "next", "p": "before",
    "\r": "enter", "\n": "enter", "\x7f": "erase", "\x08": "erase",
    "q": "quit", "\x03": "quit", "\x04": "quit", "": "quit", "\x1b": "quit",
}  # fmt: skip


def tour_command(options: argparse.Namespace, out: Output) -> int:
    """Show one concept, list them, or lead through all of them."""
    if options.list:
        width = max(len(one.name) for one in CONCEPTS)
        for number, one in enumerate(CONCEPTS, 1):
            out.line(f"{number:>2}  {one.name:{width}}  {one.title}")
        return 0
    from tracelock.cli.learning.showing import page

    def made(concept: Concept) -> Iterable[Text]:
        return page(concept, out.style)

    if options.name is not None:
        _print(made(concept_of(options.name)), out)
    elif is_terminal(sys.stdin) and is_terminal(sys.stdout):
        _lead(made, out)
    else:
        for number, one in enumerate(CONCEPTS):
            if out.unread:  # as ``| head`` leaves it: what nobody sees is not run
                break
            if number:
                out.line()
                out.line()
            _print(made(one), out)
    return 0


def concept_of(word: str) -> Concept:
    """The concept of that name or number. Raises UsageError where there is none."""
    for number, one in enumerate(CONCEPTS, 1):
        if word in (one.name, str(number)):
            return one
    hint = did_you_mean(word, [one.name for one in CONCEPTS])
    raise UsageError(
        f"the tour has nothing called {word}{hint or ': tracelock tour --list has the names'}"
    )


def _print(lines: Iterable[Text], out: Output) -> None:
    for line in lines:
        out.line(line)
        out.flush()
        if out.unread:
            return


class TourPlace:
    """Where a reader is: the number of a concept, and which of the screens that its page takes.

    ``typed``: digits of a number that is being typed."""

    def __init__(self, concepts: int) -> None:
        self.concepts = concepts
        self.concept = self.screen = 0
        self.typed = ""

    def press(self, key: str, screens: int) -> bool:
        """Go where a key leads, from a page of ``screens`` screens; False to end."""
        action = _KEYS.get(key, key)
        if action.isdecimal() and action.isascii():
            return self._digit(action)
        typed, self.typed = self.typed, ""
        if action == "erase":
            self.typed = typed[:-1]
        elif action == "enter" and typed:
            self._go(int(typed))
        elif action in ("on", "enter"):
            if self.screen + 1 < screens:
                self.screen += 1
            else:
                self._move(1)
        elif action == "back":
            if self.screen:
                self.screen -= 1
            else:
                self._move(-1)
        elif action in ("next", "before"):
            self._move(1 if action == "next" else -1)
        return action != "quit"

    def _digit(self, digits: str) -> bool:
        """A number is gone to as soon as no further digit can belong to it."""
        self.typed = (self.typed + digits)[-4:]
        number = int(self.typed)
        if number * 10 > self.concepts or not number:
            self.typed = ""
            self._go(number)
        return True

    def _go(self, number: int) -> None:
        if 1 <= number <= self.concepts:
            self.concept, self.screen = number - 1, 0

    def _move(self, way: int) -> None:
        to = self.concept + way
        if 0 <= to < self.concepts:
            self.concept, self.screen = to, 0


def screens_of(lines: list[Text], height: int, width: int) -> list[list[Text]]:
    """A page cut into screens of at most ``height`` rows of a terminal of ``width`` columns,
    between paragraphs where it can be."""
    screens: list[list[Text]] = []
    rest = lines
    while (fit := _fitting(rest, height, width)) < len(rest):
        blank = [at for at in range(fit // 2, fit + 1) if not rest[at].plain]
        cut = max(1, blank[-1] if blank else fit)
        screens.append(rest[:cut])
        rest = rest[cut:]
        while rest and not rest[0].plain:
            rest = rest[1:]
    return [*screens, rest] if rest else screens


def _fitting(lines: list[Text], height: int, width: int) -> int:
    """How many lines have room; one that is too long takes several rows."""
    rows = 0
    for number, line in enumerate(lines):
        rows += max(1, -(-line.cell_len // width))
        if rows > height:
            return number
    return len(lines)


def _lead(made: Page, out: Output) -> None:
    """Show page after page until the user quits. A page is run when it is first come to."""
    place = TourPlace(len(CONCEPTS))
    pages: dict[int, list[Text]] = {}
    width = out.style.width
    with RawTerminal() as read:
        going = True
        while going:
            if place.concept not in pages:
                out.text("\x1b[H\x1b[2J")
                concept = CONCEPTS[place.concept]
                out.line(Text(f"{place.concept + 1}/{len(CONCEPTS)}  {concept.title}", "bold"))
                out.line(Text("running ...", "dim"))
                out.flush()
                pages[place.concept] = list(made(concept))
            screens = screens_of(pages[place.concept], max(5, _height() - 2), width)
            place.screen = min(place.screen, len(screens) - 1)
            out.text("\x1b[H\x1b[2J")
            out.lines(screens[place.screen])
            out.line()
            out.text(_bar(place, len(screens), width))
            out.flush()
            going = place.press(read(), len(screens))
    out.line()


def _bar(place: TourPlace, screens: int, width: int) -> str:
    """The last line: where we are, and the keys. It has no end of line, so nothing scrolls."""
    part = f", part {place.screen + 1} of {screens}" if screens > 1 else ""
    typed = f"  go to {place.typed}_" if place.typed else ""
    keys = f"space: on  b: back  n/p: concept  1-{place.concepts}: go to  q: quit"
    whole = f"{place.concept + 1}/{place.concepts}{part}{typed}  {keys}"
    if len(whole) >= width:
        whole = f"{place.concept + 1}/{place.concepts}{part}{typed}  space b n p number q"
    return whole[: width - 1]


def _height() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or 24
    except (OSError, ValueError):
        return 24
