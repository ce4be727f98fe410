"""What an exploration came to, and how to say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracelock.instrument.account.account import listed
from tracelock.names import display_names
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.explore.estimate import Estimate
    from tracelock.explore.shrink.schedule import Shrunk
    from tracelock.explore.shrink.twin import NoTwin, Twin
    from tracelock.instrument.account.account import Account
    from tracelock.session.interpreters.forecasting import Breakage
    from tracelock.session.interpreters.preferring import Preferred
    from tracelock.session.target import Target


class SearchFailed(AssertionError):
    """Raised by ``Explored.raise_for_failure``: a schedule fails. Its text shows which."""


@dataclass(slots=True)
class DistinctEnding:
    """One distinct way in which schedules ended, as ``--all`` lists them."""

    kind: str
    failure: str | None
    message: str
    state: dict[str, Any]
    count: int
    trace: Callable[[], Trace]


@dataclass(slots=True)
class Explored:
    """What a search came to.

    ``verdict``: ``failed`` (``trace`` shows it), ``verified`` (every inequivalent interleaving, or
    every state, was tried), ``passed`` (so many schedules were sampled, none failed) or
    ``unfinished`` (a budget or bound cut an exhaustive search: nothing is claimed). ``schedules``
    counts complete ones, ``redundant`` those that were cut because they repeat others, ``states``
    those of the state search. ``trace``: the failing one, the smallest that was found;
    ``switches``: preemptive switches in it; ``minimum``: ``proved``, ``1-minimal`` or "";
    ``confirmed``: by backend, replays that reproduced it of those that were made. ``twin``: the
    nearest passing schedule. ``summary``: all that in one sentence. ``account``: of real code, what
    was seen and what was not.
    """

    verdict: str
    strategy: str
    schedules: int
    redundant: int
    states: int
    seconds: float
    ways: list[DistinctEnding]
    trace: Trace | None = None
    switches: int | None = None
    minimum: str = ""
    confirmed: dict[str, str] = field(default_factory=dict)
    twin: Twin | NoTwin | None = None
    notes: list[str] = field(default_factory=list)
    shrunk: Shrunk | None = None
    summary: str = ""
    stopped: str = ""
    account: Account | None = None
    #: Whether all that was seen was tried, though something was not seen.
    whole: bool = False
    #: State that lived on from schedule to schedule, by name.
    lasting: list[str] = field(default_factory=list)
    #: What besides keeps ``verified`` from being claimed.
    withheld: list[str] = field(default_factory=list)
    #: Of a failure of real code on threads: whether the running interpreter can make it.
    preferred: Preferred | None = None
    #: What its switches take of an interpreter, in a sentence.
    needs: str = ""
    #: What passes here and fails without the GIL, where that was asked for.
    forecast: list[Breakage] | None = None
    #: Of which interpreter ``verified`` speaks, "" where of any.
    interpreter: str = ""
    #: Complete executions of the exhaustive search, where it was made.
    executions: int = 0
    #: Of a search that did not finish and found no failure: how much it has seen, where that can
    #: be said. ``estimate.line`` is one line.
    estimate: Estimate | None = None

    @property
    def failed(self) -> bool:
        """Whether a schedule was found that goes wrong."""
        return self.verdict == "failed"

    @property
    def exhaustive(self) -> bool:
        """Whether nothing was left to try."""
        return self.verdict == "verified"

    @property
    def never(self) -> bool:
        """Whether the failure needs a switch that the running interpreter does not make."""
        return self.preferred is not None and self.preferred.possible is False

    @property
    def line(self) -> str:
        """Of real code: ``verified: 412 interleavings of 3 threads, 2 locks, 7 shared variables;
        not looked into: socket``."""
        number = self.executions or self.schedules
        seen = "" if self.account is None else f" of {self.account.line}"
        every = "all " if self.whole else ""
        on = f" (on {self.interpreter})" if self.interpreter else ""
        return (
            f"{self.verdict}{on}: {every}{number:,} interleaving{'' if number == 1 else 's'}{seen}"
        )

    def raise_for_failure(self) -> None:
        """Raises SearchFailed (an AssertionError) if a failing schedule was found."""
        __tracebackhide__ = True  # pytest shows the line that called this
        if self.trace is not None and self.failed:
            raise SearchFailed(f"{self.summary}\n\n{self.story()}")

    def story(self, width: int = 100) -> str:
        """The failing interleaving as plain text: a column for each worker, then the verdict, what
        would make the difference, and the notes. "" where nothing fails."""
        from tracelock.explore.shrink.twin import Twin
        from tracelock.report.terminal import Style, verdict_block
        from tracelock.session.story import told

        if self.trace is None:
            return ""
        names = display_names(self.trace)
        trace = names.of(self.trace)
        lines = [text.plain for text in told(trace, Style(width))]
        lines.append("")
        lines += [text.plain for text in verdict_block(trace.verdict, trace.workers)]
        lines += confirmations(self.confirmed)
        if self.needs:
            lines.append(f"  {self.needs}")
        if isinstance(self.twin, Twin):
            lines.append(f"  {names.text(self.twin.explanation)}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(line.rstrip() for line in lines)


def preemptive(switches: int | None) -> str:
    """A number of preemptive switches in words."""
    return f"{switches or 0} preemptive switch" + ("" if switches == 1 else "es")


def confirmations(confirmed: dict[str, str]) -> list[str]:
    """A line for each backend on which a failure was replayed."""
    scores = ((backend, score.partition("/")) for backend, score in confirmed.items())
    return [
        f"  confirmed on {backend}, {n} of {times} replays" for backend, (n, _, times) in scores
    ]


def summarise(explored: Explored, executions: int, backend: str, target: Target, stuck: str) -> str:
    """What is known now, in one sentence; it claims no more than was tried, nor more than
    ``target`` has to be checked. ``stuck``: why no more could be tried."""
    known = _known(explored, executions, backend, target.noun, stuck)
    return f"{known}{but_unchecked(explored, target)}"


def but_unchecked(explored: Explored, target: Target) -> str:
    """What passes where nothing, or little, is checked: to come after what is known."""
    passes = explored.verdict in ("verified", "passed")
    return f"; {target.unchecked}" if passes and target.unchecked else ""


def _known(explored: Explored, executions: int, backend: str, noun: str, stuck: str) -> str:
    tried = f"{explored.schedules:,} schedule" + ("" if explored.schedules == 1 else "s")
    were = "was" if explored.schedules == 1 else "were"
    account = explored.account
    seen = "" if account is None else f"; {account.line}"
    if explored.interpreter:
        noun = f"{noun} that {explored.interpreter} can make"
    if explored.verdict == "failed":
        count = preemptive(explored.switches) if explored.switches else "no preemptive switch"
        proved = ", the fewest there can be" if explored.minimum == "proved" else ""
        never = f"; {explored.needs}" if explored.never and explored.needs else ""
        return f"failed: found after {tried}; it takes {count}{proved}{never}"
    if stuck:
        return f"unfinished: {stuck.splitlines()[0]}"
    if explored.verdict == "verified":
        if explored.strategy.rpartition("(")[2].startswith("states"):
            return (
                f"verified: {explored.states:,} states, every state this {noun} can reach on "
                f"{backend}'s rules passes"
            )
        number = executions or explored.schedules
        return (
            f"verified: {number:,} execution{'' if number == 1 else 's'}, every inequivalent "
            f"interleaving of this {noun} on {backend}'s rules passes{seen}"
        )
    if explored.verdict == "passed" and explored.whole and account is not None:
        number = executions or explored.schedules
        return (
            f"passed (explored all {number:,} schedule{'' if number == 1 else 's'} of what was "
            f"seen; not seen: {listed([*account.not_seen, *explored.withheld])}){seen}"
        )
    if explored.verdict == "passed":
        return f"passed: {tried} {were} tried, none failed; others were not{seen}"
    cuts = [
        one.message.splitlines()[0]
        for one in explored.ways
        if one.kind == "unfinished" and one.message
    ]
    cut = f"some schedules were cut ({cuts[0]})" if cuts else "some schedules were cut by a bound"
    reason = {
        "schedules": "the budget of schedules is spent", "seconds": "the time is up",
        "interrupted": "interrupted", "states": "the bound of states is reached",
        "bytes": "the bound of memory is reached",
    }.get(explored.stopped, cut)  # fmt: skip
    if cuts and explored.stopped == "schedules":
        reason = cut
    more = f" and {explored.states:,} states" if explored.states else ""
    if more:
        were = "were"
    return f"unfinished: {tried}{more} {were} tried, none failed; {reason}, so nothing is claimed"
