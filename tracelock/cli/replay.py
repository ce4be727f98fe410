"""``tracelock replay``: execute a trace again, and say whether it ended as recorded."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tracelock.cli.inputs import kind_of
from tracelock.cli.output import Output, is_terminal
from tracelock.cli.run import UNFINISHED, find_modules
from tracelock.cli.show import facts, say, told
from tracelock.errors import ImpossibleHere, LimitReached, UsageError
from tracelock.names import display_names, for_display
from tracelock.report.wording import clean, counted
from tracelock.scenario.loading import load_scenario
from tracelock.session.api import replay
from tracelock.session.replaying import STALE, ReplayResult, conclusion
from tracelock.session.targets import NOT_ALLOWED, python_of, test_of
from tracelock.trace import Trace, Verdict, load_trace
from tracelock.trace.hashing import DRAWN, seed_needed
from tracelock.trace.token import parse_token

DIFFERENT: Final = 1
DIVERGED: Final = 3
UNTESTABLE: Final = 125  # what git bisect takes as "skip this commit"


def replay_command(options: argparse.Namespace, out: Output) -> int:
    """Replay a trace as ``options`` say; 0, 1 or 3, or what ``git bisect`` wants."""
    if options.token is not None:
        if _debugging(options):
            raise UsageError("--pdb and --dap go with a trace, not with --token")
        return _replay_token(options, out)
    trace = load_trace(options.trace)
    if options.bisect and trace.verdict.kind in ("passed", "unfinished"):
        raise UsageError(f"{options.trace} records no failure that could be looked for")
    debugs = _debugging(options)
    if debugs:
        from tracelock.debugger.reversible import check_trace

        check_trace(trace)
    find_modules(options)
    if python_of(trace) is not None:
        if not options.allow_call:
            raise UsageError(f"{options.trace}: {NOT_ALLOWED}")
        _with_its_hashes(options, trace)
    node = test_of(trace)
    if node is not None:
        from tracelock.cli.replay_test import MUTANT_PLUGIN, replay_test

        mutant = ["-p", MUTANT_PLUGIN] if "mutant" in trace.extra else []
        return replay_test(node, options, [*mutant, *_debugger_options(options)])
    if "mutant" in trace.extra and python_of(trace) is not None:
        from tracelock.teeth.replayed import mutated

        if mutated(trace):
            out.note(
                "replayed with the change of the mutant that it is of, not on the code as it is"
            )
    if debugs:
        return _debug(trace, options, out)
    return _conclude(options, out, trace.verdict, lambda: replay(
        trace, backend=options.backend, allow_call=options.allow_call,
        start_method=options.start_method, isolation=options.isolation,
    ), trace)  # fmt: skip


def _with_its_hashes(options: argparse.Namespace, trace: Trace) -> None:
    """Where code depends on hashes of text: the same command again, in a process that has those of
    the recording."""
    seed = seed_needed(trace.environment)
    here = options.trace == "-" or sys.flags.ignore_environment or not options.console
    if seed in ("", DRAWN) or here or os.name != "posix":
        return  # a replay that differs says why
    os.execve(
        sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": seed}
    )


def _replay_token(options: argparse.Namespace, out: Output) -> int:
    """Make the schedule of a token again."""
    token = parse_token(options.token)
    kind = kind_of(options.trace)[0]
    find_modules(options)
    if kind != "scenario":
        if kind not in ("", "python") or not is_test(options.trace):
            raise UsageError(
                f"{options.trace} is no test (FILE.py::NAME) and no scenario, one of which a token "
                "goes with"
            )
        if not options.allow_call:
            raise UsageError(
                f"{options.trace} is Python code, which a replay runs: that has to be allowed "
                "(--allow-call)"
            )
        from tracelock.cli.replay_test import replay_test

        return replay_test(options.trace, options, [])
    from tracelock.session.forcing.following import follow_token
    from tracelock.session.plan import Settings
    from tracelock.session.targets import target_for

    target = target_for(load_scenario(options.trace), allow_call=options.allow_call)
    if options.backend not in (None, token.backend):
        raise UsageError(f"a token is replayed on the backend that it is of, {token.backend}")
    settings = Settings(
        start_method=options.start_method, allow_call=options.allow_call,
        isolation=options.isolation,
    )  # fmt: skip
    recorded = Verdict(token.kind, token.failure or None)
    return _conclude(options, out, recorded, lambda: follow_token(target, token, settings))


def is_test(name: str) -> bool:
    """Whether this is a test as pytest names it: ``tests/test_bank.py::test_transfer``."""
    return name.partition("::")[0].endswith(".py") and not name.startswith("-")


def _conclude(
    options: argparse.Namespace, out: Output, recorded: Verdict,
    run: Callable[[], ReplayResult], trace: Trace | None = None,
) -> int:  # fmt: skip
    """Run a replay, tell what it came to, and give its exit status."""
    try:
        result = run()
    except KeyboardInterrupt:
        if options.bisect:
            raise
        out.note("interrupted")
        return UNFINISHED
    if result.passed_over and not (options.json or options.bisect):
        place = f"breakpoint() at {clean(result.passed_over[0])}"
        if trace is not None and is_terminal(sys.stdin) and is_terminal(sys.stdout):
            out.note(f"{place}: replayed again, up to there")
            options.pdb, options.at = True, "breakpoint"
            return _debug(trace, options, out)
        why = "a token is not debugged" if trace is None else "there is no terminal to ask on"
        out.note(f"{place} was passed over: {why}")
    if result.killed:
        raise LimitReached(f"the replay was cut off: {result.killed}")
    if options.json:
        out.json(replay_object(result, recorded))
    else:
        _print(trace or result.trace, recorded, result, options, out)
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


def replay_object(result: ReplayResult, recorded: Verdict) -> dict[str, Any]:
    """``{"conclusion", "reproduced", "diverged", "verdict", "needs"}``."""
    diverged = result.diverged
    return {
        "conclusion": conclusion(result, recorded)[0],
        "reproduced": result.reproduced,
        "diverged": None if diverged is None else {
            "seq": diverged.seq, "expected": diverged.expected, "got": diverged.got,
            "why": diverged.why,
        },
        "verdict": result.verdict.to_data(),
        "needs": result.needs or None,
    }  # fmt: skip


def _print(
    trace: Trace, recorded: Verdict, result: ReplayResult, options: argparse.Namespace, out: Output
) -> None:
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
        word, sentence = conclusion(result, recorded)
        if word == STALE:
            out.line(clean(names.text(sentence)))
        return
    summary = timeline(result.trace, []) if not options.bisect else None
    about = ""
    if summary is not None:
        about = f"{counted(summary.events, 'event')}, {counted(summary.switches, 'switch', 'es')}"
        if summary.preemptions is not None:
            about += f" ({summary.preemptions:,} preemptive)"
    seen = for_display(replace(result.trace, verdict=result.verdict))
    out.lines(verdict_block(seen.verdict, seen.workers, about))
    if result.reproduced and result.needs:
        say(f"  {result.needs}", out)
    out.line(clean(names.text(conclusion(result, recorded)[1])))
