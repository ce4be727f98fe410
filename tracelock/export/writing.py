"""Lines of a program, indented; and the only ways for text that is not ours to get into one.

What a document, a trace or the name of a file says goes into source as a literal (`quoted`,
`numbered`, `lined`; values by `repr`, expressions by `ast.unparse`), in the docstring (`docstring`)
or in a comment (`comment`), and in no other way: whatever it is, it stays inside of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

WIDTH: Final = 100
#: What would end a text in three quotes.
_QUOTES: Final = re.compile(r'"""|"\Z')


def quoted(text: str) -> str:
    """``text`` as a literal, in double quotes where that takes no backslash."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal


def numbered(group: str, place: str) -> str:
    """The name of one instance of a worker, ``group[place]``; ``place`` is source, see
    `fits_in_text`."""
    literal = quoted(group.replace("{", "{{").replace("}", "}}"))
    return f"f{literal[:-1]}[{{{place}}}]{literal[-1]}"


def fits_in_text(source: str) -> bool:
    """Whether an expression may stand in an f-string of any version of Python: before 3.12 there
    could be no quotes and no backslash in it."""
    return not any(char in source for char in "'\"\\{}#\n")


def docstring(paragraphs: Iterable[str]) -> list[str]:
    """The lines of a docstring that says this, a line each: text for people, in which what cannot
    be shown becomes a space and three quotes become others."""
    lines = [_shown(line).replace("\\", "\\\\").replace('"""', "'''") for line in paragraphs]
    if len(lines) == 1:
        return [f'"""{lines[0].rstrip(chr(34))}"""']  # a quote before the end would be one too many
    return [f'"""{lines[0]}', *lines[1:], '"""']


def lined(text: str) -> str:
    """``text``, lines of it, as a literal in three quotes that has the same lines."""
    kept = "".join(char if _plain(char) else repr(char)[1:-1] for char in text)
    safe = _QUOTES.sub(lambda found: found[0].replace('"', '\\"'), kept)
    return f'"""\\\n{safe}"""'


def comment(text: str) -> str:
    """``text`` as a comment, on one line."""
    return f"# {_shown(text)}"


def _plain(char: str) -> bool:
    return (char.isprintable() and char != "\\") or char == "\n"


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


class Lines:
    """Source that is written line by line."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.depth = 0

    def put(self, *lines: str) -> None:
        """Add lines at the present indentation; an empty one is a blank line."""
        for line in lines:
            self.text.append("    " * self.depth + line if line else "")

    @contextmanager
    def block(self, head: str | None) -> Iterator[None]:
        """An indented block under ``head``; ``pass`` where nothing is put into it."""
        if head is None:
            yield
            return
        self.put(head)
        self.depth += 1
        before = len(self.text)
        try:
            yield
        finally:
            if not any(
                line.strip() and not line.lstrip().startswith("#") for line in self.text[before:]
            ):
                self.put("pass")
            self.depth -= 1

    def long(self, head: str, items: list[str], tail: str) -> None:
        """``head`` items ``tail`` on one line, or an item a line where that is too long."""
        line = head + ", ".join(items) + tail
        if len(line) + 4 * self.depth <= WIDTH:
            self.put(line)
            return
        self.put(head)
        self.put(*[f"    {item}," for item in items])
        self.put(tail)
