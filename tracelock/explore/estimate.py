"""How much a search that did not finish has seen: what can be said of it, and no more.

Three things, each where it can be had. Of a search by DPOR: how many inequivalent interleavings it
has seen of how many, by probes (``schedulers.dpor.probes``). Of PCT: with which probability at most
a bug of some depth was missed. Of samplers whose schedules do not depend on one another: how many
of such schedules fail at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, expm1, floor, isfinite, log, log1p, log10, sqrt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tracelock.schedulers.dpor.probes import Probes
    from tracelock.schedulers.pct import Drawn

#: Fewer probes say nothing.
FEWEST: Final = 20
#: Of the probes in parts that were not explored, the share that has to be of classes which came up
#: twice or more, for the number of these to tell how many there are.
COVERED: Final = 0.9
#: Of statements about samplers.
CONFIDENCE: Final = 0.95
#: By which part of it a number of kinds that were met is said to be too small at most.
FARTHER: Final = 0.25
#: To have missed a bug with at most this chance is nothing worth telling.
NOTHING: Final = 0.99
#: A number of classes is given as a range where its relative standard error is more than this; as
#: a power of ten where that is more than ``ROUGH`` and it is ``LARGE``, or where it is ``HUGE``.
RANGE: Final = 0.1
ROUGH: Final = 0.5
LARGE: Final = 1e5
HUGE: Final = 1e12
#: Columns that a line has, after what stands before it.
WIDTH: Final = 68
_LARGEST: Final = 1e300


@dataclass(frozen=True, slots=True)
class SeenClasses:
    """Inequivalent interleavings: ``seen`` so many, of an estimated number ``of`` them all.

    ``low``, ``high``: two standard errors to each side, as the probes have them, and ``low`` no
    less than what was met. These are no bounds: where few interleavings make up most of the number
    and no probe has met one of those, it is larger. ``probes``: random schedules it is made from.
    """

    seen: int
    of: float
    low: float
    high: float
    probes: int

    @property
    def line(self) -> str:
        """``1,200 of about 39,000 inequivalent interleavings seen (3 %)``."""
        what = "inequivalent interleavings seen"
        spread = (self.high - self.low) / 4 / self.of
        if (spread > ROUGH and self.of >= LARGE) or self.of >= HUGE:
            return f"{self.seen:,} of {_power(self.of)} {what}"
        if spread > RANGE:
            told = f"{self.seen:,} of perhaps {_rounded(self.low)} to {_rounded(self.high)} {what}"
            short = f"{self.seen:,} of roughly {_rounded(self.of)} {what}"
        else:
            short = f"{self.seen:,} of about {_rounded(self.of)} {what}"
            told = f"{short} ({_percent(self.seen / self.of)})"
        return told if len(told) <= WIDTH else short

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "seen": self.seen, "of": _number(self.of), "low": _number(self.low),
            "high": _number(self.high), "probes": self.probes,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class MissedDepth:
    """A bug of ``depth`` was missed with a probability of at most ``chance``.

    Burckhardt, Kothari, Musuvathi, Nagarakatte (ASPLOS 2010): a schedule of PCT finds a bug that
    takes ``depth`` ordering constraints with a probability of at least ``1 / (n k**(depth - 1))``,
    for ``n`` ``workers`` and ``k`` ``steps``. Only schedules whose ``k`` was the longest that was
    seen, or more, are counted (``schedules``). It does not hold where some schedule has more steps
    than that, nor for bugs that need a particular timer, waiter, collection or cancellation.
    """

    depth: int
    chance: float
    workers: int
    steps: int
    schedules: int

    @property
    def line(self) -> str:
        """``a bug of depth 3 was missed with a chance of at most 12 %``."""
        if self.chance > NOTHING:
            return f"too few schedules to say how likely a bug of depth {self.depth} was missed"
        return f"a bug of depth {self.depth} was missed with a chance of at most " + _at_most(
            self.chance
        )

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "depth": self.depth, "chance": self.chance, "workers": self.workers,
            "steps": self.steps, "schedules": self.schedules,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class FailingShare:
    """Of schedules like the ``schedules`` that were drawn, each apart from all others, at most a
    share of ``most`` fails, on average; this is said with a confidence of ``CONFIDENCE``.

    It says nothing of any one bug: what such schedules hardly ever meet is a part of that share.
    """

    most: float
    schedules: int

    @property
    def line(self) -> str:
        """``at most 0.3 % of such schedules fail (confidence 95 %)``."""
        most, sure = _at_most(self.most), _percent(CONFIDENCE)
        return f"at most {most} of such schedules fail (confidence {sure})"

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {"most": self.most, "confidence": CONFIDENCE, "schedules": self.schedules}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an unfinished search has seen; each part is None where nothing can be said.

    ``classes``: of interleavings that differ in more than the order of independent steps;
    ``depth``: the chance that a bug of some depth was missed; ``failing``: the share of
    schedules that may fail.
    """

    classes: SeenClasses | None = None
    depth: MissedDepth | None = None
    failing: FailingShare | None = None

    @property
    def line(self) -> str:
        """The most that can be said, in one line under 70 columns; "" where that is nothing."""
        told = self.classes or self.depth or self.failing
        return "" if told is None else told.line

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        parts = {"classes": self.classes, "depth": self.depth, "failing": self.failing}
        data = {name: None if one is None else one.to_data() for name, one in parts.items()}
        return {"line": self.line, **data}


# --- classes -------------------------------------------------------------------------------------
def seen_classes(made: Probes, executions: int) -> SeenClasses | None:
    """What probes tell of a search that has made so many executions; None where that is nothing.

    Where it is known of each probe whether the search had been there, and how many classes are
    there, the number that the probes give for that part is known to be wrong by so much, and the
    total is corrected by regression (Cochran, "Sampling techniques", chapter 7). Where nearly all
    of what probes met outside was met twice, how many were met is closer than any mean, if the mean
    does not contradict it (Chao, "Nonparametric estimation of the number of classes in a
    population", Scandinavian Journal of Statistics 11, 1984).
    """
    probes = made.probes
    if made.spoilt or len(probes) < FEWEST:
        return None
    known = made.known and made.exact
    scale = max(one.weight for one in probes)
    weights = [exp(one.weight - scale) for one in probes]
    inside = [weight if one.seen else 0.0 for weight, one in zip(weights, probes, strict=True)]
    # in units of exp(scale), so that no number is too large
    have = executions * exp(-scale) if known else 0.0
    mean, error = _regression(weights, inside, have) if known else _mean(weights)
    outside = Counter(one.key for one in probes if not (known and one.seen))
    met = len(outside) + (executions if known else 0)
    if log(max(mean, 1e-300)) + scale > log(_LARGEST):
        return SeenClasses(executions, _LARGEST, _LARGEST, _LARGEST, len(probes))
    of, error = mean * exp(scale), error * exp(scale)
    once = sum(count == 1 for count in outside.values())
    if not outside or once <= (1 - COVERED) * outside.total():
        kinds, spread = _chao(outside, once)
        kinds += executions if known else 0
        if of - 2 * error <= kinds:
            # it is itself a lower bound, so that the mean tells how much more there may be
            spread = max(spread, min(max(of - kinds, 0.0), FARTHER * kinds) / 2)
            of, error = kinds, spread
    least = max(met, executions + 1) if made.exact else met
    of = max(of, least)
    seen = executions
    if not made.exact and made.known:
        # it may have explored a class twice: what part of them it has seen is told by the probes
        seen = min(executions, round(of * sum(inside) / sum(weights)))
    low, high = max(least, of - 2 * error), of + 2 * error
    return SeenClasses(
        seen, of, min(low, float(round(of))), max(high, float(round(of))), len(probes)
    )


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and its standard error."""
    count = len(values)
    mean = sum(values) / count
    return mean, sqrt(sum((one - mean) ** 2 for one in values) / (count - 1) / count)


def _regression(
    values: Sequence[float], beside: Sequence[float], true: float
) -> tuple[float, float]:
    """The mean of ``values``, corrected by what the mean of ``beside`` is known to be; and its
    standard error."""
    count = len(values)
    mean, other = sum(values) / count, sum(beside) / count
    square = sum((one - other) ** 2 for one in beside)
    both = sum((a - mean) * (b - other) for a, b in zip(values, beside, strict=True))
    slope = both / square if square else 1.0
    left = [a - mean - slope * (b - other) for a, b in zip(values, beside, strict=True)]
    error = sqrt(sum(one * one for one in left) / (count - 2) / count)
    return max(mean + slope * (true - other), true), error


def _chao(counts: Counter[Any], once: int) -> tuple[float, float]:
    """How many kinds there are of which these were met so often; and the standard error of that."""
    twice = sum(count == 2 for count in counts.values())
    more = once * (once - 1) / (2 * (twice + 1))
    return len(counts) + more, sqrt(more * (1 + more))


# --- samplers ------------------------------------------------------------------------------------
def missed_depth(drawn: Drawn, depth: int, workers: int) -> MissedDepth | None:
    """With which chance at most a bug of ``depth`` was missed, in a program of so many workers;
    None where no schedule counts."""
    left, schedules = 0.0, 0
    for (own, length), count in drawn.counts.items():
        # what needs ``depth`` constraints is found by a schedule that guesses more of them too
        if own >= depth and length >= drawn.steps:
            left += count * log1p(-min(1.0 / (workers * length ** (own - 1)), 1 - 1e-12))
            schedules += count
    if not schedules:
        return None
    return MissedDepth(depth, exp(left), workers, drawn.steps, schedules)


def failing_share(schedules: int) -> FailingShare | None:
    """What is known after so many schedules, none of which failed; None after none.

    If a share of ``p`` fails, on average, all pass with a probability of at most ``(1 - p)**n``.
    """
    if not schedules:
        return None
    return FailingShare(-expm1(log(1 - CONFIDENCE) / schedules), schedules)


# --- words ---------------------------------------------------------------------------------------
def _rounded(value: float) -> str:
    """Two digits, the rest zeros; ``1,234`` as ``1,200``."""
    if value < 100:
        return f"{round(value):,}"
    return f"{int(float(f'{value:.1e}')):,}"


def _power(value: float) -> str:
    """``very roughly 10^17``."""
    about = "more than" if value >= _LARGEST else "very roughly"
    return f"{about} 10^{round(log10(value))}"


def _percent(share: float) -> str:
    """``12 %``, ``0.34 %``: two digits."""
    part = 100 * share
    return f"{part:.0f} %" if part >= 10 else f"{part:.2g} %"


def _at_most(share: float) -> str:
    """The same rounded up, since more must not be claimed; ``99.9 %`` with three digits."""
    part = 100 * share
    digits = (3 if part > 99 else 2) - 1 - floor(log10(part))
    up = min(ceil(part * 10**digits - 1e-9) / 10**digits, 100.0)
    return f"{up:g} %"


def _number(value: float) -> int | float:
    """As it stands in JSON."""
    assert isfinite(value)
    return round(value) if value < 1e15 else value
