"""A campaign as it runs: whose turn is next, and what became of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, cast

from tracelock.campaign.contenders import SHORTEST, TURN, WHOLE, Contender, Rule
from tracelock.campaign.folder import (
    GONE,
    OPEN,
    CampaignFolder,
    KnownFailure,
    SubjectRecord,
)
from tracelock.campaign.found import OF_CODE, CampaignSubject
from tracelock.campaign.turns import (
    EACH,
    EXHAUSTIVE,
    FIRST,
    LONGER,
    MOST,
    MUTATING,
    Turn,
    TurnResult,
    take_turn,
)
from tracelock.errors import UsageError

_HASHES: Final = "PYTHONHASHSEED"
#: Seconds beyond what a turn may take after which it is given up.
OVERDUE: Final = 60.0
#: Turns of each process after which it is started anew: what the code of others keeps is let go.
RENEWED: Final = 200
#: How often a subject may end the process that searches it before it is set aside.
DEATHS: Final = 2


@dataclass(slots=True)
class HowToCampaign:
    """``seconds``: of all of it; ``turn``: of one turn (None: as many as there is time for, at most
    ``TURN``). ``jobs``: processes of this machine that take turns; or ``dask``, the address of a
    cluster whose workers do; or ``executor``, with ``width`` turns at a time."""

    seconds: float
    jobs: int = 1
    dask: str | None = None
    executor: Executor | None = None
    width: int = 1
    turn: float | None = None
    allow_call: bool = False
    isolation: str = "auto"

    def check(self) -> None:
        """Raises UsageError for what makes no sense."""
        if self.seconds <= 0 or (self.turn is not None and self.turn <= 0):
            raise UsageError("a campaign needs more time than none")
        if self.jobs < 1:
            raise UsageError(f"a campaign needs at least one job, not {self.jobs}")


@dataclass(slots=True)
class Standing:
    """Where a campaign is, for a progress bar."""

    seconds: float
    turns: int
    new: int
    doing: str


@dataclass(slots=True)
class Campaigned:
    """What a campaign came to. ``new``: failures that the folder did not know, or knew as gone;
    ``again``: known ones that were seen; ``expected``: those that a scenario's ``expect`` tells
    of; ``gone``: known ones whose schedule went well now. ``stopped``: "seconds", "interrupted",
    "lost" (nobody takes turns any more), or "" where nothing was left to search."""

    contenders: list[Contender]
    new: list[KnownFailure]
    again: list[KnownFailure]
    expected: list[KnownFailure]
    gone: list[KnownFailure]
    turns: int
    seconds: float
    number: int
    stopped: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether everything was searched, for a turn at least."""
        return all(one.turns and not one.trouble for one in self.contenders)


class Campaign:
    """Goes round the ``subjects``, by the ``Rule``; what they show is kept in ``folder``, which is
    entered.
    """

    def __init__(
        self,
        folder: CampaignFolder,
        subjects: Sequence[CampaignSubject],
        how: HowToCampaign,
        tell: Callable[[Standing], None] | None = None,
    ) -> None:
        how.check()
        self.folder = folder
        self.how = how
        self._tell = tell
        self.contenders = [self._contender(one) for one in subjects]
        self.rule = Rule(self.contenders)
        self.new: list[KnownFailure] = []
        self.again: list[KnownFailure] = []
        self.expected: list[KnownFailure] = []
        self.gone: list[KnownFailure] = []
        self.notes: list[str] = []
        self.turns = 0
        self._begun = monotonic()
        self._renew = False  # as soon as nobody takes a turn
        self._suspects: list[tuple[Contender, Turn]] = []  # one of these has ended its process
        self._flying: dict[Future[TurnResult], tuple[Contender, Turn, float]] = {}
        self._path = tuple(folder for folder in sys.path if folder) if how.allow_call else ()

    def _contender(self, subject: CampaignSubject) -> Contender:
        name = subject.name
        record = self.folder.subjects.setdefault(name, SubjectRecord())
        if record.digest != subject.digest:
            record.digest, record.verdict = subject.digest, ""
        made = Contender(subject, record, self.folder.corpus(name, subject.digest))
        if subject.problem:
            made.set_aside(subject.problem)
        elif subject.kind in OF_CODE and not self.how.allow_call:
            made.set_aside("it runs Python code, which has to be allowed: --allow-call")
        return made

    # --- the campaign ------------------------------------------------------------------------
    def run(self) -> Campaigned:
        """Give turns until the time is up, or nothing is left to search. Ctrl-C ends it as
        ``stopped``; what had come back by then is kept."""
        stopped = "interrupted"
        try:
            with self._workers() as (submit, width, renew):
                stopped = self._go_round(submit, width, renew)
        except KeyboardInterrupt:
            stopped = "interrupted"
        finally:
            self.folder.write()
        return Campaigned(
            self.contenders, self.new, self.again, self.expected, self.gone, self.turns,
            monotonic() - self._begun, self.folder.campaigns, stopped, self.notes,
        )  # fmt: skip

    def _go_round(self, submit: Any, width: int, renew: Callable[[bool], None] | None) -> str:
        end = self._begun + self.how.seconds
        live = sum(not one.over for one in self.contenders)
        share = self.how.seconds * width / max(1, live)
        self.rule.turn = self.how.turn or max(SHORTEST, min(TURN, share / 2))
        flying = self._flying
        while True:
            left = end - monotonic()
            if self._renew and not flying:
                self._renew = False
                if renew is not None:
                    renew(False)
            broken = False
            while left > 0 and not self._renew and len(flying) < width and not broken:
                given = self._given_out(left)
                if given is None:
                    break
                broken = not self._submitted(submit, *given)
                self._say(given[0])
            if not flying and not broken:
                return "seconds" if left <= 0 else ""
            lost = self._landings()
            late = self._late()
            if lost or broken or late:
                if renew is not None:  # all of them are gone with it
                    lost += [self._landed(future) for future in list(flying)]
                    self._died(lost, bool(late))
                    renew(True)
                elif lost or broken:
                    self.notes.append("who took the turns is gone, and so is the campaign")
                    return "lost"

    def _given_out(self, left: float) -> tuple[Contender, Turn] | None:
        """The next turn. Of those of which one has ended its process each is taken alone."""
        if self._suspects:
            return None if self._flying else self._suspects.pop(0)
        chosen = self.rule.next()
        if chosen is None:
            return None
        one, kind, seconds = chosen
        return one, self._turn(one, kind, min(seconds, max(SHORTEST, left)))

    def _turn(self, one: Contender, kind: str, seconds: float) -> Turn:
        subject, how, name = one.subject, self.how, one.subject.name
        known = self.folder.known(name)
        tried = []
        if kind == FIRST:
            for number, failure in enumerate(known):
                text = self.folder.trace_of(failure) if failure.state == OPEN else None
                if text is not None:
                    tried.append((number, text))
        mutating = kind == MUTATING
        seed = 0 if kind == EXHAUSTIVE else one.seed  # a checkpoint is of one seed
        return Turn(
            subject, kind, seconds, seed, how.allow_call, how.isolation,
            tuple(map(tuple, one.corpus.prefixes)) if mutating else (),
            {} if kind == EXHAUSTIVE else dict(one.corpus.counts),
            frozenset(failure.identity for failure in known if failure.state == OPEN),
            tuple(tried), self.folder.checkpoint(name) if kind == EXHAUSTIVE else "",
            self._path if subject.kind in OF_CODE else (),
        )  # fmt: skip

    def _submitted(self, submit: Any, one: Contender, turn: Turn) -> bool:
        """Hand a turn out; False where a process has died."""
        try:
            future = submit(turn)
        except BrokenExecutor:
            self._suspects.insert(0, (one, turn))
            return False
        one.flying += 1
        one.exhaustive |= turn.kind in (EXHAUSTIVE, LONGER)
        self._flying[future] = (one, turn, monotonic())
        return True

    def _landings(self) -> list[tuple[Contender, Turn]]:
        """Wait a little for turns to end, and take in what they came to; those that ended with
        their process."""
        lost = []
        done, _ = wait(self._flying, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in done:
            begun = self._flying[future][2]
            one, turn = self._landed(future)
            try:
                result = future.result()
            except BrokenExecutor:
                lost.append((one, turn))
                continue
            except (Exception, CancelledError) as error:  # it did not get there, or not back
                result = TurnResult(problem=f"{type(error).__name__}: {error}")
            self._take(one, turn, result, monotonic() - begun)
            self._say(one)
        return lost

    def _late(self) -> bool:
        """Set those aside of whom a turn does not end, and wait for it no more."""
        late = [
            future for future, (_, turn, begun) in self._flying.items()
            if monotonic() > begun + turn.seconds + 2 * MOST * EACH + OVERDUE
        ]  # fmt: skip
        for future in late:
            one, _ = self._landed(future)
            one.set_aside("a turn of it did not end")
        return bool(late)

    def _died(self, lost: list[tuple[Contender, Turn]], late: bool) -> None:
        """A process has died, or was ended as a turn did not: these were being taken meanwhile."""
        if len(lost) == 1 and not late:
            one, _ = lost[0]
            one.deaths += 1
            if one.deaths >= DEATHS:
                one.set_aside("it ended the process that searched it, again and again")
        self._suspects += [given for given in lost if not given[0].over]

    def _landed(self, future: Future[TurnResult]) -> tuple[Contender, Turn]:
        one, turn, _ = self._flying.pop(future)
        one.flying -= 1
        if turn.kind in (EXHAUSTIVE, LONGER):
            one.exhaustive = False
        return one, turn

    def _say(self, one: Contender) -> None:
        if self._tell is not None:
            spent = monotonic() - self._begun
            self._tell(Standing(spent, self.turns, len(self.new), one.subject.name))

    # --- what comes back ---------------------------------------------------------------------
    def _take(self, one: Contender, turn: Turn, result: TurnResult, seconds: float) -> None:
        """Take in what a turn came to, and write it down."""
        name, record, folder = one.subject.name, one.record, self.folder
        self.turns += 1
        self._renew |= self.turns % (RENEWED * self.how.jobs) == 0
        one.turns += 1
        record.turns += 1
        one.spent += seconds
        record.seconds += seconds
        one.internal |= result.internal
        if result.problem:
            one.set_aside(result.problem)
            folder.write()
            return
        one.schedules += result.schedules
        record.schedules += result.schedules
        one.notes += [note for note in result.notes if note not in one.notes]
        one.new += one.corpus.add(result.added, result.counts)
        if turn.kind == MUTATING:
            one.corpus.observed += result.observed
            one.corpus.hunted += seconds
        if turn.kind == MUTATING or result.added:
            folder.keep_corpus(name, one.corpus)
        self._failures(one, turn, result)
        if turn.kind == EXHAUSTIVE:
            folder.keep_checkpoint(name, result.checkpoint)
        if result.exhausted:
            one.over = WHOLE
        if turn.kind == FIRST or result.verdict in ("verified", "failed"):
            record.verdict = result.verdict
        if result.stuck:
            one.set_aside(result.stuck)
            self._renew = True  # what is stuck would go on beside the next turns
        folder.write()

    def _failures(self, one: Contender, turn: Turn, result: TurnResult) -> None:
        name, folder, number = one.subject.name, self.folder, self.folder.campaigns
        known = folder.known(name)
        by_identity = {failure.identity: failure for failure in known}
        for place in result.gone:
            known[place].state = GONE
            self.gone.append(known[place])
        for told in result.failures:
            failure = by_identity.get(told.identity)
            if failure is None or failure.state == GONE:
                # first the trace: what is known has one
                trace = folder.keep_trace(name, told.identity, told.trace)
                if failure is None:
                    failure = KnownFailure(name, told.identity, "", "", "", number, number, 0)
                    folder.failures.append(failure)
                failure.trace, failure.state = trace, OPEN
                failure.message, failure.confirmed = told.message, told.confirmed
                if failure in self.gone:
                    self.gone.remove(failure)
                self._group(one, failure, self.new)
            else:
                self._group(one, failure, self.again)
            failure.count += told.count
            failure.last = number

    def _group(self, one: Contender, failure: KnownFailure, group: list[KnownFailure]) -> None:
        """What is told of it, if it was not seen in this campaign."""
        if any(failure in seen for seen in (self.new, self.again, self.expected)):
            return
        expected = failure.identity[0] in one.subject.expected
        (self.expected if expected else group).append(failure)

    # --- who takes turns ---------------------------------------------------------------------
    @contextmanager
    def _workers(self) -> Generator[tuple[Any, int, Callable[[bool], None] | None]]:
        """What hands a turn out, to how many at a time, and what makes new processes: because one
        has died, or not."""
        from tracelock.explore.spread import executors

        how, run = self.how, cast(Any, take_turn)
        if how.dask is not None:
            with executors.dask(how.dask, run) as (submit, width):
                yield submit, width, None
        elif how.executor is not None:
            yield executors.on(how.executor, run), how.width, None
        else:
            with (
                _same_hashes(),
                executors.Processes(how.jobs, self.notes.append, run, deaths=sys.maxsize) as pool,
            ):
                yield pool.submit, how.jobs, lambda died: pool.renew() if died else pool.restart()


@contextmanager
def _same_hashes() -> Generator[None]:
    """While this is entered processes are started with the same hashes of text, if nobody has said
    with which: a set is gone through in the same order in each of them, and in the next campaign.
    """
    if _HASHES in os.environ:
        yield
        return
    os.environ[_HASHES] = "0"
    try:
        yield
    finally:
        os.environ.pop(_HASHES, None)
