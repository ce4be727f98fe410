"""The table of where CPython may switch, against what two threads really do to each other.

Run ``python -m tests.bench.bench_atomic [ROUNDS [PYTHON ...]]``. Each statement of
``helpers/atomic_cases.py``, and each of the common operations, is run ROUNDS times (1,000,000) on
each of two threads, at a switch interval of one microsecond, on each interpreter (this one). What
the table calls atomic must lose nothing: a loss is a contradiction. What it calls breakable and a
stress is likely to break is counted too. An interpreter without a GIL is asked about that: what
the table calls atomic without one must lose nothing there, and what is several steps is likely to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.helpers.atomic_cases import CASES, Case
from tracelock.atomicity.asked import with_gil
from tracelock.atomicity.common import FAQ, MORE
from tracelock.interpreter.asking import AskingProblem, ask

#: Of the common operations it is not said before what they are.
ALL = [*CASES, *(Case(text, "", setup) for text, setup in (*FAQ, *MORE))]
#: Of statements: called atomic, of these compared (the end state of others is never wrong by
#: itself), of these broken; likely to be broken, and of these broken.
_COUNTS = ("statements", "atomic", "measured", "contradictions", "likely", "broken")


def measured(
    python: str, rounds: int, say: Callable[[str], None] = print, cases: Sequence[Case] = ALL
) -> dict[str, int]:
    """How many statements were called what, and how many of these were broken."""
    counts = dict.fromkeys(_COUNTS, 0)
    name = python
    for case in cases:
        question: dict[str, Any] = {
            "statement": case.statement, "setup": case.setup, "stress": rounds, "seconds": 120.0,
        }  # fmt: skip
        try:
            (answer,) = ask(python, [question], 300.0)
        except AskingProblem as problem:
            say(f"  ? {case.statement!r}: {problem}")
            continue
        if "problem" in answer:
            say(f"  ? {case.statement!r}: {answer['problem']}")
            continue
        name = answer["interpreter"]
        version = tuple(int(part) for part in name.partition("-")[2].split(".")[:2])
        called_atomic = with_gil(answer).atomic
        found = answer["stress"]
        truth = case.here(version)  # type: ignore[arg-type]
        likely = truth == "broken"
        if not answer["gil"]:
            name += " without the GIL"
            likely = truth in ("atomic", "broken") and not called_atomic
            likely = likely and bool(answer["judged"][0]["several"])
        counts["statements"] += 1
        counts["atomic"] += called_atomic
        counts["likely"] += likely
        counts["broken"] += likely and bool(found["anomalies"])
        text = "; ".join(case.statement.split("\n"))
        counts["measured"] += called_atomic and found["anomalies"] is not None
        if called_atomic and (found["anomalies"] or 0 < found["rounds"] < rounds):
            wrong = bool(found["anomalies"])
            counts["contradictions"] += wrong
            say(f"  {'CONTRADICTION' if wrong else 'not all rounds'}: {text}: {found}")
        if likely and not found["anomalies"]:
            say(f"  not broken this time: {text} {found['why']}")
        known = called_atomic and not answer["locked"]  # what holds a lock may be interrupted
        if answer["gil"] and truth and known != (truth == "atomic"):
            say(f"  unexpected: {text}: {answer['judged'][0]['switch']}")
    say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in counts.items()))
    return counts


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 1_000_000
    pythons = arguments[1:] or [sys.executable]
    return sum(measured(python, rounds)["contradictions"] for python in pythons)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
