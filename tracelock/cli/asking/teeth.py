"""``tracelock teeth``: which locks of the code under test would a test not miss?"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Final

from tracelock.cli.asking.given import contract_of, pairs_of, wrapped
from tracelock.cli.keeping import Keeper
from tracelock.cli.learning.shipped import path_of
from tracelock.cli.output import Output
from tracelock.cli.progress import progress
from tracelock.report.wording import clean
from tracelock.teeth import MutantResult, Teeth, teeth
from tracelock.teeth.mutations import KINDS
from tracelock.teeth.results import (
    INVALID,
    KILLED,
    NOT_RUN,
    UNPROVED,
    UNTRIED,
    VERDICTS,
    VERIFIED,
)
from tracelock.trace.folder import FOLDER, own_folder

#: The exit status by the verdict.
_STATUS: Final = {"killed": 0, "survived": 1, "unproved": 5, "nothing": 5}
_TITLES: Final = {
    VERIFIED: "survived, verified: every schedule was tried, nothing that is checked needs this "
    "lock as it is",
    UNPROVED: "survived what was tried",
    KILLED: "killed",
    INVALID: "no valid program, not counted",
    NOT_RUN: "never run, not counted",
    UNTRIED: "not tried: the time was up",
}
#: Mutants that are told of those that say little.
_SHOWN: Final = 10


def teeth_command(options: argparse.Namespace, out: Output) -> int:
    """Ask as ``options`` say, keep the traces of the mutants that were killed, and print what
    became of all. 0: each change was noticed; 1: some change is certainly not; 5: that is not known
    of some, or nothing was run."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # a function is found as ``python -m`` would
    subject = path_of(options.subject)
    keeper = None if options.no_trace else Keeper(None, f"teeth-{options.subject}", "mutant")
    with progress(out, "teeth") as advance:

        def going(done: int, total: int, killed: int) -> None:
            if advance is not None:
                advance(f"{done:,} of {total:,} changes, {killed:,} killed", done / max(total, 1))

        found = teeth(
            subject, modules=options.module, kinds=options.change or None,
            seconds=options.seconds, interpreter=options.interpreter or None,
            backend=options.backend or None, init=options.init, methods=options.methods,
            before=options.before, calls=options.calls, contract=contract_of(options.contract),
            ignore=options.ignore, strategies=dict(pairs_of("--strategy", options.strategy)),
            invariant=options.invariant, audit=options.audit, allow_call=options.allow_call,
            jobs=options.jobs, folder=None if keeper is None else own_folder(FOLDER),
            progress=going,
        )  # fmt: skip
    if keeper is not None:
        for one in found.mutants:
            if one.recorded is not None and one.verdict == KILLED:
                one.trace = keeper.keep(one.recorded)
    if options.json:
        out.json(found.to_data())
    else:
        _show(found, out)
    return _STATUS[found.verdict]


# --- on a terminal -------------------------------------------------------------------------------
def _show(found: Teeth, out: Output) -> None:
    width = max(40, min(out.style.width, 110))
    out.line(clean(found.subject))
    out.lines(wrapped(f"  as it is: {clean(found.original_summary)}", width, 4))
    counted = [one for one in found.mutants if one.counted]
    for verdict in (VERIFIED, UNPROVED, KILLED, INVALID, NOT_RUN, UNTRIED):
        some = [one for one in counted if one.verdict == verdict]
        if not some:
            continue
        out.line()
        out.lines(wrapped(f"{_TITLES[verdict]}:", width, 2))
        least = verdict in (INVALID, NOT_RUN, UNTRIED)
        for one in some[:_SHOWN] if least else some:
            out.lines(_mutant(one, width))
        if least and len(some) > _SHOWN:
            out.line(f"  and {len(some) - _SHOWN} more")
    _widened(found, out, width)
    on = f" (--interpreter {clean(found.interpreter)})" if found.interpreter else ""
    for one in found.useless:
        out.lines(wrapped(
            f"maybe useless: {clean(one.lock)} at {clean(one.file)}:{one.line}: without it every "
            f"interleaving of all pairs of methods{on} is as it should be", width, 2,
        ))  # fmt: skip
    for note in found.notes:
        out.lines(wrapped(f"note: {clean(note)}", width, 2))
    out.line()
    out.lines(wrapped(clean(found.summary), width, 2))
    kinds = [
        f"{kind}: {found.count(KILLED, kind)} of {number}"
        for kind in KINDS
        if (number := sum(found.count(one, kind) for one in (KILLED, VERIFIED, UNPROVED)))
    ]
    out.line(f"  killed by kind: {', '.join(kinds) or 'none'}; {found.seconds:.1f} s")


def _mutant(one: MutantResult, width: int) -> Iterator[str]:
    where = f" in {clean(one.function)}" if one.function else ""
    yield f"  {clean(one.file)}:{one.line}{where}: {one.kind}"
    yield f"    - {clean(one.was)}"
    yield f"    + {clean(one.now)}"
    told = one.failure if one.verdict == KILLED else one.reason
    spent = f"{one.schedules:,} schedule{'' if one.schedules == 1 else 's'}"
    if one.verdict in (KILLED, VERIFIED, UNPROVED):
        told = f"{spent}: {told}" if told else spent
    if told:
        yield from wrapped(f"    {clean(told)}", width, 6)
    if one.trace is not None:
        yield f"    trace: {shlex.quote(clean(one.trace))}"


def _widened(found: Teeth, out: Output, width: int) -> None:
    """Locks that were held for longer: one that nothing notices is no weakness of the test."""
    some = [one for one in found.mutants if not one.counted]
    killed = [one for one in some if one.verdict == KILLED]
    if not some:
        return
    rest = ", ".join(
        f"{count} {verdict}" for verdict in VERDICTS
        if verdict != KILLED and (count := sum(one.verdict == verdict for one in some))
    )  # fmt: skip
    out.line()
    told = f"held for longer (not counted): {len(killed)} of {len(some)} killed"
    out.lines(wrapped(f"{told}; {rest}" if rest else told, width, 2))
    for one in killed:
        out.lines(_mutant(one, width))
