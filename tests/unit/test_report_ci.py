"""Results for build servers, and what is pasted into issues: well-formed, and within limits."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tracelock.errors import UsageError
from tracelock.report.about import Subject
from tracelock.report.attach import LIMIT, attachment, without_home
from tracelock.report.ci import BuildResult, ci_text
from tracelock.trace import load_trace
from tracelock.trace.token import token_of

ROOT = Path(__file__).resolve().parents[2]
RESULTS = [
    BuildResult("bank", "deadlock", "a waits for b", "bank.yaml", 12, "replay it: ...", 0.5),
    BuildResult("bank", "failed", "100% wrong\nat last", "b.py", 3, "two\nlines"),
    BuildResult("other", "unfinished", "cut"),
    BuildResult("third", "passed", "verified", "c.yaml"),
]


def test_workflow_commands_are_a_line_each() -> None:
    assert ci_text(RESULTS, "github", "1").splitlines() == [
        "::error file=bank.yaml,line=12,title=bank%3A deadlock::a waits for b%0Areplay it: ...",
        "::error file=b.py,line=3,title=bank%3A failed::100%25 wrong%0Aat last%0Atwo%0Alines",
        "::warning title=other%3A unfinished::cut",
        "::notice file=c.yaml,title=third%3A passed::verified",
    ]


def test_sarif_has_what_did_not_pass() -> None:
    (run,) = json.loads(ci_text(RESULTS, "sarif", "1.2"))["runs"]
    assert run["tool"]["driver"]["version"] == "1.2"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["deadlock", "failed", "unfinished"]
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [
        ("deadlock", "error"), ("failed", "error"), ("unfinished", "warning"),
    ]  # fmt: skip
    (place,) = run["results"][0]["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "bank.yaml"}, "region": {"startLine": 12},
    }  # fmt: skip
    assert "locations" not in run["results"][2]


def test_junit_counts_and_tells() -> None:
    suite = ElementTree.fromstring(ci_text(RESULTS, "junit", "1"))
    counts = [suite.get(key) for key in ("tests", "failures", "skipped", "errors")]
    assert counts == ["4", "2", "1", "0"]
    first, second, third, last = suite
    assert (first.get("file"), first.get("line"), first.get("time")) == ("bank.yaml", "12", "0.500")
    assert second[0].get("message") == "100% wrong\nat last" and second[0].text == "two\nlines"
    assert third[0].tag == "skipped" and len(last) == 0


def test_another_format_is_an_error() -> None:
    with pytest.raises(UsageError, match="github, sarif, junit"):
        ci_text(RESULTS, "teamcity", "1")


@settings(max_examples=amount(100, 2_000), deadline=None)
@given(st.lists(st.text(), min_size=4, max_size=4))
def test_texts_of_strangers_stay_texts(texts: list[str]) -> None:
    name, message, file, details = texts
    results = [BuildResult(name, "failed", message, file, 3, details)]
    command = ci_text(results, "github", "1")
    assert command.count("\n") == 1 and command.startswith("::error ")
    assert command.partition("::error ")[2].count("\r") == 0
    assert json.loads(ci_text(results, "sarif", "1"))["runs"][0]["results"]
    suite = ElementTree.fromstring(ci_text(results, "junit", "1").encode("utf-8", "replace"))
    assert len(suite) == 1 and len(suite[0]) == 1


# --- attachments -------------------------------------------------------------------------------
def test_an_attachment_has_token_source_and_trace() -> None:
    trace = load_trace(ROOT / "traces" / "deadlock_ab_ba.json")
    text = attachment(Subject(trace, sources={"bank.py": "def f():\n    return 1\n"}))
    assert token_of(trace) in text
    assert "<summary>The source</summary>" in text and "def f():" in text
    assert "<summary>The trace: save it" in text
    assert len(text) < LIMIT


@pytest.mark.parametrize("where", ["message", "source", "events"])
def test_an_attachment_is_never_over_the_limit(where: str) -> None:
    trace = load_trace(ROOT / "traces" / "notify_wrong_waiter.json")
    sources = {"bank.py": "x = 1\n"}
    if where == "message":
        trace.verdict.message = "```\n" + "word " * 40_000
    elif where == "source":
        sources["bank.py"] = "y = 2\n" * 40_000
    else:
        trace.scenario["description"] = "long " * 40_000
    text = attachment(Subject(trace, sources=sources, path="t.json"))
    assert len(text) < LIMIT
    assert text.count("<details>") == text.count("</details>")
    if where == "events":
        assert "attach the file `t.json`" in text


def test_the_home_folder_is_in_nothing_that_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    trace = load_trace(ROOT / "traces" / "deadlock_ab_ba.json")
    trace.verdict.message = "no file /home/somebody/secret/bank.db"
    text = attachment(Subject(trace, sources={"a.py": "open('/home/somebody/x')\n"}))
    assert "somebody" not in text and "~/secret/bank.db" in text
    monkeypatch.setenv("HOME", "/")
    assert without_home("/usr/bin") == "/usr/bin"


def test_the_action_runs_the_plugin_and_uploads_what_it_wrote() -> None:
    action = yaml.safe_load((ROOT / ".github/actions/tracelock/action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    run, upload = action["runs"]["steps"]
    assert "--tracelock-report" in run["run"] and "${{" not in run["run"]
    assert upload["if"] == "always()" and upload["uses"].startswith("actions/upload-artifact@")
    assert upload["with"]["path"] == "${{ inputs.report }}"
