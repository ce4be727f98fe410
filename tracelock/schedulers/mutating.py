"""Schedules made from earlier ones that have shown something new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracelock.schedulers.base import WORKER, Choice, Run
from tracelock.schedulers.novelty import Novelty
from tracelock.schedulers.portfolio import ROUND_OF_TASKS, PortfolioScheduler
from tracelock.schedulers.pos import PosScheduler
from tracelock.schedulers.sampling import MASK, Sampler, mix

#: Prefixes that are kept at most, and picks of one.
MOST: Final = 256
LONGEST: Final = 20_000
#: One schedule in so many is made from none.
ANEW: Final = 4
#: Prefixes that are drawn, of which the one that was chosen least often is taken.
DRAWS: Final = 3
#: Steps that one worker makes in a row, after which any of them may go on.
PATIENCE: Final = 200


@dataclass(slots=True)
class KeptPrefix:
    """The picks at the start of a schedule, up to the last step that showed something new, and how
    many schedules were made from them."""

    picks: list[int]
    chosen: int = 0


class MutatingScheduler(Sampler):
    """Greybox fuzzing of schedules.

    A schedule that shows a pair of steps that none before has shown (see ``novelty``) gets its
    prefix a place in the ``corpus``. Three schedules in four are made from one of these, by one of
    two changes, with even chances: the prefix up to a place that is drawn, and then partial order
    sampling; or the prefix up to such a place, another option there, and from then on no switch
    that need not be. The others are those of ``auto``'s samplers. Of three prefixes that are drawn
    the one that was chosen least often is taken.

    The loop is that of RFF (Wolff, Shi, Duck, Mathur, Roychoudhury, "Greybox fuzzing for
    concurrency testing", ASPLOS 2024), which constrains which write each read takes where this
    follows a prefix: a prefix needs no solver, and where the program has changed since, what can
    still be followed of it is. Schedule ``k`` of a seed depends on those before it, and on the
    corpus it began with.
    """

    name = "mutating"

    def __init__(
        self,
        seed: int,
        corpus: Iterable[Sequence[int]] = (),
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """``corpus``: picks to begin with; ``counts``: of pairs that were seen before."""
        super().__init__(seed)
        self.corpus = [KeptPrefix(list(picks)) for picks in corpus]
        self.added: list[list[int]] = []  # since the start
        self.novelty = Novelty(counts)
        self._anew = PortfolioScheduler(mix(seed & MASK))
        self._then = PosScheduler(mix(~seed & MASK))
        self._run: Run | None = None
        # of this schedule
        self._follows: list[int] | None = None  # None: it is made from no other
        self._cut = 0
        self._other = False  # at the cut another option is taken
        self._going = False  # by partial order sampling
        self._made: list[int] = []
        self._events: list[int] = []  # how many there were at each pick
        self._row = 0

    def of_tasks(self) -> None:
        """All workers are tasks of one loop. Called before the first schedule, if at all."""
        self._anew = PortfolioScheduler(mix(self.seed & MASK), "", ROUND_OF_TASKS)

    def attach(self, run: Run) -> None:
        self._run = run
        self._anew.attach(run)
        self._then.attach(run)

    def begin(self) -> bool:
        super().begin()
        self._made, self._events, self._row = [], [], 0
        self._going = False
        if not self.corpus or not self.below(ANEW):
            self._follows = None
            return self._anew.begin()
        drawn = [self.corpus[self.below(len(self.corpus))] for _ in range(DRAWS)]
        kept = min(drawn, key=lambda one: one.chosen)
        kept.chosen += 1
        self._follows = kept.picks
        self._cut = self.below(len(kept.picks) + 1)
        self._other = bool(self.below(2))
        return True

    def pick(self, choice: Choice) -> int:
        picked = self._anew.pick(choice) if self._follows is None else self._mutated(choice)
        if len(self._made) < LONGEST:
            self._made.append(picked)
            self._events.append(choice.seq)
        return picked

    def _mutated(self, choice: Choice) -> int:
        follows, options, place = self._follows, choice.options, len(self._made)
        assert follows is not None
        if self._going:
            return self._then.pick(choice)
        if place < min(self._cut, len(follows)) and follows[place] in options:
            return follows[place]
        if self._other and place == self._cut < len(follows):
            others = [option for option in options if option != follows[place]]
            if others:
                return others[self.below(len(others))]
            self._cut += 1  # there is no other: it is the next place
            return options[0]
        if self._other and place > self._cut:
            return self._unswitched(choice)
        self._going = True
        self._then.begin()
        return self._then.pick(choice)

    def _unswitched(self, choice: Choice) -> int:
        self._row += 1
        if choice.kind is not WORKER:
            return self.uniform(choice)
        if choice.current in choice.options and self._row % PATIENCE:
            return choice.current
        return self.uniform(choice)

    def end(self, steps: int) -> None:
        if self._follows is None:
            self._anew.end(steps)
        elif self._going:
            self._then.end(steps)
        assert self._run is not None
        last = self.novelty.take(self._run.log)
        if last >= 0:
            prefix = [
                pick for pick, seq in zip(self._made, self._events, strict=True) if seq <= last
            ]
            self.keep(prefix)

    def keep(self, prefix: list[int]) -> None:
        """Give a prefix a place in the corpus; where there is none left, that of the one that was
        chosen most often."""
        if not prefix or any(one.picks == prefix for one in self.corpus):
            return
        self.added.append(prefix)
        if len(self.corpus) >= MOST:
            self.corpus.remove(max(self.corpus, key=lambda one: one.chosen))
        self.corpus.append(KeptPrefix(prefix))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "corpus": len(self.corpus)}
