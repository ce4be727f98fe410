"""How a run ended, in the terms of the trace format."""

from __future__ import annotations

from collections.abc import Sequence
from signal import Signals
from typing import Any, Final, Protocol

from tracelock.engine.controller import Controller
from tracelock.engine.recording import target_name
from tracelock.engine.state import Entry
from tracelock.errors import StepFailure
from tracelock.objects import Model
from tracelock.ops import JOIN, NAMES, ON_VARIABLE, Layout, Op, Value
from tracelock.trace import Blocked, Verdict
from tracelock.trace import story as story

#: Steps at the end of a schedule in which a loop that goes round is looked for.
TAIL: Final = 400
#: Steps before a bound that are looked at, and the places that tasks may be at in a livelock.
ROUNDS: Final = 600
PLACES: Final = 6


#: How it is told that the process stood still, in a call that nothing in Python ends.
STUCK: Final = "stuck in C"


def signal_name(number: int) -> str:
    """What a signal is called."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


class EndOfProcess(str):
    """How the process ended in which all workers ran, as a whole phrase; see ``crashed``."""

    @classmethod
    def by_exit(cls, status: int) -> EndOfProcess:
        """It has ended itself."""
        return cls(f"the process died: exit status {status}")

    @classmethod
    def by_signal(cls, number: int) -> EndOfProcess:
        """A signal has ended it."""
        return cls(f"the process was killed by {signal_name(number)}")


class StateCheck(Protocol):
    """One expression of ``always`` or ``finally``, on the values of all shared variables."""

    text: str
    at: str

    def holds(self, values: Sequence[Value]) -> bool: ...

    def explain(self, values: Sequence[Value]) -> str: ...


def first_failure(
    checks: Sequence[StateCheck], failure: str, values: Sequence[Value]
) -> StepFailure | None:
    """The first of ``checks`` that does not hold, as a failure of that kind; None: all hold."""
    for check in checks:
        try:
            if not check.holds(values):
                return StepFailure(failure, check.explain(values), check.at)
        except StepFailure as error:
            return StepFailure(failure, f"{check.text}: {error.message}", check.at)
    return None


def state_of(layout: Layout, values: Sequence[Value]) -> dict[str, Any]:
    """The shared variables by their declared names, arrays as lists."""
    state: dict[str, Any] = {}
    for name, (first, length) in layout.arrays.items():
        if first < layout.variables or (length == 0 and first == layout.variables):
            state[name] = values[first] if length is None else list(values[first : first + length])
    return state


def blocked_of(
    layout: Layout,
    pending: dict[int, Op],
    models: Sequence[Model | None],
    waiting: Sequence[bool] = (),
) -> list[Blocked]:
    """What each of these workers waits for, and who holds it."""
    blocked = []
    for worker, op in sorted(pending.items()):
        target = target_name(layout, op.kind, op) or ""
        holders: tuple[int, ...] = ()
        if op.kind == JOIN:
            holders = (op.target,)
        elif 0 <= op.target < len(models) and op.kind not in ON_VARIABLE:
            model = models[op.target]
            holders = model.holders() if model is not None else ()
            spec = layout.spec(op.target)
            parked = worker in model.waiters() if model is not None else False
            if spec.type == "condition" and not parked and waiting and waiting[worker]:
                # notified, or out of time: what it waits for now is the condition's lock
                lock = models[spec.lock]
                holders = lock.holders() if lock is not None else ()
        blocked.append(
            Blocked(
                layout.workers[worker].name,
                NAMES[op.kind],
                target,
                op.at,
                [layout.workers[holder].name for holder in holders],
            )
        )
    return blocked


def spinning(layout: Layout, log: Sequence[Entry]) -> str:
    """Who goes round in a loop at the end of ``log``, and where, "" where somebody gets on: each
    worker's last steps repeat themselves, with the same results."""
    steps: dict[int, list[tuple[Any, ...]]] = {}
    for worker, kind, op, result, _, _ in log[-TAIL:]:
        step = (op.at, kind, op.target, repr(op.value), repr(result))
        steps.setdefault(worker, []).append(step)
    told = []
    for worker, own in sorted(steps.items()):
        period = next((p for p in range(1, len(own) // 3) if own[p:] == own[:-p]), 0)
        if not period:
            return ""
        places = ", ".join(sorted({step[0] for step in own[:period]}))
        told.append(f"{layout.workers[worker].name} goes round at {places}")
    return "; ".join(told)


def going_round(controller: Controller) -> str:
    """Which tasks went round and round until a bound on steps was reached, "" where none did."""
    last = {(entry[0], entry[1], entry[2].at) for entry in controller.log[-ROUNDS:]}
    if len(last) > PLACES:
        return ""
    workers = controller.layout.workers
    places = ", ".join(f"{workers[number].name} at {at}" for number, _, at in sorted(last))
    return f": a livelock, as it seems: nothing came but {places}, again and again"


def verdict_of(controller: Controller, finally_: Sequence[StateCheck]) -> Verdict:
    """The verdict of the schedule that ``controller`` has just ended.

    A failure comes before all else, the first one; then a crash, a bound that was hit, a
    deadlock, and last what must hold when every worker has ended.
    """
    layout = controller.layout
    state = state_of(layout, controller.values)
    pending = {
        worker: op for worker in controller.active if (op := controller.pending[worker]) is not None
    }
    blocked: list[Blocked] = []
    if controller.limit is None and pending:
        blocked = blocked_of(layout, pending, controller.models, controller.waiting)
    held = held_by(layout, controller.models, [worker for worker, _ in controller.crashed])
    verdict = judge(
        layout, state, blocked, controller.failure, controller.crashed, held, controller.limit,
        lambda: first_failure(finally_, "finally", controller.values),
    )  # fmt: skip
    remarks = controller.remarks
    if remarks and verdict.kind == "deadlock":
        waited = dict.fromkeys(op.target for op in pending.values() if op.kind != JOIN)
        about = [remarks[target] for target in waited if target in remarks]
        verdict.message = "; ".join([verdict.message, *about])
    if controller.heard and verdict.kind != "passed":
        verdict.message = "; ".join([verdict.message, *controller.heard])
    return verdict


def held_by(
    layout: Layout, models: Sequence[Model | None], workers: Sequence[int]
) -> dict[int, list[str]]:
    """The objects that each of these workers holds."""
    held: dict[int, list[str]] = {worker: [] for worker in workers}
    for number, model in enumerate(models):
        if model is not None:
            for worker in model.holders():
                if worker in held:
                    held[worker].append(layout.names[number])
    return held


def judge(
    layout: Layout,
    state: dict[str, Any],
    blocked: list[Blocked],
    failure: tuple[int, StepFailure] | None,
    crashed: Sequence[tuple[int, str]],
    held: dict[int, list[str]],
    limit: str | None,
    at_end: Any,
) -> Verdict:
    """Put a verdict together; ``at_end()`` gives the failure of the ``finally`` part or None."""
    if failure is not None:
        worker, error = failure
        where = worker if worker >= 0 and error.failure in ("assert", "error") else None
        return Verdict(
            "failed", error.failure, error.message, state, blocked, at=error.at, worker=where
        )
    if crashed:
        parts = []
        for worker, how in crashed:
            if isinstance(how, EndOfProcess):
                parts.append(f"{how}, in {layout.workers[worker].name}" if worker >= 0 else how)
                continue
            holding = ", ".join(held.get(worker, [])) or "nothing"
            parts.append(f"{layout.workers[worker].name} died ({how}) holding {holding}")
        if blocked:
            parts.append(story(blocked))
        return Verdict("crashed", None, "; ".join(parts), state, blocked)
    if limit is not None:
        return Verdict("unfinished", None, limit, state, blocked)
    if blocked:
        return Verdict("deadlock", None, story(blocked), state, blocked)
    error_at_end = at_end()
    if error_at_end is not None:
        return Verdict("failed", "finally", error_at_end.message, state, at=error_at_end.at)
    return Verdict("passed", None, "", state)
