"""One moment of a scenario's run, and every way on from it; the rules of four backends.

Written from the description of the language and of the backends, apart from ``tracelock.engine``
and ``tracelock.objects``, which it is there to check. A ``World`` is copied for each way on.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import permutations
from math import perm
from typing import Any, NamedTuple

from tests.oracles import task_things, things
from tests.oracles.language import (
    EMPTY,
    Ask,
    Cancelled,
    Endless,
    Expired,
    Failure,
    Names,
    Worker,
    frozen,
)
from tests.oracles.lowering import Compiler, condition, holds
from tests.oracles.things import PARKED, WRONG

VARIABLE = {"read", "write", "exchange if", "exchange", "add"}
CHANGES = {"write", "exchange if", "exchange", "add", "atomic"}
#: Steps that no other worker can hold up.
FREE = VARIABLE | {"atomic", "checkpoint", "spawn", "cancel", "crash"}
#: Steps in which a task may be suspended, and so be cancelled.
SUSPENDING = {"acquire", "wait", "put", "get", "sleep", "checkpoint", "join"}
#: By backend: at which steps a task is suspended before they happen, and after.
BEFORE = {
    "asyncio": {"sleep", "checkpoint", "join"},
    "trio": {"sleep", "checkpoint", "join", "put", "get"},
}


class Plan:
    """A scenario compiled, on one backend."""

    def __init__(self, data: dict[str, Any], backend: str, adversarial: bool) -> None:
        self.backend = backend
        self.adversarial = adversarial
        self.tasks = backend in BEFORE
        self.trio = backend == "trio"
        self.before = BEFORE.get(backend, set())
        self.names = Names(data)
        self.codes = [
            Compiler(self.names, number, data["workers"][group]["steps"]).code
            for number, (group, *_) in enumerate(self.names.workers)
        ]
        self.always = [condition(self.names, expr) for expr in data.get("always", ())]
        self.finally_ = [condition(self.names, expr) for expr in data.get("finally", ())]


class Block:
    """A ``timeout`` block that a task is in. ``entry``: the cancellations asked for before it;
    ``fresh``: it begins with the step that is to come."""

    __slots__ = ("deadline", "entry", "fired", "fresh")

    def __init__(self, deadline: float, entry: int) -> None:
        self.deadline, self.entry = deadline, entry
        self.fired, self.fresh = False, True

    def copy(self) -> Block:
        new = Block(self.deadline, self.entry)
        new.fired, new.fresh = self.fired, self.fresh
        return new


class Task:
    """What matters of a task that has been cancelled or is in a ``timeout`` block."""

    __slots__ = ("blocks", "cancelled", "due", "entry", "late", "requests", "unwinding")

    def __init__(self) -> None:
        self.requests = 0  # cancellations asked for and not taken back
        self.cancelled = False  # by a cancel step
        self.due = False  # it cancelled itself, and has not been suspended since
        self.blocks: dict[int, Block] = {}
        self.entry = 0  # requests when it came to its step
        self.late = False  # the time of the step is over
        self.unwinding = False  # cut off, with a lock to take back first

    def copy(self) -> Task:
        new = Task()
        for name in Task.__slots__:
            setattr(new, name, getattr(self, name))
        new.blocks = {uid: block.copy() for uid, block in self.blocks.items()}
        return new

    def key(self, now: float) -> Hashable:
        blocks = tuple((b.deadline - now, b.entry, b.fired, b.fresh) for b in self.blocks.values())
        return (
            self.requests, self.cancelled, self.due, self.entry, self.late, self.unwinding, blocks
        )  # fmt: skip


class Move(NamedTuple):
    """One way on. ``timer``: (deadline, uid of a block or 0 for the step's own) that fires;
    ``whom``: who wakes; ``chance``: that uniform choices come to it."""

    worker: int
    timer: tuple[float, int] | None
    whom: tuple[int, ...] | None
    preemptive: bool
    chance: float
    chosen: bool  # not the only one who could go on, by the rules of tasks


class Event(NamedTuple):
    """What a step did, for the order of independent steps."""

    worker: int
    kind: str
    thing: int
    reads: frozenset[int]
    writes: frozenset[int]
    other: int  # the worker it starts, awaits or cancels, -1 for none


class World:
    """The state of everything. ``asks``: the step that each worker has come to."""

    def __init__(self, plan: Plan) -> None:
        names = plan.names
        count = len(names.workers)
        self.plan = plan
        self.values = list(names.values)
        self.things: dict[int, Any] = {}
        family = task_things if plan.tasks else things
        specs = list(enumerate(names.objects, names.variables))
        for number, spec in sorted(specs, key=lambda pair: pair[1]["type"] == "condition"):
            self.things[number] = family.make(plan.backend, spec, self.things)
        self.workers = [Worker(code) for code in plan.codes]
        self.asks: list[Ask | None] = [None] * count
        self.parked = [False] * count
        self.active: list[int] = []
        self.ended = [False] * count
        self.begun = [False] * count  # has made a step
        self.timers: dict[int, float] = {}
        self.tasks: dict[int, Task] = {}
        self.cut: set[int] = set()  # whose next event is that a cancellation reaches it
        self.crashed = False
        self.failure: str | None = None
        self.now = 0.0
        self.current = -1
        self.suspended = True
        self.paused = False
        self.event: Event

    @classmethod
    def first(cls, plan: Plan) -> World:
        """Every worker that starts by itself is at its first visible step."""
        world = cls(plan)
        world._inspect()
        for number, (*_, manual) in enumerate(plan.names.workers):
            if not manual:
                world._start(number)
        return world

    def copy(self) -> World:
        new = object.__new__(World)
        new.__dict__.update(self.__dict__)
        for name in ("values", "workers", "asks", "parked", "active", "ended", "begun", "timers",
                     "cut"):  # fmt: skip
            setattr(new, name, getattr(self, name).copy())
        new.tasks = {who: task.copy() for who, task in self.tasks.items()}
        new.things = {number: thing.copy() for number, thing in self.things.items()}
        for number, thing in new.things.items():
            if hasattr(thing, "lock"):
                thing.lock = new.things[self.plan.names.spec(number)["lock"]]
        return new

    def key(self) -> Hashable:
        """Equal for moments with the same future and the same past failure."""
        now = self.now
        return (
            frozen(self.values),
            tuple([thing.key() for thing in self.things.values()]),
            tuple([worker.key() for worker in self.workers]),
            tuple([None if ask is None else tuple(map(frozen, ask)) for ask in self.asks]),
            tuple(self.parked), tuple(self.active), tuple(self.ended),
            tuple(sorted((who, when - now) for who, when in self.timers.items())),
            tuple((who, self.tasks[who].key(now)) for who in sorted(self.tasks)),
            frozenset(self.cut), tuple(self.begun) if self.plan.tasks else None,
            self.crashed, self.failure, self.current, self.suspended, self.paused,
        )  # fmt: skip

    # --- who may go on ---------------------------------------------------------------------
    def moves(self) -> Iterator[Move]:
        """Every way on; none where the run is over."""
        tasks, adversarial = self.plan.tasks, self.plan.adversarial
        forced = False
        if tasks and not self.suspended:
            options, chosen = [self.current], False
        else:
            options, chosen = self._options(), True
            if not options:
                options, forced = self._due(), True
        idle = forced and not adversarial
        for worker in options:
            chance = 1 / len(options)
            preemptive = chosen and worker != self.current and self.current in options and not idle
            fires: list[tuple[tuple[float, int] | None, float]] = [(None, 1.0)]
            if adversarial and chosen:
                fires = self._may_fire(worker)
            elif forced:
                fires = [(min(self._timers(worker), key=lambda timer: timer[0]), 1.0)]
            for timer, part in fires:
                for whom, share in self._wakes(worker, timer):
                    yield Move(worker, timer, whom, preemptive, chance * part * share, chosen)

    def _options(self) -> list[int]:
        found = {who for who in self.active if self._could(who)}
        found |= self.cut
        if self.plan.adversarial:
            found |= {who for who in self.active if self._timers(who)}
        return sorted(found)

    def _could(self, who: int) -> bool:
        ask = self.asks[who]
        assert ask is not None
        if ask.kind in FREE:
            return True
        if ask.kind == "sleep":
            return False
        if ask.kind == "join":
            return self.ended[ask.thing] or (self.plan.tasks and not self._suspends(ask))
        thing = self.things[ask.thing]
        return bool(thing.woken(who) if self.parked[who] else thing.can(ask, who))

    def _suspends(self, ask: Ask) -> bool:
        """Whether a task that comes to a step of ``before`` is suspended in it."""
        if ask.tries:
            return False
        return ask.kind != "join" or self.plan.trio or not self.ended[ask.thing]

    def _cancellable(self, ask: Ask) -> bool:
        if ask.kind not in SUSPENDING:
            return False
        if ask.kind == "wait" and self.plan.names.spec(ask.thing)["type"] != "event":
            return True  # even in no time it lets go of its lock, or arrives
        return not ask.tries

    # --- time ------------------------------------------------------------------------------
    def _timers(self, who: int) -> list[tuple[float, int]]:
        """What may fire for a worker: (deadline, uid of a block or 0 for its step)."""
        if who in self.cut:
            return []
        ask = self.asks[who]
        assert ask is not None
        found: list[tuple[float, int]] = []
        if who in self.tasks:
            inside = self.parked[who] or (ask.kind in self.plan.before and self._cancellable(ask))
            found += [
                (block.deadline, uid)
                for uid, block in self.tasks[who].blocks.items()
                if not block.fired and (inside or not block.fresh)
            ]
        if who in self.timers and (
            ask.kind in ("sleep", "join")
            or self.things[ask.thing].may_be_late(ask, who, self.parked[who])
        ):
            found.append((self.timers[who], 0))
        return found

    def _due(self) -> list[int]:
        """Nothing else can happen: those whose deadline is the next."""
        due = {who: min(timers)[0] for who in self.active if (timers := self._timers(who))}
        return [who for who, when in due.items() if when == min(due.values())]

    def _may_fire(self, who: int) -> list[tuple[tuple[float, int] | None, float]]:
        """A timer may fire early: which, or none, with the chance of each."""
        timers = self._timers(who)
        must = not self._could(who)
        found: list[tuple[tuple[float, int] | None, float]] = []
        left = 1.0
        for place, timer in enumerate(timers):
            if must and place == len(timers) - 1:
                return [*found, (timer, left)]
            left /= 2
            found.append((timer, left))
        return [*found, (None, left)]

    def _wakes(
        self, who: int, timer: tuple[float, int] | None
    ) -> Iterator[tuple[tuple[int, ...] | None, float]]:
        """Between processes any waiter may be the one that a notify wakes."""
        ask = self.asks[who]
        assert ask is not None
        if ask.kind == "notify" and self.plan.backend == "multiprocessing" and timer is None:
            waiting = self.things[ask.thing].whom(ask, who)
            if waiting:
                for whom in permutations(waiting, ask.value):
                    yield whom, 1 / perm(len(waiting), ask.value)
                return
        yield None, 1.0

    # --- a step ----------------------------------------------------------------------------
    def after(self, move: Move) -> World:
        """The moment after ``move``; this one stays as it is."""
        new = self.copy()
        new._do(move)
        return new

    def _do(self, move: Move) -> None:
        who = move.worker
        ask = self.asks[who]
        assert ask is not None
        thrown: Exception | None = None
        seen: tuple[set[int], set[int]] = (set(), set())
        never = early = False
        if move.timer is not None:
            early = True
            kind, result = self._fire(who, ask, move.timer)
        elif who in self.cut and move.chosen:
            early = True
            never = self._never_begun(who)
            kind, result, thrown = self._deliver(who, ask)
        elif self.parked[who]:
            kind = "wake" if ask.kind == "wait" else ask.kind
            result = self.things[ask.thing].back(ask, who)
            if result is not PARKED:
                self.parked[who] = False
                task = self.tasks.get(who)
                if task is not None and task.unwinding and result is not WRONG:
                    task.unwinding = False
                    kind, result, thrown = self._raised(task, ask, kind)
        else:
            kind = ask.kind
            if kind == "atomic":
                worker = self.workers[who] = self.workers[who].copy()
                result, (*seen, thrown) = None, worker.atomically(self.values)
            else:
                result = self._new(who, ask, move.whom)
        parked = result is PARKED
        if move.timer is None or not self.plan.tasks:
            self.parked[who] = parked
        waits = self.parked[who] or kind == "timeout"
        if parked and kind not in ("wait", "timeout"):
            kind = "request"
        if waits and who in self.tasks and self.tasks[who].due:
            self.tasks[who].due = False
            self._strike(who)
        if not waits:
            self.timers.pop(who, None)
        self.begun[who] = True
        self.event = self._told(who, kind, ask, result, *seen)
        self.current = who
        self.paused = (
            self.plan.trio and not early and kind in ("acquire", "wake")
            and self.things[ask.thing].paused
        )  # fmt: skip
        self.suspended = waits or self.paused
        if kind in CHANGES:
            self._inspect()
        if not waits:
            self._go_on(who, ask, result, thrown, never)

    def _new(self, who: int, ask: Ask, whom: tuple[int, ...] | None) -> Any:
        """A step that begins: its result, or PARKED."""
        kind, thing = ask.kind, ask.thing
        if kind in VARIABLE:
            return self._variable(ask)
        if kind == "join":
            return self.ended[thing]
        if kind == "spawn":
            return WRONG if self.ended[thing] or thing in self.active else None
        if kind == "cancel":
            self._cancel(thing, who)
        if kind in ("cancel", "checkpoint", "crash"):
            return None
        if whom is not None:
            return self.things[thing].do(ask, who, whom)
        return self.things[thing].do(ask, who)

    def _variable(self, ask: Ask) -> Any:
        old = self.values[ask.thing]
        if ask.kind == "read":
            return old
        if ask.kind == "exchange if":
            same = old == ask.expect and (isinstance(old, bool) is isinstance(ask.expect, bool))
            if old is ask.expect or same:
                self.values[ask.thing] = ask.value
                return True
            return False
        if ask.kind == "add":
            try:
                self.values[ask.thing] = old + ask.value
            except TypeError:
                return WRONG
            return old
        self.values[ask.thing] = ask.value
        return old if ask.kind == "exchange" else None

    def _go_on(
        self, who: int, ask: Ask, result: Any, thrown: Exception | None, never: bool
    ) -> None:
        """The step is over: the worker goes on to its next one."""
        if never:
            self._end(who)
            return
        if thrown is None and result is not WRONG:
            if ask.kind == "crash":
                self.crashed = True
                self._end(who)
                return
            if ask.kind == "spawn":
                self._start(ask.thing)
        worker = self.workers[who] = self.workers[who].copy()
        if result is WRONG and thrown is None:
            thrown = Failure("error")
        if thrown is not None:
            self._advance(who, lambda: worker.throw(thrown))
        elif ask.kind == "atomic":
            self._advance(who, worker.begin)
        else:
            self._advance(who, lambda: worker.resume(result))

    def _start(self, who: int) -> None:
        worker = self.workers[who] = self.workers[who].copy()
        self._advance(who, worker.begin)

    def _advance(self, who: int, go: Any) -> None:
        try:
            ask = go()
        except Failure as failure:
            self.failure = self.failure or failure.kind
            self._end(who)
        except (Cancelled, Expired):
            self._end(who)
        else:
            if ask is None:
                self._end(who)
            else:
                self._ask(who, ask)

    def _ask(self, who: int, ask: Ask) -> None:
        if who not in self.active:
            self.active = sorted([*self.active, who])
        self.asks[who] = ask
        if ask.kind == "sleep":
            self.timers[who] = self.now + ask.value
        elif ask.timeout is not None:
            self.timers[who] = self.now + ask.timeout
        if self.plan.tasks:
            if who == self.current and ask.kind in self.plan.before and self._suspends(ask):
                self.suspended = True
            self._enter(who, ask)

    def _end(self, who: int) -> None:
        if self.paused and who == self.current:
            # it is not over before it has come through the checkpoint at the end of its step
            self.paused = False
            self._ask(who, Ask("checkpoint"))
            return
        self.ended[who] = True
        self.asks[who] = None
        self.active = [one for one in self.active if one != who]
        self.timers.pop(who, None)
        self.tasks.pop(who, None)
        self.cut.discard(who)
        if self.plan.trio:
            for thing in self.things.values():
                thing.ended(who)
        if who == self.current:
            self.suspended = True

    def _inspect(self) -> None:
        if self.failure is None and not all(holds(one, self.values) for one in self.plan.always):
            self.failure = "always"

    def _told(
        self, who: int, kind: str, ask: Ask, result: Any, reads: set[int], writes: set[int]
    ) -> Event:
        """What it did: an object is read and written at once, a condition with its lock."""
        thing, other = ask.thing, -1
        if ask.kind in ("spawn", "join", "cancel"):
            other = thing
        elif kind == "read" or (kind == "exchange if" and result is False):
            kind, reads = "read", {thing}
        elif thing >= 0:
            writes = {thing}
            if thing >= self.plan.names.variables:
                writes.add(self.plan.names.lock_of(thing))
        return Event(who, kind, thing, frozenset(reads), frozenset(writes), other)

    # --- cancellation ----------------------------------------------------------------------
    def _enter(self, who: int, ask: Ask) -> None:
        """A task has come to a step, inside the ``timeout`` blocks of its machine."""
        scopes = self.workers[who].scopes
        task = self.tasks.get(who)
        if task is None:
            if not scopes:
                return
            task = self.tasks[who] = Task()
        inside = {uid for uid, _ in scopes}
        for uid in [uid for uid in task.blocks if uid not in inside]:
            task.requests -= task.blocks.pop(uid).fired
        for block in task.blocks.values():
            block.fresh = False
        for uid, seconds in scopes:
            if uid not in task.blocks:
                task.blocks[uid] = Block(self.now + seconds, task.requests)
        task.entry = task.requests
        task.late = False
        if self.plan.trio:
            cancelled = task.cancelled or any(block.fired for block in task.blocks.values())
            if cancelled and self._cancellable(ask):
                self.cut.add(who)
                if who == self.current:
                    self.suspended = True
        elif task.due and who == self.current and self.suspended:
            task.due = False
            self.cut.add(who)

    def _cancel(self, target: int, by: int) -> None:
        if not self.plan.tasks or target not in self.active:
            return
        task = self.tasks.setdefault(target, Task())
        task.requests += 1
        task.cancelled = True
        if target != by:
            self._strike(target)
        elif not self.plan.trio:
            task.due = True

    def _strike(self, who: int) -> None:
        ask = self.asks[who]
        assert ask is not None
        if self.parked[who]:
            if self.things[ask.thing].struck(ask, who):
                self.cut.add(who)
        elif not self.plan.trio or self._cancellable(ask):
            self.cut.add(who)

    def _fire(self, who: int, ask: Ask, timer: tuple[float, int]) -> tuple[str, Any]:
        """A deadline passes: the kind of event, and its result."""
        deadline, uid = timer
        self.now = max(self.now, deadline)
        if not self.plan.tasks:
            self.timers.pop(who)
            if ask.kind in ("sleep", "join"):
                return ask.kind, None if ask.kind == "sleep" else False
            result = self.things[ask.thing].late(ask, who, self.parked[who])
            if result is PARKED:
                return "timeout", PARKED
            kind = "wake" if self.parked[who] and ask.kind == "wait" else ask.kind
            return kind, result
        if not uid:
            self.timers.pop(who)
            if ask.kind == "sleep":
                return "sleep", None
            if not self.parked[who]:
                return ask.kind, EMPTY if ask.kind == "get" else False
            task = self.tasks.setdefault(who, Task())
            task.late = True
        else:
            task = self.tasks[who]
            task.blocks[uid].fired = True
        task.requests += 1
        self._strike(who)
        return "timeout", PARKED

    def _never_begun(self, who: int) -> bool:
        """A task of asyncio that is cancelled before its first step never runs at all."""
        ask = self.asks[who]
        assert ask is not None
        return not (
            self.plan.trio or self.parked[who] or self.begun[who]
            or (ask.kind in self.plan.before and self._cancellable(ask))
        )  # fmt: skip

    def _deliver(self, who: int, ask: Ask) -> tuple[str, Any, Exception | None]:
        """A cancellation reaches its task: kind of event, result, and what is raised."""
        self.cut.discard(who)
        task = self.tasks[who]
        if self.parked[who]:
            answer = self.things[ask.thing].cut(ask, who)
            if answer is PARKED:
                task.unwinding = True
                return "request", PARKED, None
            self.parked[who] = False
            if answer is WRONG:
                return "wake", WRONG, None
        return self._raised(task, ask, "wake" if ask.kind == "wait" else ask.kind)

    def _raised(self, task: Task, ask: Ask, kind: str) -> tuple[str, Any, Exception | None]:
        """The end of a step that was cut off: its time is over, or an error is raised."""
        late, task.late = task.late, False
        error: Exception | None = Cancelled()
        if self.plan.trio:  # whatever is outermost goes first
            fired = [uid for uid, block in task.blocks.items() if block.fired]
            if not task.cancelled and (fired or late):
                error = Expired(fired[0]) if fired else None
        else:  # each block counts whether a request is its own, the innermost first
            count = task.requests - late
            if late and count <= task.entry:
                error = None
            else:
                for uid, block in reversed(task.blocks.items()):
                    if block.fired:
                        count -= 1
                        if count <= block.entry:
                            error = Expired(uid)
                            break
        if late:
            task.requests -= 1
        if error is None:
            return kind, EMPTY if ask.kind == "get" else False, None
        return "cancelled", None, error

    # --- the end ---------------------------------------------------------------------------
    def verdict(self) -> str:
        """How a run without a way on has ended."""
        if self.failure is not None:
            return f"failed:{self.failure}"
        if self.crashed:
            return "crashed"
        if self.active:
            return "deadlock"
        if not all(holds(one, self.values) for one in self.plan.finally_):
            return "failed:finally"
        return "passed"


__all__ = ["Endless", "Event", "Move", "Plan", "World"]
