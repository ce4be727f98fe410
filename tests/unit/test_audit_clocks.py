"""What calls are given of time, and what may be given to them instead."""

from __future__ import annotations

from typing import Any

from tracelock.audit.bench import ClientRun
from tracelock.audit.clocks import AFTER, CallClocks, CallTime, matter, others, waits_of
from tracelock.audit.judging import Anomaly, Judge
from tracelock.ops import ACQUIRE, EMPTY, GET, TIMEOUT, WAKE, Op

SECOND = 1_000_000_000


def test_a_call_is_shown_what_it_is_given_and_later_times_as_it_sleeps() -> None:
    clocks = CallClocks(((3, CallTime(2 * SECOND, (2 * SECOND, 7 * SECOND))),))
    assert clocks.show(0, 5) == 5  # nobody is at work
    clocks.begins(0, 3, 10.0)
    assert clocks.show(0, 10 * SECOND) == 2 * SECOND
    assert clocks.show(1, 10 * SECOND) == 10 * SECOND  # somebody else
    assert clocks.show(0, 11 * SECOND) == 7 * SECOND
    assert clocks.show(0, 13 * SECOND) == 9 * SECOND  # two seconds of its own later
    clocks.ends(0)
    clocks.begins(1, AFTER, 13.0)
    assert clocks.show(0, 13 * SECOND) == 13 * SECOND
    assert dict(clocks.times())[3].readings == (2 * SECOND, 7 * SECOND, 9 * SECOND)


def test_waits_that_end_by_their_timeout_are_those_of_one_call() -> None:
    def event(worker: int, kind: int, seen: Any, timeout: float | None) -> Any:
        return worker, kind, Op(kind, 0, "", timeout=timeout), seen, (worker,), 0.0

    log = [
        event(0, ACQUIRE, False, 1.0), event(0, ACQUIRE, True, 1.0), event(1, ACQUIRE, False, 1.0),
        event(0, ACQUIRE, False, 0.0), event(0, TIMEOUT, None, 1.0), event(0, WAKE, False, 1.0),
        event(0, GET, EMPTY, 2.0), event(0, ACQUIRE, False, None),
    ]  # fmt: skip
    assert waits_of(log, 0, 0, None) == [True, False, True, True]
    assert waits_of(log, 0, 1, 5) == [False]


def test_time_that_stands_still_need_not_be_given() -> None:
    assert not matter(())
    assert not matter(((0, CallTime(0, (0, 0))), (1, CallTime(0, (), (False,)))))
    assert not matter(((0, CallTime(0)), (1, CallTime(SECOND))))  # nobody looks
    assert matter(((0, CallTime(0, (0,))), (1, CallTime(SECOND))))  # it might, in an order
    assert matter(((0, CallTime(0, (0, 0))), (1, CallTime(SECOND, (SECOND,)))))
    assert matter(((0, CallTime(0, (), (False, True))),))


def test_who_looks_at_the_clock_less_often_may_be_shown_any_of_its_times() -> None:
    seen = ((0, CallTime(0, (0, 5))), (1, CallTime(0, (0,))))
    assert others(seen, [seen]) == []
    less = ((0, CallTime(0, (0,))), (1, CallTime(9, (9,))))
    found = others(seen, [seen, less])
    assert found is not None
    assert {dict(one)[0].readings for one in found} == {(0,), (5,), (0, 5)}
    assert {dict(one)[1] for one in found} == {seen[1][1]}
    assert others(seen, [((0, CallTime(0, (0, 1, 5))),)]) is None  # what else would it have seen?
    still = ((0, CallTime(3, (3, 3))),)
    assert others(still, [((0, CallTime(3, (3, 3, 3, 3))),)]) == []
    waited = ((0, CallTime(0, (), (True,))),)
    assert others(waited, [((0, CallTime(0)),)]) is None
    long = ((0, CallTime(0, tuple(range(9)))),)
    assert others(long, [((0, CallTime(0, (0,))),)]) is None  # too many


def test_what_time_may_explain_is_not_told_as_wrong() -> None:
    """But for an exception that no want of time makes right."""

    class Unexplained(Judge):
        def judged(self, run: ClientRun) -> Anomaly | None:
            return Anomaly("no order", "explains it")

        def whole(self, run: ClientRun) -> tuple[Any, ...]:
            return ()

    def judge(expired: bool, *result: Any) -> Judge:
        nothing: Any = None
        judge = Unexplained(nothing, nothing, nothing, nothing)
        judge._explained(ClientRun({0: result}, timed=True, expired=expired))
        return judge

    for kept in (judge(True, "returns", 1), judge(True, "raises", "TimeoutError")):
        assert kept.anomaly is None
        assert "not judged" in " ".join(kept.reasons())
    for told in (judge(False, "returns", 1), judge(True, "raises", "KeyError")):
        assert told.anomaly is not None
        assert not told.reasons()
