"""Each kind of finding in a trace that has it and in one, as like as can be, that has not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.helpers.tracing import stuck, trace_of
from tracelock.analysis.analyze import Analysis, analyze
from tracelock.analysis.finders.network import FAULTS
from tracelock.analysis.findings import ERROR, NOTE, WARNING, Finding
from tracelock.analysis.kinds import CURES, KINDS
from tracelock.instrument.network.rules import KINDS as FAULT_KINDS
from tracelock.trace import Verdict
from tracelock.trace.crashes import told

OBJECTS = {
    "a": "lock", "b": "lock", "c": "lock", "r": "rlock", "m": "lock", "go": "event",
    "news": {"type": "condition", "lock": "m"}, "q": {"type": "queue", "maxsize": 1},
    "meet": {"type": "barrier", "parties": 3}, "pool": {"type": "bounded_semaphore", "value": 2},
    "signal": {"type": "semaphore", "value": 0},
}  # fmt: skip


def failed(failure: str, message: str = "x == 1 is false", **more: Any) -> Verdict:
    return Verdict("failed", failure, message, **more)


@dataclass
class Case:
    """``bad`` has the finding ``kind``, with these events; ``good`` has none of it.

    ``end``, ``good_end``: the verdicts, passed unless told otherwise.
    """

    kind: str
    severity: str
    bad: str
    events: tuple[int, ...]
    good: str
    end: Verdict | None = None
    good_end: Verdict | None = None
    words: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def sql(text: str) -> str:
    """What an event says of a statement, as a word of a trace made by hand."""
    return json.dumps(text).replace(" ", "\\u0020")


AB = "v acquire a\nw acquire b\n"
READ_T = f"v read d -> {sql('v#1: SELECT n FROM t')}\n"
SET_T = f"w write d = {sql('w#1: UPDATE t SET n = 1')}\n"
LEAVE_1 = f"v write d = {sql('v#1: UPDATE t SET n = 0 WHERE k = ? (1,)')}\n"
LEAVE_2 = f"w write d = {sql('w#1: UPDATE t SET n = 0 WHERE k = ? (2,)')}\n"
OPEN = f"v write d = {sql('v#1: UPDATE t SET n = 1 (holds the write lock)')}\n"
COMMIT = f"v write d = {sql('v#1: COMMIT')}\n"
BYTES = sql("bytes of a read")
CRASHED = told(["the 9 bytes written to a.tmp at 0 (event 0)"], ["the rename of a.tmp to a"])
CASES = {
    "deadlock": Case(
        "deadlock", ERROR, AB, (0, 1),
        AB + "w release b\nv acquire b\nv release b\nv release a",
        stuck("v acquire b w", "w acquire a v"), words="which w holds (since event 1",
    ),
    "deadlock-of-three": Case(
        "deadlock", ERROR, "u acquire a\nv acquire b\nw acquire c", (0, 1, 2),
        # all wait behind one that will end
        "u acquire a\nv acquire b\nw acquire c",
        stuck("u acquire b v", "v acquire c w", "w acquire a u"),
        stuck("u acquire b v", "v acquire c w", kind="unfinished"),
        words="Deadlock: u -> v -> w -> u",
    ),
    "deadlock-with-join": Case(
        "deadlock", ERROR, "v spawn w\nw read y -> 0\nv acquire a", (2, 1),
        "v spawn w\nw acquire a\nw release a\nv join w",
        stuck("v join w w", "w acquire a v"), words="v waits for w to end",
    ),
    "deadlock-cut-off": Case(
        "deadlock", WARNING, AB + "v request b\nw request a", (0, 2, 1, 3),
        # one of them waits with a timeout
        AB + "v request b\nw request a timeout=1",
        Verdict("unfinished"), Verdict("unfinished"),
        words="When the trace was cut off none could go on",
    ),
    "nested-monitor": Case(
        "deadlock", ERROR, "v acquire a\nw read y -> 0\nv wait go", (0, 2, 1),
        "v acquire a\nw set go\nv wait go -> true\nv release a",
        stuck("v wait go", "w acquire a v"), words="nested monitor lockout",
    ),
    "self-deadlock": Case(
        "self-deadlock", ERROR, "v acquire a", (0,), "v acquire r\nv acquire r\nv release r\n"
        "v release r", stuck("v acquire a v"), words="not re-entrant",
    ),
    "self-deadlock-that-raises": Case(
        "self-deadlock", ERROR, 'v acquire a\nv acquire a -> {"error":"RuntimeError"}', (0, 1),
        "v acquire a\nv release a\nv acquire a\nv release a",
        failed("error"), options={"backend": "trio"},
    ),
    "abandoned-lock": Case(
        "abandoned-lock", ERROR, "w read y -> 0\nv acquire a\nv crash .", (1, 2, 0),
        "v acquire a\nv release a\nv crash .", stuck("w acquire a v", kind="crashed"),
        Verdict("crashed"), words="died without releasing it",
    ),
    "abandoned-lock-cancelled": Case(
        "abandoned-lock", ERROR, "v acquire a\nw request a\nv cancelled .", (0, 2, 1),
        "v acquire a\nw request a\nv cancelled .\nv release a\nw acquire a\nw release a",
        stuck("w acquire a v"), words="was cancelled", options={"backend": "asyncio"},
    ),
    "abandoned-lock-nobody-wants": Case(
        "abandoned-lock", NOTE, "v acquire a\nv write x = 1\nw read y -> 0", (0, 1),
        "v acquire a\nv write x = 1\nv release a\nw read y -> 0",
    ),
    "lost-wakeup": Case(
        "lost-wakeup", ERROR,
        "v read ready -> false\nw acquire m\nw write ready = true\nw notify news -> []\n"
        "w release m\nv acquire m\nv wait news", (0, 3, 6),
        # it looks with the lock held: there is just nobody who notifies
        "v acquire m\nv read ready -> false\nv wait news\nw acquire m\nw write ready = true\n"
        "w release m",
        stuck("v wait news"), stuck("v wait news"), words="a notify is not remembered",
    ),
    "lost-wakeup-wrong-waiter": Case(
        "lost-wakeup", ERROR,
        "u acquire m\nu wait news\nv acquire m\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw release m\nu wake news\nu read x -> 1\nu wait news",
        (3, 6, 8, 10),
        # the one that was woken makes use of it
        "u acquire m\nu wait news\nv acquire m\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw release m\nu wake news\nu write x = 0\nu release m",
        stuck("v wait news", "u wait news"), stuck("v wait news"), words="wrong waiter",
    ),
    "lost-wakeup-timed-out-waiter": Case(
        "lost-wakeup", ERROR,
        "u acquire m\nu wait news timeout=1\nv acquire m\nv wait news\nw acquire m\n"
        "w write x = 1\nw notify news -> [0]\nw release m\nu wake news timeout=1 -> false\n"
        "u release m", (3, 6, 8),
        "u acquire m\nu wait news timeout=1\nv acquire m\nv wait news\nw acquire m\n"
        "w write x = 1\nw notify news -> [0]\nw release m\nu wake news timeout=1\n"
        "u write x = 0\nu release m",
        stuck("v wait news"), stuck("v wait news"), words="had run out of time already",
    ),
    "lost-wakeup-cancelled-waiter": Case(
        "lost-wakeup", ERROR,
        "u acquire m\nu wait news\nv acquire m\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw cancel u\nw release m\nu cancelled .", (3, 6, 9),
        "u acquire m\nu wait news\nv acquire m\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [1]\nw cancel u\nw release m\nu cancelled .\nv wake news\n"
        "v release m",
        stuck("v wait news"), words="is cancelled before", options={"backend": "asyncio"},
    ),
    "lost-wakeup-pulse": Case(
        "lost-wakeup", ERROR, "w set go\nw clear go\nv read x -> 0", (0, 1, 2),
        "w set go\nv wait go -> true\nw clear go", stuck("v wait go"), words="A pulse reaches",
    ),
    "lost-wakeup-of-a-permit": Case(
        "lost-wakeup", ERROR,
        "v request signal\nw release signal\nu acquire signal", (0, 1, 2),
        "v request signal\nw release signal\nv acquire signal",
        stuck("v acquire signal"), words="went to another waiter",
    ),
    "lost-wakeup-hidden": Case(
        "lost-wakeup", WARNING,
        "v read ready -> false\nw acquire m\nw write ready = true\nw notify news -> []\n"
        "w release m\nv acquire m\nv wait news timeout=1\nv wake news timeout=1 -> false\n"
        "v release m", (0, 3, 6, 7),
        # the notify was for an earlier state, which it has seen
        "w acquire m\nw write ready = true\nw notify news -> []\nw release m\nv acquire m\n"
        "v read ready -> true\nv wait news timeout=1\nv wake news timeout=1 -> false\nv release m",
        words="hidden by a timeout",
    ),
    "lost-wakeup-hidden-pulse": Case(
        "lost-wakeup", WARNING,
        "w set go\nw clear go\nv wait go timeout=1\nv wake go timeout=1 -> false", (0, 1, 2, 3),
        "w clear go\nw set go\nv wait go timeout=1 -> true", words="hidden by a timeout",
    ),
    "missing-signal": Case(
        "missing-signal", ERROR,
        "v acquire m\nv read x -> 0\nv wait news\nw acquire m\nw write x = 1\nw release m", (4, 2),
        "v acquire m\nv read x -> 0\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw release m\nv wake news\nv release m",
        stuck("v wait news"), words="does not notify",
    ),
    "missing-signal-event": Case(
        "missing-signal", ERROR, "v wait go", (0,), "v wait go\nw set go\nv wake go",
        stuck("v wait go"), words="which nobody sets",
    ),
    "missing-signal-barrier": Case(
        "missing-signal", ERROR, "v wait meet\nw wait meet", (0, 1),
        "v wait meet\nw wait meet\nu wait meet -> true\nv wake meet\nw wake meet",
        stuck("v wait meet", "w wait meet"), words="2 of its 3 parties",
    ),
    "missing-signal-queue": Case(
        "missing-signal", ERROR, "w put q = 1\nv get q -> 1", (0, 1), "w put q = 1\nv get q -> 1",
        stuck("v get q"), words="no producer is left",
    ),
    "missing-signal-full-queue": Case(
        "missing-signal", ERROR, "w put q = 1", (0,), "w put q = 1\nv get q -> 1",
        stuck("w put q"), words="no consumer is left",
    ),
    "missing-signal-permit": Case(
        "missing-signal", ERROR, "w release signal\nu acquire signal\nv read x -> 0", (0, 2),
        "w release signal\nv acquire signal", stuck("v acquire signal"),
        words="that nobody gives",
    ),
    "broken-barrier": Case(
        "broken-barrier", ERROR,
        "v wait meet\nw wait meet timeout=1\nw wake meet timeout=1 -> false\n"
        'v wake meet -> {"error":"BrokenBarrierError"}', (2, 3),
        "v wait meet\nw wait meet\nu wait meet -> true\nv wake meet\nw wake meet",
        failed("error"), words="w ran out of time",
    ),
    "lock-order": Case(
        "lock-order", WARNING,
        "v acquire a\nv acquire b\nv release b\nv release a\n"
        "w acquire b\nw acquire a\nw release a\nw release b", (0, 1, 4, 5),
        "v acquire a\nv acquire b\nv release b\nv release a\n"
        "w acquire a\nw acquire b\nw release b\nw release a",
    ),
    "held-while-waiting": Case(
        "held-while-waiting", NOTE, "v acquire a\nv sleep . = 1\nv release a\nw read x -> 0",
        (0, 1), "v acquire a\nv release a\nv sleep . = 1\nw read x -> 0", words="across a sleep",
    ),
    "held-across-an-await": Case(
        "held-while-waiting", NOTE, "v acquire a\nv checkpoint .\nv release a", (0, 1),
        "v acquire a\nv release a\nv checkpoint .", words="across an await",
        options={"backend": "asyncio"},
    ),
    "held-where-the-signal-needs-it": Case(
        "held-while-waiting", WARNING,
        "w acquire a\nw set go\nw release a\nv acquire a\nv wait go -> true\nv release a",
        (3, 4, 1),
        # the condition's own lock is given up by the wait
        "v acquire m\nv wait news\nw acquire m\nw notify news -> [0]\nw release m\nv wake news\n"
        "v release m", words="needs a first",
    ),
    "held-across-a-join": Case(
        "held-while-waiting", WARNING,
        "v spawn w\nw acquire a\nw release a\nv acquire a\nv join w\nv release a", (3, 4, 1),
        "v spawn w\nw acquire a\nw release a\nv join w\nv acquire a\nv release a",
    ),
    "data-race": Case(
        "data-race", WARNING, "v write x = 1\nw read x -> 1", (0, 1),
        "v acquire a\nv write x = 1\nv release a\nw acquire a\nw read x -> 1\nw release a",
    ),
    "inconsistent-locks": Case(
        "inconsistent-locks", WARNING,
        "v acquire a\nv write x = 1\nv release a\nw acquire b\nw write x = 2\nw release b", (1, 4),
        "v acquire a\nv write x = 1\nv release a\nw acquire a\nw acquire b\nw write x = 2\n"
        "w release b\nw release a", words="Different locks do not keep each other out",
    ),
    "inconsistent-but-ordered": Case(
        "inconsistent-locks", NOTE,
        "v acquire a\nv write x = 1\nv release a\nv spawn w\nw acquire b\nw write x = 2\n"
        "w release b", (1, 5),
        "v write x = 1\nv spawn w\nw acquire b\nw write x = 2\nw release b",
    ),
    "lost-update-that-failed": Case(
        "lost-update", ERROR, "v read x -> 0\nw write x = 5\nv write x = 1", (0, 1, 2),
        # what the other wrote was there already: nothing is lost
        "v read x -> 0\nw write x = 0\nv write x = 1",
        failed("finally", "x == 6 is false"), failed("finally", "x == 6 is false"),
    ),
    "unchecked-wait": Case(
        "unchecked-wait", WARNING,
        "v acquire m\nv read x -> 0 @ look\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw release m\nu acquire m\nu write x = 0\nu release m\nv wake news\n"
        "v write x = 9\nv release m", (1, 2, 8, 10, 11),
        "v acquire m\nv read x -> 0 @ look\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw release m\nu acquire m\nu write x = 0\nu release m\nv wake news\n"
        "v read x -> 1 @ look\nv write x = 9\nv release m",
    ),
    "unchecked-wait-that-failed": Case(
        "unchecked-wait", ERROR,
        "v acquire m\nv read x -> 0 @ look\nv wait news timeout=1\nw acquire m\nw write x = 1\n"
        "w release m\nv wake news timeout=1 -> false\nv read x -> 1 @ use", (1, 2, 4, 6, 7),
        # it lets the lock go and does nothing with what it had seen
        "v acquire m\nv read x -> 0 @ look\nv wait news timeout=1\nw acquire m\nw write x = 1\n"
        "w release m\nv wake news timeout=1 -> false\nv release m",
        failed("assert", at="use", worker=0), failed("assert", at="use", worker=0),
    ),
    "unchecked-wait-of-one": Case(
        "unchecked-wait", NOTE,
        "v acquire m\nv read x -> 0 @ look\nv wait news\nw acquire m\nw write x = 1\n"
        "w notify news -> [0]\nw release m\nv wake news\nv write x = 9\nv release m", (1, 2, 7, 8),
        "v acquire m\nv wait news\nw acquire m\nw write x = 1\nw notify news -> [0]\nw release m\n"
        "v wake news\nv write x = 9\nv release m",
    ),
    "check-outside-lock": Case(
        "check-outside-lock", WARNING,
        "v read x -> 0 @ look\nw acquire a\nw write x = 1\nw release a\nv acquire a\n"
        "v write x = 2\nv release a", (0, 2, 4, 5),
        # it looks once more with the lock held
        "v read x -> 0 @ look\nw acquire a\nw write x = 1\nw release a\nv acquire a\n"
        "v read x -> 1 @ again\nv write x = 2\nv release a",
    ),
    "check-outside-lock-that-failed": Case(
        "check-outside-lock", ERROR,
        "v read x -> 9 @ look\nw acquire a\nw write x = 1\nw release a\nv acquire a\n"
        "v read x -> 1 @ act\nv write x = -8 @ act\nv release a", (0, 2, 4, 6),
        # an update that is whole, in a run in which nothing failed
        "v read x -> 9 @ look\nw acquire a\nw write x = 1\nw release a\nv acquire a\n"
        "v read x -> 1 @ act\nv write x = -8 @ act\nv release a",
        failed("finally", "x >= 0 is false"),
    ),
    "cleared-event": Case(
        "cleared-event", NOTE,
        "w set go\nv wait go -> true\nw write x = 1\nw set go\nv clear go", (1, 3, 4),
        "w set go\nv wait go -> true\nw write x = 1\nw set go\nv clear go\nv read x -> 1",
    ),
    "cleared-event-after-the-look": Case(
        "cleared-event", WARNING,
        "w set go\nv wait go -> true\nw write x = 1\nv read x -> 1\nw write x = 2\nw set go\n"
        "v clear go", (1, 5, 6),
        "w set go\nv wait go -> true\nv clear go\nw write x = 1\nw set go\nv read x -> 1",
    ),
    "exception-in-section": Case(
        "exception-in-section", NOTE,
        "v acquire a\nv write x = 1\nv release a raised=KeyError\nw acquire a\nw read x -> 1",
        (0, 1, 2, 4),
        "v acquire a\nv read x -> 1\nv release a raised=KeyError\nw acquire a\nw read x -> 1",
        words="KeyError",
    ),
    "exception-in-section-that-failed": Case(
        "exception-in-section", ERROR,
        "v acquire a\nv write x = 1\nv release a raised=KeyError\nw acquire a\nw read x -> 1 @ c",
        (0, 1, 2, 4),
        "v acquire a\nv write x = 1\nv release a\nw acquire a\nw read x -> 1 @ c",
        failed("assert", at="c", worker=1), failed("assert", at="c", worker=1),
    ),
    "swallowed-cancellation": Case(
        "swallowed-cancellation", NOTE,
        "v spawn w\nw checkpoint .\nv cancel w swallowed\nw checkpoint . @ got\nw write x = 1",
        (2, 3, 4), "v spawn w\nw checkpoint .\nv cancel w\nw checkpoint . @ got\nw write x = 1",
        options={"backend": "asyncio"},
    ),
    "swallowed-cancellation-that-failed": Case(
        "swallowed-cancellation", ERROR,
        "v spawn w\nw checkpoint .\nv cancel w swallowed\nw checkpoint . @ got\nw write x = 1\n"
        "v join w\nv read x -> 1 @ c", (2, 3, 4),
        "v spawn w\nw checkpoint .\nv cancel w\nw write x = 1\nv join w\nv read x -> 1 @ c",
        failed("assert", at="c", worker=0), failed("assert", at="c", worker=0),
        options={"backend": "asyncio"},
    ),
    "never-awaited": Case(
        "never-awaited", WARNING, "v spawn w !\nw checkpoint . !\nv checkpoint . !1", (0, 2),
        "v spawn w !\nw checkpoint . !\nv join w !",
        options={"backend": "asyncio", "enabled": True},
    ),
    "never-awaited-that-failed": Case(
        "never-awaited", ERROR, "v spawn w !\nw checkpoint . !\nv read x -> 0 @ c !1", (0, 2),
        # it has ended by then
        "v spawn w !\nw checkpoint . !\nv read x -> 0 @ c !",
        failed("assert", at="c", worker=0), failed("assert", at="c", worker=0),
        options={"backend": "asyncio", "enabled": True},
    ),
    "await-with-lock": Case(
        "await-with-lock", WARNING, "v acquire a\nv checkpoint .\nv release a", (0, 1),
        "v acquire b\nv checkpoint .\nv release b",
        options={"backend": "asyncio", "scenario": {"python": {"blocking": ["a"]}}},
    ),
    "await-with-lock-for-ever": Case(
        "await-with-lock", ERROR, "v acquire a\nw checkpoint .", (0, 1),
        "v acquire a\nw checkpoint .",
        stuck("v checkpoint loop", "w acquire a v"), stuck("w acquire a v"),
        options={"backend": "asyncio"},
    ),
    "interference": Case(
        "interference", ERROR,
        "v write x = 1 !\nw read x -> 1 !0\nw write y = 1 !0\nv read y -> 1 !",
        (0, 1, 2, 3), "v write x = 1 !\nw read z -> 1 !0\nw write z = 1 !0\nv read y -> 1 !",
        failed("finally"), failed("finally"), options={"enabled": True},
    ),
    "lost-update": Case(
        "lost-update", WARNING, "v read x -> 0\nw write x = 5\nv write x = 1", (0, 1, 2),
        "v read x -> 0\nv write x = 1\nv spawn w\nw write x = 5",
    ),
    "check-then-act": Case(
        "check-then-act", WARNING,
        "v read free -> 1 @ s\nv write sold = 1 @ s.then[0]\nw write free = 0", (0, 2, 1),
        "v acquire a\nv read free -> 1 @ s\nv write sold = 1 @ s.then[0]\nv release a\n"
        "w acquire a\nw write free = 0\nw release a",
    ),
    "check-then-act-that-failed": Case(
        "check-then-act", ERROR,
        "v read free -> 1 @ s\nw write free = 0\nv write sold = 1 @ s.then[0]", (0, 1, 2),
        "v read free -> 1 @ s\nv write sold = 1 @ s.then[0]",
        failed("always", "sold is 1"), failed("always", "sold is 1"),
    ),
    "atomicity-violation": Case(
        "atomicity-violation", WARNING,
        "v acquire a\nv read x -> 0\nw write x = 5\nv read x -> 5\nv release a", (1, 2, 3),
        "v acquire a\nv read x -> 0\nw read x -> 0\nv read x -> 0\nv release a",
        words="with a held all the while",
    ),
    "dirty-read": Case(
        "atomicity-violation", WARNING,
        "v acquire a\nv write x = 1\nw read x -> 1\nv write x = 2\nv release a", (1, 2, 3),
        "v acquire a\nv write x = 1\nv release a\nw read x -> 1\nv acquire a\nv write x = 2\n"
        "v release a",
    ),
    "aba": Case(
        "aba", NOTE,
        "v read top -> 1\nw write top = 2\nw write top = 1\nv compare_exchange top = 3 -> true",
        (0, 2, 3),
        "v read top -> 1\nw write top = 2\nv compare_exchange top = 3 -> false",
    ),
    "order-violation": Case(
        "order-violation", ERROR, "v read x -> 0 @ check\nw write x = 1", (0, 1),
        "w write x = 1\nw spawn v\nv read x -> 0 @ check",
        failed("assert", at="check", worker=0), failed("assert", at="check", worker=1),
        options={"backend": "asyncio"},
    ),
    "release-by-another": Case(
        "release-by-another", NOTE, "v acquire a\nw release a", (0, 1),
        "v acquire a\nv release a\nw acquire a\nw release a",
    ),
    "release-by-another-that-raises": Case(
        "release-by-another", ERROR, 'v acquire a\nw release a -> {"error":"RuntimeError"}',
        (0, 1), "w release signal\nv acquire signal", failed("error"),
    ),
    "bad-release": Case(
        "bad-release", ERROR,
        'v acquire a\nv release a\nv release a -> {"error":"RuntimeError"}', (1, 2),
        "v acquire a\nv release a", failed("error"),
    ),
    "bad-release-of-permits": Case(
        "bad-release", ERROR,
        'v acquire pool\nv release pool\nv release pool -> {"error":"ValueError"}', (1, 2),
        "v acquire pool\nv acquire pool\nv release pool n=2", failed("error"),
        words="more permits of pool",
    ),
    "useless-lock": Case(
        "useless-lock", NOTE,
        "v acquire a\nv write x = 1\nv release a\nw acquire a\nw write y = 1\nw release a", (0, 3),
        "v acquire a\nv write x = 1\nv release a\nw acquire a\nw write x = 1\nw release a",
    ),
    "useless-lock-of-one": Case(
        "useless-lock", NOTE, "v acquire a\nv write x = 1\nv release a\nw write y = 1", (0,),
        # it guards an order of other things
        "v acquire a\nv put q = 1\nv release a\nw write y = 1", words="Only v ever takes a",
    ),
    "timeout-only": Case(
        "timeout-only", NOTE, "w acquire a\nv acquire a timeout=1 -> false\nw release a", (1,),
        # it asked without waiting at all
        "w acquire a\nv acquire a timeout=0 -> false\nw release a",
        words="w held it (since event 0)",
    ),
    "starvation": Case(
        "starvation", NOTE,
        "w acquire a\nv acquire a timeout=0 -> false\nw release a\nw acquire a\n"
        "v acquire a timeout=0 -> false\nw release a", (1, 4, 0, 3),
        "w acquire a\nv acquire a timeout=0 -> false\nw release a\nw acquire a\n"
        "v acquire a timeout=0 -> false\nw release a\nv acquire a\nv release a",
    ),
    "starvation-passed-over": Case(
        "starvation", NOTE,
        "w acquire a\nv request a\n" + "w release a\nw acquire a\n" * 5
        + "w release a\nv acquire a\nv release a", (1, 3, 11),
        "w acquire a\nv request a\n" + "w release a\nv acquire a\nv release a\nw acquire a\n"
        + "w release a",
        words="passed over 5 times",
    ),
    "unfair-handover": Case(
        "unfair-handover", NOTE,
        "w acquire a\nv read x -> 0\nw release a\nw acquire a\nw release a\n"
        "v acquire a waited=3\nv release a", (1, 2, 3),
        "w acquire a\nv read x -> 0\nw release a\nv acquire a waited=1\nv release a\nw acquire a\n"
        "w release a",
    ),
    "unfair-handover-controlled": Case(
        "unfair-handover", WARNING,
        "w acquire a !1\nv set go !0\nw wait go -> true !\nw release a !\nw acquire a !1\n"
        "w read x -> 0 !", (1, 3, 4),
        "w acquire a !1\nv set go !0\nw wait go -> true !1\nw release a !1\nw acquire a !1\n"
        "w read x -> 0 !1",
        failed("assert"), failed("assert"), options={"enabled": True},
    ),
    "contention": Case(
        "contention", NOTE, "w acquire a\nw release a\nv acquire a waited=1\nv release a", (0, 2),
        "w acquire a\nw release a\nv acquire a\nv release a", words="1 of 2",
    ),
    "database-lost-update": Case(
        "database-lost-update", ERROR,
        READ_T + SET_T + f"v write d = {sql('v#1: UPDATE t SET n = 1')}", (0, 1, 2),
        READ_T + SET_T + f"v write d = {sql('v#1: UPDATE t SET n = n + 1')}",
        failed("finally"), failed("finally"), words="what w has written is lost",
    ),
    "database-lost-update-of-a-transaction": Case(
        "database-lost-update", WARNING,
        READ_T + SET_T + OPEN + COMMIT, (0, 1, 2, 3),
        READ_T + SET_T + OPEN + f"v write d = {sql('v#1: ROLLBACK')}",
    ),
    "write-skew": Case(
        "write-skew", ERROR,
        READ_T + f"w read d -> {sql('w#1: SELECT n FROM t')}\n" + LEAVE_2 + LEAVE_1, (0, 1, 2, 3),
        f"w read d -> {sql('w#1: SELECT n FROM t')}\n" + LEAVE_2 + READ_T + LEAVE_1,
        failed("finally"), failed("finally"), words="each of the two is right",
    ),
    "not-synced": Case(
        "not-synced", ERROR,
        "w write disk\nw write disk\n"
        f"w choose crash -> 1 chosen={sql(CRASHED)}", (2,),
        f"w write disk\nw write disk\nw choose crash -> 0 chosen={sql(told([], []))}",
        failed("finally"), failed("finally"), words="has to come after a sync",
    ),
    "short-read": Case(
        "short-read", ERROR, f"w read d -> 1\nw choose {BYTES} -> 1 chosen={sql('one byte')}", (1,),
        f"w read d -> 1\nw choose {BYTES} -> 0 chosen={sql('all that has come')}",
        failed("finally"), failed("finally"), words="keeps no borders",
    ),
    "network-fault": Case(
        "network-fault", ERROR,
        f"w read d -> 1\nw choose {sql('fault of the network')} -> 0 chosen={sql('reset')}", (1,),
        "w read d -> 1", failed("finally"), failed("finally"), words="may do that at any time",
    ),
    "stale-read": Case(
        "stale-read", ERROR,
        READ_T + f"w write d = {sql('w#1: DELETE FROM t')}\n"
        f"v write d = {sql('v#1: INSERT INTO u VALUES (1)')}", (0, 1, 2),
        READ_T + f"v write d = {sql('v#1: INSERT INTO u VALUES (1)')}\n"
        f"w write d = {sql('w#1: DELETE FROM t')}",
        failed("finally"), failed("finally"), words="is not so any more",
    ),
    "database-locked": Case(
        "database-locked", ERROR,
        OPEN + f"w write d = {sql('w#1: UPDATE t SET n = 2 (database is locked)')}", (0, 1),
        OPEN + COMMIT + f"w write d = {sql('w#1: UPDATE t SET n = 2')}",
        failed("error", "OperationalError: database is locked", worker=1), Verdict("passed"),
        words="v holds the write lock by `UPDATE t SET n = 1`",
    ),
    "open-transaction": Case(
        "open-transaction", WARNING, OPEN + "w read x -> 0\n" + COMMIT, (0, 1),
        OPEN + COMMIT + "w read x -> 0", options={"backend": "asyncio"},
    ),
    "worker-error": Case(
        "worker-error", ERROR, "v read x -> 0 @ s", (0,), "v read x -> 0 @ s",
        failed("error", "KeyError: 'k'", at="s", worker=0), words="KeyError",
    ),
    "failed-check": Case(
        "failed-check", ERROR, "v write x = 1\nw write x = 2", (0, 1), "v write x = 1",
        failed("finally", "x == 1 is false: x is 2", at="finally[0]"),
    ),
    "crash": Case(
        "crash", ERROR, "v crash .", (0,), "v read x -> 0",
        Verdict("crashed", message="v died (crash) holding nothing"),
    ),
    "unfinished": Case(
        "unfinished", NOTE, "v read x -> 0", (), "v read x -> 0", Verdict("unfinished"),
    ),
}  # fmt: skip


def of(analysis: Analysis, kind: str) -> list[Finding]:
    return [one for one in analysis if one.kind == kind]


def test_every_kind_has_its_cases() -> None:
    assert {case.kind for case in CASES.values()} == set(KINDS) == set(CURES)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_bad_trace_has_it_and_the_good_one_has_not(case: Case) -> None:
    bad = analyze(trace_of(case.bad, OBJECTS, verdict=case.end, **case.options))
    found = of(bad, case.kind)
    assert found, [(one.kind, one.title) for one in bad]
    fits = [one for one in found if one.events == case.events]
    assert fits, [one.events for one in found]
    assert fits[0].severity == case.severity
    assert case.words in fits[0].title + fits[0].explanation, fits[0].explanation
    good = analyze(trace_of(case.good, OBJECTS, verdict=case.good_end, **case.options))
    assert of(good, case.kind) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_explanation_says_what_to_do_and_what_happened(case: Case) -> None:
    for one in analyze(trace_of(case.bad, OBJECTS, verdict=case.end, **case.options)):
        assert one.explanation.endswith((".", ")")), one.explanation
        assert one.explanation.count(". ") >= 1, one.explanation
        assert not one.title.endswith("."), one.title
        assert len(one.title) <= 120, one.title


# --- the root ----------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_that_failed_has_one_root_and_no_other_has_an_error(case: Case) -> None:
    for text, end in ((case.bad, case.end), (case.good, case.good_end)):
        found = analyze(trace_of(text, OBJECTS, verdict=end, **case.options))
        roots = [one for one in found if one.root]
        assert [one.rank for one in found] == list(range(len(found)))
        if end is None or end.kind in ("passed", "unfinished"):
            assert roots == []
            assert [one for one in found if one.severity == ERROR] == []
        else:
            assert roots == list(found)[:1]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_finding_has_a_diagnosis_a_cure_and_places(case: Case) -> None:
    trace = trace_of(case.bad, OBJECTS, verdict=case.end, **case.options)
    for one in analyze(trace):
        for sentence in (one.diagnosis, one.cure):
            assert sentence and "\n" not in sentence and not sentence.endswith("."), sentence
            assert sentence.count(". ") == 0, sentence
        assert len(set(one.places)) == len(one.places)
        assert {trace.events[seq].at for seq in one.events} <= set(one.places)


def test_what_the_failure_does_not_depend_on_is_no_error() -> None:
    """A lost update of a counter that the failed check never hears of."""
    text = "u read n -> 0\nw write n = 5\nu write n = 1\nv read x -> 0 @ c"
    found = analyze(trace_of(text, OBJECTS, verdict=failed("assert", at="c", worker=2)))
    assert found[0].kind == "failed-check" and found[0].root
    assert {one.severity for one in of(found, "lost-update")} == {WARNING}
    text = "u read n -> 0\nw write n = 5\nu write n = 1\nv read n -> 1 @ c"
    found = analyze(trace_of(text, OBJECTS, verdict=failed("assert", at="c", worker=2)))
    assert (found[0].kind, found[0].severity, found[0].root) == ("lost-update", ERROR, True)


def test_the_nearer_cause_is_the_root() -> None:
    """Two lost updates in one trace: the one whose variable was judged."""
    lost = "u read {0} -> 0\nw write {0} = 5\nu write {0} = 1\n"
    text = lost.format("y") + lost.format("x") + lost.format("z") + "v read x -> 1 @ c"
    found = analyze(trace_of(text, OBJECTS, verdict=failed("assert", at="c", worker=2)))
    assert (found[0].kind, found[0].targets) == ("lost-update", ("x",))


def test_places_name_who_called_the_standard_library() -> None:
    text = "v read d -> 0 @ weakref.py:9\nw write d = 1 @ app.py:5\nv write d = 2 @ weakref.py:8"
    trace = trace_of(text, scenario={"python": {}}, verdict=failed("finally"))
    trace.events.extras[0] = {"by": "app.py:3"}
    trace.events.extras[2] = {"by": "app.py:4"}
    root = analyze(trace)[0]
    assert root.kind == "check-then-act"
    assert root.places == ("app.py:3", "app.py:5", "app.py:4", "weakref.py:9", "weakref.py:8")
    assert "called at app.py:3" in root.explanation


def test_each_fault_of_the_network_has_a_cure() -> None:
    assert set(FAULTS) == set(FAULT_KINDS)
