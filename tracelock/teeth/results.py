"""What became of the mutants of a test, a scenario or a class."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tracelock.teeth.mutations import REMOVED, WIDENED

if TYPE_CHECKING:
    from tracelock.trace import Trace

KILLED: Final = "killed"
VERIFIED: Final = "verified"
UNPROVED: Final = "unproved"
NOT_RUN: Final = "not run"
INVALID: Final = "invalid"
UNTRIED: Final = "untried"
#: What may become of a mutant, in the order in which it is told.
VERDICTS: Final = (KILLED, VERIFIED, UNPROVED, NOT_RUN, INVALID, UNTRIED)
#: Those of mutants that survived.
SURVIVED: Final = (VERIFIED, UNPROVED)


@dataclass
class MutantResult:
    """One mutant. ``kind``: ``removed``, ``narrowed``, ``widened``, ``swapped`` or ``replaced``;
    ``file``, ``line``, ``function``: where the lock region is; ``lock``: what it takes; ``was`` and
    ``now``: the change, a line each.

    ``verdict``: ``killed`` (a schedule fails: ``failure`` says how, ``reason`` what it takes,
    ``trace`` is where its trace was kept, ``recorded`` the trace, ``switches`` its preemptive
    switches), ``verified`` (it survived, and every schedule was tried: nothing that is looked at
    needs what was changed; ``reason`` says of which interpreter that is), ``unproved`` (it survived
    what was tried; ``reason`` says why that is not all), ``not run`` (what was changed was never
    executed), ``invalid`` (it is no program: it does not compile, or fails at once by a name
    without a value or by a lock that is not held), ``untried`` (there was no time). ``schedules``,
    ``seconds``: what it took. ``useless``: a whole class was audited without the lock, and every
    interleaving of all pairs of methods was as it should be.
    """

    number: int
    kind: str
    file: str
    line: int
    function: str
    lock: str
    was: str
    now: str
    verdict: str = UNTRIED
    reason: str = ""
    failure: str = ""
    switches: int | None = None
    schedules: int = 0
    seconds: float = 0.0
    useless: bool = False
    trace: str | None = None
    recorded: Trace | None = None
    #: The class of the region, the module of ``file``, its path, and the number among its mutants.
    owner: str = ""
    module: str = ""
    path: str = ""
    place: int = 0

    @property
    def counted(self) -> bool:
        """Whether it is part of the score: one that holds a lock for longer and still passes says
        nothing of the test."""
        return self.kind != WIDENED

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "number": self.number, "kind": self.kind, "file": self.file, "line": self.line,
            "function": self.function, "lock": self.lock, "was": self.was, "now": self.now,
            "verdict": self.verdict, "reason": self.reason or None,
            "failure": self.failure or None, "switches": self.switches,
            "schedules": self.schedules, "seconds": round(self.seconds, 3),
            "useless": self.useless, "trace": self.trace,
        }  # fmt: skip


@dataclass
class Teeth:
    """What became of all mutants. ``subject``: what was asked about; ``kind``: ``test``,
    ``function``, ``class`` or ``scenario``. ``original``: the verdict of the code as it is,
    ``schedules`` of it, ``summary`` of that search; ``modules``: those whose locks were changed;
    ``interpreter``: the one of which all that is, "" for any."""

    subject: str
    kind: str
    original: str = ""
    original_summary: str = ""
    original_schedules: int = 0
    modules: list[str] = field(default_factory=list)
    interpreter: str = ""
    mutants: list[MutantResult] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def count(self, verdict: str, kind: str | None = None) -> int:
        """How many mutants of the score ended so; of one ``kind``, also those that do not count."""
        return sum(
            one.verdict == verdict and (one.counted if kind is None else one.kind == kind)
            for one in self.mutants
        )

    @property
    def score(self) -> float | None:
        """Killed mutants by those that were killed or survived, None where there are none."""
        killed, survived = self.count(KILLED), sum(map(self.count, SURVIVED))
        return killed / (killed + survived) if killed + survived else None

    @property
    def survivors(self) -> list[MutantResult]:
        """Those that survived, of the score."""
        return [one for one in self.mutants if one.counted and one.verdict in SURVIVED]

    @property
    def useless(self) -> list[MutantResult]:
        """Locks without which a whole class was verified."""
        return [one for one in self.mutants if one.useless]

    @property
    def verdict(self) -> str:
        """``survived``: of some change it is certain that nothing notices it; ``unproved``: of
        none, but something survived, or was not tried; ``killed``: each was noticed; ``nothing``:
        there was nothing to change that is run."""
        if self.count(VERIFIED):
            return "survived"
        if self.count(UNPROVED) or self.count(UNTRIED):
            return UNPROVED
        return KILLED if self.count(KILLED) else "nothing"

    @property
    def summary(self) -> str:
        """The score in a sentence."""
        told = {
            KILLED: "killed", VERIFIED: "survived, verified", UNPROVED: "survived, unproved",
            NOT_RUN: "not run", INVALID: "no valid program", UNTRIED: "not tried",
        }  # fmt: skip
        parts = [f"{self.count(one)} {told[one]}" for one in VERDICTS if self.count(one)]
        score = "none" if self.score is None else f"{self.score:.0%}"
        killed = self.count(KILLED)
        of = killed + sum(map(self.count, SURVIVED))
        return f"score {score} ({killed} of {of}): {', '.join(parts) or 'no mutants'}"

    def __str__(self) -> str:
        return f"{self.subject}: {self.summary}"

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        score = self.score
        return {
            "subject": self.subject, "kind": self.kind, "verdict": self.verdict,
            "score": None if score is None else round(score, 4), "summary": self.summary,
            "counts": {one: self.count(one) for one in VERDICTS},
            "widened": {one: self.count(one, WIDENED) for one in VERDICTS},
            "original": {
                "verdict": self.original, "summary": self.original_summary,
                "schedules": self.original_schedules,
            },
            "modules": self.modules, "interpreter": self.interpreter or None,
            "useless": [one.number for one in self.useless],
            "mutants": [one.to_data() for one in self.mutants],
            "seconds": round(self.seconds, 3), "notes": self.notes,
        }  # fmt: skip


def judged(mutant: MutantResult, answer: dict[str, Any], *, whole_class: bool = False) -> None:
    """Put the answer of a search into the result of its mutant. ``answer``: ``verdict`` (of an
    exploration or an audit), ``reached``, and what else is known; see ``child``."""
    mutant.schedules = answer.get("schedules", 0)
    mutant.seconds = answer.get("seconds", 0.0)
    verdict, summary = answer["verdict"], answer.get("summary", "")
    if verdict == "failed":
        mutant.failure = answer.get("failure", "") or summary
        mutant.switches = answer.get("switches")
        mutant.reason = summary
        mutant.verdict = KILLED
        if not mutant.switches and _NO_PROGRAM.search(mutant.failure):
            mutant.verdict, mutant.reason = INVALID, mutant.failure
    elif verdict == INVALID:
        mutant.verdict, mutant.reason = INVALID, summary
    elif verdict in ("error", "ended"):
        mutant.verdict, mutant.reason = UNPROVED, summary
    elif not answer.get("reached"):
        mutant.verdict, mutant.reason = NOT_RUN, answer.get("reason", "")
    elif verdict == "verified":
        mutant.verdict, mutant.reason = VERIFIED, summary
        mutant.useless = whole_class and mutant.kind == REMOVED
    else:
        mutant.verdict, mutant.reason = UNPROVED, summary


#: How a mutant fails that is no program: a name without a value, a lock that is not held.
_NO_PROGRAM: Final = re.compile(
    r"\b(?:NameError|UnboundLocalError)\b|"
    r"\bRuntimeError: (?:cannot (?:wait|notify|release)|release unlocked|Lock is not acquired)|"
    r"without holding the condition's lock"
)
