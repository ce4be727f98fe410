"""Lines of a program, indented."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

WIDTH: Final = 100


def quoted(text: str) -> str:
    """``text`` as a literal, in double quotes where that takes no backslash."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal


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
