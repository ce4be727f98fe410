"""Secrets, and texts without them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from tracelock.trace import MISSING, frozen

__all__ = ["Secrets"]

#: Texts shorter than this are taken out only where they stand in quotes, and numbers of fewer
#: digits only where they are the value of what was named: they are too frequent otherwise.
_SHORTEST: Final = 4
_DIGITS: Final = 3
#: Texts of at least this length are taken out from the midst of words too.
_ANYWHERE: Final = 6
#: What is left of a text that was cut must be this long to be told from others.
_PART: Final = 3
#: Of an object a trace has only the name of its class.
_CLASS: Final = re.compile(r"<[\w.]+>")
_CUT: Final = re.compile(r"\.\.\.|\N{HORIZONTAL ELLIPSIS}")


class Secrets:
    """The values to be kept out. Each has its own mark (``[redacted]``, ``[redacted-2]``), so that
    two that were equal or not still are."""

    def __init__(self) -> None:
        self._marks: dict[object, str] = {}
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, str] = {}

    def add(self, value: Any) -> str:
        """The mark in place of ``value``, which is a secret from now on, and what is inside it."""
        key = frozen(value) if not isinstance(value, bytes) else value
        mark = self._marks.get(key)
        if mark is None:
            self.__dict__.pop("_pattern", None)  # made anew when it is asked for
            count = len(self._marks)
            mark = self._marks[key] = f"[redacted-{count + 1}]" if count else "[redacted]"
            self._learn(value, mark)
        return mark

    def _learn(self, value: Any, mark: str) -> None:
        if isinstance(value, str):
            if value.strip() and not _CLASS.fullmatch(value):
                for text in {value, repr(value)[1:-1], json.dumps(value)[1:-1]}:
                    self._texts.setdefault(text, mark)
        elif isinstance(value, bytes):
            self._texts.setdefault(repr(value)[2:-1], mark)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            text = repr(value)
            if sum(char.isdigit() for char in text) >= _DIGITS:
                self._numbers.setdefault(text, mark)
        elif isinstance(value, list | tuple):
            for one in value:
                self.add(one)
        elif isinstance(value, Mapping):
            for key, one in value.items():
                self.add(str(key))
                self.add(one)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        parts = []
        for text in sorted(self._texts, key=len, reverse=True):
            quoted = re.escape(text)
            if len(text) < _SHORTEST:
                parts.append(rf"(?<=['\"]){quoted}(?=['\"])")
            elif len(text) < _ANYWHERE:
                parts.append(rf"(?<!\w){quoted}(?!\w)")
            else:
                parts.append(quoted)
        for text in sorted(self._numbers, key=len, reverse=True):
            # not the line of a file, and no part of another number
            parts.append(rf"(?<!\.py:)(?<![\w.]){re.escape(text)}(?![\w]|\.\d)")
        return re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        """``text`` with marks in place of secrets, those that were cut (``hunt...``) too."""
        if self._pattern is None:
            return text
        found = self._pattern.sub(
            lambda one: self._texts.get(one[0]) or self._numbers.get(one[0]) or "[redacted]", text
        )
        return self._cut(found) if _CUT.search(found) else found

    def _cut(self, text: str) -> str:
        for cut in reversed(list(_CUT.finditer(text))):
            before, after = text[: cut.start()], text[cut.end() :]
            for secret, mark in self._texts.items():
                most = min(len(secret), len(before))
                length = next(
                    (n for n in range(most, _PART - 1, -1) if before.endswith(secret[:n])), 0
                )
                if length:
                    before = before[:-length] + mark
                most = min(len(secret), len(after))
                length = next(
                    (n for n in range(most, _PART - 1, -1) if after.startswith(secret[-n:])), 0
                )
                if length:
                    after = mark + after[length:]
            text = before + cut[0] + after
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without secrets."""
        if value is MISSING or value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int | float):
            return self._numbers.get(repr(value), value)
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(one) for key, one in value.items()}
        return value
