"""Files and texts as documents."""

from __future__ import annotations

from typing import Final, Literal

from tracelock.errors import Problem, ScenarioError
from tracelock.scenario.documents.document import Document

MAX_BYTES: Final = 8 * 1024 * 1024

Kind = Literal["yaml", "json"]


def kind_by_name(name: str) -> Kind:
    """The kind of document that a file of this name holds."""
    return "json" if name.lower().endswith(".json") else "yaml"


def read_document(
    text: str, name: str, kind: Kind | None = None, max_bytes: int = MAX_BYTES
) -> Document:
    """The document in ``text``. ``name`` stands in messages, and says the kind if that is None.

    What is wrong but can be read past is in ``problems`` of the result. Raises ScenarioError
    where it cannot.
    """
    if len(text) > max_bytes or len(text.encode(errors="replace")) > max_bytes:
        raise too_large(name, max_bytes)
    if (kind or kind_by_name(name)) == "json":
        from tracelock.scenario.documents.json_reader import read_json

        return read_json(text.removeprefix("\ufeff"), name)
    from tracelock.scenario.documents.yaml_reader import read_yaml

    return read_yaml(text.removeprefix("\ufeff"), name)


def read_text(path: str, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file, which must be UTF-8. Raises ScenarioError, located where it can be."""
    try:
        with open(path, "rb") as file:
            raw = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError([Problem(path, 0, 0, "", f"cannot be read: {reason}")]) from None
    if len(raw) > max_bytes:
        raise too_large(path, max_bytes)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        message = "this is not UTF-8 text"
        raise ScenarioError([Problem(path, line, column, "", message)]) from None


def too_large(name: str, max_bytes: int) -> ScenarioError:
    """The error of a document of more than ``max_bytes``."""
    message = f"the document is larger than {max_bytes:,} bytes"
    return ScenarioError([Problem(name, 0, 0, "", message)])
