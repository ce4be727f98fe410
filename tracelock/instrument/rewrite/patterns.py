"""The patterns of ``match`` as values, for those that name attributes.

``("class", patterns by position, ((name, pattern), ...))``, ``("items", place of the star or -1,
patterns)``, ``("keys", ((key, pattern), ...))`` and ``("any", patterns)`` of the same object; None
where nothing is looked into.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any


def described(pattern: ast.pattern) -> Any:
    """The pattern as a tuple, None where no class pattern is in it."""
    match pattern:
        case ast.MatchClass(patterns=places, kwd_attrs=names, kwd_patterns=named):
            pairs = tuple(zip(names, map(described, named), strict=True))
            return ("class", tuple(map(described, places)), pairs)
        case ast.MatchSequence(patterns=items):
            stars = [isinstance(each, ast.MatchStar) for each in items]
            found = tuple(map(described, items))
            return ("items", stars.index(True) if any(stars) else -1, found) if any(found) else None
        case ast.MatchMapping(keys=keys, patterns=values):
            told = tuple(
                (key.value, inner)
                for key, inner in zip(keys, map(described, values), strict=True)
                if isinstance(key, ast.Constant) and inner is not None
            )
            return ("keys", told) if told else None
        case ast.MatchOr(patterns=choices):
            return any_of(map(described, choices))
        case ast.MatchAs(pattern=ast.pattern() as inner):
            return described(inner)
    return None


def any_of(patterns: Iterable[Any]) -> Any:
    """Patterns of the same object, None where none looks into it."""
    found = tuple(filter(None, patterns))
    return ("any", found) if found else None
