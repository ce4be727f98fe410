"""Arguments of methods that do not say which ones they take."""

from __future__ import annotations

from typing import Any

import pytest

from tracelock.audit import reading
from tracelock.audit.reading import AuditedClass, calls_of, constructor


class Table(dict):  # type: ignore[type-arg]
    """Whose ``pop`` is written in C."""

    def look(self, key: str) -> object:
        return self[key]


SUBJECT = AuditedClass("tests.unit.test_audit_arguments.Table", Table, __name__, "Table()")


def test_what_a_method_is_called_with_may_be_given_as_a_whole() -> None:
    given = {"pop.*": ["'a'", "('b', 1)", "()"]}
    found, missing = calls_of(SUBJECT, ["pop"], given)
    assert [one.source for one in found["pop"] if not one.spare] == [
        "it.pop('a')", "it.pop('b', 1)", "it.pop()"
    ]  # fmt: skip
    assert not missing
    assert constructor(Table, given) == "Table()"


def test_a_method_without_a_signature_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def untold(function: Any) -> Any:
        raise ValueError("no signature found")

    monkeypatch.setattr(reading, "_parameters", untold)
    found, missing = calls_of(SUBJECT, ["look"], {})
    assert not found
    assert "no signature found" in missing["look"]
    assert "--strategy \"look.*=['a', ('b', 1), ()]\"" in missing["look"]
