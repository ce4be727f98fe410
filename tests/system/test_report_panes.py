"""The page of real code in a real browser: nothing overlaps at any size, it is stepped through,
searched and filtered, and tells the same without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.pool_traces import page_of, pool
from tests.helpers.tracing import trace_of
from tests.system.browser import CONTRAST, Browser, afresh, missing, started
from tracelock.analysis.analyze import analyze
from tracelock.names import for_display
from tracelock.report.failure.slicing import root_of
from tracelock.report.panes.run import PanesRun
from tracelock.trace import Blocked, Verdict

SKIP = missing()
pytestmark = [pytest.mark.skipif(SKIP is not None, reason=SKIP or "")]
SIZES = [(1400, 900), (1024, 768), (800, 600), (390, 844)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(autouse=True)
def wide(browser: Browser) -> Iterator[None]:
    with afresh(browser, 1400, 900):
        yield


def page(tmp_path: Path, name: str = "pool_threads") -> Path:
    path = tmp_path / "page.html"
    path.write_text(page_of(name), encoding="utf-8")
    return path


def run_of(name: str = "pool_threads") -> PanesRun:
    """What the page is made of."""
    trace, sources = pool(name)
    seen = for_display(trace)
    wanted = [range(len(seen.events))]
    return PanesRun("a", seen, wanted, sources, root=root_of(analyze(seen).findings))


#: Texts that another element lies on, by what is hit in their middle; what has scrolled below a
#: heading that stays in its place is not seen at all.
COVERED = """
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, own = node.parentElement;
  if (!node.textContent.trim() || own.closest("script, noscript, .sr, option, [hidden]")) continue;
  if (!own.checkVisibility({ contentVisibilityAuto: true })) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects()) {
    for (const part of [0.1, 0.5, 0.9]) {
      const x = box.left + box.width * part, y = box.top + box.height / 2;
      let clipped = box.width < 2 || x < 0 || y < 0 || x >= innerWidth || y >= innerHeight;
      for (let up = own; up && !clipped; up = up.parentElement) {
        if (getComputedStyle(up).overflow === "visible") continue;
        const view = up.getBoundingClientRect();
        clipped = x <= view.left + 1 || x >= view.right - 1;
        clipped = clipped || y <= view.top + 1 || y >= view.bottom - 1;
      }
      if (clipped) continue;
      const hit = document.elementFromPoint(x, y);
      if (!hit || own === hit || own.contains(hit) || hit.contains(own)) continue;
      if (hit.closest("thead, .block h3")) continue;
      found.push(`${node.textContent.trim().slice(0, 40)} under ${hit.outerHTML.slice(0, 60)}`);
    }
  }
}
return found;
"""
#: What the source pane shows: of each line its text, colour, what is said and who is there.
LINES = """
return [...document.querySelectorAll("li[data-line]")].map((line) => [
  line.querySelector("code")?.textContent ?? "",
  [...line.classList].find((name) => /^t\\d$/.test(name)) ?? "",
  line.querySelector(".said")?.textContent ?? "",
  [...line.querySelectorAll(".who .pill")].map((one) => one.textContent),
  [...line.querySelectorAll(".by i")].map((one) => one.className),
]);
"""
ARROWS = """
const lanes = [...document.querySelectorAll("thead .lane")].map((e) => e.getBoundingClientRect());
const paths = [...document.querySelectorAll(".arrows path")].map((e) => e.getBoundingClientRect());
return {
  count: paths.length,
  within: paths.every((p) => p.left >= lanes[0].left && p.right <= lanes[lanes.length - 1].right),
};
"""


def check_sight(browser: Browser, width: int, height: int) -> None:
    """Nothing lies on a text, the page and the lanes have no second scroll bar."""
    for down in (0, 1):
        browser.run("scrollTo(0, document.documentElement.scrollHeight * arguments[0])", down)
        assert browser.run(COVERED) == [], (width, height, down)
    browser.run("scrollTo(0, 0)")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    wide = "const e = document.querySelector(arguments[0]); return e.scrollWidth - e.clientWidth"
    for pane in (".lanes-pane", ".source", "#controls"):
        assert browser.run(wide, pane) <= 0, (pane, width)
    top = browser.run("return document.querySelector('.lanes-pane').getBoundingClientRect().top")
    assert top < height - 40, (width, height)
    assert browser.run(ARROWS)["within"]


def test_at_every_size_nothing_overlaps(browser: Browser, tmp_path: Path) -> None:
    path = page(tmp_path)
    browser.open(path)
    for width, height in SIZES:
        browser.size(width, height)
        check_sight(browser, width, height)
    assert browser.run(ARROWS)["count"] >= 4
    browser.size(1400, 900)
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        assert browser.run(CONTRAST) == [], scheme


@pytest.mark.extended
@pytest.mark.parametrize("name", ["pool_threads", "pool_asyncio"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_every_size_and_step_nothing_overlaps(
    browser: Browser, tmp_path: Path, name: str, scheme: str
) -> None:
    browser.prefer(scheme)
    path = page(tmp_path, name)
    for width, height in SIZES:
        browser.size(width, height)
        browser.open(path)
        for key in ("Home", "n", "n", "+", "-", "-", "+", "End"):
            browser.press(key)
            check_sight(browser, width, height)
            assert browser.run(CONTRAST) == []


def test_lanes_are_only_of_workers_that_do_something(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    assert browser.texts("thead .lane") == ["test", "user-1", "user-2", "user-3"]
    assert browser.texts(".chip") == ["test", "user-1", "user-2", "user-3"]
    text = browser.run("return document.body.innerText")
    assert "setup" not in text and "outside" not in text and "@pool.py" not in text
    shown = "".join(browser.texts(".source code"))
    assert "self._cond.wait()" in shown and "errors.append(error)" in shown
    assert "class Client" not in shown  # no touched function
    assert browser.texts(".block h3 .file")[-1] == "tests/test_pool.py"


#: The lines after each step from the start on, and the number of the event.
WALK = f"""
const down = (key) => new KeyboardEvent("keydown", {{ key, bubbles: true }});
const press = (key) => document.dispatchEvent(down(key));
const look = () => {{ {LINES} }};
press("Home");
const found = [];
for (let step = 0; step <= arguments[0]; step++) {{
  if (step) press("ArrowRight");
  found.push([
    look(), document.querySelector("tr.now > th")?.textContent ?? "",
    document.querySelectorAll("li.now").length,
  ]);
}}
return found;
"""


def test_each_step_shows_who_is_where_and_what_was_read(browser: Browser, tmp_path: Path) -> None:
    run = run_of()
    browser.open(page(tmp_path))
    seen = browser.run(WALK, len(run.rows))
    for count, (lines, event, marked) in enumerate(seen):
        lane = line = -1
        if count:
            row = run.rows[count - 1]
            lane, line = run.column[row.worker], run.index[row.event.at]
            assert event == str(row.seq)
        places = run.places(count, lane, line)
        at = {name: n for n, one in enumerate(lines) for name in one[3]}
        wanted = {name: place for name, place in zip(run.names, places, strict=True) if place >= 0}
        assert at == wanted, count
        if 0 < count < len(run.rows):
            assert lines[line][2].endswith(run.facts[count - 1])
            assert lines[line][1] == f"t{lane}" and marked == 1
    browser.press("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight")
    assert browser.run(LINES) == seen[-1][0]
    browser.press("Home", "n")  # the keys themselves
    switches = [row.seq for row in run.rows if row.switch is not None]
    assert browser.texts("tr.now > th") == [str(switches[0])]


def test_without_scripts_it_tells_the_same(browser: Browser, tmp_path: Path) -> None:
    path = page(tmp_path)
    browser.open(path)
    browser.press("End")
    lines = browser.run(LINES)
    panel = browser.texts("aside [data-text]")
    browser.scripting(False)
    browser.open(path)
    browser.scripting(True)
    assert browser.run(LINES) == lines
    assert browser.texts("aside [data-text]") == panel
    run = run_of()
    assert len(browser.texts("tr.event")) == len(run.rows)
    assert [one.partition("#")[0] for one in browser.texts(".told code")] == [
        one["text"] for one in run.told
    ]
    said = {line[0].strip(): line[2] for line in lines}
    assert said["return self._idle.popleft()"] == "Pool._idle: empty"
    assert said["assert errors == []"].startswith("AssertionError: assert [IndexError(")
    assert browser.run("return getComputedStyle(document.getElementById('controls')).display") == (
        "none"
    )


def visible(browser: Browser) -> list[str]:
    return list(
        browser.run(
            "return [...document.querySelectorAll('tr.event:not([hidden])')].map(e => e.id)"
        )
    )


def test_search_and_filters(browser: Browser, tmp_path: Path) -> None:
    run = run_of()
    browser.open(page(tmp_path))
    every = visible(browser)
    assert len(every) == len(run.rows)
    browser.click(".chip[data-lane='2']")
    left = [f"a{row.seq}" for row in run.rows if run.column[row.worker] != 2]
    assert visible(browser) == left and 0 < len(left) < len(every)
    assert browser.texts("#found") == [f"{len(left)} of {len(every)} rows"]
    walked = [event for _, event, _ in browser.run(WALK, len(left))]
    assert walked == ["", *(one[1:] for one in left)]  # over what is hidden
    browser.click(".chip[data-lane='2']")
    assert visible(browser) == every
    browser.press("/")
    browser.press(*"notify")  # the keys of commands are letters here
    wanted = [f"a{row.seq}" for row in run.rows if row.event.op == "notify"]
    assert set(visible(browser)) == set(wanted)
    assert browser.texts("li.match code") == ["        self._cond.notify()"]
    browser.run(
        "const s = document.getElementById('search'); s.value = '';"
        "s.dispatchEvent(new Event('input'));"
        "const o = document.getElementById('object'); "
        "o.value = [...o.options].find(e => e.textContent === 'Pool._made').value;"
        "o.dispatchEvent(new Event('change'))"
    )
    wanted = [f"a{row.seq}" for row in run.rows if row.event.target == "Pool._made"]
    assert visible(browser) == wanted


@pytest.mark.extended
def test_the_rows_have_three_sizes(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    height = "return document.querySelector('tr.event').offsetHeight"
    middle = browser.run(height)
    browser.press("-")
    small = browser.run(height)
    browser.press("-", "+", "+")
    large = browser.run(height)
    assert small < middle < large


@pytest.mark.extended
def test_a_long_run_is_a_window_with_the_whole_above_it(browser: Browser, tmp_path: Path) -> None:
    lines = ["t read Box.n -> 0 @ box.py:1"]
    lines += [f"{'ab'[n % 2]} write Box.n = {n} @ box.py:{2 + n % 3}" for n in range(3_000)]
    scenario: dict[str, Any] = {"name": "long", "python": {"places": {}}}
    verdict = Verdict("failed", "assert", "AssertionError: no", {}, [], "box.py:9", 0)
    trace = trace_of("\n".join(lines), scenario=scenario, verdict=verdict)
    path = tmp_path / "page.html"
    path.write_text(tracelock.render_report(trace, findings=[], around=1_500), encoding="utf-8")
    assert path.stat().st_size < 700_000
    browser.open(path)
    assert "1,000 of 3,001 events" in browser.texts(".window")[0]
    assert len(browser.texts("tr.event")) == 1_000
    assert browser.texts("tr.now > th") == ["1500"]
    browser.click(".overview")  # in its middle
    assert abs(int(browser.texts("tr.now > th")[0]) - 1_500) <= 5
    assert browser.run(COVERED) == []


@pytest.mark.extended
def test_many_workers_with_long_names_and_a_twin(browser: Browser, tmp_path: Path) -> None:
    rows = []
    for n in range(14):
        name = f"worker_with_a_long_name-{n}"
        rows += [f"{name} acquire lock{n % 3} @ a.py:{n + 1}", f"{name} write Box.a = 1 @ a.py:99"]
        rows += [f"{name} release lock{n % 3} @ a.py:{n + 3}"] if n < 13 else []
    held = Blocked("worker_with_a_long_name-0", "acquire", "lock1", "a.py:9", [name])
    many = trace_of(
        "\n".join(rows), scenario={"name": "many", "python": {"places": {}}},
        verdict=Verdict("deadlock", None, "x", {}, [held]),
    )  # fmt: skip
    trace, sources = pool("pool_threads")
    twin = replace(trace, verdict=Verdict("passed"), workers=list(trace.workers))
    twin.events = trace.events.part(0, 50)
    path = tmp_path / "page.html"
    for text in (
        tracelock.render_report(many),
        tracelock.render_report(trace, twin=twin, sources=sources),
    ):
        path.write_text(text, encoding="utf-8")
        for width, height in SIZES:
            browser.size(width, height)
            browser.open(path)
            assert browser.run("return document.documentElement.scrollWidth") <= width
            assert browser.run(COVERED) == []
    assert browser.texts(".run > h2") == ["The run that fails", "The run that passes"]
    browser.press("Home", "ArrowRight")
    assert browser.texts("tr.now > th") == ["1", "1"] or len(browser.texts("tr.now")) == 2
