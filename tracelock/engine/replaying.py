"""Replay: a scheduler that reads a trace, and an observer that compares every event with it.

Nothing is guessed. At the first event whose worker, op, target or result differs the replay stops
with a :class:`Divergence` that says what was expected, what came, and who could have run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.recording import (
    COUNTS,
    result_of,
    target_name,
    value_of,
)
from tracelock.errors import Divergence, ImpossibleHere
from tracelock.objects import Rules
from tracelock.ops import (
    ACQUIRE,
    CALL,
    CHECKPOINT,
    CHOOSE,
    COMPARE_EXCHANGE,
    CRASH,
    GET,
    NAMES,
    PUT,
    REQUEST,
    TIMEOUT,
    WAIT,
    Layout,
    Op,
    Value,
)
from tracelock.schedulers.base import OPTION, TIMER, WAITER, Choice, OneSchedule
from tracelock.trace import MISSING, Event, Verdict, frozen

#: Ops of a trace that another backend may not have: they only say how a task queued.
SILENT: Final = frozenset({NAMES[REQUEST]})


class EndOfTrace(Exception):
    """The trace has no more events and its verdict says that the run was cut there."""


class Replay(OneSchedule):
    """Follows one trace under the rules of one backend: let it ``follow`` its controller.

    ``foreign``: the trace was recorded on another backend; its ``request`` events are followed
    only where these rules have such events too. ``changed``: what is not what it was when the trace
    was recorded, so that not all of it has to be the same.
    """

    name = "replay"
    changed: frozenset[str] = frozenset()

    @property
    def roughly(self) -> bool:
        """Whether it is enough that the run ends with the same kind of verdict."""
        return bool(self.changed)

    def __init__(
        self,
        events: Sequence[Event],
        verdict: Verdict,
        layout: Layout,
        rules: Rules,
        *,
        foreign: bool = False,
    ) -> None:
        self.layout = layout
        self.rules = rules
        self.foreign = foreign
        self.verdict = verdict
        self.events = [event for event in events if not (foreign and event.op in SILENT)]
        self.position = 0
        self._chosen: list[int] = []
        self.controller: Controller | None = None

    def check_end(self) -> None:
        """Raises Divergence where the run ended before the trace did."""
        if self.position < len(self.events):
            event = self.events[self.position]
            raise Divergence(
                event.seq, self._shown(event), "the end of the run", "nobody can go on here"
            )

    def remarks(self) -> list[str]:
        """What there is to say of the replay besides how it ended."""
        return []

    def follow(self, controller: Controller) -> None:
        """Compare every event of ``controller`` with the trace."""
        self.controller = controller
        controller.observer = self.observe
        cut = self.verdict.kind == "unfinished"
        if cut or any(self._killed(event) for event in self.events):
            controller.before = self._step_begins

    @staticmethod
    def _killed(event: Event) -> bool:
        """Whether this is a death that came from outside: a step's own has no value."""
        return event.op == NAMES[CRASH] and isinstance(event.value, str)

    def _step_begins(self, controller: Controller) -> None:
        self._kill(controller)
        # where only one can go on nobody is picked, who would be told that the trace ends here
        at_end = self.position >= len(self.events) and self.verdict.kind == "unfinished"
        if at_end and controller.can_go_on():
            raise EndOfTrace

    def _kill(self, controller: Controller) -> None:
        while self.position < len(self.events) and self._killed(self.events[self.position]):
            event = self.events[self.position]
            controller.crash(event.worker, event.value)
            self.position += 1

    # --- the scheduler -----------------------------------------------------------------------
    def pick(self, choice: Choice) -> int:
        if self.position >= len(self.events):
            return self._beyond(choice)
        event = self.events[self.position]
        if choice.kind == TIMER:
            return int(self._fires(event, choice))
        if choice.kind == WAITER:
            return self._waiter(event, choice)
        if choice.kind == OPTION:
            return self._option(event, choice)
        if event.worker in choice.options:
            self._chosen = []
            return event.worker
        raise self._impossible(event, choice)

    def _fires(self, event: Event, choice: Choice) -> bool:
        """Whether the event is one that the worker's timer made."""
        op = choice.pending[choice.worker]
        assert op is not None
        if event.at != choice.at:
            return False  # a worker in timeout blocks is asked of each deadline by itself
        if event.op == NAMES[TIMEOUT]:
            return True
        if event.op in (NAMES[ACQUIRE], NAMES[PUT], "wake", NAMES[WAIT], "join"):
            return event.result is False or isinstance(event.result, dict)
        if event.op == NAMES[GET]:
            return isinstance(event.result, dict) and event.result.get("error") == "Empty"
        return False

    def _waiter(self, event: Event, choice: Choice) -> int:
        woken = event.result if isinstance(event.result, list) else []
        at = len(self._chosen)
        if at < len(woken) and woken[at] in choice.options:
            self._chosen.append(woken[at])
            return int(woken[at])
        raise Divergence(
            event.seq,
            self._shown(event),
            f"a choice among {self._names(choice.options)}",
            "the trace does not say which of these waiters wakes",
        )

    def _option(self, event: Event, choice: Choice) -> int:
        """Which value the program got, out of the same alternatives."""
        op = choice.pending[choice.worker]
        assert op is not None
        name, count, shown = op.body.name, op.body.count, op.body.shown
        got = f"{self.layout.workers[choice.worker].name} choose {name} of {shown!r}"
        if event.op != NAMES[CHOOSE] or event.worker != choice.worker:
            raise Divergence(
                event.seq, self._shown(event), got, "the trace has no choice of a value here"
            )
        number = event.result
        if (event.target, event.n, frozen(event.value)) != (name, count, frozen(shown)) or not (
            number.__class__ is int and 0 <= number < count
        ):
            raise Divergence(
                event.seq, self._shown(event), got,
                f"what is chosen among at {op.at} is not what it was: {count:,} values, and "
                f"{event.n if event.n is not MISSING else 'no'} in the trace",
            )  # fmt: skip
        return int(number)

    def _beyond(self, choice: Choice) -> int:
        """The trace is at its end, and somebody can still go on."""
        if choice.kind in (TIMER, OPTION):
            return 0
        if self.verdict.kind == "deadlock" and self.foreign and self.controller is not None:
            # tasks that have only to queue before they are as stuck as the trace says
            for worker in choice.options:
                op = choice.pending[worker]
                assert op is not None
                if op.kind in (ACQUIRE, PUT, GET) and self._would_queue(worker, op):
                    return worker
        if self.verdict.kind in ("unfinished", "failed", "crashed"):
            raise EndOfTrace
        raise Divergence(
            len(self.events),
            f"the end ({self.verdict.kind})",
            f"{self._names(choice.options)} can go on",
            "the trace ends here and the run does not",
        )

    def _would_queue(self, worker: int, op: Op) -> bool:
        assert self.controller is not None
        model = self.controller.models[op.target]
        if model is None or self.controller.waiting[worker]:
            return False
        kept = model.snapshot()
        answer = model.apply(op, worker)
        model.restore(kept)
        return repr(answer) == "parked"

    # --- the observer ------------------------------------------------------------------------
    def observe(self, seq: int, worker: int, kind: int, op: Op, result: Value) -> None:
        """Compare one event with the trace. Raises :class:`Divergence`."""
        layout = self.layout
        if self.foreign and kind == REQUEST:
            if self.position >= len(self.events):
                return
            event = self.events[self.position]
            raise self._queued(event, worker, op)
        got = self._event(seq, worker, kind, op, result)
        if self.position >= len(self.events):
            raise Divergence(
                seq, f"the end ({self.verdict.kind})", self._shown(got),
                f"{layout.workers[worker].name} went on where the trace ends",
            )  # fmt: skip
        event = self.events[self.position]
        why = self._difference(event, got)
        if why:
            raise self._differs(event, got, why)
        self.position += 1

    def _difference(self, event: Event, got: Event) -> str:
        if event.worker != got.worker:
            return "worker"
        if event.op != got.op:
            return "op"
        if event.target != got.target:
            return "target"
        if event.op == NAMES[CALL]:
            return ""  # what trusted code returns is compared when it has run
        for key in ("value", "expect", "n", "result"):
            if frozen(getattr(event, key)) != frozen(getattr(got, key)):
                return key
        return ""

    def _event(self, seq: int, worker: int, kind: int, op: Op, result: Value) -> Event:
        layout = self.layout
        n: Any = MISSING
        if kind in COUNTS and op.value not in (None, 1) and op.value.__class__ is int:
            n = op.value
        elif kind == CHOOSE:
            n = op.body.count
        return Event(
            seq, worker, NAMES[kind], target_name(layout, kind, op), op.at, 0,
            value=value_of(layout, kind, op, result),
            n=n,
            expect=op.expect if kind == COMPARE_EXCHANGE else MISSING,
            result=result_of(layout, kind, result),
        )  # fmt: skip

    # --- saying why --------------------------------------------------------------------------
    def _names(self, workers: Any) -> str:
        return ", ".join(self.layout.workers[worker].name for worker in workers) or "nobody"

    def _shown(self, event: Event) -> str:
        parts = [self.layout.workers[event.worker].name, event.op]
        if event.target is not None:
            parts.append(event.target)
        if event.value is not MISSING:
            parts.append(f"value {event.value!r}")
        if event.result is not MISSING:
            parts.append(f"-> {event.result!r}")
        return " ".join(parts)

    def _differs(self, event: Event, got: Event, why: str) -> Divergence:
        backend = self.rules.backend
        if why == "worker":
            mine, theirs = (self.layout.workers[one.worker].name for one in (event, got))
            if self.rules.cooperative:
                sentence = f"{backend}: {mine} cannot come in here: {theirs} has not suspended"
                return ImpossibleHere(event.seq, self._shown(event), self._shown(got), sentence)
            sentence = f"{theirs} went on, not {mine}"
        elif why == "result" and self.foreign:
            sentence = f"{backend}: the same step gives another result here"
            return ImpossibleHere(event.seq, self._shown(event), self._shown(got), sentence)
        else:
            sentence = f"the {why} differs: the scenario or its start is not the one recorded"
        return Divergence(event.seq, self._shown(event), self._shown(got), sentence)

    def _queued(self, event: Event, worker: int, op: Op) -> Divergence:
        name, target = self.layout.workers[worker].name, target_name(self.layout, op.kind, op)
        got = f"{name} has to queue for {target}"
        assert self.controller is not None
        model = self.controller.models[op.target]
        first = [one for one in model.waiters() if one != worker] if model is not None else []
        ahead = f", behind {self._names(first)}" if first else ""
        holders = self._names(model.holders()) if model is not None and model.holders() else ""
        held = f" (held by {holders})" if holders else ""
        return ImpossibleHere(
            event.seq, self._shown(event), got,
            f"{self.rules.backend}: {name} cannot have {target} now{held}: it is handed over "
            f"first come, first served{ahead}",
        )  # fmt: skip

    def _impossible(self, event: Event, choice: Choice) -> Divergence:
        name = self.layout.workers[event.worker].name
        expected = self._shown(event)
        could = f"{self._names(choice.options)} could go on"
        op = choice.pending[event.worker]
        backend = self.rules.backend
        kind = ImpossibleHere if self.foreign else Divergence
        if op is None:
            return kind(event.seq, expected, could, f"{backend}: {name} is not running here")
        asked = NAMES[op.kind]
        target = target_name(self.layout, op.kind, op)
        what = f"{asked} {target}" if target else asked
        held = ""
        if self.controller is not None and 0 <= op.target < len(self.controller.models):
            model = self.controller.models[op.target]
            if model is not None and op.kind != CHECKPOINT and model.holders():
                held = f", held by {self._names(model.holders())}"
        why = f"{backend}: {name} cannot go on here: it waits at {what}{held}"
        return kind(event.seq, expected, could, why)
