"""Replay: a trace executed again, event by event, on its own backend or another one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracelock.errors import Divergence
from tracelock.session.host import Host
from tracelock.session.interpreters.which import mark
from tracelock.session.plan import Settings
from tracelock.session.target import Target
from tracelock.trace import Trace, Verdict, frozen

if TYPE_CHECKING:
    from tracelock.engine.controller import Controller
    from tracelock.engine.replaying import Replay
    from tracelock.session.interpreters.which import Switched


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
    """

    reproduced: bool
    diverged: Divergence | None
    verdict: Verdict
    trace: Trace
    notes: list[str] = field(default_factory=list)
    needs: str = ""
    killed: str = ""
    passed_over: list[str] = field(default_factory=list)


def replay_target(target: Target, trace: Trace, settings: Settings) -> ReplayResult:
    """Execute a trace of ``target`` again, as ``settings`` say. Raises TraceError where the
    trace's workers are not those of the target."""
    with target.replaying(trace, settings) as host:
        return follow(host, trace, tell=True)


def follow(
    host: Host, trace: Trace, *, tell: bool = False,
    watch: Callable[[Controller, Replay], None] | None = None,
) -> ReplayResult:  # fmt: skip
    """Execute a trace again on a host, event by event. ``tell``: say what its switches take.
    ``watch`` is called with the controller and its follower before the first event, to look at
    each as well."""
    from tracelock.engine.replaying import EndOfTrace

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
        reproduced = same_ending(verdict, trace.verdict, roughly=bool(follower.changed))
    record = host.trace(controller.log, follower.describe(), verdict)
    mark(record, switches)
    needs = ""
    if switches and reproduced:
        from tracelock.instrument.source_lines import source_lines
        from tracelock.report.switching import verdict_line

        needs = verdict_line(record, source_lines(record))
    remarks = follower.remarks()
    return ReplayResult(
        reproduced, diverged, verdict, record, remarks, needs, controller.killed,
        list(host.passed_over),
    )  # fmt: skip


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
