"""From what a free run left behind to its events and its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tracelock.engine.effects import change
from tracelock.engine.linearise.history import FreeRun
from tracelock.engine.linearise.order import Linear, linearise
from tracelock.engine.recording import record_columns
from tracelock.engine.verdicts import StateCheck, blocked_of, first_failure, judge, state_of
from tracelock.errors import InternalError, LimitReached, StepFailure
from tracelock.objects import Rules
from tracelock.ops import ATOMIC, READ, WRITE, Layout, Value
from tracelock.trace import Events, Verdict

#: The last ns of a run that was stopped anywhere that are tried to be left out.
LOST: Final = tuple(int(1e6 * ms) for ms in (1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 2000))


def finish_free_run(
    layout: Layout,
    rules: Rules,
    always: Sequence[StateCheck],
    finally_: Sequence[StateCheck],
    left: FreeRun,
    follow: Callable[[Events, Verdict], Verdict],
) -> tuple[Events | None, Verdict]:
    """The events of a free run in one true order (None if it was not recorded), and its verdict.

    ``follow(events, verdict)`` executes them again on the models, for what only the models know:
    who holds what when a run is deadlocked, or a worker died. Raises InternalError where there
    is no order that the objects accept.
    """
    values = [cell[-1][0] for cell in left.cells]
    state = state_of(layout, values)
    if not left.recorded:
        failure = left.failures[0] if left.failures else None
        ended = (failure[0], failure[2]) if failure is not None else None
        return None, _judge(layout, state, ended, left, finally_, values)
    linear = _linear(layout, rules, left)
    # the record is in the columns now; a long run's need not be there twice
    left.logs, left.cells = [], []
    events = _events(layout, linear, left)
    ended = earliest(linear, left.failures, always, layout)
    verdict = _judge(layout, state, ended, left, finally_, values)
    if left.blocked or left.crashed:
        verdict = follow(events, verdict)
    return events, verdict


def events_so_far(layout: Layout, rules: Rules, left: FreeRun) -> Events:
    """The events of a run whose workers were stopped anywhere, in one true order.

    What has happened and is not recorded yet may be what a recorded event depends on: then the
    last moments are left out, as many as have to be.
    """
    last = max((log[-1][3] for log in left.logs if len(log)), default=left.start)
    for lost in (*LOST, last):
        try:
            return _events(layout, _linear(layout, rules, left), left)
        except (InternalError, LimitReached):
            if left.order is not None:
                raise
            left.until(last - lost)
    return Events()


def _linear(layout: Layout, rules: Rules, left: FreeRun) -> Linear:
    if left.order is not None:
        return in_order(left.logs, left.order)
    return linearise(left.logs, left.cells, layout, rules)


def _events(layout: Layout, linear: Linear, left: FreeRun) -> Events:
    return record_columns(
        layout, linear.worker, linear.kind, linear.op, linear.result, linear.t, left.start,
        left.waits or [{} for _ in layout.workers],
    )  # fmt: skip


def _judge(
    layout: Layout,
    state: dict[str, Any],
    failure: tuple[int, StepFailure] | None,
    left: FreeRun,
    finally_: Sequence[StateCheck],
    values: list[Value],
) -> Verdict:
    blocked = blocked_of(layout, left.blocked, [])
    return judge(
        layout, state, blocked, failure, left.crashed, {}, left.limit,
        lambda: first_failure(finally_, "finally", values),
    )  # fmt: skip


def in_order(logs: Sequence[Sequence[Any]], order: Sequence[tuple[int, int]]) -> Linear:
    """The columns of a run whose order is known already."""
    linear = Linear()
    for worker, number in order:
        kind, op, result, t, _ = logs[worker][number]
        if kind == READ and result.__class__ is tuple:
            result = result[0]
        linear.add(worker, kind, op, result, t)
    return linear


def earliest(
    linear: Linear,
    failures: Sequence[tuple[int, int, StepFailure]],
    always: Sequence[StateCheck],
    layout: Layout,
) -> tuple[int, StepFailure] | None:
    """The first failure in the order of the events: a worker's own, or a state that may not be."""
    found: list[tuple[int, int, StepFailure]] = []
    if failures:
        seen = [0] * len(layout.workers)
        # a worker fails right after the last event it had recorded
        due = {(worker, count): error for worker, count, error in failures}
        for worker, count, error in failures:
            if count == 0:
                found.append((-1, worker, error))
        for place, worker in enumerate(linear.worker):
            seen[worker] += 1
            failed = due.get((worker, seen[worker]))
            if failed is not None:
                found.append((place, worker, failed))
    if always:
        broken = first_broken(linear, always, layout)
        if broken is not None:
            found.append(broken)
    if not found:
        return None
    # at one and the same event the state is looked at before the worker goes on
    place, worker, error = min(found, key=lambda one: (one[0], one[2].failure != "always"))
    return worker, error


def first_broken(
    linear: Linear, always: Sequence[StateCheck], layout: Layout
) -> tuple[int, int, StepFailure] | None:
    """The first event after which an ``always`` expression is false: place, worker, failure."""
    values = list(layout.initial)
    error = first_failure(always, "always", values)
    if error is not None:
        return -1, -1, error
    rows = zip(linear.worker, linear.kind, linear.op, linear.result, strict=True)
    for place, (worker, kind, op, result) in enumerate(rows):
        if kind > ATOMIC or kind == READ:
            continue
        if kind == ATOMIC:
            for number, value in result["writes"].items():
                values[number] = value
        elif kind == WRITE:
            values[op.target] = op.value
        else:
            change(op, values)
        error = first_failure(always, "always", values)
        if error is not None:
            return place, worker, error
    return None
