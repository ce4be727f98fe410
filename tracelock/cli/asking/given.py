"""Options that several of these commands have, and how they put lines on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from tracelock.errors import UsageError


def contract_of(given: Sequence[str]) -> str | dict[str, str]:
    """What ``--contract`` says: a word for all methods, or one for each of some."""
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    words: dict[str, str] = {}
    for one in given:
        method, equals, word = one.rpartition("=")
        if not equals:
            raise UsageError("--contract WORD is for all methods: then it stands alone")
        words[method] = word
    return words


def pairs_of(option: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``NAME=EXPR`` of an option that may be repeated."""
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name or not text:
            raise UsageError(f"{option} takes NAME=EXPR, not {one!r}")
        yield name.strip(), text.strip()


def wrapped(text: str, width: int, indent: int) -> list[str]:
    """Lines of a text, those after the first with so many blanks before them."""
    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(), width, initial_indent=lead, subsequent_indent=" " * indent,
        break_long_words=False, break_on_hyphens=False,
    ) or [""]  # fmt: skip
