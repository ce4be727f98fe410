"""A comparison as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

from tracelock.report.comparison.picture import STYLE, costs_svg, groups_of, wrong
from tracelock.report.comparison.words import can, check, did, spread_of, summary
from tracelock.report.wording import clean, describe

__all__ = ["comparison_html"]

_PAGE: Final = """\
:root{color-scheme:light dark;--ink:#1f2328;--dim:#57606a;--line:#d0d7de;--bg:#fff;--soft:#f6f8fa;
--good:#116329;--goodbg:#dafbe1;--bad:#b42318;--badbg:#ffe4e1;--open:#7d4e00;--openbg:#fff3cd}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9da7b3;--line:#30363d;--bg:#0d1117;
--soft:#161b22;--good:#7ee2a0;--goodbg:#0f3a22;--bad:#ffb3ab;--badbg:#4a1915;--open:#f2cc60;
--openbg:#3d2f00}}
body{margin:0 auto;max-width:68rem;padding:1.5rem;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.lead{font-size:1.05rem}.dim{color:var(--dim)}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line)}
th{font-weight:600}thead th{border-bottom:2px solid var(--line)}
.chip{display:inline-block;border-radius:1rem;padding:0 .55rem;font-size:.86rem;white-space:nowrap}
.possible-bad,.held,.error{background:var(--badbg);color:var(--bad)}
.impossible-bad,.free,.possible-ok{background:var(--goodbg);color:var(--good)}
.impossible-ok{background:var(--badbg);color:var(--bad)}
.open{background:var(--openbg);color:var(--open)}
.why td{border-bottom:1px solid var(--line);color:var(--dim);padding-top:0}
tr.main td,tr.main th{border-bottom:0}
details{margin:.2rem 0}summary{cursor:pointer}code,.mono{font-family:ui-monospace,monospace;
font-size:.86rem}.note{background:var(--soft);border-left:3px solid var(--line);
padding:.4rem .8rem;margin:.4rem 0}.num{white-space:nowrap}svg{max-width:100%;height:auto}
.bad{color:var(--bad)}
"""


def comparison_html(data: dict[str, Any]) -> str:
    """The page of a comparison (``tracelock-comparison/1``), self-contained, without scripts.

    Raises TraceError for data that is no comparison.
    """
    check(data)
    name = escape(clean(str(data["scenario"].get("name", "scenario"))))
    about = escape(clean(" ".join(str(data["scenario"].get("description", "")).split())))
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\">"
        f"<title>{name}: the backends compared</title><style>{_PAGE}{STYLE}</style></head><body>",
        f"<h1>{name}: the backends compared</h1>",
        f'<p class="dim">{about}</p>' if about else "",
        f'<p class="lead">{escape(summary(data))}</p>',
        *[f'<p class="note">{escape(clean(str(note)))}</p>' for note in data["notes"]],
        *_outcomes(data), *_costs(data), *_leftovers(data), *_setting(data),
        "</body></html>\n",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


# --- what can happen -------------------------------------------------------------------------
def _outcomes(data: dict[str, Any]) -> Iterator[str]:
    rows = data["outcomes"]["rows"]
    if not rows:
        return
    backends = [*data["backends"], *data["refused"]]
    yield "<h2>What can happen</h2>"
    yield (
        '<p class="dim">Possible: there is a schedule that ends so. Impossible: every one was '
        "tried. Below it, how often free runs ended so, with a 95 % interval.</p>"
    )
    heads = "".join(f'<th scope="col">{escape(clean(name))}</th>' for name in backends)
    yield f'<div class="scroll"><table><thead><tr><th scope="col">outcome</th>{heads}</tr></thead>'
    yield "<tbody>"
    for row in rows:
        cells = "".join(_outcome_cell(row, data, name) for name in backends)
        mark = " (differs)" if row["differs"] else ""
        main = ' class="main"' if row["why"] else ""
        yield f'<tr{main}><th scope="row">{escape(clean(row["outcome"]))}'
        yield f'<span class="dim">{mark}</span></th>{cells}</tr>'
        if row["why"]:
            why = f'<td></td><td colspan="{len(backends)}">{escape(clean(row["why"]))}</td>'
            yield f'<tr class="why">{why}</tr>'
    yield "</tbody></table></div>"
    for name, reason in data["refused"].items():
        yield f'<p class="dim">{escape(clean(name))} refuses it: {escape(clean(reason))}</p>'
    for row in rows:
        for backend, cell in row["cells"].items():
            if cell.get("trace"):
                yield from _trace(row, backend, cell["trace"])
                break  # those of the others show the same


def _outcome_cell(row: dict[str, Any], data: dict[str, Any], backend: str) -> str:
    cell = row["cells"].get(backend)
    if cell is None or backend in data["refused"]:
        return '<td class="dim">refused</td>'
    tone = "ok" if row["kind"] == "passed" else "bad"
    style = "open" if cell["can"] == "not found" else f"{cell['can']}-{tone}"
    share = did(cell)
    below = f'<br><span class="num">{escape(share)}</span>' if share else ""
    return f'<td><span class="chip {style}">{escape(can(cell))}</span>{below}</td>'


def _trace(row: dict[str, Any], backend: str, trace: dict[str, Any]) -> Iterator[str]:
    from tracelock.trace import Event

    workers = [clean(str(name)) for name in trace["workers"]]
    yield (
        f"<details><summary>The smallest schedule to “{escape(clean(row['outcome']))}” "
        f"({escape(clean(backend))})</summary>"
    )
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in workers)
    yield f'<div class="scroll"><table><thead><tr><th scope="col">#</th>{heads}</tr></thead><tbody>'
    for number, one in enumerate(trace["events"]):
        known = {key: one[key] for key in Event._fields if key in one}
        event = Event(**{"target": None, "at": "", **known})
        cells = "".join(
            f'<td class="mono">{escape(describe(event, workers)) if n == event.worker else ""}</td>'
            for n in range(len(workers))
        )
        yield f"<tr><td>{number}</td>{cells}</tr>"
    message = escape(clean(str(trace["verdict"].get("message", ""))))
    yield f"</tbody></table></div><p>{message}</p></details>"


# --- what it costs ---------------------------------------------------------------------------
def _costs(data: dict[str, Any]) -> Iterator[str]:
    costs = data["costs"]
    if not costs["rows"]:
        return
    yield "<h2>What it costs</h2>"
    yield (
        '<p class="dim">The scenario as plain Python functions, without a recorder, in processes '
        "of their own that took turns. The form in bold is the one given.</p>"
    )
    yield costs_svg(data)
    columns = (
        ("time per run", "seconds", "seconds"),
        ("rounds a second", "rounds_per_second", "speed"),
        ("waiting for a lock", "waiting", "share"),
        ("held each time", "held_us", "held"),
        ("same worker again", "again", "share"),
    )
    used = [one for one in columns if any(row[one[1]] is not None for row in costs["rows"])]
    heads = "".join(f'<th scope="col">{head}</th>' for head, _, _ in used)
    yield '<div class="scroll"><table><thead><tr><th scope="col">where</th>'
    yield f'<th scope="col">locks</th>{heads}<th scope="col">runs</th></tr></thead><tbody>'
    for place, bars in groups_of(costs["rows"]):
        for number, row in enumerate(bars):
            cells = "".join(_spread_cell(row[key], kind) for _, key, kind in used)
            where = escape(place) if number == 0 else ""
            variant = escape(clean(row["variant"]))
            variant = f"<strong>{variant}</strong>" if row["own"] else variant
            told = wrong(row)
            runs = sum(row["ends"].values())
            end = f'<span class="bad">{escape(told)}</span>' if told else f"{runs}, all right"
            first = f'<th scope="row">{where}</th><td class="num">{variant}</td>'
            yield f"<tr>{first}{cells}<td>{end}</td></tr>"
    yield "</tbody></table></div>"
    for one in costs["noise"]:
        yield f'<p class="note">{escape(clean(one["text"]))}</p>'


def _spread_cell(one: dict[str, Any] | None, kind: str) -> str:
    middle, interval = spread_of(one, kind)
    if not middle:
        return '<td class="dim">-</td>'
    return f'<td class="num">{escape(middle)}<br><span class="dim">{escape(interval)}</span></td>'


# --- what is left ----------------------------------------------------------------------------
def _leftovers(data: dict[str, Any]) -> Iterator[str]:
    rows = data["leftovers"]
    if not rows:
        return
    backends = data["backends"]
    yield "<h2>Crash and cancel</h2>"
    yield '<p class="dim">What is left of a lock when the worker that holds it …</p>'
    heads = "".join(f'<th scope="col">{escape(clean(name))}</th>' for name in backends)
    yield f'<div class="scroll"><table><thead><tr><th scope="col">… {"</th><th>kind</th>"}{heads}'
    yield "</tr></thead><tbody>"
    before = None
    for row in rows:
        what = escape(clean(row["what"])).replace("`with`", "<code>with</code>")
        shown = what if row["what"] != before else ""
        before = row["what"]
        cells = "".join(_left_cell(row["cells"].get(name)) for name in backends)
        yield f'<tr><th scope="row">{shown}</th><td>{escape(clean(row["kind"]))}</td>{cells}</tr>'
    yield "</tbody></table></div>"


def _left_cell(cell: dict[str, str] | None) -> str:
    if cell is None or cell["left"] == "refused":
        reason = "" if cell is None else escape(clean(cell["text"]))
        return f'<td class="dim">{reason}</td>'
    style = {"held": "held", "error": "error", "free": "free"}.get(cell["left"], "open")
    head, _, rest = clean(cell["text"]).partition(": ")
    below = f'<br><span class="dim">{escape(rest)}</span>' if rest else ""
    return f'<td><span class="chip {style}">{escape(head)}</span>{below}</td>'


def _setting(data: dict[str, Any]) -> Iterable[str]:
    environment = data.get("environment") or {}
    known = [environment.get(key) for key in ("implementation", "python", "platform")]
    parts = [clean(str(part)) for part in known if part]
    if environment.get("cpus"):
        parts.append(f"{environment['cpus']} CPUs")
    if environment.get("gil") is False:
        parts.append("without GIL")
    version = clean(str(data.get("tracelock", "")))
    yield f'<p class="dim">{escape(", ".join(parts))}; tracelock {escape(version)}</p>'
