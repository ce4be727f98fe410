"""A trace as one self-contained HTML page: the lanes, the state at every step, the findings.

Whatever a stranger put into names and values is text here. A content security policy with the
digest of the page's own script and style says so to the browser too: no other script runs, and
nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

from tracelock.analysis.findings import Finding
from tracelock.report.about import (
    Subject,
    facts,
    how_to_replay,
    needs_calls,
    scenario_name,
    story_of,
    summary,
)
from tracelock.report.frames import MOST_WORKERS, story
from tracelock.report.html.run import Run, text
from tracelock.report.timeline import Timeline
from tracelock.report.turning import Turn
from tracelock.report.wording import clean, describe, outcome_name, state_text
from tracelock.trace import Trace

__all__ = ["html_report", "page"]

#: Findings listed; the gravest come first.
MOST_FINDINGS: Final = 50
#: Events shown where nobody asked for another number.
MOST: Final = 1_000
_CELLS: Final = 12_500
_BAD: Final = ("failed", "deadlock", "crashed")


def html_report(subject: Subject) -> str:
    """The page. Raises UsageError where the twin is of other workers than the trace."""
    trace, twin = subject.trace, subject.twin
    turn = subject.turn()
    # many lanes make long rows: the page shall not grow with them
    most = subject.most or min(MOST, _CELLS // max(1, min(len(trace.workers), MOST_WORKERS)))
    parts = subject.window(turn, most)
    main = story(trace, parts)
    marked = frozenset(seq for one in subject.findings[:MOST_FINDINGS] for seq in one.events)
    runs = [Run("a", trace, main, turn, subject.sources, marked)]
    titles = [_title(trace)]
    if twin is not None and turn is not None:
        around = turn.seq if subject.around is None else subject.around
        beside = Subject(twin, around=min(around, max(0, len(twin.events) - 1)))
        other = Turn(turn.seq, "here it goes another way", turn.text, True)
        shown = story(twin, beside.window(None, most))
        runs.append(Run("b", twin, shown, other, subject.sources))
        titles.append(_title(twin))
    body = [*_head(subject, main.timeline), *_verdict(subject, turn)]
    body += _findings(subject, runs[0].shown)
    body += _controls()
    kind = "two" if len(runs) > 1 else "one"
    body.append(f'<main class="runs {kind}">')
    for run, title in zip(runs, titles, strict=True):
        body += _run(run, title, alone=len(runs) == 1)
    body.append("</main>")
    body += _locks(subject)
    body += _foot(subject, main.timeline)
    data = {"runs": [run.data() for run in runs], "at": subject.focus()}
    return page(f"{summary(trace)} - tracelock", body, data)


def page(title: str, body: list[str], data: Any = None) -> str:
    """A whole document from the lines of its body (safe markup) and data for its script.

    ``title`` is text. The script and the style are those of the package.
    """
    script, style = _asset("report.js"), _asset("report.css")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        *body,
    ]
    if data is not None:
        lines.append(f'<script type="application/json" id="data">{_json(data)}</script>')
    lines += [f"<script>{script}</script>", "</body>", "</html>", ""]
    # a lone surrogate, which UTF-8 has no place for, is no printable character and so escaped
    return "\n".join(lines)


def _asset(name: str) -> str:
    return files("tracelock.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _json(data: Any) -> str:
    """JSON that can stand in a script element whatever it holds: ``</script>``, ``<!--``."""
    dumped = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# --- parts ---------------------------------------------------------------------------------------
def _title(trace: Trace) -> str:
    words = {"passed": "The run that passes", "unfinished": "The unfinished run"}
    return words.get(trace.verdict.kind, "The run that fails")


def _head(subject: Subject, line: Timeline) -> Iterator[str]:
    trace = subject.trace
    yield '<header class="top">'
    yield f"<h1>{text(scenario_name(trace))} <small>on {text(trace.backend)}</small></h1>"
    yield '<button type="button" id="theme" hidden>theme</button>'
    yield "</header>"
    about = trace.scenario.get("description")
    if isinstance(about, str) and about.strip():
        yield f'<p class="about">{text(" ".join(about.split())[:2_000])}</p>'


def _verdict(subject: Subject, turn: Turn | None) -> Iterator[str]:
    trace = subject.trace
    verdict = trace.verdict
    kind = "bad" if verdict.kind in _BAD else "good" if verdict.kind == "passed" else "open"
    yield f'<section class="verdict {kind}" aria-label="Verdict">'
    yield f"<h2>{text(outcome_name(verdict.kind, verdict.failure))}</h2><ul>"
    for said, at, more in story_of(trace):
        where = f' <span class="at">at {text(at)}</span>' if at is not None else ""
        lines = f"<pre>{chr(10).join(map(text, more))}</pre>" if more else ""
        yield f"<li>{text(said)}{where}{lines}</li>"
    if verdict.state:
        yield f"<li>final state: <code>{text(state_text(verdict.state))}</code></li>"
    yield "</ul>"
    if turn is not None:
        link = f'<a href="#a{turn.seq}">event {turn.seq}</a>'
        yield f"<p><strong>{text(turn.label.capitalize())}</strong> ({link}): {text(turn.text)}</p>"
    yield "</section>"


def _findings(subject: Subject, shown: set[int]) -> Iterator[str]:
    findings = subject.findings
    if not findings:
        return
    yield '<section class="findings" aria-label="Findings">'
    yield f"<h2>{subject.heading}</h2><ol>"
    for finding in findings[:MOST_FINDINGS]:
        yield _finding(finding, subject.trace, shown)
    yield "</ol>"
    if len(findings) > MOST_FINDINGS:
        more = len(findings) - MOST_FINDINGS
        yield f"<p>{more:,} more are listed by <code>tracelock analyze</code>.</p>"
    yield "</section>"


def _finding(finding: Finding, trace: Trace, shown: set[int]) -> str:
    links = []
    for seq in list(dict.fromkeys(finding.events))[:12]:
        if not 0 <= seq < len(trace.events):
            continue
        event = trace.events[seq]
        said = f"{clean(trace.workers[event.worker])}: {describe(event, trace.workers)}"
        if seq in shown:
            links.append(f'<li><a href="#a{seq}">event {seq}</a> {text(said)}</li>')
        else:
            links.append(f"<li>event {seq} (not in the part shown) {text(said)}</li>")
    events = f'<ul class="events">{"".join(links)}</ul>' if links else ""
    seqs = " ".join(str(seq) for seq in finding.events)
    return (
        f'<li class="{text(finding.severity)}" data-events="{seqs}">'
        f"<h3>{text(finding.title)} <small>{text(finding.severity)}: {text(finding.kind)}</small>"
        f"</h3><p>{_paragraphs(finding.explanation)}</p>{events}</li>"
    )


def _paragraphs(said: str) -> str:
    return "<br>".join(text(line) for line in said.split("\n"))


def _controls() -> Iterator[str]:
    yield '<nav class="controls" id="controls" aria-label="Step through the run" hidden>'
    yield '<div class="buttons">'
    for name, sign, words in (
        ("first", "|\N{BLACK LEFT-POINTING TRIANGLE}", "to the start (Home)"),
        ("back", "\N{BLACK LEFT-POINTING TRIANGLE}", "one step back (left arrow)"),
        ("next", "\N{BLACK RIGHT-POINTING TRIANGLE}", "one step on (right arrow)"),
        ("last", "\N{BLACK RIGHT-POINTING TRIANGLE}|", "to the end (End)"),
    ):
        # the selector asks for the plain sign, where a font would draw a picture
        sign = "".join(f"{char}\N{VARIATION SELECTOR-15}" if char != "|" else char for char in sign)
        yield (
            f'<button type="button" data-go="{name}" title="{words}" aria-label="{words}">'
            f"{sign}</button>"
        )
    yield '</div><input type="range" id="scrub" min="0" value="0" aria-label="Step">'
    yield '<output id="now" role="status" aria-live="polite"></output>'
    yield (
        '<p class="keys"><kbd>\N{LEFTWARDS ARROW}</kbd> <kbd>\N{RIGHTWARDS ARROW}</kbd> step, '
        "<kbd>n</kbd> <kbd>p</kbd> next and previous switch, "
        "<kbd>f</kbd> next finding, <kbd>m</kbd> the switch that matters</p>"
    )
    yield "</nav>"
    yield "<noscript><p>Without scripts the page shows the whole timeline and the state at its "
    yield "end; with them one can step through it.</p></noscript>"


def _run(run: Run, title: str, *, alone: bool) -> Iterator[str]:
    lanes = list(run.lanes())
    yield f'<section class="run" data-run="{run.key}" aria-label="{text(title)}">'
    yield f"<h2>{text(title)}</h2>" if not alone else '<h2 class="sr">Timeline</h2>'
    left = run.story.timeline.events - len(run.story.rows)
    if left:
        yield (
            f'<p class="window">Only a part is shown: {len(run.story.rows):,} of '
            f"{run.story.timeline.events:,} events, around "
            f"{'the failure' if run.trace.verdict.kind != 'passed' else 'one event'}"
            f"{', and what the findings name' if len(_ranges(run)) > 1 else ''} "
            f"({', '.join(_ranges(run)[:8])}). "
            "<code>tracelock report TRACE --around N</code> shows another part.</p>"
        )
    if run.hidden:
        yield (
            f'<p class="window">{run.hidden:,} of {len(run.trace.workers):,} workers have no lane '
            "here: they have the least to do with these events.</p>"
        )
    yield run.legend()
    yield '<div class="both"><div class="left">'
    yield from lanes
    yield '</div><aside aria-label="State at this step">'
    yield '<h3 class="when" data-when>At the end</h3>'
    yield from run.panel()
    yield "</aside></div></section>"


def _ranges(run: Run) -> list[str]:
    """The parts shown, as ``98 to 205``."""
    found: list[list[int]] = []
    for row in run.story.rows:
        if found and row.seq == found[-1][1] + 1:
            found[-1][1] = row.seq
        else:
            found.append([row.seq, row.seq])
    return [f"{a:,} to {b:,}" for a, b in found]


def _locks(subject: Subject) -> Iterator[str]:
    """How the locks were used, where the analysis measured it."""
    if not subject.locks:
        return
    real = subject.trace.clock == "real"
    heads = ["lock", "taken", "had to wait", "same worker again"]
    heads += ["median wait", "longest wait", "median hold", "longest hold"] if real else []
    yield '<section class="contention"><table class="facts"><caption>Use of the locks</caption>'
    titles = "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield f"<thead><tr>{titles}</tr></thead><tbody>"
    for one in subject.locks[:50]:
        cells = [f"{one.taken:,}", f"{one.waited:,}", f"{one.again:,}"]
        if real:
            times = (one.wait.p50, one.wait.max, one.held.p50, one.held.max)
            cells += [f"{time / 1_000:,.1f} \N{MICRO SIGN}s" for time in times]
        tds = "".join(f"<td>{cell}</td>" for cell in cells)
        yield f'<tr><th scope="row">{text(one.name)}</th>{tds}</tr>'
    yield "</tbody></table></section>"


def _foot(subject: Subject, line: Timeline) -> Iterator[str]:
    trace = subject.trace
    yield '<footer><h2>Where it ran, and how to run it again</h2><dl class="env">'
    for name, value in facts(trace, line.switches, line.preemptions):
        yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
    yield "</dl>"
    yield f"<pre><code>{text(how_to_replay(trace, subject.path))}</code></pre>"
    if needs_calls(trace):
        yield "<p>Replaying it runs Python code that the trace names; read that code first.</p>"
    yield "</footer>"
