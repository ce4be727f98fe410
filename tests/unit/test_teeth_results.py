"""What the answer of a search says of a mutant, and what the mutants say of a test."""

from __future__ import annotations

from typing import Any

import pytest

from tracelock.teeth.results import VERDICTS, MutantResult, Teeth, judged


def result(kind: str = "removed", verdict: str = "untried") -> MutantResult:
    return MutantResult(1, kind, "bank.py", 3, "add", "lock", "with lock:", "if True:", verdict)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"verdict": "failed", "failure": "assert 1 == 2", "switches": 1}, "killed"),
        ({"verdict": "failed", "failure": "deadlock: ...", "switches": 0}, "killed"),
        ({"verdict": "failed", "failure": "NameError: name 'x'", "switches": 0}, "invalid"),
        ({"verdict": "failed", "failure": "NameError: name 'x'", "switches": 2}, "killed"),
        ({"verdict": "failed", "failure": "RuntimeError: cannot notify on un-acquired lock",
          "switches": 0}, "invalid"),
        ({"verdict": "failed", "failure": "assert 'not held'", "switches": 0}, "killed"),
        ({"verdict": "verified", "reached": True}, "verified"),
        ({"verdict": "verified", "reached": False}, "not run"),
        ({"verdict": "passed", "reached": True, "summary": "passed: ..."}, "unproved"),
        ({"verdict": "unfinished", "reached": True}, "unproved"),
        ({"verdict": "unfinished", "reached": False}, "not run"),
        ({"verdict": "error", "reached": False, "summary": "cannot"}, "unproved"),
        ({"verdict": "ended", "reached": True, "summary": "exit status 1"}, "unproved"),
        ({"verdict": "invalid", "summary": "SyntaxError"}, "invalid"),
    ],
)  # fmt: skip
def test_verdicts(answer: dict[str, Any], verdict: str) -> None:
    found = result()
    judged(found, answer, whole_class=True)
    assert found.verdict == verdict
    assert found.useless == (verdict == "verified")


def test_only_a_lock_that_is_gone_may_be_useless() -> None:
    found = result("narrowed")
    judged(found, {"verdict": "verified", "reached": True}, whole_class=True)
    assert not found.useless


def teeth(*verdicts: str, widened: tuple[str, ...] = ()) -> Teeth:
    mutants = [result("removed", one) for one in verdicts]
    mutants += [result("widened", one) for one in widened]
    return Teeth("test", "test", mutants=mutants)


def test_the_score_is_of_what_was_judged() -> None:
    assert teeth("killed", "killed", "verified", "unproved").score == 0.5
    assert teeth("killed", "not run", "invalid", "untried").score == 1.0
    assert teeth("not run", "invalid").score is None
    assert teeth("killed", widened=("verified", "unproved", "killed")).score == 1.0


def test_the_verdict_is_that_of_the_worst() -> None:
    assert teeth("killed", "not run").verdict == "killed"
    assert teeth("killed", "unproved").verdict == teeth("killed", "untried").verdict == "unproved"
    assert teeth("killed", "unproved", "verified").verdict == "survived"
    assert teeth("not run", "invalid").verdict == teeth().verdict == "nothing"
    assert teeth("killed", widened=("verified",)).verdict == "killed"


def test_the_shape_of_the_data() -> None:
    data = teeth("killed", "verified", widened=("verified",)).to_data()
    assert (data["score"], data["verdict"]) == (0.5, "survived")
    assert data["counts"] == {**dict.fromkeys(VERDICTS, 0), "killed": 1, "verified": 1}
    assert data["widened"] == {**dict.fromkeys(VERDICTS, 0), "verified": 1}
    assert data["summary"] == "score 50% (1 of 2): 1 killed, 1 survived, verified"
    assert {"was", "now", "file", "line", "trace"} <= data["mutants"][0].keys()
