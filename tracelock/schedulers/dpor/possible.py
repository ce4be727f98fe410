"""Whether a transition of an execution could have happened earlier: see ``happens``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tracelock.objects import Model, make_models
from tracelock.ops import (
    ACQUIRE,
    CANCELLED,
    CHECKPOINT,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    SLEEP,
    TIMEOUT,
    WAIT,
    WAKE,
    Op,
)
from tracelock.schedulers.base import Entry, Run
from tracelock.schedulers.dpor.long_masks import LongMasks
from tracelock.schedulers.dpor.wakeup import Step

NO, YES, PERHAPS = 0, 1, 2
PARKED: Final = (WAKE, TIMEOUT)
_WAITING: Final = (ACQUIRE, PUT, GET, WAIT, NOTIFY)

#: What else is known of a transition: the first halves of the races that it is second in; its
#: step as the end of a reversed sequence (None: see ``reversed_step``); what it touched; its
#: events; what ``note`` kept; the lists that it is in.
Row = tuple[
    Sequence[int], Step | None, Step, Sequence[Entry], Any, tuple[list[int], ...]
]  # fmt: skip
LAST: Final = 1
EXACT: Final = 2
EVENTS: Final = 3
NOTE: Final = 4
LISTS: Final = 5


class Possible:
    """The questions that ``HappensBefore`` asks of itself; its attributes are explained there."""

    run: Run
    group: list[int]
    bit: list[int]
    life: list[int]
    static: Callable[[Op], tuple[int, int]]
    shares: Callable[[int], int]
    cooperative: bool
    blocks: bool
    virtual: bool
    barrier: list[bool]
    awaited: list[bool]
    probes: list[Model | None]
    lines: list[list[int]]
    spawns: list[list[int]]
    steps: list[Step]
    before: list[int] | LongMasks
    rows: list[Row]
    timers: list[int]

    def _blocking(self, op: Op, kind: int) -> bool:
        """Whether a transition on an object can be disabled (threads and processes)."""
        if kind in (ACQUIRE, PUT, GET):
            return op.blocking
        if kind == NOTIFY:
            return self._hosts(op, kind)
        return kind in PARKED or (
            kind == WAIT and (self.barrier[op.target] or self.awaited[op.target])
        )

    def _hosts(self, op: Op, kind: int) -> bool:
        """Whether this is the end of a loop for the worker that has started it, which comes after
        all that the loop does, or that this worker waits for it."""
        return (kind == NOTIFY and op.value == 0) or (kind == WAIT and self.awaited[op.target])

    def _open(self, e: int, worker: int, op: Op, kind: int) -> bool:
        """Whether ``op`` could have happened in the state of its object before ``e``."""
        if kind in PARKED or self._hosts(op, kind):
            return self._could(e, worker)
        if op.timeout is not None and (not self.virtual or self._late(e, worker, op)):
            return True  # by its timer at least
        return self._let_in(e, worker, op)

    def _let_in(self, e: int, worker: int, op: Op) -> bool:
        """Whether the object of ``op`` would let ``worker`` go on in its state before ``e``."""
        if not self.probes:
            self.probes = make_models(self.run.layout, self.run.rules)
        probe: Model = self.probes[self.group[op.target]]  # type: ignore[assignment]
        kept = self.rows[e][NOTE]
        if self.blocks:
            thing = self.group[op.target]
            kept = kept[thing] if thing < len(kept) else None
        if kept is None:  # there was no such object yet
            probe.reset()
        else:
            probe.restore(kept)
        return probe.enabled(op, worker)

    def _could(self, e: int, worker: int) -> bool:
        """Whether ``worker``, waiting then, could go on in the state before ``e``."""
        if self.timers and e in self.timers:
            return False
        options = self.rows[e][EVENTS][0][4]
        return options is not None and worker in options

    def _late(self, e: int, worker: int, op: Op) -> bool:
        """Whether the time of ``op`` was up before ``e`` already, so that its timer could fire."""
        past = self.lines[worker] or self.spawns[worker]
        if past and past[-1] > e:
            return False  # it comes to it later, and no time passes until then
        asked = self.rows[past[-1]][EVENTS][0][5] if past else 0.0
        wait: Any = op.value if op.kind == SLEEP else op.timeout
        return bool(0 < wait <= self.rows[e][EVENTS][0][5] - asked)

    def _inside(self, worker: int, op: Op) -> bool:
        """Whether ``op`` is in the middle of a step of a task. Nobody else of its loop goes on
        then, so that it waits for what it is about alone, as an op of a thread does."""
        gate = self.run.loops.get(worker) if self.run.loops else None
        if gate is None or op.kind == CANCELLED or worker == gate.timers:
            return False
        if op.kind == CHECKPOINT:
            return op.target != gate.number
        return op.target < 0 or op.kind > GET or not self.awaited[op.target]

    def _possible(self, e: int, here: int, worker: int, op: Op, parked: bool) -> int:
        """Whether ``op`` of ``worker`` could go on before ``e``, given all not after ``e``."""
        kind = op.kind
        resource = 0
        loop = 0 if self._inside(worker, op) else self.shares(worker)
        if loop:
            resource = self.life[worker] | loop
        elif self.cooperative:
            resource = self.life[worker]
            if parked:
                resource |= self.static(op)[1]
        elif kind in _WAITING and self._blocking(op, WAKE if parked else kind):
            resource = self.bit[op.target]
        if kind == JOIN and op.blocking:
            if op.timeout is not None and (not self.virtual or self._late(e, worker, op)):
                return YES
            resource |= self.life[op.target]
        if kind == SLEEP and self.virtual and not loop:
            return YES if self._late(e, worker, op) else NO
        if not resource:
            return YES
        before = self.before
        at = -1  # the first transition that is lost with ``e`` and matters to ``op``
        for k in range(e, here):
            if not (self.rows[k][EXACT][3] & resource and (k == e or before[k] >> e & 1)):
                continue
            # another that joins the same worker changes nothing
            joins = kind == JOIN and not self.cooperative and k not in self.timers
            if not joins or self.steps[k][0] == op.target or k in self.spawns[op.target]:
                at = k
                break
        if at < 0:
            return YES
        if at in self.timers:
            return NO
        if self.cooperative or loop:
            if self._could(at, worker):
                return YES
            later = any(
                self.rows[k][EXACT][3] & resource and not before[k] >> e & 1
                for k in range(at + 1, here)
            )
            return PERHAPS if later else NO
        if kind == JOIN:
            return NO
        return YES if self._open(at, worker, op, WAKE if parked else kind) else NO

    def early(self) -> Iterator[tuple[int, int]]:
        """Where timers fire at any time, the transitions before which one of a loop could have, and
        its worker: what calls it off leaves no transition of it that this would race with."""
        loops = {} if self.virtual else self.run.loops or {}
        timers = {gate.timers for gate in loops.values()}
        for e, row in enumerate(self.rows if timers else ()):
            chosen, _, _, _, options, _ = row[EVENTS][0]
            for worker in timers.intersection(options or ()):
                if worker != chosen:
                    yield e, worker

    def due(self, timer: int) -> Sequence[int]:
        """The workers whose timer could have fired where that of transition ``timer`` did."""
        return self.rows[timer][EVENTS][0][4] or ()
