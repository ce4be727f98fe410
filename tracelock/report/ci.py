"""What an exploration came to, in the forms that build servers read: annotations, SARIF, JUnit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from tracelock.errors import UsageError
from tracelock.trace.text import visible

__all__ = ["CI_FORMATS", "BuildResult", "ci_text"]

#: The formats by name.
CI_FORMATS: Final = ("github", "sarif", "junit")
_SARIF: Final = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True)
class BuildResult:
    """One outcome. ``kind``: ``failed``, ``deadlock``, ``crashed``, ``unfinished`` or ``passed``;
    ``file`` and ``line``: where, "" and 0 where that is not known; ``details``: what else to say,
    such as how to replay it; ``seconds``: that it took."""

    name: str
    kind: str
    message: str
    file: str = ""
    line: int = 0
    details: str = ""
    seconds: float = 0.0

    @property
    def level(self) -> str:
        return {"passed": "notice", "unfinished": "warning"}.get(self.kind, "error")


def ci_text(results: Sequence[BuildResult], form: str, version: str) -> str:
    """These results in one of ``CI_FORMATS``. Raises UsageError for another one.

    ``github``: workflow commands, a line each. ``sarif``: SARIF 2.1.0, of what did not pass.
    ``junit``: the XML that Jenkins, GitLab and others read, of all.
    """
    if form == "github":
        return "".join(f"{_command(one)}\n" for one in results)
    if form == "sarif":
        return json.dumps(_sarif(results, version), indent=1) + "\n"
    if form == "junit":
        return _junit(results)
    raise UsageError(f"unknown output format {form!r}: there are {', '.join(CI_FORMATS)}")


# --- annotations of GitHub ---------------------------------------------------------------------
def _command(one: BuildResult) -> str:
    given = {"file": one.file, "line": str(one.line) if one.line else "", "title": _title(one)}
    properties = ",".join(f"{key}={_property(value)}" for key, value in given.items() if value)
    text = f"{one.message}\n{one.details}".strip()
    return f"::{one.level} {properties}::{_data(text)}"


def _title(one: BuildResult) -> str:
    return f"{one.name}: {one.kind}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# --- SARIF -------------------------------------------------------------------------------------
def _sarif(results: Sequence[BuildResult], version: str) -> dict[str, Any]:
    rules = sorted({one.kind for one in results if one.kind != "passed"})
    driver = {
        "name": "tracelock", "version": version,
        "rules": [
            {"id": kind, "shortDescription": {"text": f"a schedule ends {kind}"}} for kind in rules
        ],
    }  # fmt: skip
    found = [_sarif_result(one) for one in results if one.kind != "passed"]
    return {
        "$schema": _SARIF, "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": found}],
    }  # fmt: skip


def _sarif_result(one: BuildResult) -> dict[str, Any]:
    text = f"{one.name}: {one.message or one.kind}\n{one.details}".strip()
    found: dict[str, Any] = {
        "ruleId": one.kind, "level": one.level, "message": {"text": text},
    }  # fmt: skip
    if one.file:
        physical: dict[str, Any] = {"artifactLocation": {"uri": one.file.replace("\\", "/")}}
        if one.line:
            physical["region"] = {"startLine": one.line}
        found["locations"] = [{"physicalLocation": physical}]
    return found


# --- JUnit -------------------------------------------------------------------------------------
def _junit(results: Sequence[BuildResult]) -> str:
    failures = sum(one.level == "error" for one in results)
    skipped = sum(one.level == "warning" for one in results)
    seconds = sum(one.seconds for one in results)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<testsuite name="tracelock" tests="{len(results)}" failures="{failures}" errors="0" '
        f'skipped="{skipped}" time="{seconds:.3f}">',
    ]
    for one in results:
        name = _attribute(one.name)
        head = f'<testcase classname="tracelock" name={name} time="{one.seconds:.3f}"'
        if one.file:
            head += f" file={_attribute(one.file)}" + (f' line="{one.line}"' if one.line else "")
        if one.level == "notice":
            lines.append(f" {head}/>")
            continue
        word = "failure" if one.level == "error" else "skipped"
        kind = f" type={_attribute(one.kind)}" if word == "failure" else ""
        text = escape(_xml(one.details))
        lines += [
            f" {head}>",
            f"  <{word} message={_attribute(one.message or one.kind)}{kind}>{text}</{word}>",
            " </testcase>",
        ]
    return "\n".join([*lines, "</testsuite>", ""])


def _attribute(text: str) -> str:
    return quoteattr(_xml(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _xml(text: str) -> str:
    """What XML may hold: control characters are shown as escapes."""
    return "".join(
        char if char in "\n\t" or char.isprintable() else repr(char)[1:-1] for char in visible(text)
    )
