"""The order of one object's events, where clocks alone do not tell it.

A record of a free run says in which interval its event took effect. The events of one object
are put in an order that its state machine accepts with exactly the recorded results: the search
of Wing and Gong (JPDC 17, 1993) with Lowe's memory of states that led nowhere (Testing for
linearizability, 2017). Linearisability is local (Herlihy and Wing, TOPLAS 12, 1990), so objects
are solved one at a time; a lock and the conditions on it are one, as a wait touches both.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations, islice
from typing import Any, Final

from tracelock.engine.linearise.history import NEVER, OrderProgress, Record, agrees, describe
from tracelock.engine.linearise.strands import Strand, is_on_object, make_strand, pair_items
from tracelock.errors import InternalError, LimitReached
from tracelock.objects import PARKED, Model, Rules, frozen
from tracelock.objects.locks import ConditionModel
from tracelock.objects.queues import QueueModel
from tracelock.objects.waits import EventModel
from tracelock.ops import (
    EMPTY,
    GET,
    NOTIFY,
    PUT,
    SET,
    TIMEOUT,
    WAKE,
    Layout,
    Value,
)

#: What may come next: a strand, and whom a notify wakes (None: as the model says).
Option = tuple[int, Sequence[int] | None]

#: How many ways of choosing whom a notify wakes are tried at one place.
WAYS: Final = 64
#: Choice points kept; a mistake is noticed within a few overlapping events of where it was made.
DEPTH: Final = 50_000


class Placing:
    """The search for one unit: an object, or a lock with its conditions.

    ``places``: for each worker where in its log the events are; ``numbers``: the objects of
    the unit; ``models``: by number, used up; ``lifetime``: see ``lifetimes``.

    ``place()`` leaves in ``turns`` the workers in order (the events of one worker keep theirs),
    in ``woken`` for each notify (worker, place in its log, the waiters woken), in ``moments`` for
    each event (worker, place, a moment within its bounds; never decreasing). It raises
    InternalError when no order is accepted.

    With ``progress`` the search is for all events at once, those on variables too: slower, and
    only needed where the orders of objects found one by one contradict each other.
    """

    def __init__(
        self,
        logs: Sequence[Sequence[Record]],
        places: Sequence[Sequence[int]],
        numbers: Iterable[int],
        models: Sequence[Model | None],
        layout: Layout,
        rules: Rules,
        lifetime: tuple[list[int], list[int]],
        progress: OrderProgress | None = None,
    ) -> None:
        self.logs = logs
        self.numbers = frozenset(numbers)
        self.layout = layout
        self.rules = rules
        self.all = models
        self.progress = progress
        self.models = [model for n in sorted(self.numbers) if (model := models[n]) is not None]
        self.budget = 0  # steps of the search that are left
        self.turns = array("i")
        self.woken: list[tuple[int, int, list[int]]] = []
        self.moments: list[tuple[int, int, int]] = []
        # A queue may be long: its steps are undone one by one, not by copying what is in it.
        only = self.models[0]
        alone = isinstance(only, QueueModel) and only.store.order != "priority" and progress is None
        self.queue = only if alone and isinstance(only, QueueModel) else None
        self.strands = [
            make_strand(w, logs[w], places[w], models, lifetime[0][w], lifetime[1][w])
            for w in range(len(logs))
            if places[w]
        ]
        self.strand_of = {strand.worker: i for i, strand in enumerate(self.strands)}
        if self.queue is not None:
            pair_items(logs, self.strands, self.queue.store.order == "fifo")

    # --- the search -----------------------------------------------------------------------------
    def place(self) -> None:
        """Find an order; see the class."""
        if not self._search():
            # A lock that others release has stamps that do not order it: bounds alone then.
            linked = any(any(strand.linked) for strand in self.strands)
            for strand in self.strands:
                strand.linked = bytearray(len(strand.linked))
            if not linked or not self._search():
                if self.budget < 0:
                    raise LimitReached(self._gives_up())
                raise InternalError(self._complaint())
        self._tell()

    def _search(self) -> bool:
        for model in self.models:
            model.reset()
        if self.progress is not None:
            self.progress.begin()
        strands = self.strands
        self.at = at = [0] * len(strands)
        self.path: list[tuple[int, list[int] | None]] = []
        self.best: list[int] = []
        self.deepest = -1
        points: list[tuple[int, list[Option], Any]] = []
        dead: set[Hashable] = set()
        total = sum(len(strand.places) for strand in strands)
        self.budget = 200 * total + 200_000
        while len(self.path) < total:
            self.budget -= 1
            if self.budget < 0:
                return False
            options = self._options()
            if options is None:
                continue
            if dead and len(options) > 1 and self._key() in dead:
                options = []
            if options:
                saved = self._save()
                option = options.pop(0)
                if options:
                    points.append((len(self.path), options, saved))
                    if len(points) > DEPTH:
                        del points[: DEPTH // 2]
                if self._happens(option):
                    continue
                if not options:
                    self._load(saved)
            if len(self.path) > self.deepest:
                self.deepest, self.best = len(self.path), list(at)
            while points:
                length, left, saved = points[-1]
                self._rewind(length)
                self._load(saved)
                if not left:
                    points.pop()
                    dead.add(self._key())
                    continue
                self.budget -= 1
                if self._happens(left.pop(0)):
                    break
            else:
                return False
        return True

    def _gives_up(self) -> str:
        names = ", ".join(self.layout.names[number] for number in sorted(self.numbers))
        return (
            f"a free run has {sum(len(s.places) for s in self.strands):,} events on {names}, whose "
            "order was not found in the time that it is worth: use a --strategy, which knows it"
        )

    def _options(self) -> list[Option] | None:
        """What could come next, best first; None if a quiet event was taken on the way."""
        heads = [
            (strand, i, n)
            for n, (strand, i) in enumerate(zip(self.strands, self.at, strict=True))
            if i < len(strand.places)
        ]
        high = min(strand.high[i] for strand, i, _ in heads)
        chain = min(strand.chain[i] for strand, i, _ in heads)
        queue = self.queue
        soonest = NEVER if queue is None else min(strand.soonest[i] for strand, i, _ in heads)
        found: list[tuple[Any, int, Strand, int]] = []
        for strand, i, n in heads:
            if strand.low[i] > high or (strand.linked[i] and strand.chain[i] > chain):
                continue
            record = self.logs[strand.worker][strand.places[i]]
            if self.progress is not None:
                if not i and not self.progress.started[strand.worker]:
                    continue
                if not is_on_object(record):
                    if self._passes(n, record):
                        return None
                    continue
            if strand.quiet[i]:
                saved = self._save()
                if self._happens((n, None)):
                    return None
                self._load(saved)
                continue
            rank: Any = strand.high[i]
            if queue is not None:
                getting = self.logs[strand.worker][strand.places[i]][0] == GET
                fifo = queue.store.order == "fifo"
                if strand.out_low[i] > soonest if fifo else self._buried(strand, i):
                    continue
                # first out what can go; then what is wanted soonest (of a stack: last)
                wanted = strand.out_low[i] if fifo else -strand.out_low[i]
                rank = (not getting, strand.high[i] if getting else wanted, strand.high[i])
            found.append((rank, n, strand, i))
        if len(found) > 1:
            found.sort(key=lambda item: (item[0], item[1]))
        options: list[Option] = []
        for _, n, strand, i in found:
            record = self.logs[strand.worker][strand.places[i]]
            if record[0] == NOTIFY and self.rules.notify_any:
                options += [(n, ways) for ways in self._ways(record)]
            else:
                options.append((n, None))
        return options

    def _buried(self, strand: Strand, i: int) -> bool:
        """Whether an item still to be put on a stack must lie below that of this put.

        It must if both lie there together, and this one's was got before the other's.
        """
        low, high = strand.out_low[i], strand.out_high[i]
        if low < 0:
            return False
        for other, start in zip(self.strands, self.at, strict=True):
            for j in range(start, len(other.places)):
                if other.low[j] > strand.high[i]:
                    break
                self.budget -= 1
                if other.out_low[j] > high and other.high[j] < low:
                    return True
        return False

    def _passes(self, n: int, record: Record) -> bool:
        """An event that is not on an object: it may come as soon as it can."""
        assert self.progress is not None
        if not self.progress.step(self.strands[n].worker, record):
            return False
        self._goes_on(n, None)
        return True

    def _goes_on(self, n: int, woken: list[int] | None) -> None:
        self.path.append((n, woken))
        self.at[n] += 1
        if self.progress is not None and self.at[n] == len(self.strands[n].places):
            self.progress.over[self.strands[n].worker] = True

    def _ways(self, record: Record) -> Iterable[Sequence[int] | None]:
        """Whom a notify may wake where it may be anyone: those who soon go on first."""
        model = self.all[record[1].target]
        assert isinstance(model, ConditionModel)
        if record[2] is not None:
            return (record[2],)
        n = record[1].value
        if n == -1 or not 0 < n < len(model.waiting):
            return (None,)
        late = model.timed_out
        hopeful = [u for u in model.waiting if u in late or self._may_wake(u)]
        hopeful.sort(key=self._returns)
        return islice(combinations(hopeful, n), WAYS)

    def _returns(self, worker: int) -> int:
        n = self.strand_of[worker]
        strand, i = self.strands[n], self.at[n]
        return strand.high[i] if i < len(strand.places) else NEVER

    def _may_wake(self, worker: int) -> bool:
        """Whether the record allows that the waiting ``worker`` is woken now."""
        n = self.strand_of[worker]
        strand, i = self.strands[n], self.at[n]
        if i == len(strand.places):
            return True
        record = self.logs[worker][strand.places[i]]
        return record[0] == WAKE and record[2] is True

    def _happens(self, option: Option) -> bool:
        """Let the next event of a strand happen in the models; False if its result differs."""
        n, chosen = option
        strand = self.strands[n]
        worker = strand.worker
        kind, op, result, _, _ = self.logs[worker][strand.places[self.at[n]]]
        model = self.all[op.target]
        assert model is not None
        woken: list[int] | None = None
        if kind == NOTIFY:
            if chosen is not None:
                model.choose(chosen)
            got = model.apply(op, worker)
            if got.__class__ is list:
                # a waiter whose time is up already may use up a notify that it does not hear
                late = model.timed_out if isinstance(model, ConditionModel) else ()
                if not all(waiter in late or self._may_wake(waiter) for waiter in got):
                    return False
                if result is None:
                    result = got
                woken = got
        elif kind == WAKE:
            if model.ready(op, worker):
                got = model.finish(op, worker)
            elif (
                op.timeout is not None
                and not isinstance(model, ConditionModel)
                and model.may_expire(op, worker, True)
            ):
                got = model.expire(op, worker, True)
            else:
                return False
        elif kind == TIMEOUT:
            if not model.may_expire(op, worker, True):
                return False
            got = model.expire(op, worker, True)
            result = PARKED
        else:
            if kind == SET and isinstance(model, EventModel) and not self.rules.event_rechecks:
                for waiter in model.waiting:
                    if not self._may_wake(waiter):
                        return False
            if model.enabled(op, worker):
                got = model.apply(op, worker)
            elif op.timeout is not None and model.may_expire(op, worker, False):
                got = model.expire(op, worker, False)
            else:
                return False
            if got is PARKED:
                got = None
        if not agrees(got, result):
            if self.queue is not None:
                self._unqueue(kind, got)
            return False
        self._goes_on(n, woken)
        return True

    # --- going back -----------------------------------------------------------------------------
    def _save(self) -> Any:
        if self.queue is not None:
            return None
        states = tuple(model.snapshot() for model in self.models)
        return states, None if self.progress is None else self.progress.save()

    def _load(self, saved: Any) -> None:
        if saved is None:
            return
        for model, state in zip(self.models, saved[0], strict=True):
            model.restore(state)
        if self.progress is not None:
            self.progress.load(saved[1])

    def _key(self) -> Hashable:
        # how far the variables are follows from how far the workers are
        return tuple(self.at), frozen(tuple(model.snapshot() for model in self.models))

    def _rewind(self, length: int) -> None:
        while len(self.path) > length:
            n, _ = self.path.pop()
            self.at[n] -= 1
            if self.queue is not None:
                strand = self.strands[n]
                record = self.logs[strand.worker][strand.places[self.at[n]]]
                self._unqueue(record[0], record[2])

    def _unqueue(self, kind: int, got: Value) -> None:
        assert self.queue is not None
        items = self.queue.store.items
        if kind == PUT:
            if got is True:
                items.pop()
        elif got is not EMPTY:
            if self.queue.store.order == "fifo":
                items.appendleft(got)
            else:
                items.append(got)

    # --- the answer -----------------------------------------------------------------------------
    def _tell(self) -> None:
        at = [0] * len(self.strands)
        wanted = array("q")
        lows = array("q")
        for n, woken in self.path:
            strand, i = self.strands[n], at[n]
            at[n] += 1
            place = strand.places[i]
            kind, _, _, t, t0 = self.logs[strand.worker][place]
            self.turns.append(strand.worker)
            if kind == NOTIFY and woken is not None:
                self.woken.append((strand.worker, place, woken))
            self.moments.append((strand.worker, place, 0))
            lows.append(strand.low[i])
            wanted.append(t if t0 else min(strand.high[i], t))
        for i in range(len(wanted) - 2, -1, -1):
            wanted[i] = min(wanted[i], wanted[i + 1])
        now = -NEVER
        for i, (worker, place, _) in enumerate(self.moments):
            now = max(now, lows[i], wanted[i])
            self.moments[i] = (worker, place, now)

    def _complaint(self) -> str:
        names = ", ".join(self.layout.names[n] for n in sorted(self.numbers))
        kinds = ", ".join(self.layout.spec(n).type for n in sorted(self.numbers))
        done: list[tuple[int, str]] = []
        next_: list[str] = []
        for strand, i in zip(self.strands, self.best, strict=True):
            log = self.logs[strand.worker]
            for j in range(max(0, i - 3), i):
                record = log[strand.places[j]]
                done.append((record[3], describe(self.layout, strand.worker, record)))
            if i < len(strand.places):
                next_.append(describe(self.layout, strand.worker, log[strand.places[i]]))
        lines = [f"no order of the events of {names} ({kinds}) gives the recorded results"]
        lines += ["after:", *(f"  {text}" for _, text in sorted(done)[-6:])] if done else []
        lines += ["none of these can come next:", *(f"  {text}" for text in next_[:8])]
        return "\n".join(lines)
