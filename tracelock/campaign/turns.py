"""One turn: some seconds of searching one target, in whichever process; plain data goes there and
comes back."""

from __future__ import annotations

import os
import tempfile
import threading
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.campaign.found import CampaignSubject
from tracelock.campaign.programs import target_of_subject
from tracelock.engine.limits import TimeUp
from tracelock.errors import InternalError, TracelockError, UsageError
from tracelock.explore.running import Identity, failure_identity, same_failure
from tracelock.explore.search import Outcome, Progress, Searched, add_outcome
from tracelock.explore.spread import shards
from tracelock.schedulers.mutating import LONGEST, MutatingScheduler
from tracelock.schedulers.novelty import Novelty
from tracelock.session.explored import Explored
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan, Spreading
from tracelock.trace.hashing import seed_needed
from tracelock.trace.reading import load_trace_text

if TYPE_CHECKING:
    from tracelock.session.target import Target

#: What a turn does: ``explore`` as it is by itself, with the failures that are known tried first;
#: the same for longer; schedules made from those that showed something new; a part of an
#: exhaustive search, which goes on where the last one ended.
FIRST: Final = "first"
LONGER: Final = "longer"
MUTATING: Final = "mutating"
EXHAUSTIVE: Final = "exhaustive"
#: Failures of one turn that are made small and confirmed; further ones are found again.
MOST: Final = 4
#: Seconds for each of these.
EACH: Final = 20.0
#: Characters of a checkpoint that is kept from turn to turn.
LARGEST: Final = 32_000_000


@dataclass(frozen=True, slots=True)
class Turn:
    """``corpus``, ``counts``: see ``MutatingScheduler``; ``known``: the failures that need not be
    told again; ``tried``: the traces of some, with their numbers, as text; ``checkpoint``: the text
    of one, to go on from. ``path``: where Python code is imported from."""

    subject: CampaignSubject
    kind: str
    seconds: float
    seed: int
    allow_call: bool = False
    isolation: str = "auto"
    corpus: tuple[tuple[int, ...], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    known: frozenset[Identity] = frozenset()
    tried: tuple[tuple[int, str], ...] = ()
    checkpoint: str = ""
    path: tuple[str, ...] = ()


@dataclass(slots=True)
class FoundFailure:
    """``count``: schedules of the turn that ended so; ``trace``: as text, "" where it is known
    already. ``confirmed``: replays that showed it again, of those made, such as ``3/3``; ``needs``:
    what its switches take of an interpreter, in a sentence."""

    identity: Identity
    message: str
    count: int = 0
    trace: str = ""
    confirmed: str = ""
    needs: str = ""


@dataclass(slots=True)
class TurnResult:
    """``verdict``: as of ``explore``; ``exhausted``: nothing is left to try. ``gone``: numbers of
    the failures that were tried and whose schedule went well, or failed otherwise. ``counts``: of
    what was seen of pairs, in so many ``observed`` schedules; ``added``: prefixes that showed new
    ones. ``stuck``: the process has a thread that does not end; ``problem``: why nothing was
    searched. ``internal``: that there was an error of tracelock's own, which is the problem, or one
    of the notes."""

    verdict: str = "unfinished"
    exhausted: bool = False
    schedules: int = 0
    failures: list[FoundFailure] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    observed: int = 0
    added: list[list[int]] = field(default_factory=list)
    checkpoint: str = ""
    notes: list[str] = field(default_factory=list)
    stuck: str = ""
    problem: str = ""
    internal: bool = False


#: Several threads of a process may be given turns.
_one_at_a_time = threading.Lock()


def take_turn(turn: Turn) -> TurnResult:
    """Take a turn in this process, whichever it is. What an executor is given."""
    with _one_at_a_time:
        try:
            return _Taking(turn).result
        except InternalError as error:
            return TurnResult(problem=str(error), internal=True)
        except TracelockError as error:
            return TurnResult(problem=str(error))
        except TurnOver:
            return TurnResult(problem="the campaign is over")
        except Exception:
            return TurnResult(problem=traceback.format_exc().rstrip(), internal=True)


class TurnOver(Exception):
    """The campaign is over: what the turn finds is not needed any more."""


class _Taking:
    """One turn as it is taken."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.result = TurnResult()
        with tempfile.TemporaryDirectory(prefix="tracelock-turn-") as folder:
            self.file = os.path.join(folder, "checkpoint.json")
            if turn.kind == EXHAUSTIVE and turn.checkpoint:
                Path(self.file).write_text(turn.checkpoint, encoding="utf-8")
            try:
                self._search()
            except UsageError:
                if not (turn.kind == EXHAUSTIVE and turn.checkpoint):
                    raise
                os.remove(self.file)  # it is of another scenario, or of another version
                self.result = TurnResult()
                self._search()

    def _search(self) -> None:
        turn, result = self.turn, self.result
        target, backend = target_of_subject(
            turn.subject, allow_call=turn.allow_call, path=turn.path
        )
        strategy: Any = {FIRST: "auto", LONGER: "auto", EXHAUSTIVE: "dpor"}.get(turn.kind)
        mutating = None
        if strategy is None:
            strategy = mutating = MutatingScheduler(turn.seed, turn.corpus, turn.counts)
        keeps = turn.kind == EXHAUSTIVE
        plan = Plan(
            backend, strategy, turn.seed, allow_call=turn.allow_call, seconds=turn.seconds,
            every=True, estimate=False, isolation=turn.isolation,
            spreading=Spreading(checkpoint=self.file) if keeps else Spreading(),
        )  # fmt: skip
        with Exploration(target, plan) as exploration:
            if mutating is not None and exploration.host.entangled:
                mutating.of_tasks()
            end = monotonic() + turn.seconds
            exploration.host.until(end)
            found = self._try(exploration)
            more = exploration.search(self._look, end)
            found.merge(more)
            found.strategy = more.strategy
            if mutating is None:
                self._learn(found)
            else:
                self._learnt(mutating)
            self._tell(exploration, found)
        if keeps:
            text = Path(self.file).read_text(encoding="utf-8")
            result.checkpoint = text if len(text) <= LARGEST else ""
        if not result.stuck:
            # a livelock has no end that could be had again
            new = [one for one in result.failures if one.trace and one.identity[0] != "livelock"]
            for told in new[:MOST]:
                self._show(target, plan, told)

    @staticmethod
    def _look(at: Progress) -> None:
        if shards._over is not None and shards._over.is_set():
            raise TurnOver

    def _try(self, exploration: Exploration) -> Searched:
        """The failures that are known: which of them are still there? How these schedules ended;
        one that cannot be followed any more says nothing."""
        found = Searched("first")
        for number, text in self.turn.tried:
            try:
                trace = load_trace_text(text, "the trace of a known failure")
                if seed_needed(trace.environment):
                    continue  # of a process with other hashes
                executed = exploration.host.retrace(trace)
            except InternalError:
                raise
            except TracelockError:
                continue
            except TimeUp:
                break
            if executed is None or executed.verdict.kind == "unfinished":
                continue
            found.schedules += 1
            add_outcome(found, executed)
            if not same_failure(executed.verdict, trace.verdict):
                self.result.gone.append(number)
        return found

    def _learn(self, found: Searched) -> None:
        """The schedules that are at hand, one of each outcome: what they showed."""
        novelty = Novelty(self.turn.counts)
        for outcome in found.outcomes.values():
            if outcome.first.log and novelty.take(outcome.first.log) >= 0:
                self.result.added.append(outcome.first.picks[:LONGEST])

    def _learnt(self, mutating: MutatingScheduler) -> None:
        before, result = self.turn.counts, self.result
        result.counts = {
            digest: count - before.get(digest, 0)
            for digest, count in mutating.novelty.counts.items()
            if count != before.get(digest, 0)
        }
        result.observed, result.added = mutating.novelty.schedules, mutating.added

    def _tell(self, exploration: Exploration, found: Searched) -> None:
        turn, result, host = self.turn, self.result, exploration.host
        result.verdict, result.schedules = exploration.verdict(found), found.schedules
        result.exhausted = found.exhaustive
        counts: dict[Identity, int] = {}
        for outcome in found.failures():
            identity = identity_of(outcome)
            counts[identity] = counts.get(identity, 0) + outcome.count
            if counts[identity] > outcome.count:
                continue
            told = FoundFailure(identity, outcome.message)
            if identity not in turn.known:
                # as it was found, for the case that it cannot be made small or confirmed
                told.trace = exploration.trace_of(outcome.first).to_text()
            result.failures.append(told)
        for told in result.failures:
            told.count = counts[told.identity]
        result.notes, result.stuck = list(dict.fromkeys(host.notes)), host.stuck

    def _show(self, target: Target, plan: Plan, told: FoundFailure) -> None:
        """Make a new failure small, and confirm it: with the target opened anew, since what the
        search has learnt of real code after the failure gives schedules other choices."""
        trace = load_trace_text(told.trace, "the trace of a failure")
        explored = Explored("failed", "", 0, 0, 0, 0.0, [])
        with Exploration(target, replace(plan, strategy="random", spreading=Spreading())) as again:
            again.afterwards(monotonic() + EACH)
            try:
                executed = again.host.retrace(trace)
                if executed is not None and same_failure(executed.verdict, trace.verdict):
                    again.show(explored, Outcome.of(executed, 1, 1))
                else:
                    again.host.notes.append(again.host.not_confirmed("it went otherwise", 1, 1))
            except InternalError as error:  # it is told as it was found, and that
                self.result.internal = True
                again.host.notes.append(str(error))
            except (TimeUp, TracelockError) as error:
                again.host.notes.append(f"a failure was not run again: {error}")
            else:
                told.confirmed = next(iter(explored.confirmed.values()), "0/1")
                told.needs = explored.needs
            notes = self.result.notes
            notes += [note for note in again.host.notes if note not in notes]
        if explored.trace is not None:
            told.trace = explored.trace.to_text()


def identity_of(outcome: Outcome) -> Identity:
    """What the failure of an outcome is known by: of a livelock, which is no end of a run, that."""
    _, failure, at, waits = failure_identity(outcome.first.verdict)
    return (outcome.kind, failure, at, waits)
