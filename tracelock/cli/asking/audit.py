"""``tracelock audit``: is a class thread-safe?"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Final

from tracelock.audit import Audited, audit
from tracelock.audit.kinds import KINDS
from tracelock.audit.matrix import FAILED, SIGNS, VERIFIED, AuditCell
from tracelock.cli.asking.given import contract_of, pairs_of, wrapped
from tracelock.cli.explore import STATUS
from tracelock.cli.keeping import Keeper
from tracelock.cli.output import Output
from tracelock.cli.progress import progress
from tracelock.history.contracts import LINEARIZABLE
from tracelock.report.wording import clean
from tracelock.trace.folder import FOLDER, own_folder
from tracelock.trace.outputs import write_whole

#: Without more characters than those of ASCII.
_PLAIN: Final = dict(zip(SIGNS.values(), "v.X? ", strict=True))
_ABOUT: Final = {
    "verified": "every interleaving of each client is explained",
    "passed": "none of those that were tried went wrong",
    "failed": "something went wrong",
    "unfinished": "not decided",
}
#: Reasons that are told.
_REASONS: Final = 6


def audit_command(options: argparse.Namespace, out: Output) -> int:
    """Audit as ``options`` say, keep programs and traces of what went wrong, and print the matrix.
    The status is that of ``explore``."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # a class is found as ``python -m`` would
    tasks = getattr(options, "async") or None
    keepers = {} if options.no_trace else {
        backend: Keeper(None, "audit", backend) for backend in KINDS
    }  # fmt: skip
    with progress(out, "audit") as advance:

        def going(done: int, total: int, wrong: int) -> None:
            if advance is not None:
                advance(f"{done:,} of {total:,} clients, {wrong:,} wrong", done / max(total, 1))

        found = audit(
            options.subject, init=options.init, methods=options.methods, before=options.before,
            calls=options.calls, workers=options.workers,
            contract=contract_of(options.contract) or LINEARIZABLE,
            ignore=options.ignore,
            strategies=dict(pairs_of("--strategy", options.strategy)), invariant=options.invariant,
            instrument=options.instrument, interpreter=options.interpreter or None,
            tasks=tasks, backend=options.backend or None, model=options.model,
            seconds=options.seconds, schedules=options.schedules, seed=options.seed,
            folder=own_folder(FOLDER) if keepers else None, progress=going,
        )  # fmt: skip
    if keepers:
        keeper = keepers[found.backend]
        for cell in found.anomalies:
            if cell.recorded is not None:
                cell.trace = keeper.keep(cell.recorded)
    if options.html is not None:
        from tracelock.report.audit_page import audit_page

        write_whole(options.html, [audit_page(found.to_data())])
    if options.markdown is not None:
        write_whole(options.markdown, [found.to_markdown()])
    if options.json:
        out.json(found.to_data())
    else:
        _show(found, out)
    return STATUS[found.verdict]


# --- the matrix on a terminal ------------------------------------------------------------------
def _show(found: Audited, out: Output) -> None:
    width = max(40, min(out.style.width, 110))
    by = f", judged by the model {clean(found.model)}" if found.model else ""
    on = " of trio" if found.backend == "trio" else ""
    out.line(f"{clean(found.name)}   {clean(found.init)}   by {found.workers}{on}{by}")
    begins = " | ".join(clean(one) or "as it is made" for one in found.states)
    out.lines(wrapped(f"begun in: {begins}", width, 2))
    out.line()
    out.lines(_matrix(found, out.style.unicode))
    out.line()
    out.lines(wrapped(_legend(found, out.style.unicode), width, 2))
    for number, cell in enumerate(found.anomalies, 1):
        out.line()
        out.lines(_anomaly(number, cell, width))
    reasons = Counter(
        cell.reason
        for cell in found.every
        if cell.reason and cell.verdict not in (FAILED, VERIFIED)
    )
    if reasons:
        out.line("\nwhy no more is claimed:")
        for reason, count in reasons.most_common(_REASONS):
            out.lines(wrapped(f"  {count} of the cells: {clean(reason)}", width, 4))
    for name, why in found.missing.items():
        out.lines(wrapped(f"  not called: {clean(name)}: {clean(why)}", width, 4))
    for note in found.notes:
        out.lines(wrapped(f"  note: {clean(note)}", width, 4))
    out.line()
    out.lines(wrapped(clean(found.summary), width, 2))
    if found.every_client is not None and found.every_client.tried:
        out.lines(wrapped(f"  {clean(str(found.every_client))}", width, 4))
    longer = f", {found.longer_clients:,} longer ones" if found.longer_clients else ""
    out.line(
        f"  {found.clients - found.longer_clients:,} clients of one call beside another{longer}; "
        f"{found.schedules:,} schedules in {found.seconds:.1f} s"
    )


def _matrix(found: Audited, unicode: bool) -> Iterator[str]:
    """A row for each method, with a column for each, by number; then what else was asked of it."""

    def sign(cell: AuditCell | None) -> str:
        drawn = " " if cell is None else SIGNS[cell.verdict]
        return drawn if unicode else _PLAIN[drawn]

    names = [clean(one) for one in found.methods]
    room = max(map(len, names))
    digits = len(str(len(names)))
    numbers = " ".join(f"{number:>{digits}}" for number in range(1, len(names) + 1))
    more = "".join(f"  {about}" for about in found.columns)
    yield f"  {'':{digits}} {'':{room}}  {numbers}{more}"
    for row, name in enumerate(names):
        method = found.methods[row]
        signs = [
            f"{sign(found.cell(other, method)):>{digits}}" for other in found.methods[: row + 1]
        ]
        line = f"{' '.join(signs):{len(numbers)}}"
        for about in found.columns:
            line += f"  {sign(found.column(about, method)):^{len(about)}}"
        yield f"  {row + 1:>{digits}} {name:{room}}  {line}".rstrip()


def _legend(found: Audited, unicode: bool) -> str:
    used = {cell.verdict for cell in found.every}
    parts = [
        f"{SIGNS[word] if unicode else _PLAIN[SIGNS[word]]} {word}: {about}"
        for word, about in _ABOUT.items() if word in used
    ]  # fmt: skip
    return "; ".join(parts)


def _anomaly(number: int, cell: AuditCell, width: int) -> Iterator[str]:
    one, other = map(clean, cell.methods)
    beside = cell.about or f"beside {'itself' if one == other else other}"
    yield f"{number}. {clean(cell.kind)}: {one} {beside}"
    yield from wrapped(f"   {clean(cell.client)}", width, 5)
    yield from wrapped(f"   {clean(cell.detail)}", width, 5)
    if cell.program is not None:
        yield f"   program: {clean(cell.program)}"
    if cell.trace is not None and cell.program is not None:
        place = f"PYTHONPATH={shlex.quote(os.path.dirname(cell.program) or '.')}"
        path = shlex.quote(clean(cell.trace))
        yield f"   replay it: {place} tracelock replay {path} --allow-call"
    if cell.reason:
        yield from wrapped(f"   note: {clean(cell.reason)}", width, 5)
