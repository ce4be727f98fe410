"""What somebody probably meant who misspelt a word. ``difflib`` is imported where it is needed:
most command lines have no mistake in them."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that looks most like ``word``; None where none does."""
    from difflib import get_close_matches

    candidates = {one.lower(): one for one in known}
    found = get_close_matches(word[:100].lower(), candidates, n=1, cutoff=0.6)
    return candidates[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``: did you mean explore?``, or nothing."""
    found = nearest(word, known)
    return "" if found is None else f": did you mean {found}?"
