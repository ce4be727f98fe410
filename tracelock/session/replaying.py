"""Replay: a trace executed again, event by event, on its own backend or another one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tracelock.errors import Divergence
from tracelock.session.host import Host
from tracelock.session.interpreters.which import mark
from tracelock.session.plan import Settings
from tracelock.session.target import Target
from tracelock.trace import Trace, Verdict, frozen
from tracelock.trace.hashing import hash_remark

if TYPE_CHECKING:
    from tracelock.engine.controller import Controller
    from tracelock.engine.replaying import Replay
    from tracelock.session.interpreters.which import Switched


_AT: Final = re.compile(r"\bat (\S+:[0-9]+)")


@dataclass(slots=True)
class ReplayResult:
    """What a replay came to.

    ``reproduced``: it followed the trace to its end and ended with the same verdict.
    ``diverged``: the :class:`~tracelock.errors.Divergence` that stopped it, or None.
    ``verdict``: how the replay itself ended (``unfinished`` where it diverged). ``trace``: the
    trace of the replay, as far as it came. ``notes``: what else there is to say of it. ``needs``:
    of threads of real code, whether this interpreter can make its switches by itself, in words.
    ``killed``: whose process was ended from outside in the middle of the replay, in words.
    ``passed_over``: where the code has called ``breakpoint()``, which stops under a debugger alone.
    ``changed``: what is not what it was when the trace was recorded.
    """

    reproduced: bool
    diverged: Divergence | None
    verdict: Verdict
    trace: Trace
    notes: list[str] = field(default_factory=list)
    needs: str = ""
    killed: str = ""
    passed_over: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def replay_target(target: Target, trace: Trace, settings: Settings) -> ReplayResult:
    """Execute a trace of ``target`` again, as ``settings`` say. Raises TraceError where the
    trace's workers are not those of the target."""
    with target.replaying(trace, settings) as host:
        return follow(host, trace, tell=True)


def follow(
    host: Host, trace: Trace, *, tell: bool = False, follower: Replay | None = None,
    watch: Callable[[Controller, Replay], None] | None = None,
) -> ReplayResult:  # fmt: skip
    """Execute a trace again on a host, event by event. ``tell``: say what its switches take.
    ``follower``: what follows it, where that is not the host's own. ``watch`` is called with the
    controller and its follower before the first event, to look at each as well."""
    from tracelock.engine.replaying import EndOfTrace

    if follower is None:
        follower = host.follower(trace)
    controller = host.runner.controller(follower)
    follower.follow(controller)
    if watch is not None:
        watch(controller, follower)
    diverged: Divergence | None = None
    switches: list[Switched] | None = None
    try:
        with host.noticing() if tell else nullcontext(lambda log: None) as noticed:
            host.runner.backend.controlled(controller, lambda _: True)
            switches = noticed(controller.log)
        follower.check_end()
        if trace.mode == "recorded" and trace.verdict.kind == "unfinished":
            # the free run was cut when its workers had just ended
            raise EndOfTrace
    except EndOfTrace:
        if controller.failure is None and not controller.crashed:
            controller.limit = controller.limit or "the trace ends here"
    except Divergence as error:
        diverged = error
    if controller.killed:
        diverged = None  # or it would be said of the program
        verdict = Verdict("unfinished", None, controller.killed)
        reproduced = False
    elif diverged is not None:
        verdict = Verdict("unfinished", None, f"the replay diverged: {diverged}")
        reproduced = False
    else:
        verdict = host.runner.verdict(controller)
        reproduced = same_ending(verdict, trace.verdict, roughly=follower.roughly)
    record = host.trace(controller.log, follower.describe(), verdict)
    mark(record, switches)
    needs = ""
    if switches and reproduced:
        from tracelock.instrument.source_lines import source_lines
        from tracelock.report.switching import verdict_line

        needs = verdict_line(record, source_lines(record))
    remarks = follower.remarks()
    if not reproduced:
        remarks += hash_remark(trace.environment)
    return ReplayResult(
        reproduced, diverged, verdict, record, remarks, needs, controller.killed,
        list(host.passed_over), sorted(follower.changed),
    )  # fmt: skip


#: What a replay of a failure came to, for those who ask again and again.
STILL_FAILS, PASSES_NOW, STALE = "still fails", "passes now", "stale"


def conclusion(result: ReplayResult, recorded: Verdict, again: str = "") -> tuple[str, str]:
    """What a replay came to, in a word or two and in a sentence.

    ``recorded``: how the trace or token ends; ``again``: the command that explores what it is of.
    The word: ``still fails``, ``passes now`` or ``stale`` (the code has changed so that the
    schedule cannot be followed) of a failure; ``reproduced``, ``not reproduced`` or ``diverged``
    (the code has not changed: it is not deterministic, or its surroundings are others).
    """
    from tracelock.report.wording import outcome_name

    failed = recorded.kind not in ("passed", "unfinished")
    name = outcome_name(recorded.kind, recorded.failure)
    if result.diverged is not None:
        why = result.diverged
        if not result.changed:
            return "diverged", f"diverged at event {why.seq}: {why.why}"
        at = _AT.findall(f"{why.expected} {why.got}")
        where = at[-1] if at else ", ".join(result.changed)
        advice = f": {again}" if again else ", and keep its new trace"
        return STALE, (
            f"stale: the code changed at {where}, and the schedule cannot be followed any more "
            f"({why.why}). Explore it again{advice}"
        )
    if result.reproduced:
        if failed:
            return STILL_FAILS, "still fails: reproduced, it ended as recorded"
        return "reproduced", "reproduced: it ended as the trace says"
    if failed and result.verdict.kind == "passed":
        changed = f" (changed since: {', '.join(result.changed)})" if result.changed else ""
        return PASSES_NOW, (
            f"passes now: not reproduced, the schedule ends well{changed}. Whether another fails "
            f"is for an exploration to say{f': {again}' if again else ''}"
        )
    now = result.verdict
    told = outcome_name(now.kind, now.failure)
    if told == name:
        told = f"{told} in another state"
    return "not reproduced", f"not reproduced: it ended {told}, recorded was {name}"


def same_ending(a: Verdict, b: Verdict, *, roughly: bool = False) -> bool:
    """Whether two verdicts say the same: kind, failure, final state and who is blocked where.
    ``roughly``: kind and failure alone."""
    if (a.kind, a.failure) != (b.kind, b.failure):
        return False
    if roughly:
        return True
    if frozen(a.state) != frozen(b.state) and (b.state or b.kind != "unfinished"):
        return False  # what was recovered of a run says of no state
    return a.kind != "deadlock" or _waits(a) == _waits(b)


def _waits(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    return sorted((one.worker, one.op, one.target, one.at) for one in verdict.blocked)
