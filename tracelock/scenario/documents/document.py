"""A document as plain data that remembers the place of every value, and how it is built.

The readers of YAML and JSON call a :class:`DocumentBuilder`. It finds what no document may hold
(duplicate keys, deep nesting); what the data means is checked elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracelock.errors import Problem, ScenarioError
from tracelock.scenario.faults import Path, path_text
from tracelock.scenario.language.expressions import has_surrogate, quote

MAX_DEPTH: Final = 100
MAX_DIGITS: Final = 1000

HALF_CHARACTER: Final = "this text holds half a character (a lone surrogate)"


@dataclass(slots=True, eq=False)
class Spot:
    """Where a value stands: ``line`` and ``column`` from 1. ``text_column`` is where the first
    character of a text stands if the whole of it stands in the document as it is, else 0.
    """

    line: int
    column: int
    text_column: int = 0
    items: dict[str | int, Spot] | None = None
    keys: dict[str, tuple[int, int]] | None = None


class Document:
    """Plain ``data`` (dict, list, str, int, float, bool, None) and its places.

    ``problems`` is what is wrong with the document itself; ``broken`` are the paths where the
    data therefore is not what the author wrote, so that nothing more should be said of them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.data: Any = None
        self.root = Spot(1, 1)
        self.problems: list[Problem] = []
        self.broken: set[Path] = set()

    def value_at(self, path: Path, offset: int = 0) -> tuple[int, int]:
        """(line, column) of the value at ``path``, or of the nearest thing around it.

        ``offset`` counts characters into a text, for a place inside an expression.
        """
        spot, there = self._spot(path)
        if there and offset and spot.text_column:
            return spot.line, spot.text_column + offset
        return spot.line, spot.column

    def key_at(self, path: Path) -> tuple[int, int]:
        """(line, column) of the key that ``path`` ends with; of the value if it is no key."""
        spot, there = self._spot(path[:-1])
        key = path[-1] if path else None
        if there and spot.keys is not None and isinstance(key, str) and key in spot.keys:
            return spot.keys[key]
        return self.value_at(path)

    def _spot(self, path: Path) -> tuple[Spot, bool]:
        """The spot at ``path``, or of the nearest thing around it, and which of the two it is."""
        spot = self.root
        for part in path:
            inner = spot.items.get(part) if spot.items is not None else None
            if inner is None:
                return spot, False
            spot = inner
        return spot, True


class CutDocument(ScenarioError):
    """A document of which the rest cannot be read.

    ``document`` is what was read before; ``inside`` the path of the innermost collection that was
    not at its end, ``last`` those of what was read last in it, which may not be what the author
    wrote: a line that is indented wrongly ends what stands before it. What to do: as for every
    ScenarioError.
    """

    def __init__(self, document: Document, inside: Path, last: Sequence[Path]) -> None:
        super().__init__(document.problems)
        self.document = document
        self.inside = inside
        self.last = last

    def doubtful(self, path: Path) -> bool:
        """Whether what is said of the value at ``path`` may come of the rest that was not read."""
        return path == self.inside[: len(path)] or any(
            path[: len(last)] == last[: len(path)] for last in self.last
        )


@dataclass(slots=True)
class _OpenCollection:
    """A collection that is open; ``part`` is its own key or number in the one around it."""

    data: Any
    spot: Spot
    part: str | int | None
    key: str | None = None  # of a mapping: the key whose value comes next


class DocumentBuilder:
    """Builds a :class:`Document` from a stream of keys, scalars and brackets."""

    def __init__(self, name: str) -> None:
        self.document = Document(name)
        self._stack: list[_OpenCollection] = []

    @property
    def wants_key(self) -> bool:
        """Whether what comes next is a key of a mapping."""
        frame = self._stack[-1] if self._stack else None
        return frame is not None and isinstance(frame.data, dict) and frame.key is None

    @property
    def inside(self) -> bool:
        """Whether a collection is open."""
        return bool(self._stack)

    @property
    def in_list(self) -> bool:
        """Whether the innermost open collection is a list."""
        return bool(self._stack) and isinstance(self._stack[-1].data, list)

    def path(self) -> Path:
        """The path of the value that comes next; of the open mapping if a key comes next."""
        part = self._part()
        path = tuple(frame.part for frame in self._stack[1:] if frame.part is not None)
        return path if part is None else (*path, part)

    def problem(self, line: int, column: int, message: str, broken: bool = False) -> None:
        """Notes that something is wrong with what comes next."""
        path = self.path()
        self.document.problems.append(
            Problem(self.document.name, line, column, path_text(path), message)
        )
        if broken:
            self.document.broken.add(path)

    def fatal(self, line: int, column: int, message: str) -> ScenarioError:
        """An error after which the rest cannot be read, with all that was found before it."""
        self.problem(line, column, message)
        inside = tuple(frame.part for frame in self._stack[1:] if frame.part is not None)
        data = self._stack[-1].data if self._stack else {}
        parts = range(len(data)) if isinstance(data, list) else tuple(data)
        return CutDocument(self.document, inside, [(*inside, part) for part in parts[-2:]])

    def key(self, text: str, line: int, column: int) -> None:
        """A key of the open mapping. Of two equal keys the first stands."""
        frame = self._stack[-1]
        frame.key = text
        if has_surrogate(text):
            self.problem(line, column, HALF_CHARACTER, broken=True)
        if text in frame.data:
            self.problem(line, column, f"duplicate key {quote(text)}")
        elif frame.spot.keys is not None:
            frame.spot.keys[text] = (line, column)

    def scalar(self, value: Any, line: int, column: int, text_column: int = 0) -> None:
        """A value that is no collection."""
        if isinstance(value, str) and has_surrogate(value):
            self.problem(line, column, HALF_CHARACTER, broken=True)
        self._place(value, Spot(line, column, text_column))

    def open(self, collection: dict[str, Any] | list[Any], line: int, column: int) -> None:
        """Begins a collection, given empty."""
        if len(self._stack) >= MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            # The path to a place this deep helps nobody.
            problem = Problem(self.document.name, line, column, "", message)
            raise ScenarioError([*self.document.problems, problem])
        spot = Spot(line, column)
        spot.items = {}
        spot.keys = {} if isinstance(collection, dict) else None
        part = self._part()
        self._place(collection, spot)
        self._stack.append(_OpenCollection(collection, spot, part))

    def close(self) -> None:
        """Ends the innermost collection."""
        self._stack.pop()

    def _part(self) -> str | int | None:
        if not self._stack:
            return None
        frame = self._stack[-1]
        return len(frame.data) if isinstance(frame.data, list) else frame.key

    def _place(self, value: Any, spot: Spot) -> None:
        if not self._stack:
            self.document.data = value
            self.document.root = spot
            return
        frame = self._stack[-1]
        assert frame.spot.items is not None
        if isinstance(frame.data, list):
            frame.spot.items[len(frame.data)] = spot
            frame.data.append(value)
            return
        key, frame.key = frame.key, None
        assert key is not None
        if key not in frame.data:
            frame.data[key] = value
            frame.spot.items[key] = spot


def number(text: str, base: int = 10) -> int | float | str:
    """The number that the digits of ``text`` spell; a text is the reason why it has none."""
    if len(text) > MAX_DIGITS:
        return f"a number may have {MAX_DIGITS:,} digits at most"
    try:
        return int(text, base)
    except ValueError:
        value = float(text)
    return value if math.isfinite(value) else "this number is too large"
