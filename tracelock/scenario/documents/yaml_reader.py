"""YAML into a :class:`Document`, with the place of every value.

PyYAML gives the events; its constructors are never used. They build what a document asks for,
follow aliases (a few lines can mean billions of values), recurse, and read the scalars of YAML
1.1, where ``no`` is false and ``010`` is eight. Events are taken one at a time, so that a deep
document is left as soon as it is too deep.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

import yaml

from tracelock.scenario.documents.document import Document, DocumentBuilder, number

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The core schema of YAML 1.2.2, section 10.3.2.
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT: Final = re.compile(r"[-+]?[0-9]+")
_OCTAL: Final = re.compile(r"0o[0-7]+")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_UNPRINTABLE: Final = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_TOO_DEEP: Final = "exceeded maximum nesting depth"
_WORDS: Final = (
    ("found character that cannot start any token", "this character cannot begin a value"),
    ("mapping values are not allowed", "a colon cannot stand here (quote a text that holds one)"),
    ("did not find expected ',' or '}'", "a comma or } belongs here"),
    ("did not find expected ',' or ']'", "a comma or ] belongs here"),
    ("expected ',' or '}'", "a comma or } belongs here"),
    ("expected ',' or ']'", "a comma or ] belongs here"),
    ("could not find expected ':'", "a colon belongs here"),
    ("did not find expected key", "a key belongs here: is it indented like its neighbours?"),
    ("did not find expected '-' indicator", "a dash belongs here: is it indented like the others?"),
    ("expected <block end>", "this is not indented like its neighbours"),
    ("did not find expected <document start>", "this does not belong to the document above"),
    ("expected '<document start>'", "this does not belong to the document above"),
    ("found unexpected end of stream", "the document ends inside a quoted text"),
)


def read_yaml(text: str, name: str) -> Document:
    """The document in ``text``, its scalars read by the core schema of YAML 1.2.

    Raises ScenarioError where the rest cannot be read.
    """
    builder = DocumentBuilder(name)
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        before = text[: unprintable.start()]
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        raise builder.fatal(
            line, column, f"the character {unprintable.group()!r} cannot stand in YAML"
        )
    try:
        return _read(text, builder, _LOADER)
    except yaml.MarkedYAMLError as error:
        if error.problem == _TOO_DEEP:
            # libyaml looks far ahead; its twin in Python says where our own bound is passed
            with contextlib.suppress(yaml.YAMLError):
                return _read(text, DocumentBuilder(name), yaml.SafeLoader)
        raise builder.fatal(*_place(error.problem_mark), _say(error.problem, text, error)) from None
    except yaml.YAMLError:
        raise builder.fatal(1, 1, "this is not YAML") from None


def _read(text: str, builder: DocumentBuilder, loader: Any) -> Document:
    empty = True
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.DocumentStartEvent):
            if not empty:
                builder.problem(*_place(event.start_mark), "only one document may stand here")
                break
            empty = False
        else:
            _take(builder, event)
    if empty:
        raise builder.fatal(1, 1, "the document is empty")
    return builder.document


def _place(mark: Any) -> tuple[int, int]:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def _say(problem: str | None, text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    if mark is not None:
        line = text.splitlines()[mark.line : mark.line + 1]
        if line and line[0][: mark.column + 1].strip(" ").startswith("\t"):
            return "YAML is indented with spaces, not tabs"
    problem = problem or "this cannot be read"
    for start, ours in _WORDS:
        if problem.startswith(start):
            return f"not valid YAML: {ours}"
    return f"not valid YAML: {problem}"


def _take(builder: DocumentBuilder, event: yaml.Event) -> None:
    line, column = _place(event.start_mark)
    if isinstance(event, yaml.NodeEvent):
        if isinstance(event, yaml.AliasEvent):
            message = "aliases (*name) are refused: write the value out"
            if builder.wants_key:
                raise builder.fatal(line, column, message)
            builder.problem(line, column, message, broken=True)
            builder.scalar(None, line, column)
            return
        if event.anchor is not None:
            builder.problem(line, column, "anchors (&name) are refused: there are no aliases")
        if getattr(event, "tag", None) is not None:
            builder.problem(line, column, "tags (!name) are refused", broken=True)
    if isinstance(event, yaml.ScalarEvent):
        _scalar(builder, event, line, column)
    elif isinstance(event, yaml.CollectionStartEvent):
        if builder.wants_key:
            raise builder.fatal(line, column, "a key must be a word, not a list or mapping")
        builder.open({} if isinstance(event, yaml.MappingStartEvent) else [], line, column)
    elif isinstance(event, yaml.CollectionEndEvent):
        builder.close()


def _scalar(builder: DocumentBuilder, event: yaml.ScalarEvent, line: int, column: int) -> None:
    text = event.value
    if builder.wants_key:
        builder.key(text, line, column)
        return
    plain = bool(event.implicit[0]) and not event.style
    end_line, end_column = _place(event.end_mark)
    width = end_column - column if end_line == line else -1
    quotes = 0 if plain else 1
    whole = event.style in (None, "", "'", '"') and width == len(text) + 2 * quotes
    value = resolve(text) if plain else text
    if isinstance(value, _Unfit):
        builder.problem(line, column, value, broken=True)
        value = 0
    builder.scalar(value, line, column, column + quotes if whole else 0)


class _Unfit(str):
    """Why a plain scalar that has a meaning in YAML has none in JSON."""


def resolve(text: str) -> Any:
    """The value of a plain scalar: None, bool, int, float, or the text itself."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":
        return text
    result: Any = text
    if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
        result = number(text)
    elif _OCTAL.fullmatch(text):
        result = number(text[2:], 8)
    elif _HEX.fullmatch(text):
        result = number(text[2:], 16)
    elif _NO_NUMBER.fullmatch(text):
        return _Unfit("infinity and NaN are not values of the language")
    else:
        return text
    return _Unfit(result) if isinstance(result, str) else result
