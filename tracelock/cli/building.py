"""What an exploration came to, for a build server (``--output-format``)."""

from __future__ import annotations

import re
from typing import Final

from tracelock import __version__
from tracelock.cli.keeping import replay_line, token_line
from tracelock.report.ci import BuildResult, ci_text
from tracelock.report.wording import clean
from tracelock.session.explored import Explored
from tracelock.session.target import Target
from tracelock.trace import Trace
from tracelock.trace.verdict import FAILED

_FRAME: Final = re.compile(r"^\s+(\S+\.py):([0-9]+) in ", re.M)


def build_text(
    explored: Explored,
    paths: dict[int, str],
    target: Target,
    form: str,
    allow_call: bool,
    file: str,
) -> str:
    """The result of an exploration of ``file`` in a form for build servers: the smallest failing
    schedule, and with ``--all`` one of each other way to fail."""
    name, results = clean(target.name), []
    if explored.trace is not None:
        results.append(_failed(name, explored.trace, explored, paths.get(-1), target, allow_call))
    for number, way in enumerate(explored.ways):
        if number in paths and way.kind in FAILED:
            results.append(_failed(name, way.trace(), explored, paths[number], target, allow_call))
    if not results:
        kind = "unfinished" if explored.verdict == "unfinished" else "passed"
        notes = "\n".join(explored.notes)
        results = [BuildResult(name, kind, explored.summary, file, 0, notes, explored.seconds)]
    return ci_text(results, form, __version__)


def _failed(
    name: str, trace: Trace, explored: Explored, path: str | None, target: Target, allow_call: bool
) -> BuildResult:
    verdict = trace.verdict
    at = verdict.at or next((one.at for one in verdict.blocked), "")
    place = target.places(verdict).get(at, at)
    file, _, line = place.rpartition(":")
    if not (file and line.isdecimal()):
        # of real code the last frame of an exception
        frames = _FRAME.findall(verdict.message)
        file, line = frames[-1] if frames else ("", "")
    known = line.isdecimal() and bool(file)
    lines = [] if path is None else [replay_line(path, allow_call)]
    lines += [*token_line(trace), explored.summary]
    return BuildResult(
        name, verdict.kind, verdict.message, file if known else "", int(line) if known else 0,
        "\n".join(lines), explored.seconds,
    )  # fmt: skip
