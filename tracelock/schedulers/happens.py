"""Happens-before over one execution, and which of its races can be reversed.

An execution is a list of *transitions*: one event each or, where a worker goes on until it
suspends, the events up to there. Two transitions of different workers depend on each other if one
changes what the other touches, as *executed*: a compare_exchange that failed has only read, and an
atomic step has touched what it did touch, not all that it mentions. Happens-before is the
transitive closure of that and of each worker's own order, kept as one bit mask per transition.

A race is a transition ``e`` and a later one of another worker, ``q``, that depends on it with
nothing in between (in this order), where ``q`` could have happened instead of ``e``: that is, in
the state before ``e`` plus all that does not happen after ``e``. A blocking ``q`` often could not
(an acquire does not race with the release that lets it in), and then it is an earlier transition
on the same object that it races with: the latest one before which ``q`` was not blocked. The same
holds for a ``q`` that never happened, being blocked at the end or timed out. That only the latest
matters follows as for immediate races: with it reversed, ``q`` has fewer predecessors left.

A condition and its lock count as one thing. Whatever happens on a blocking object depends on all
else there, so that the state of the object in a reversed execution is one that it was in before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tracelock.objects import Model, make_models
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    COMPARE_EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    PUT,
    READ,
    SLEEP,
    SPAWN,
    TIMEOUT,
    WAIT,
    WAKE,
    Op,
    Raised,
    Value,
)
from tracelock.schedulers.base import Run
from tracelock.schedulers.wakeup import Step

Entry = tuple[int, int, Op, Value, Sequence[int] | None, float]

NO, YES, PERHAPS = 0, 1, 2
_PARKED: Final = (WAKE, TIMEOUT)


class History:
    """The transitions of one execution, which ``add`` makes longer and ``cut`` shorter.

    ``steps``, ``before`` (mask of all that happens before), ``races`` (the first halves of the
    races that the transition is second in) and ``lasts`` (its step as the end of a reversed
    sequence; None if that has to be worked out, see ``reversed_step``) are indexed alike.

    ``watched``: sets of variables of which every pair of writes counts as dependent, since a
    condition on them is checked in between.
    """

    def __init__(self, run: Run, watched: Iterable[Iterable[int]] = ()) -> None:
        self.run = run
        layout = run.layout
        count = len(layout.names)
        workers = len(layout.workers)
        self.cooperative = run.rules.cooperative
        self.leaves = run.rules.leaves
        self.virtual = not run.adversarial
        self.things = count
        self.all = (1 << count) - 1
        self.group = list(range(count))
        for number, spec in enumerate(layout.objects, layout.variables):
            if spec.type == "condition":
                self.group[number] = spec.lock
        self.bit = [1 << thing for thing in self.group]
        self.life = [1 << count + worker for worker in range(workers)]
        self.call = 1 << count + workers
        self.extra = [0] * count
        for number, variables in enumerate(watched, count + workers + 1):
            for variable in variables:
                self.extra[variable] |= 1 << number
        self.plain = not self.cooperative and not any(self.extra)
        self.probes = [] if self.cooperative else make_models(layout, run.rules)
        self.barrier = [
            number >= layout.variables and layout.spec(number).type == "barrier"
            for number in range(count)
        ]
        # by thing and by worker: transitions, oldest first
        self.writers: list[list[int]] = [[] for _ in range(count)]
        self.readers: list[list[int]] = [[] for _ in range(count)]
        self.lines: list[list[int]] = [[] for _ in range(workers)]
        self.about: list[list[int]] = [[] for _ in range(workers)]  # that join or cancel it
        self.spawns: list[list[int]] = [[] for _ in range(workers)]
        # by transition
        self.steps: list[Step] = []
        self.exact: list[Step] = []
        self.before: list[int] = []
        self.races: list[Sequence[int]] = []
        self.lasts: list[Step | None] = []
        self.entries: list[Sequence[Entry]] = []
        self.starts: list[Any] = []  # what ``note`` kept before it
        self.undo: list[tuple[list[int], ...]] = []
        self.timers: list[int] = []  # transitions made by a timer of virtual time

    # --- before a transition -----------------------------------------------------------------
    def note(self, op: Op, worker: int) -> Any:
        """What has to be kept of the state before a transition: asked before it happens."""
        if self.cooperative:
            return op, self.run.waiting[worker], tuple(self.run.pending)
        if ACQUIRE <= op.kind <= GET:
            model = self.run.models[self.group[op.target]]
            return model.snapshot()  # type: ignore[union-attr]
        return None

    # --- after it ----------------------------------------------------------------------------
    def add(
        self,
        events: Sequence[Entry],
        note: Any,
        picks: tuple[int, ...],
        fired: bool,
        after: Sequence[Op | None] = (),
    ) -> Step:
        """The next transition: its events, what ``note`` gave, data choices, whether by a timer.

        ``after``: of tasks, the pending ops right after it.
        """
        worker, kind, op, result, _, _ = events[0]
        here = len(self.steps)
        line = self.lines[worker]
        own = self.life[worker]
        before = self.before
        if line:
            last = line[-1]
            cover = before[last] | 1 << last
        else:
            cover = 0
            if self.spawns[worker]:
                last = self.spawns[worker][-1]
                cover = before[last] | 1 << last
        if self.cooperative:
            fired = kind in (SLEEP, TIMEOUT) or (kind == JOIN and result is False and op.blocking)
        self.starts.append(note)
        self.entries.append(events)
        if not self.plain or kind > GET or kind == ATOMIC or self.about[worker] or fired:
            return self._general(events, cover, picks, fired, after)
        thing = self.group[op.target]
        bit = 1 << thing
        writers = self.writers[thing]
        races: Sequence[int] = ()
        hb = cover
        if kind == READ or (kind == COMPARE_EXCHANGE and result is False):
            step = (worker, picks, bit, own)
            if writers:
                e = writers[-1]
                if not cover >> e & 1:
                    hb |= before[e] | 1 << e
                    races = (e,)
            touched = self.readers[thing]
        else:
            step = (worker, picks, 0, own | bit)
            if kind < ATOMIC:
                found = []
                e = writers[-1] if writers else -1
                for r in reversed(self.readers[thing]):
                    if r < e:
                        break
                    if not hb >> r & 1:
                        hb |= before[r] | 1 << r
                        found.append(r)
                if e >= 0 and not hb >> e & 1:
                    hb |= before[e] | 1 << e
                    found.append(e)
                races = found
            elif writers:
                e = writers[-1]
                if not cover >> e & 1:
                    hb |= before[e] | 1 << e
                    blocking = self._blocking(op, kind)
                    for e in reversed(writers):
                        if cover >> e & 1:
                            break
                        if not blocking or self._open(e, worker, op, kind):
                            races = (e,)
                            break
            touched = writers
        if self.timers:
            hb |= (2 << self.timers[-1]) - 1
        before.append(hb)
        self.steps.append(step)
        self.exact.append(step)
        self.races.append(races)
        self.lasts.append(
            None if kind == COMPARE_EXCHANGE else (worker, (), step[2], step[3]) if picks else step
        )
        touched.append(here)
        line.append(here)
        self.undo.append((touched, line))
        return step

    def cut(self, length: int) -> None:
        """Back to the first ``length`` transitions."""
        for lists in self.undo[length:]:
            for one in lists:
                one.pop()
        for kept in (self.steps, self.exact, self.before, self.races, self.lasts, self.entries, self.starts,
                     self.undo):  # fmt: skip
            del kept[length:]  # type: ignore[attr-defined]
        while self.timers and self.timers[-1] >= length:
            self.timers.pop()

    # --- the general case --------------------------------------------------------------------
    def _general(
        self,
        events: Sequence[Entry],
        cover: int,
        picks: tuple[int, ...],
        fired: bool,
        after: Sequence[Op | None],
    ) -> Step:
        worker, kind, op, _, _, _ = events[0]
        here = len(self.steps)
        own = self.life[worker]
        parked = self.starts[here][1] if self.cooperative else kind in _PARKED
        line = self.lines[worker]
        undo = [line]
        reads, writes = 0, own
        for event in events:
            r, w = self.footprint(event, self.starts[here])
            reads |= r
            writes |= w
            if event[1] in (JOIN, CANCEL, SPAWN):
                good = event[1] == SPAWN and event[3] is None
                undo.append((self.spawns if good else self.about)[event[2].target])
        if self.leaves and after[worker] is None:
            writes |= self._held(worker)
        if fired and self.virtual:
            # only when nothing else could happen: after all before it, and before all after it.
            # Without it the op would have gone on waiting.
            asked = self._asked(here, op)
            reads, writes = self.static(asked)
            writes |= own
            self.races.append(self._races(here, cover, worker, asked, parked, reads, writes))
            self.lasts.append((worker, (), -1 if self.cooperative else reads, writes))
            exact = step = (worker, picks, -1, -1)
            hb = (1 << here) - 1
            self.timers.append(here)
        else:
            step = (worker, picks, reads, writes)
            asked = self._asked(here, op)
            self.races.append(self._races(here, cover, worker, asked, parked, reads, writes))
            hb = cover
            both = reads | writes
            for e, (_, _, r, w) in enumerate(self.exact):
                if (w & both or r & writes) and not hb >> e & 1:
                    hb |= self.before[e] | 1 << e
            if self.timers:
                hb |= (2 << self.timers[-1]) - 1
            exact = step
            if self.cooperative:
                step = (worker, picks, -1, -1)
            elif kind == ATOMIC:
                step = (worker, picks, 0, own | self.static(op)[1])
            known = kind not in (COMPARE_EXCHANGE, SPAWN) or self.cooperative
            self.lasts.append((worker, (), step[2], step[3]) if known else None)
            for thing in range(self.things) if both & self.all else ():
                if writes >> thing & 1:
                    undo.append(self.writers[thing])
                elif reads >> thing & 1:
                    undo.append(self.readers[thing])
        self.before.append(hb)
        self.steps.append(step)
        self.exact.append(exact)
        for one in undo:
            one.append(here)
        self.undo.append(tuple(undo))
        return step

    def _asked(self, here: int, op: Op) -> Op:
        """The op that the worker had asked for before transition ``here``."""
        return self.starts[here][0] if self.cooperative else op  # type: ignore[no-any-return]

    def footprint(self, event: Entry, note: Any) -> tuple[int, int]:
        """Masks of what an event has read and written. ``note``: of its transition."""
        worker, kind, op, result, _, _ = event
        if kind == COMPARE_EXCHANGE and result is False:
            return self.bit[op.target], 0
        if kind == ATOMIC:
            reads = writes = 0
            for variable in result["reads"]:
                reads |= self.bit[variable]
            for variable in result["writes"]:
                writes |= self.bit[variable] | self.extra[variable]
            return reads, writes
        reads, writes = self.static(op)
        if kind == SPAWN and result is not None:
            return writes, 0  # it has been started before
        if kind == CANCEL or (kind == TIMEOUT and op.target < 0):
            # whose wait is cut off is struck off at once
            struck = op.target if kind == CANCEL else worker
            waits = note[2][struck]
            writes |= self.life[struck]
            if waits is not None:
                writes |= self.static(waits)[1]
        return reads, writes

    def static(self, op: Op) -> tuple[int, int]:
        """Masks of what an op can read and write, whatever the state."""
        kind = op.kind
        if kind <= FETCH_ADD:
            if kind == READ:
                return self.bit[op.target], 0
            return 0, self.bit[op.target] | self.extra[op.target]
        if kind == ATOMIC:
            writes = 0
            for variable in op.body.touches:
                writes |= self.bit[variable] | self.extra[variable]
            return 0, writes
        if kind < SLEEP:
            return 0, self.bit[op.target]
        if kind == JOIN:
            return self.life[op.target], 0
        if kind in (SPAWN, CANCEL):
            return 0, self.life[op.target]
        return 0, self.call if kind == CALL else 0

    def _held(self, worker: int) -> int:
        mask = 0
        for thing, model in enumerate(self.run.models):
            if model is not None and worker in model.holders():
                mask |= self.bit[thing]
        return mask

    def _races(
        self, here: int, cover: int, worker: int, op: Op, parked: bool, reads: int, writes: int
    ) -> Sequence[int]:  # fmt: skip
        """What a transition of ``worker`` after the first ``here`` races with.

        ``op``: what it begins with, ``parked``: the end of a wait that has begun before.
        """
        found: list[int] = []
        both = reads | writes
        steps = self.exact
        before = self.before
        for e in range(here - 1, -1, -1):
            if cover >> e & 1:
                continue
            _, _, r, w = steps[e]
            if w & both or r & writes:
                answer = self._possible(e, here, worker, op, parked)
                if answer:
                    found.append(e)
                if answer == YES:
                    cover |= before[e] | 1 << e
        return found

    # --- could it have happened earlier? -----------------------------------------------------
    def _blocking(self, op: Op, kind: int) -> bool:
        """Whether a transition on an object can be disabled (threads and processes)."""
        if kind in (ACQUIRE, PUT, GET):
            return op.blocking
        return kind in _PARKED or (kind == WAIT and self.barrier[op.target])

    def _open(self, e: int, worker: int, op: Op, kind: int) -> bool:
        """Whether ``op`` could have happened in the state of its object before ``e``."""
        if kind in _PARKED:
            return self._could(e, worker)
        if not self.virtual and op.timeout is not None:
            return True  # by its timer at least
        thing = self.group[op.target]
        probe: Model = self.probes[thing]  # type: ignore[assignment]
        probe.restore(self.starts[e])
        return probe.enabled(op, worker)

    def _could(self, e: int, worker: int) -> bool:
        """Whether ``worker``, waiting then, could go on in the state before ``e``."""
        if self.timers and e in self.timers:
            return False
        options = self.entries[e][0][4]
        return options is not None and worker in options

    def _possible(self, e: int, here: int, worker: int, op: Op, parked: bool) -> int:
        """Whether ``op`` of ``worker`` could go on before ``e``, given all not after ``e``."""
        kind = op.kind
        resource = 0
        if self.cooperative:
            resource = self.life[worker]
            if parked:
                resource |= self.static(op)[1]
        elif kind in (ACQUIRE, PUT, GET, WAIT) and self._blocking(op, WAKE if parked else kind):
            resource = self.bit[op.target]
        if kind == JOIN and op.blocking:
            if not self.virtual and op.timeout is not None:
                return YES
            resource |= self.life[op.target]
        if kind == SLEEP and self.virtual:
            return NO
        if not resource:
            return YES
        before = self.before
        at = -1  # the first transition that is lost with ``e`` and matters to ``op``
        for k in range(e, here):
            if self.exact[k][3] & resource and (k == e or before[k] >> e & 1):
                # another that joins the same worker changes nothing
                if kind != JOIN or self.cooperative or k in self.timers or (
                    self.steps[k][0] == op.target or k in self.spawns[op.target]
                ):
                    at = k
                    break
        if at < 0:
            return YES
        if at in self.timers:
            return NO
        if self.cooperative:
            if self._could(at, worker):
                return YES
            later = any(
                self.exact[k][3] & resource and not before[k] >> e & 1
                for k in range(at + 1, here)
            )
            return PERHAPS if later else NO
        if kind == JOIN:
            return NO
        return YES if self._open(at, worker, op, WAKE if parked else kind) else NO

    # --- the end of a reversed sequence ------------------------------------------------------
    def reversed_step(self, e: int, here: int) -> Step:
        """Transition ``here`` as it would be without ``e`` and all that happens after ``e``."""
        known = self.lasts[here]
        if known is not None:
            return known
        worker = self.steps[here][0]
        own = self.life[worker]
        _, kind, op, _, _, _ = self.entries[here][0]
        if kind == SPAWN:
            [k] = self.spawns[op.target]
            life = self.life[op.target]
            if k < here and not (k == e or self.before[k] >> e & 1):
                return worker, (), life, own
            return worker, (), 0, own | life
        bit = self.bit[op.target]
        if same(self._value(op.target, e, here), op.expect):
            return worker, (), 0, own | bit | self.extra[op.target]
        return worker, (), bit, own

    def _value(self, variable: int, e: int, here: int) -> Value:
        """The value that ``here`` would find in ``variable`` without ``e`` and what follows."""
        for k in reversed(self.writers[variable]):
            event = self.entries[k][0]
            if k >= here or k == e or (k > e and self.before[k] >> e & 1):
                continue
            if event[3].__class__ is not Raised:
                return written(event, variable)
        return self.run.layout.initial[variable]

    def blocked(self, worker: int, op: Op, parked: bool) -> tuple[Sequence[int], Step]:
        """The races of an ``op`` that is pending after the last transition, and its step."""
        line = self.lines[worker] or self.spawns[worker]
        cover = self.before[line[-1]] | 1 << line[-1] if line else 0
        reads, writes = self.static(op)
        writes |= self.life[worker]
        if self.cooperative:
            step = (worker, (), -1, -1)
        else:
            step = (worker, (), reads, writes)
        return self._races(len(self.steps), cover, worker, op, parked, reads, writes), step


def written(event: Entry, variable: int) -> Value:
    """What an event that has changed ``variable`` has put there."""
    _, kind, op, result, _, _ = event
    if kind == ATOMIC:
        return result["writes"][variable]
    if kind == FETCH_ADD:
        return result + op.value
    return op.value


def same(a: Value, b: Value) -> bool:
    """Equality as compare_exchange has it: 1 and True differ."""
    return bool(a == b) and (a is b or (a.__class__ is bool) == (b.__class__ is bool))


__all__ = ["Entry", "History", "same", "written"]
