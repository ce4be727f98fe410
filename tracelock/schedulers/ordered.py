"""Brings about an order of events that is asked for, if the program lets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tracelock.ops import ACQUIRE, GET, PUT, WAIT, WAKE, Op
from tracelock.schedulers.base import WORKER, Choice, OneSchedule, Run


class EventPlace(NamedTuple):
    """One event of one worker, recognisable in another schedule: its ``nth`` (from 0) of this
    kind, target (a number, -1 for none) and path."""

    worker: int
    kind: int
    target: int
    at: str
    nth: int


class Wish(NamedTuple):
    """``first`` shall come before ``then``."""

    first: EventPlace
    then: EventPlace


#: Which worker goes on when all wishes are fulfilled: the last one, one that was held back, all in
#: turn, or as the trail says.
AFTERWARDS: Final = ("stay", "switch", "turns", "follow")

_Site = tuple[int, int, int, str]


class OrderedScheduler(OneSchedule):
    """One schedule in which every wish comes true, or ``lost``.

    A worker that comes to the ``then`` of a wish is held back until the ``first`` has happened;
    this is the active testing of Joshi, Park, Sen and Naik (*A randomized dynamic program analysis
    technique for detecting real deadlocks*, PLDI 2009), without its randomness. ``trail``: the
    workers of a run that is known, in order; with ``follow`` it is kept to as far as the wishes
    allow, else the workers that a wish waits for go first. ``afterwards``: one of ``AFTERWARDS``.
    Where nobody can go on but those who are held back, or after ``patience`` events, the wishes
    are dropped (``lost``). A worker that goes on and on is taken for one that spins, and the others
    get their turns. Timers fire only when they must, waiters wake in order.
    """

    name = "ordered"

    def __init__(
        self,
        wishes: Sequence[Wish],
        trail: Sequence[int],
        *,
        follow: bool = True,
        afterwards: str = "stay",
        patience: int = 10_000,
    ) -> None:
        self.wishes = list(wishes)
        self.follow = follow
        self.afterwards = afterwards
        self.patience = patience
        self.picks: list[int] = []
        self.fulfilled = not self.wishes
        self.lost = False
        self._own: dict[int, list[int]] = {}
        for place, worker in enumerate(trail):
            self._own.setdefault(worker, []).append(place)
        self._sites = {_site(place) for wish in self.wishes for place in wish}
        self._counts: dict[_Site, int] = dict.fromkeys(self._sites, 0)
        self._counts_of: dict[int, int] = {}
        self._seen = 0
        self._streak = 0
        self._run: Run | None = None

    def attach(self, run: Run) -> None:
        self._run = run

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "follow": self.follow, "afterwards": self.afterwards}

    # --- what has happened -------------------------------------------------------------------
    def _look(self) -> None:
        """Count the events since the last choice."""
        assert self._run is not None, "attach it to a run first"
        log = self._run.log
        for worker, kind, op, _, _, _ in log[self._seen :]:
            self._counts_of[worker] = self._counts_of.get(worker, 0) + 1
            site = (worker, kind, op.target, op.at)
            if site in self._sites:
                self._counts[site] += 1
        self._seen = len(log)

    def _happened(self, place: EventPlace) -> bool:
        return self._counts[_site(place)] > place.nth

    def _stands_at(self, place: EventPlace, op: Op | None) -> bool:
        """Whether the next event of the place's worker would be it."""
        if op is None or (op.target, op.at) != (place.target, place.at):
            return False
        assert self._run is not None
        kind = op.kind
        if self._run.waiting[place.worker] and kind == WAIT:
            kind = WAKE
        # who queues for a lock, or for room, has not got it yet
        if kind != place.kind or (
            self._run.waiting[place.worker] and kind not in (WAKE, ACQUIRE, PUT, GET)
        ):
            return False
        return self._counts[_site(place)] == place.nth

    def end(self, steps: int) -> None:
        """A wish may have come true with the very last event."""
        self._look()
        self._judge()

    def _judge(self) -> list[Wish]:
        """The wishes still open."""
        if self.fulfilled or self.lost:
            return []
        wishes = [wish for wish in self.wishes if not self._happened(wish.first)]
        if any(self._happened(wish.then) for wish in wishes):
            self.lost = True
            return []
        self.fulfilled = not wishes
        return wishes

    # --- the choice --------------------------------------------------------------------------
    def pick(self, choice: Choice) -> int:
        picked = self._worker(choice) if choice.kind == WORKER else choice.options[0]
        self.picks.append(picked)
        return picked

    def _worker(self, choice: Choice) -> int:
        self._look()
        wishes = self._judge()
        options = choice.options
        if not wishes:
            return self._after(choice)
        pending = choice.pending
        held = {
            wish.then.worker
            for wish in wishes
            if self._stands_at(wish.then, pending[wish.then.worker])
        }
        free = [worker for worker in options if worker not in held]
        if not free or choice.seq > self.patience:
            self.lost = True
            return self._after(choice)
        if not self.follow:
            wanted = [worker for worker in free if any(w.first.worker == worker for w in wishes)]
            return self._steady(choice, wanted or free)
        return min(free, key=self._next)

    def _next(self, worker: int) -> int:
        """Where in the trail this worker's next event stands."""
        own = self._own.get(worker, ())
        count = self._counts_of.get(worker, 0)
        # beyond the trail the worker that is least far beyond it comes first
        return own[count] if count < len(own) else (1 << 40) + count - len(own)

    def _steady(self, choice: Choice, options: Sequence[int]) -> int:
        """Stay with the worker that runs, unless it seems to spin."""
        current = choice.current
        if current in options:
            self._streak += 1
            if self._streak <= 50 + len(self._own.get(current, ())):
                return current
        self._streak = 0
        others = [worker for worker in options if worker != current] or options
        later = [worker for worker in others if worker > current]
        return later[0] if later and current in options else min(others, key=self._next)

    def _after(self, choice: Choice) -> int:
        options = choice.options
        if self.afterwards == "follow":
            beyond = [w for w in options if self._counts_of.get(w, 0) < len(self._own.get(w, ()))]
            return min(beyond, key=self._next) if beyond else self._steady(choice, options)
        if self.afterwards == "turns":
            return next((worker for worker in options if worker > choice.current), options[0])
        if self.afterwards == "switch" and self.fulfilled and self.wishes:
            for wish in reversed(self.wishes):
                worker = wish.then.worker
                if worker in options and not self._happened(wish.then):
                    return worker
        return self._steady(choice, options)


def _site(place: EventPlace) -> _Site:
    return place[:4]
