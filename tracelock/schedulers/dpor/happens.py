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
matters follows as for immediate races: with it reversed, ``q`` has fewer predecessors.

A condition and its lock count as one thing. Whatever happens on a blocking object depends on all
else there, so that the state of the object in a reversed execution is one that it was in before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tracelock.objects import Model
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CANCEL,
    CANCELLED,
    COMPARE_EXCHANGE,
    GET,
    JOIN,
    READ,
    SLEEP,
    SPAWN,
    TIMEOUT,
    WRITE,
    Op,
    Raised,
    Value,
    same,
)
from tracelock.schedulers.base import Entry, Run
from tracelock.schedulers.dpor.footprints import Footprints, written
from tracelock.schedulers.dpor.long_masks import LongMasks
from tracelock.schedulers.dpor.possible import (
    EVENTS,
    EXACT,
    LAST,
    LISTS,
    PARKED,
    YES,
    Possible,
    Row,
)
from tracelock.schedulers.dpor.wakeup import Step

#: Methods of its footprints that a history has as attributes.
_METHODS: Final = ("static", "shares")


class HappensBefore(Possible):
    """The transitions of one execution, which ``add`` makes longer and ``cut`` shorter.

    ``steps``, ``before`` (a mask of all that happens before) and ``rows`` are indexed alike.

    ``watched``: sets of variables of which every pair of writes counts as dependent, since a
    condition on them is checked in between.
    """

    def __init__(self, run: Run, watched: Iterable[Iterable[int]] = ()) -> None:
        self.run = run
        workers = len(run.layout.workers)
        self.things = 0
        self.prints = prints = Footprints(run, watched)
        self.group, self.bit, self.life = prints.group, prints.bit, prints.life
        self.static = prints.static
        self.cooperative = run.rules.cooperative
        self.blocks = run.rules.blocks
        #: What a transition of several events touches where it is reversed is not known before.
        self.unforeseen = self.cooperative or self.blocks
        self.leaves = run.rules.leaves
        self.virtual = not run.adversarial
        plain = not (self.cooperative or self.blocks)
        self.plain = plain and prints.change == prints.bit
        self.shares = prints.shared_thread
        self.asks = True  # for the races of steps on objects, when they are added
        self.probes: list[Model | None] = []  # for asking, in a state of old, what is enabled
        self.barrier: list[bool] = []
        self.awaited: list[bool] = []  # a loop, or what tasks of real code wait for
        # by thing and by worker: transitions, oldest first
        self.writers: list[list[int]] = []
        self.readers: list[list[int]] = []
        self.grow()
        self.lines: list[list[int]] = [[] for _ in range(workers)]
        self.about: list[list[int]] = [[] for _ in range(workers)]  # that join or cancel it
        self.spawns: list[list[int]] = [[] for _ in range(workers)]
        # by transition
        self.steps: list[Step] = []
        self.before: list[int] | LongMasks = []
        self.rows: list[Row] = []
        self.timers: list[int] = []  # transitions made by a timer of virtual time
        self.ties: list[int] = []  # the same of a loop, which is a step like any other of it

    def __getstate__(self) -> dict[str, Any]:
        """For the process that has forked this one: methods of what was made here mean nothing
        there."""
        return {key: value for key, value in vars(self).items() if key not in _METHODS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.static, self.shares = self.prints.static, self.prints.shared_thread

    def grow(self) -> None:
        """Take in the things that the layout has got since the last time."""
        layout = self.run.layout
        for number in range(self.things, len(layout.names)):
            blocking = number >= layout.variables
            kind = layout.spec(number).type if blocking else ""
            self.barrier.append(kind == "barrier")
            self.awaited.append(kind == "awaited")
            self.writers.append([])
            self.readers.append([])
        self.prints.grow()
        self.things = len(layout.names)
        self.all = ((1 << self.things) - 1) << self.prints.base
        self.probes = []

    # --- before a transition -----------------------------------------------------------------
    def note(self, op: Op, worker: int) -> Any:
        """What has to be kept of the state before a transition: asked before it happens."""
        if self.cooperative:
            return op, self.run.waiting[worker], tuple(self.run.pending)
        if self.blocks:  # it may go on to any other object
            return [None if model is None else model.snapshot() for model in self.run.models]
        if ACQUIRE <= op.kind <= GET:
            return self.run.models[self.group[op.target]].snapshot()  # type: ignore[union-attr]
        if op.kind <= WRITE:  # of real code, also what an object shows of itself
            model = self.run.models[self.group[op.target]]
            return None if model is None else model.snapshot()
        return None

    # --- after it ----------------------------------------------------------------------------
    def add(
        self,
        events: Sequence[Entry],
        note: Any,
        picks: tuple[int, ...],
        fired: bool,
        after: Sequence[Op | None] = (),
        forced: bool | None = None,
        held: Op | None = None,
    ) -> Step:
        """The next transition: its events, what ``note`` gave, data choices, whether by a timer.

        ``after``: of tasks, the pending ops right after it. ``forced``: whether time had to go on
        for the timer (None: all timers of virtual time are like that). ``held``: what it would
        have gone on with if that had been possible then: it has looked at that object.
        """
        worker, kind, op, result, _, _ = events[0]
        here = len(self.steps)
        line = self.lines[worker]
        own = self.life[worker]
        before = self.before
        cover = self._past(worker, here)
        if kind == CANCELLED and self.shares(worker):
            cover |= self._offered(worker)
        if self.cooperative:
            fired = kind in (SLEEP, TIMEOUT) or (kind == JOIN and result is False and op.blocking)
        if (
            not self.plain
            or kind > GET
            or op.body is not None  # of several things
            or self.about[worker]
            or fired
            or self.shares(worker)
        ):
            forced = self.virtual and fired and forced is not False
            return self._general(events, note, cover, picks, forced, after, held)
        thing = self.group[op.target]
        if kind > ATOMIC and self.readers[thing]:
            # an object that was only looked at (is an event set, a lock held), which real code does
            return self._general(events, note, cover, picks, fired, after)
        bit = self.bit[op.target]  # as in Footprints.footprint, but without a call
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
                    for e in reversed(writers) if self.asks else ():
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
        last_ = None if kind == COMPARE_EXCHANGE else (worker, (), step[2], step[3])
        self.rows.append((races, last_, step, events, note, (touched, line)))
        touched.append(here)
        line.append(here)
        return step

    def _past(self, worker: int, here: int) -> int:
        """Mask of what comes before the next step of ``worker``, transition ``here``, in any order:
        its own steps and, of its first one, what started it and all that came before any worker."""
        past = self.lines[worker] or self.spawns[worker]
        cover = self.before[past[-1]] | 1 << past[-1] if past else 0
        return cover | (1 << min(self.run.prelude, here)) - 1

    def be_long(self) -> None:
        """The execution is a long one."""
        if isinstance(self.before, list):
            self.before = LongMasks(self.before, self.steps)

    def cut(self, length: int) -> None:
        """Back to the first ``length`` transitions."""
        for row in self.rows[length:]:
            for one in row[LISTS]:
                one.pop()
        del self.steps[length:], self.before[length:], self.rows[length:]
        for fired in (self.timers, self.ties):
            while fired and fired[-1] >= length:
                fired.pop()

    # --- the general case --------------------------------------------------------------------
    def _general(
        self,
        events: Sequence[Entry],
        note: Any,
        cover: int,
        picks: tuple[int, ...],
        forced: bool,
        after: Sequence[Op | None],
        held: Op | None = None,
    ) -> Step:
        worker, kind, op, _, _, _ = events[0]
        here = len(self.steps)
        own = self.life[worker]
        if forced and self.shares(worker) and self._alone():
            forced = False
            self.ties.append(here)
        parked = note[1] if self.cooperative else kind in PARKED
        asked: Op = note[0] if self.cooperative else op
        line = self.lines[worker]
        undo = [line]
        reads, writes = 0, own
        for event in events:
            r, w = self.prints.footprint(event, None if self.blocks else note)
            reads |= r
            writes |= w
            if event[1] in (JOIN, CANCEL, SPAWN):
                good = event[1] == SPAWN and event[3] is None
                undo.append((self.spawns if good else self.about)[event[2].target])
        if self.leaves and after[worker] is None:
            writes |= self.prints.held(worker)
        if held is not None:
            reads |= self.static(held)[1]
        if forced:
            # only when nothing else could happen: after all before it, and before all after it.
            # Without it the op would have gone on waiting.
            reads, writes = self.static(asked)
            writes |= own
            races = self._races(here, cover, worker, asked, parked, reads, writes)
            last: Step | None = (worker, (), -1 if self.unforeseen else reads, writes)
            exact = step = (worker, picks, -1, -1)
            hb = (1 << here) - 1
            self.timers.append(here)
        else:
            exact = step = (worker, picks, reads, writes)
            races = self._races(here, cover, worker, asked, parked, reads, writes)
            hb = cover
            both = reads | writes
            for e, row in enumerate(self.rows):
                _, _, r, w = row[EXACT]
                if (w & both or r & writes) and not hb >> e & 1:
                    hb |= self.before[e] | 1 << e
            if self.timers:
                hb |= (2 << self.timers[-1]) - 1
            if self.cooperative:
                step = (worker, picks, -1, -1)
            elif kind == ATOMIC:
                looks, changes = self.static(op)
                step = (worker, picks, looks, own | changes)
            known = kind not in (COMPARE_EXCHANGE, SPAWN) or self.unforeseen
            last = (worker, (), step[2], step[3]) if known else None
            if self.blocks:
                last = (worker, (), -1, -1)
            left = (both & self.all) >> self.prints.base
            while left:
                thing = (left & -left).bit_length() - 1
                left &= left - 1
                changed = writes >> self.prints.base + thing & 1
                undo.append((self.writers if changed else self.readers)[thing])
        self.before.append(hb)
        self.steps.append(step)
        for one in undo:
            one.append(here)
        self.rows.append((races, last, exact, events, note, tuple(undo)))
        return step

    def _races(
        self, here: int, cover: int, worker: int, op: Op, parked: bool, reads: int, writes: int
    ) -> Sequence[int]:  # fmt: skip
        """What a transition of ``worker`` after the first ``here`` races with.

        ``op``: what it begins with, ``parked``: the end of a wait that has begun before.
        """
        found: list[int] = []
        both = reads | writes
        rows = self.rows
        before = self.before
        for e in range(here - 1, -1, -1):
            if cover >> e & 1:
                continue
            _, _, r, w = rows[e][EXACT]
            if w & both or r & writes:
                answer = self._possible(e, here, worker, op, parked)
                if answer:
                    found.append(e)
                if answer == YES:
                    cover |= before[e] | 1 << e
        return found

    def _offered(self, worker: int) -> int:
        """Mask of what happens before a cancellation comes in: after a step of its loop, and by a
        choice that is a part of that."""
        loops = self.run.loops
        loop = loops[worker].number
        for e in range(len(self.steps) - 1, -1, -1):
            gate = loops.get(self.steps[e][0])
            if gate is not None and gate.number == loop:
                return self.before[e] | 1 << e
        return 0

    def _alone(self) -> bool:
        """Whether nobody but the tasks of loops has made a step so far."""
        loops = self.run.loops
        return all(worker in loops for worker, _, _, _ in self.steps)

    # --- the end of a reversed sequence ------------------------------------------------------
    def reversed_step(self, e: int, here: int) -> Step:
        """Transition ``here`` as it would be without ``e`` and all that happens after ``e``."""
        row = self.rows[here]
        return row[LAST] or self.unseen(e, self.steps[here][0], row[EVENTS][0][2], here)

    def unseen(self, e: int, worker: int, op: Op, here: int = -1) -> Step:
        """The step that ``op`` would be after the first ``here`` transitions (-1: all of them),
        less ``e`` and all that happens after ``e``."""
        own = self.life[worker]
        if self.unforeseen:
            return worker, (), -1, -1
        here = len(self.steps) if here < 0 else here
        reads, writes = self.static(op)
        seen = False  # whether it only looks
        if op.kind == COMPARE_EXCHANGE:
            seen = not same(self._value(op.target, e, here), op.expect)
        elif op.kind == SPAWN and self.spawns[op.target]:
            [k] = self.spawns[op.target]
            seen = k < here and not (k == e or self.before[k] >> e & 1)
        if seen:
            reads, writes = self.bit[op.target] if op.kind == COMPARE_EXCHANGE else writes, 0
        return worker, (), reads, own | writes | self.shares(worker)

    def _value(self, variable: int, e: int, here: int) -> Value:
        """The value that ``here`` would find in ``variable`` without ``e`` and what follows."""
        for k in reversed(self.writers[variable]):
            event = self.rows[k][EVENTS][0]
            if k >= here or k == e or (k > e and self.before[k] >> e & 1):
                continue
            if event[3].__class__ is not Raised:
                return written(event, variable)
        return self.run.layout.initial[variable]

    def pending(self, worker: int, op: Op, parked: bool) -> Sequence[int]:
        """The races of an ``op`` that is pending after the last transition."""
        cover = self._past(worker, len(self.steps))
        reads, writes = self.static(op)
        writes |= self.life[worker] | self.shares(worker)
        return self._races(len(self.steps), cover, worker, op, parked, reads, writes)
