"""Replay of a token: the schedule is made again from who goes on when."""

from __future__ import annotations

from typing import Any, Final

from tracelock.errors import Divergence, UsageError
from tracelock.instrument.following import PythonReplay
from tracelock.objects import Rules
from tracelock.ops import CANCELLED, NAMES, Layout, Op, Value
from tracelock.schedulers.base import INJECT, OPTION, Choice
from tracelock.session.host import Host
from tracelock.session.plan import Settings
from tracelock.session.replaying import ReplayResult, follow
from tracelock.session.target import Target
from tracelock.trace import Event, Trace, Verdict, environment
from tracelock.trace.crashes import DISK
from tracelock.trace.events import Events
from tracelock.trace.token import (
    CHOSEN,
    CRASHED,
    FAULTED,
    INJECTED,
    TIMER,
    ChoiceMark,
    EventsDigest,
    ScheduleToken,
    short,
    sources_digest,
    target_digest,
)

#: Schedules that are run, at the most, until all that the token has accesses to is known.
_TRIES: Final = 8


class TokenReplay(PythonReplay):
    """Follows a token. Only workers are compared, event by event; of all else the digest at the
    end. ``exact``: whether that is the digest of the token."""

    def __init__(self, token: ScheduleToken, layout: Layout, rules: Rules) -> None:
        verdict = Verdict(token.kind, token.failure or None)
        events = [Event(number, place, "", None, "", 0) for number, place in enumerate(token.order)]
        super().__init__(events, verdict, layout, rules)  # type: ignore[arg-type]
        self.token = token
        self.digest = EventsDigest()
        self.further = 0  # events after those of the token
        self._numbers: dict[int, int] = {}

    @property
    def exact(self) -> bool:
        whole = self.position == len(self.events) and not self.further
        return whole and self.digest.bytes() == self.token.events

    @property
    def roughly(self) -> bool:
        return True

    def remarks(self) -> list[str]:
        return []

    def describe(self) -> dict[str, Any]:
        return {"name": "replay"}

    def _place(self, worker: int) -> int:
        """The place in the token of a worker of the layout, -1 where it has none."""
        found = self._numbers.get(worker)
        if found is None:
            name = short(self.layout.workers[worker].name)
            workers = self.token.workers
            found = self._numbers[worker] = workers.index(name) if name in workers else -1
        return found

    def _mark(self) -> ChoiceMark | None:
        return self.token.marks.get(self.position)

    def pick(self, choice: Choice) -> int:
        if choice.kind == INJECT:
            return int(self._injected(choice))
        if choice.kind == OPTION:
            return self._value(choice)
        if self.position < len(self.events):
            # the worker of the layout, by its name
            event = self.events[self.position]
            here = [
                one for one in choice.options if self._place(one) == self.token.order[self.position]
            ]
            if choice.kind != "timer" and choice.kind != "waiter":
                if not here:
                    raise self._elsewhere(choice)
                return here[0]
            mark = self._mark()
            if choice.kind == "timer":
                return int(
                    mark is not None and mark.kind == TIMER and short(choice.at) == mark.place
                    and self._place(choice.worker) == self.token.order[self.position]
                )  # fmt: skip
            return self._wakes(event, choice, mark)
        # what comes after it: the code is another one, and is seen to its end
        if choice.kind == "timer":
            return 0
        return choice.current if choice.current in choice.options else choice.options[0]

    def _value(self, choice: Choice) -> int:
        """The number of the value that was chosen; the first one where the code is another."""
        mark = self._mark()
        known = mark is not None and mark.kind in (CHOSEN, FAULTED, CRASHED)
        number = mark.number if mark is not None and known else 0
        op = choice.pending[choice.worker]
        assert op is not None
        if number >= op.body.count:
            raise Divergence(
                self.position, f"value {number} of those to choose among",
                f"{op.body.count} values at {op.at}", "what is chosen among is not what it was",
            )  # fmt: skip
        return number

    def _wakes(self, event: Event, choice: Choice, mark: ChoiceMark | None) -> int:
        woken = () if mark is None else mark.workers
        for place in woken[len(self._chosen) :]:
            for one in choice.options:
                if self._place(one) == place:
                    self._chosen.append(one)
                    return one
        raise Divergence(
            event.seq, "who is woken", f"a choice among {self._names(choice.options)}",
            "the token does not say which of these waiters wakes",
        )  # fmt: skip

    def _elsewhere(self, choice: Choice) -> Divergence:
        wanted = self.token.workers[self.token.order[self.position]]
        name = next(
            (w.name for n, w in enumerate(self.layout.workers)
             if n < len(choice.pending) and short(w.name) == wanted), "another worker",
        )  # fmt: skip
        ops = [op for one in choice.options if (op := choice.pending[one]) is not None]
        at = ops[0].at if ops else "its end"
        return Divergence(
            self.position, f"a step of {name}",
            f"{self._names(choice.options)} could go on, at {at}", f"{name} cannot go on here",
        )  # fmt: skip

    def _injected(self, choice: Choice) -> bool:
        worker = choice.about if choice.about >= 0 else choice.worker
        wanted = NAMES[CANCELLED] if choice.about >= 0 else None
        for number in range(self.position, len(self.events)):
            if self.token.order[number] == self._place(worker):
                mark = self.token.marks.get(number)
                if wanted is None and choice.way >= 0:  # a fault, or a crash
                    return mark is not None and self._broke(mark, choice)
                return (
                    mark is not None and mark.kind == INJECTED and mark.place == short(choice.at)
                    and (wanted is None or (mark.op == wanted and number == self.position))
                )  # fmt: skip
            if wanted is not None:
                return False
        return False

    def _broke(self, mark: ChoiceMark, choice: Choice) -> bool:
        """Whether that fault, or crash, comes in that is asked about."""
        if self.layout.names[choice.way] == DISK:
            return mark.kind == CRASHED and mark.place == short(choice.at)
        return mark.kind == FAULTED

    def observe(self, seq: int, worker: int, kind: int, op: Op, result: Value) -> None:
        got = self._event(seq, worker, kind, op, result)
        if self.position >= len(self.events):
            self.further += 1
            return
        if self._place(worker) != self.token.order[self.position]:
            raise Divergence(
                seq, "a step of another worker", self._shown(got),
                f"{self.layout.workers[worker].name} went on here",
            )  # fmt: skip
        self.digest.add(self.layout.workers[worker].name, got.op, got.target)
        self._chosen = []
        self.position += 1

    def _replaced(self, kind: int, value: Value) -> None:
        return


def follow_token(target: Target, token: ScheduleToken, settings: Settings) -> ReplayResult:
    """Make the schedule of a token again.

    ``reproduced``: it ended as the token says. Where the schedule could not be followed, or is not
    the same any more, ``diverged`` says where; whether the code is what it was stands in ``notes``.
    Raises UsageError where the token is of another test or scenario.
    """
    wanted = frozenset(token.variables)
    begun = _begun(target, token)
    with target.replaying(begun, settings) as host:
        check_target(token, host)
        host.share(lambda name: short(name) in wanted)
        for _ in range(_TRIES):
            follower = TokenReplay(token, host.runner.program.layout, host.runner.rules)
            result = follow(host, begun, tell=True, follower=follower)
            if result.killed or not host.share(lambda name: short(name) in wanted):
                break
        return _concluded(result, follower, token)


def _begun(target: Target, token: ScheduleToken) -> Trace:
    """A trace of which nothing is known but where it is from, and how it ends."""
    verdict = Verdict(token.kind, token.failure or None)
    return Trace(
        {"name": target.name, "python": {}}, token.backend, "controlled", None, token.clock,
        environment(None), list(target.workers), Events(), verdict,
    )  # fmt: skip


def check_target(token: ScheduleToken, host: Host) -> None:
    """Raises UsageError where a token is of another test, or scenario, than this host's."""
    empty: list[Any] = []
    scenario = host.trace(empty, None, Verdict("passed")).scenario
    if target_digest(scenario) != token.target:
        raise UsageError(
            f"the token is of another test or scenario than {host.target.name}: give it with the "
            "one that it was printed for"
        )


def _concluded(result: ReplayResult, follower: TokenReplay, token: ScheduleToken) -> ReplayResult:
    if sources_digest(result.trace.scenario) != token.sources:
        result.changed = ["the code"]
        result.notes.append("the code is not what it was when the token was made")
    elif result.diverged is None and not follower.exact and not result.killed:
        result.notes.append("other steps were made than those that the token stands for")
    return result
