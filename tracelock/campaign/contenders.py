"""Whose turn is next in a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tracelock.campaign.folder import Corpus, SubjectRecord
from tracelock.campaign.found import OF_CODE, CampaignSubject
from tracelock.campaign.turns import EXHAUSTIVE, FIRST, LONGER, MUTATING
from tracelock.schedulers.sampling import mix

#: Seconds of a turn, unless there is less for each subject.
TURN: Final = 10.0
#: The shortest turn that is worth its start.
SHORTEST: Final = 0.25
#: Why a subject gets no more turns that was searched exhaustively.
WHOLE: Final = "nothing is left to try"


@dataclass(slots=True, eq=False)
class Contender:
    """A subject in this campaign. ``spent``: seconds that it was searched; ``flying``: turns that
    are being taken; ``over``: why it gets no more, "" where it does; ``trouble``: that it could not
    be searched as it should."""

    subject: CampaignSubject
    record: SubjectRecord
    corpus: Corpus
    turns: int = 0
    spent: float = 0.0
    schedules: int = 0
    new: int = 0  # pairs that were seen for the first time
    flying: int = 0
    exhaustive: bool = False  # such a turn is being taken
    planned: float = 0.0  # seconds of the turns that it was given
    longer: float = 0.0  # those of the longer ones
    share: float = 0.0  # seconds of the half of the time that is shared evenly
    over: str = ""
    trouble: bool = False
    internal: bool = False
    deaths: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """Of its next turn: another one each time, in all campaigns."""
        return mix(mix(int(self.subject.digest or "0", 16)) ^ (self.record.turns + self.flying))

    def set_aside(self, why: str) -> None:
        """It gets no more turns, though it was not searched as it should."""
        self.over, self.trouble = why, True


class Rule:
    """By what turns are given.

    Each subject has one turn first, in the order of their names. From then on half of the time is
    shared evenly: it goes to the subject that has had least of that half. The other half goes to
    the subject of which most new is to be expected in a second: the number of pairs of steps that
    one schedule alone has shown, by the seconds that this took (see ``Novelty`` for the estimate,
    which is Good's). So each gets at least half of an equal share, and those that still show
    something new get more. A subject of which nothing is left to try, or that cannot be searched,
    gets no more turns.

    ``turn``: seconds of a turn.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.contenders = contenders
        self.turn = TURN
        self._evenly = self._by_promise = 0.0  # seconds of the two halves

    def next(self) -> tuple[Contender, str, float] | None:
        """Whose turn is next, of which kind, and how long; None where nobody can be given one."""
        live = [one for one in self.contenders if not one.over]
        for one in live:
            if not one.turns and not one.flying:
                one.planned += self.turn
                return one, FIRST, self.turn
        idle = [one for one in live if one.turns and not one.flying]
        # there are more to take turns than subjects: one may be searched twice at a time
        able = idle or [one for one in live if one.turns]
        if not able:
            return None
        if idle and self._by_promise < self._evenly:
            one = max(idle, key=lambda one: (one.corpus.rate, -one.spent))
            kind, seconds = self._kind(one)
            self._by_promise += seconds
        else:
            one = min(able, key=lambda one: (one.flying, one.share))
            kind, seconds = self._kind(one)
            self._evenly += seconds
            one.share += seconds
        one.planned += seconds
        return one, kind, seconds

    def _kind(self, one: Contender) -> tuple[str, float]:
        """``explore`` has another turn, each time for about twice as long as the last time, as soon
        as all of these are a third of the time at most: so what needs more than one turn is done.
        Otherwise a scenario is searched exhaustively every second turn, from where that ended the
        last time."""
        longer = one.longer + 2 * self.turn
        if not one.exhaustive and one.planned - one.longer >= 2 * (one.longer + longer):
            one.longer += longer
            return LONGER, longer
        code = one.subject.kind in OF_CODE
        if code or one.exhaustive or not one.turns % 2:
            return MUTATING, self.turn
        return EXHAUSTIVE, self.turn
