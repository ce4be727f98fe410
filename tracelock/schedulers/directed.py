"""Few preemptions, only where two workers race, none tried twice before all were tried once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.foresight import Foresight, Intended
from tracelock.schedulers.sampling import Sampler
from tracelock.schedulers.survey import LONGEST, RaceSurvey, Site

#: Steps after which the running worker goes behind all the others, again and again.
PATIENCE: Final = 200
#: The schedules that are surveyed; later one in eight is, since that costs.
SURVEYED: Final = 32
#: The most preemptions that are planned for one schedule.
MOST: Final = 4
#: Plans that are compared, at most, and ways of following one in all.
COMPARED: Final = 8
WAYS: Final = 12


@dataclass(slots=True)
class PreemptionPlan:
    """What one schedule is to do, in terms of kinds of workers.

    ``first`` runs up to a step at ``site`` (None: to its end); then ``second`` runs, as far as it
    can. Without a site ``second`` is the one that runs last.
    """

    first: str
    site: Site | None
    second: str


class DirectedScheduler(Sampler):
    """A sampler that learns where a preemption can matter.

    It joins three known ideas. Most failures need few preemptions (Musuvathi and Qadeer, PLDI
    2007); a preemption matters only before a step that races with a step of another worker
    (directed testing, Sen, PLDI 2008); and which steps race can be told from the locks held at
    them in schedules that passed (Savage et al., Eraser, 1997). The first schedule is a random
    walk that begins with the first worker, as a program that starts its workers in order mostly
    does. From then on each schedule has a plan: a worker, one of its steps that race, at which
    it is preempted, and the worker that runs then; everything else runs without preemption in a
    random order. Workers of one kind (the same first step) are not told apart, the plans are gone
    through in a random order, and only then is there a second round, in which further workers
    are preempted as well; each round adds one, up to four. Where nothing races, and in every round
    but the first, there are plans without preemption: each kind of worker first, each last. From
    the third round on half of what is added is anywhere, not only where steps race.

    Of the plans that come next the one is taken that is expected to show the most that is new (see
    ``Foresight``): which reads take which writes, in a mix that no order of whole workers gives
    if that is possible; a circle of lock orders comes before all that. Where nothing new is
    expected of any, and when that has taken a bounded number of steps, the order is random.

    Whether steps race is judged by what was seen, which may be too little or, with objects that
    only look like locks, too much. That makes it a sampler, to be mixed with others that miss
    nothing in the long run. Schedule ``k`` of a seed depends on those before it. A worker that
    spins goes behind the others after 200 steps; waiters to wake and timers to fire are drawn
    uniformly.
    """

    name = "directed"

    def __init__(self, seed: int, first: int = 0) -> None:
        super().__init__(seed, first)
        self._survey = RaceSurvey()
        self._foresight = Foresight()
        self._pause = self._paused = 0  # schedules without it, where it expected nothing new
        self._agenda: list[PreemptionPlan] = []
        self._known: set[tuple[str, Site | None, str]] = set()
        self._round = 1
        self._lasts: dict[str, int] = {}  # how often a worker of this kind came last
        self._looking = True  # this schedule is surveyed
        # of this schedule
        self._priority: list[int] = []
        self._stops: dict[int, tuple[Site, int]] = {}  # worker -> where it is preempted: which time
        self._behind = 0  # the priority of the next worker that is preempted
        self._watch = 0

    def begin(self) -> bool:
        super().begin()
        self._priority = []
        self._stops = {}
        self._behind = -1
        self._watch = PATIENCE
        self._looking = self._survey.schedules < SURVEYED or self.schedule & 7 == 0
        return True

    def pick(self, choice: Choice) -> int:
        if choice.kind is not WORKER:
            return self.uniform(choice)
        options = choice.options
        pending = choice.pending
        survey = self._survey
        if not survey.schedules:
            picked = self.uniform(choice) if choice.seq else options[0]
        else:
            priority = self._priority
            if not priority:
                self._prepare(len(pending))
                priority = self._priority
            if choice.seq >= self._watch:
                self._watch = choice.seq + PATIENCE
                priority[max(options, key=priority.__getitem__)] = min(priority) - 1
            picked = max(options, key=priority.__getitem__) if len(options) > 1 else options[0]
            while (stop := self._stops.get(picked)) is not None:
                site, times = stop
                op = pending[picked]
                if (op.at, op.kind, op.target) != site:  # type: ignore[union-attr]
                    break
                if times > 1:
                    self._stops[picked] = (site, times - 1)
                    break
                del self._stops[picked]
                priority[picked] = self._behind
                self._behind -= 1
                picked = max(options, key=priority.__getitem__)
        if self._looking and len(survey.trail) < LONGEST:
            survey.trail.append((picked, pending[picked]))  # type: ignore[arg-type]
        return picked

    def end(self, steps: int) -> None:
        survey = self._survey
        if not survey.trail:
            return
        trail = survey.trail
        last = trail[-1][0]
        new = survey.take(steps)
        self._foresight.take(trail, survey.kinds, survey.loose)
        kind = survey.kinds[last]
        self._lasts[kind] = self._lasts.get(kind, 0) + 1
        if new and self._round == 1:
            self._add(self._preempting())

    # --- plans -------------------------------------------------------------------------------
    def _prepare(self, workers: int) -> None:
        """Take a plan from the agenda and turn it into priorities and stops."""
        intended = self._foreseen(workers)
        if intended is None:
            plan = self._next()
            if plan is None:
                self._priority = self._order(workers)
                return
            intended = self._way(plan, workers)
        self._priority, self._stops, self._behind = intended

    def _foreseen(self, workers: int) -> Intended | None:
        """How the plan goes that is expected to show the most that is new, if any is."""
        foresight = self._foresight
        if foresight.left <= 0:
            return None
        while (stops := foresight.circle()) is not None:
            order = self._order(workers)
            for worker in stops:
                order[worker] += 1 << 30
            intended = Intended(order, stops, -1)
            foretold, waits = foresight.foretell(intended)
            if foretold.stuck:
                foresight.chosen(waits)
                return intended
        if self._paused:
            self._paused -= 1
            return None
        if not self._agenda:
            self._fill()
        plans = self._agenda[-COMPARED:][::-1]
        if not plans:
            return None
        best = None
        told: set[tuple[object, ...]] = set()
        for number in range(max(WAYS // len(plans), 1) * len(plans)):
            plan = plans[number % len(plans)]
            intended = self._way(plan, workers)
            if (same := intended.key()) in told:
                continue
            told.add(same)
            foretold, waits = foresight.foretell(intended)
            if foretold.views and (best is None or foretold > best[0]):
                best = (foretold, plan, intended, waits)
        if best is None:
            self._pause = self._paused = 2 * self._pause + 1
            return None
        self._pause = 0
        _, plan, intended, waits = best
        foresight.chosen(waits)
        self._agenda.remove(plan)
        return intended

    def _order(self, workers: int) -> list[int]:
        return [self.below(1 << 30) for _ in range(workers)]

    def _way(self, plan: PreemptionPlan, workers: int) -> Intended:
        """One way of following a plan."""
        survey = self._survey
        order = self._order(workers)
        first = self._one(plan.first, -1)
        second = self._one(plan.second, first)
        if plan.site is None:
            order[first] = 1 << 31
            if second >= 0:
                order[second] = 0
            return Intended(order, {}, -1)
        order[first] = (1 << 31) + 1
        if second >= 0:
            order[second] = 1 << 31
        others = [w for w in survey.kinds if w not in (first, second)]
        if others:
            seldom = min(self._lasts.get(survey.kinds[w], 0) for w in others)
            rare = [w for w in others if self._lasts.get(survey.kinds[w], 0) == seldom]
            order[rare[self.below(len(rare))]] = 0
        # who was preempted goes on as soon as the second is done, or when all others are
        behind = (1 << 30) + 1 if self.below(2) else -1
        stops: dict[int, tuple[Site, int]] = {}
        self._stop(stops, first, plan.site)
        others = [w for w in survey.kinds if w != first]
        for worker in self.shuffled(others)[: min(self._round, MOST) - 1]:
            wide = self._round > 2 and not self.below(2)
            sites = survey.sites(worker) if wide else survey.stops(worker)
            if sites:
                self._stop(stops, worker, sites[self.below(len(sites))])
        return Intended(order, stops, behind)

    def _stop(self, stops: dict[int, tuple[Site, int]], worker: int, site: Site) -> None:
        low, high = self._survey.times(worker, site)
        if high >= low:
            stops[worker] = (site, low + self.below(high - low + 1))

    def _one(self, kind: str, but: int) -> int:
        """A worker of a kind, another than ``but``; -1 if there is none."""
        found = [w for w, name in self._survey.kinds.items() if name == kind and w != but]
        return found[self.below(len(found))] if found else -1

    def _next(self) -> PreemptionPlan | None:
        agenda = self._agenda
        if not agenda:
            self._fill()
            if not agenda:
                return None
        if agenda[-1].site is None:
            # the plans without preemption: a worker that has seldom come last does so first
            orderly = [plan for plan in reversed(agenda) if plan.site is None]
            plan = min(orderly, key=lambda plan: self._lasts.get(plan.second, 0))
            agenda.remove(plan)
            return plan
        return agenda.pop()

    def _fill(self) -> None:
        """The plans of another round, where none are left."""
        if self._known:
            self._round += 1
            self._known.clear()
            self._add(self._preempting())
        self._add(self._orderly())

    def _add(self, plans: list[PreemptionPlan]) -> None:
        """Shuffle the plans that are new into the agenda."""
        agenda = self._agenda
        for plan in plans:
            key = (plan.first, plan.site, plan.second)
            if key not in self._known:
                self._known.add(key)
                agenda.append(plan)
                other = self.below(len(agenda))
                agenda[-1], agenda[other] = agenda[other], agenda[-1]

    def _pairs(self) -> list[tuple[int, str]]:
        """A worker of each kind, with each kind that another worker can be of."""
        kinds = self._survey.kinds
        of: dict[str, list[int]] = {}
        for worker, kind in kinds.items():
            of.setdefault(kind, []).append(worker)
        return [
            (workers[0], other)
            for kind, workers in of.items()
            for other in of
            if other != kind or len(workers) > 1
        ]

    def _preempting(self) -> list[PreemptionPlan]:
        survey = self._survey
        kinds = survey.kinds
        sites: dict[str, dict[Site, None]] = {}
        for worker, kind in kinds.items():
            sites.setdefault(kind, {}).update(dict.fromkeys(survey.stops(worker)))
        return [
            PreemptionPlan(kinds[worker], site, other)
            for worker, other in self._pairs()
            for site in sites[kinds[worker]]
        ]

    def _orderly(self) -> list[PreemptionPlan]:
        kinds = self._survey.kinds
        return [PreemptionPlan(kinds[worker], None, other) for worker, other in self._pairs()]

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "round": self._round}
