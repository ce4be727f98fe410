"""Whose turn is next in a campaign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tracelock.campaign.folder import SubjectRecord
from tracelock.campaign.found import OF_CODE, Subject
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

    subject: Subject
    record: SubjectRecord
    corpus: list[list[int]]
    turns: int = 0
    spent: float = 0.0
    schedules: int = 0
    new: int = 0  # pairs that were seen for the first time
    flying: int = 0
    exhaustive: bool = False  # such a turn is being taken
    next_longer: float = 0.0  # seconds of the next longer turn
    over: str = ""
    trouble: bool = False
    internal: bool = False
    deaths: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """An estimate of the new pairs that a second of searching shows: see ``Novelty``."""
        record = self.record
        if not record.observed or not record.hunted:
            return float("inf")  # it is to be found out
        once = sum(count == 1 for count in record.counts.values())
        return once / record.hunted

    @property
    def seed(self) -> int:
        """Of its next turn: another one each time, in all campaigns."""
        return mix(mix(int(self.subject.digest or "0", 16)) ^ (self.record.turns + self.flying))

    def set_aside(self, why: str) -> None:
        """It gets no more turns, though it was not searched as it should."""
        self.over, self.trouble = why, True


class Rule:
    """By what turns are given.

    Each subject has one turn first, in the order of their names.
    Then turns alternate. One goes to the subject that was searched least so far in this campaign,
    so that each gets at least half of an equal share. The other goes to the one of which most new
    is to be expected in a second: the number of pairs of steps that one schedule alone has shown,
    by the seconds that this took (see ``Novelty`` for the estimate, which is Good's). A subject
    that is verified, or that cannot be searched, gets no more turns.

    ``turn``: seconds of a turn.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.contenders = contenders
        self.turn = TURN
        self._given = 0  # turns after the first ones

    def next(self) -> tuple[Contender, str] | None:
        """Whose turn is next, and of which kind; None where nobody can be given one now."""
        live = [one for one in self.contenders if not one.over]
        for one in live:
            if not one.turns and not one.flying:
                return one, FIRST
        idle = [one for one in live if one.turns and not one.flying]
        # there are more to take turns than subjects: one may be searched twice at a time
        able = idle or [one for one in live if one.turns]
        if not able:
            return None
        self._given += 1
        fair = min(able, key=lambda one: (one.flying, one.spent))
        if self._given % 2 == 0 and idle:
            fair = max(idle, key=lambda one: (one.rate, -one.spent))
        return fair, self._kind(fair)

    def _kind(self, one: Contender) -> str:
        """``explore`` has another turn when twice as long as that takes was spent otherwise, each
        time for twice as long as the last time: what needs more than one turn is done that way, in
        a third of the time at most. Otherwise a scenario is searched exhaustively every second
        turn, from where that ended the last time."""
        if one.exhaustive:
            return MUTATING
        if one.spent >= 2 * (one.next_longer or 2 * self.turn):
            return LONGER
        code = one.subject.kind in OF_CODE
        return EXHAUSTIVE if not code and one.turns % 2 else MUTATING

    def seconds(self, one: Contender, kind: str) -> float:
        """How long a turn of this kind is; it is given then."""
        if kind != LONGER:
            return self.turn
        seconds = one.next_longer or 2 * self.turn
        one.next_longer = 2 * seconds
        return seconds
