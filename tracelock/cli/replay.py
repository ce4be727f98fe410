"""``tracelock replay``: execute a trace again, and say whether it ended as recorded."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any, Final

from tracelock.cli.output import Output, is_terminal
from tracelock.cli.run import UNFINISHED, find_modules
from tracelock.cli.show import facts, say, told
from tracelock.errors import ImpossibleHere, LimitReached, UsageError
from tracelock.names import display_names, for_display
from tracelock.report.wording import clean, outcome_name
from tracelock.session.api import replay
from tracelock.session.replaying import ReplayResult
from tracelock.session.targets import NOT_ALLOWED, python_of, test_of
from tracelock.trace import Trace, load_trace

DIFFERENT: Final = 1
DIVERGED: Final = 3
UNTESTABLE: Final = 125  # what git bisect takes as "skip this commit"


def replay_command(options: argparse.Namespace, out: Output) -> int:
    """Replay a trace as ``options`` say; 0, 1 or 3, or what ``git bisect`` wants."""
    trace = load_trace(options.trace)
    if options.bisect and trace.verdict.kind in ("passed", "unfinished"):
        raise UsageError(f"{options.trace} records no failure that could be looked for")
    debugs = _debugging(options)
    if debugs:
        from tracelock.debugger.reversible import check_trace

        check_trace(trace)
    find_modules(options)
    if python_of(trace) is not None and not options.allow_call:
        raise UsageError(f"{options.trace}: {NOT_ALLOWED}")
    node = test_of(trace)
    if node is not None:
        from tracelock.cli.replay_test import replay_test

        return replay_test(node, options, _debugger_options(options))
    if debugs:
        return _debug(trace, options, out)
    try:
        result = replay(
            trace, backend=options.backend, allow_call=options.allow_call,
            start_method=options.start_method, isolation=options.isolation,
        )  # fmt: skip
    except KeyboardInterrupt:
        if options.bisect:
            raise
        out.note("interrupted")
        return UNFINISHED
    if result.passed_over and not (options.json or options.bisect):
        place = f"breakpoint() at {clean(result.passed_over[0])}"
        if is_terminal(sys.stdin) and is_terminal(sys.stdout):
            out.note(f"{place}: replayed again, up to there")
            options.pdb, options.at = True, "breakpoint"
            return _debug(trace, options, out)
        out.note(f"{place} was passed over: there is no terminal to ask on")
    if result.killed:
        raise LimitReached(f"the replay was cut off: {result.killed}")
    if options.json:
        out.json(replay_object(result))
    else:
        _print(trace, result, options, out)
    if result.diverged is not None:
        return UNTESTABLE if options.bisect else DIVERGED
    if options.bisect:
        return 1 if result.reproduced else 0
    return 0 if result.reproduced else DIFFERENT


def _debugging(options: argparse.Namespace) -> bool:
    """Whether the replay is to be debugged. Raises UsageError for what does not go with it."""
    wanted = bool(options.pdb) or options.dap is not None
    if options.at is not None and not wanted:
        raise UsageError("--at is for --pdb and --dap: where they stop first")
    if wanted:
        if options.isolation != "auto":
            raise UsageError("--isolation does not go with --pdb and --dap: they run it right here")
        for name in ("json", "bisect", "backend"):
            if getattr(options, name):
                raise UsageError(f"--{name} does not go with --pdb and --dap")
    return wanted


def _debugger_options(options: argparse.Namespace) -> list[str]:
    """What pytest gets, whose plugin replays the trace of a test."""
    if not _debugging(options):
        return []
    how = "pdb" if options.pdb else f"dap:{options.dap}"
    return [
        "--tracelock-debug",
        how,
        *([] if options.at is None else ["--tracelock-at", options.at]),
    ]


def _debug(trace: Trace, options: argparse.Namespace, out: Output) -> int:
    """Debug the replay of a trace until the user has enough; 0."""
    from tracelock.session.targets import target_of

    target = target_of(trace, allow_call=options.allow_call)
    out.flush()
    if options.pdb:
        from tracelock.debugger.console import debug

        debug(target, trace, options.at)
    else:
        from tracelock.debugger.dap.serving import serve

        serve(target, trace, options.dap, options.at, out.note)
    return 0


def replay_object(result: ReplayResult) -> dict[str, Any]:
    """``{"reproduced", "diverged", "verdict", "needs"}``."""
    diverged = result.diverged
    return {
        "reproduced": result.reproduced,
        "diverged": None if diverged is None else {
            "seq": diverged.seq, "expected": diverged.expected, "got": diverged.got,
            "why": diverged.why,
        },
        "verdict": result.verdict.to_data(),
        "needs": result.needs or None,
    }  # fmt: skip


def _print(trace: Trace, result: ReplayResult, options: argparse.Namespace, out: Output) -> None:
    from rich.text import Text

    from tracelock.report.terminal import verdict_block
    from tracelock.report.timeline import timeline

    if not options.bisect:
        out.lines(facts(trace, result.trace.backend))
        out.line()
        if len(result.trace.events) or result.diverged is None:
            every, plumbing = options.all, options.all_events
            out.lines(told(result.trace, out, every=every, plumbing=plumbing))
            out.line()
    names = display_names(trace, result.trace)
    out.lines(f"note: {clean(names.text(note))}" for note in result.notes)
    diverged = result.diverged
    if diverged is not None:
        impossible = isinstance(diverged, ImpossibleHere)
        head = Text("impossible here" if impossible else "diverged", "bold red")
        head.append(
            f"  at event {diverged.seq}: {clean(names.text(diverged.why))}", "not bold default"
        )
        out.line(head)
        out.line(f"  expected: {clean(names.text(diverged.expected))}")
        out.line(f"  got:      {clean(names.text(diverged.got))}")
        return
    summary = timeline(result.trace, []) if not options.bisect else None
    about = ""
    if summary is not None:
        about = f"{_plural(summary.events, 'event')}, {_plural(summary.switches, 'switch', 'es')}"
        if summary.preemptions is not None:
            about += f" ({summary.preemptions:,} preemptive)"
    seen = for_display(replace(result.trace, verdict=result.verdict))
    out.lines(verdict_block(seen.verdict, seen.workers, about))
    if result.reproduced:
        if result.needs:
            say(f"  {result.needs}", out)
        out.line("reproduced: it ended as the trace says")
    else:
        recorded, now = (
            outcome_name(verdict.kind, verdict.failure)
            for verdict in (trace.verdict, result.verdict)
        )
        if recorded == now:
            recorded = f"{recorded} in another state"
        out.line(f"not reproduced: the trace says {recorded}")


def _plural(count: int, word: str, ending: str = "s") -> str:
    return f"{count:,} {word}{'' if count == 1 else ending}"
