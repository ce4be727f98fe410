"""JSON into a :class:`Document`, with the place of every value.

The standard library reads JSON well but forgets where it read what, takes NaN and duplicate
keys, and recurses. This reader keeps a stack of its own and reads strings with the standard
library's scanner.
"""

from __future__ import annotations

import json.decoder
import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

from tracelock.errors import ScenarioError
from tracelock.scenario.documents.document import Document, DocumentBuilder, number
from tracelock.scenario.language.expressions import quote

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD: Final = re.compile(r"[-+.\w]+")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# Not documented, but as old as the module, and in C where there is C.
_scan: Callable[[str, int, bool], tuple[str, int]] = vars(json.decoder)["scanstring"]
_LITERALS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}


def read_json(text: str, name: str) -> Document:
    """The document in ``text`` (RFC 8259). Raises ScenarioError at the first error of syntax."""
    return _Reader(text, name).read()


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.at = 0
        self.builder = DocumentBuilder(name)
        self.lines = [0, *(found.end() for found in _LINE_END.finditer(text))]

    def place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def fatal(self, message: str, at: int | None = None) -> ScenarioError:
        return self.builder.fatal(*self.place(self.at if at is None else at), message)

    def peek(self) -> str:
        """The next character that is no space, or an empty text at the end."""
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return self.text[self.at : self.at + 1]

    def read(self) -> Document:
        builder = self.builder
        if not self.peek():
            raise self.fatal("the document is empty")
        first = True  # in the innermost collection nothing has been read yet
        self.value()
        opened = builder.inside
        while builder.inside:
            first, opened = opened, False
            end = "]" if builder.in_list else "}"
            mark = self.peek()
            if mark == end:
                self.at += 1
                builder.close()
                continue
            if not first:
                if mark != ",":
                    raise self.missing(f"a comma or {end} belongs here")
                self.at += 1
                if self.peek() == end:
                    raise self.fatal(f"JSON has no comma before {end}")
            if end == "}":
                self.key()
            opened = self.value()
        if self.peek():
            raise self.fatal("something follows the end of the document")
        return builder.document

    def missing(self, message: str) -> ScenarioError:
        mark = self.peek()
        if not mark:
            return self.fatal("the document ends too early: " + message)
        if self.text.startswith(("//", "/*", "#"), self.at):
            return self.fatal("JSON has no comments")
        return self.fatal(message)

    def key(self) -> None:
        if self.peek() != '"':
            raise self.missing("a key in double quotes belongs here")
        start = self.at
        self.builder.key(self.string(), *self.place(start))
        if self.peek() != ":":
            raise self.missing("a colon belongs here")
        self.at += 1

    def string(self) -> str:
        try:
            value, self.at = _scan(self.text, self.at + 1, True)
        except json.JSONDecodeError as error:
            message = error.msg[:1].lower() + error.msg[1:]
            # The library's own words name its position with a trailing "at".
            raise self.fatal(message.removesuffix(" at"), error.pos) from None
        return value

    def value(self) -> bool:
        """Reads a value, or the opening of a collection; whether it was such an opening."""
        builder = self.builder
        mark = self.peek()
        start = self.at
        line, column = self.place(start)
        if mark == "{" or mark == "[":
            self.at += 1
            builder.open({} if mark == "{" else [], line, column)
            return True
        if mark == '"':
            value = self.string()
            plain = self.at - start == len(value) + 2
            builder.scalar(value, line, column, column + 1 if plain else 0)
            return False
        found = _WORD.match(self.text, start)
        if found is None:
            raise self.missing("a value belongs here")
        word = found.group()
        self.at = found.end()
        if word in _LITERALS:
            builder.scalar(_LITERALS[word], line, column)
        elif _NUMBER.fullmatch(word):
            result = number(word)
            if isinstance(result, str):
                builder.problem(line, column, result, broken=True)
                result = 0
            builder.scalar(result, line, column)
        elif word.lstrip("+-").lower() in ("nan", "inf", "infinity"):
            builder.problem(line, column, f"{word} is not JSON", broken=True)
            builder.scalar(0, line, column)
        else:
            what = "number" if word[0] in "+-.0123456789" else "value (a text stands in quotes)"
            raise self.fatal(f"{quote(word)} is no JSON {what}", start)
        return False
