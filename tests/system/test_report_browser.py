"""The HTML report in a real browser: clicked, stepped through, and compared with the frames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.system.browser import CONTRAST, Browser, afresh, missing, started
from tracelock.report.frames import Story, story
from tracelock.report.wording import clean

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT / "traces"
SKIP = missing()
pytestmark = [
    pytest.mark.skipif(SKIP is not None, reason=SKIP or ""),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(autouse=True)
def wide(browser: Browser) -> Iterator[None]:
    with afresh(browser, 1280, 1000):
        yield


def page(tmp_path: Path, trace: tracelock.Trace, **more: Any) -> Path:
    path = tmp_path / "report.html"
    path.write_text(tracelock.render_report(trace, **more), encoding="utf-8")
    return path


def recorded(name: str) -> tracelock.Trace:
    return tracelock.load_trace(TRACES / f"{name}.json")


def counters(events: int, workers: int = 2, *, lock: bool = True) -> tracelock.Trace:
    """A controlled run of so many events: read and write, in a lock or not."""
    step: list[Any] = [{"write": "counter", "value": "counter + 1"}]
    if lock:
        step = [{"with": "guard", "do": step}]
    rounds = events // (workers * (4 if lock else 2))
    document = {
        "format": "tracelock-scenario/1", "name": "counter", "shared": {"counter": 0},
        "objects": {"guard": "lock"},
        "workers": {"w": {"count": workers, "steps": [{"repeat": rounds, "do": step}]}},
        "finally": [f"counter == {rounds * workers}"],
    }  # fmt: skip
    scenario = tracelock.scenario_from_data(document, "counter")
    return tracelock.run(scenario, backend="threading", strategy="random", seed=1)


def expected(one: Story, at: int) -> dict[str, Any]:
    """What the panel has to show after ``at`` rows, from the frames."""
    variables: dict[str, str] = {}
    for frame in one.frames[: at + 1]:
        variables.update(frame.variables)
    frame = one.frames[at]
    return {
        "status": [worker.status for worker in frame.workers],
        "kinds": [worker.kind for worker in frame.workers],
        "values": list(variables.values()),
        "objects": [list(frame.objects[name]) for name in one.types],
    }


PANEL = """
const run = document.querySelector(`[data-run="${arguments[0]}"]`);
const tables = [...run.querySelectorAll("table.facts")];
const cells = (caption) => {
  const table = tables.find((one) => one.caption.textContent === caption);
  const rows = table ? [...table.tBodies[0].rows] : [];
  return rows.map((row) => [...row.cells].slice(1).map((td) => td.textContent));
};
return {
  status: [...run.querySelectorAll(".card .status")].map((one) => one.textContent),
  kinds: [...run.querySelectorAll(".card")].map((one) => one.dataset.kind),
  values: cells("Variables").map((row) => row[0]),
  objects: cells("Locks and other objects"),
};
"""


def shown(browser: Browser, key: str = "a") -> dict[str, Any]:
    return dict(browser.run(PANEL, key))


def at(browser: Browser) -> int:
    """How many steps were made from the first position."""
    return int(browser.run("return Number(document.getElementById('scrub').value)"))


@pytest.mark.parametrize(
    "name",
    [
        "deadlock_ab_ba", "unlocked_counter", "condition_lost_wakeup", "notify_wrong_waiter",
        "broken_barrier", "cancelled_lock_holder", "crash_holding_lock", "philosophers",
    ],
)  # fmt: skip
def test_each_step_shows_the_state_that_the_frames_have(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    trace = recorded(name)
    one = story(trace)
    browser.open(page(tmp_path, trace))
    last = len(one.rows)
    browser.press("Home")
    for step in range(last + 1):
        assert at(browser) == step
        assert shown(browser) == expected(one, step), f"after {step} steps"
        here = browser.texts("tr.now > th")
        assert here == [str(one.rows[step - 1].seq) if step else "start"]
        browser.press("ArrowRight")
    assert at(browser) == last  # and no further
    for step in range(last - 1, -1, -1):
        browser.press("ArrowLeft")
        assert shown(browser) == expected(one, step), f"back at {step}"
    assert at(browser) == 0


def test_a_worker_stands_at_its_step(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, recorded("deadlock_ab_ba")))
    assert browser.texts(".code .here") == ["with: account[1 - index]"] * 2
    browser.press("Home")
    assert browser.texts(".code .here") == ["with: account[index]"] * 2
    browser.press("ArrowRight")
    assert browser.texts(".code .here") == ["with: account[1 - index]", "with: account[index]"]
    assert browser.texts(".code [aria-current=step]") == browser.texts(".code .here")


def test_buttons_scrubber_and_rows(browser: Browser, tmp_path: Path) -> None:
    trace = counters(400)
    one = story(trace)
    browser.open(page(tmp_path, trace))
    browser.click("[data-go=first]")
    assert at(browser) == 0
    browser.click("[data-go=next]")
    browser.click("[data-go=next]")
    browser.click("[data-go=back]")
    assert at(browser) == 1
    browser.click("[data-go=last]")
    assert at(browser) == 400
    assert browser.texts("h3.when") == ["State at the end"]
    browser.run(
        "const s = document.getElementById('scrub'); s.value = 123; "
        "s.dispatchEvent(new Event('input'))"
    )
    assert shown(browser) == expected(one, 123)
    browser.run("document.getElementById('a5').scrollIntoView({block: 'center'})")
    browser.click("#a5 td.on")
    assert at(browser) == 6
    assert "event 5" in browser.texts("#now")[0]
    browser.press("PageDown", "PageDown", "PageUp")
    assert at(browser) == 16


def test_the_scrubber_is_a_slider_for_the_keyboard(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, recorded("philosophers")))
    browser.press("Home")
    browser.run("document.getElementById('scrub').focus()")
    browser.press("ArrowRight", "ArrowRight")
    assert at(browser) == 2
    told = browser.run("return document.getElementById('scrub').getAttribute('aria-valuetext')")
    assert told.startswith("event 1: ")


def test_to_switches_and_to_the_one_that_matters(browser: Browser, tmp_path: Path) -> None:
    trace = recorded("unlocked_counter")
    browser.open(page(tmp_path, trace))
    browser.press("Home")
    browser.press("n")
    assert browser.texts("tr.now em") == ["preempted (could have gone on)"]
    assert browser.texts("tr.now b.turn") == ["the switch that matters"]
    browser.press("n")
    assert browser.texts("tr.now > th") == ["3"]
    browser.press("p")
    assert browser.texts("tr.now > th") == ["1"]
    browser.press("End")
    browser.press("m")
    assert browser.texts("tr.now > th") == ["1"]


def test_findings_jump_to_their_events(browser: Browser, tmp_path: Path) -> None:
    trace = recorded("unlocked_counter")
    finding = tracelock_finding()
    browser.open(page(tmp_path, trace, findings=[finding]))
    assert browser.texts(".findings h3")[0].startswith("Lost update of counter")
    browser.click(".findings a[href='#a2']")
    assert browser.texts("tr.now > th") == ["2"]
    assert browser.texts("tr.hit > th") == ["0", "2", "3"]
    assert browser.run("return location.hash") == "#a2"
    browser.press("End")
    browser.press("f")
    assert browser.texts("tr.now > th") == ["0"]
    assert len(browser.texts(".findings li.chosen")) == 1


def tracelock_finding() -> Any:
    from tracelock.analysis.findings import ERROR, Finding

    return Finding(
        "lost-update", "Lost update of counter", "One.\nTwo <b>.", (0, 2, 3), (0, 1), ("counter",),
        ERROR,
    )  # fmt: skip


def test_a_link_to_an_event_opens_there(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, recorded("philosophers")), "#a1")
    assert browser.texts("tr.now > th") == ["1"]


def test_twins_move_side_by_side(browser: Browser, tmp_path: Path) -> None:
    trace = recorded("deadlock_ab_ba")
    found = tracelock.shrink(trace, confirm=0)
    twin = found.trace_of(found.twin.passing)  # type: ignore[union-attr]
    browser.open(page(tmp_path, trace, twin=twin))
    assert browser.texts(".run > h2") == ["The run that fails", "The run that passes"]
    boxes = browser.run(
        "return [...document.querySelectorAll('.run')].map(e => e.getBoundingClientRect().toJSON())"
    )
    assert boxes[0]["right"] <= boxes[1]["left"]
    assert boxes[0]["top"] == boxes[1]["top"]
    one, other = story(trace), story(twin)
    browser.press("Home")
    for step in range(len(other.rows) + 1):
        assert shown(browser, "a") == expected(one, min(step, len(one.rows)))
        assert shown(browser, "b") == expected(other, step)
        browser.press("ArrowRight")
    browser.press("m")
    assert browser.texts("tr.turn > th") == ["1", "1"]
    assert browser.texts("tr.now > th") == ["1", "1"]
    assert browser.texts("#now")[0] == (
        "2 of 16 done; event 1: transfer[1] acquire account[1]\n"
        "twin: event 1: transfer[0] acquire account[1]"
    )
    browser.size(400, 900)
    boxes = browser.run(
        "return [...document.querySelectorAll('.run')].map(e => e.getBoundingClientRect().toJSON())"
    )
    assert boxes[0]["bottom"] <= boxes[1]["top"]


# --- strangers -----------------------------------------------------------------------------------
EVIL = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    "\"'><svg onload=window.pwned=3>",
    "<!--<script>",
    "]]>{{7*7}}${7*7}",
    "javascript:window.pwned=4",
    "&lt;b&gt;&amp;",
]


def hostile() -> tracelock.Trace:
    """Every text of the trace that a report could show is an attack."""
    events = []
    for seq, text in enumerate(EVIL):
        worker = seq % 2
        events.append(
            {"seq": seq, "worker": worker, "op": "write", "target": text, "value": text,
             "at": text, "enabled": [0, 1], "t": 0}
        )  # fmt: skip
    events.append(
        {"seq": len(EVIL), "worker": 0, "op": "acquire", "target": EVIL[0], "result": True,
         "at": f"{EVIL[1]}:3", "enabled": [1], "t": 0}
    )  # fmt: skip
    data = {
        "format": "tracelock-trace/1", "tracelock": EVIL[0],
        "scenario": {
            "name": EVIL[0], "description": EVIL[1], "shared": {EVIL[2]: EVIL[0]},
            "objects": {EVIL[0]: {"type": EVIL[1]}},
            "workers": {EVIL[0]: {"steps": [{EVIL[1]: EVIL[0], "do": [EVIL[2]]}]}},
            "python": {"places": {f"{EVIL[1]}:3": EVIL[2]}, "sources": {EVIL[0]: EVIL[1]}},
        },
        "backend": EVIL[0], "mode": "controlled", "strategy": {"name": EVIL[0], EVIL[1]: EVIL[2]},
        "clock": "virtual", "environment": {"python": EVIL[0], "platform": EVIL[1]},
        "workers": [EVIL[0], EVIL[1]], "events": events,
        "verdict": {
            "kind": "deadlock", "failure": None, "message": EVIL[0], "state": {EVIL[0]: EVIL[1]},
            "blocked": [
                {"worker": EVIL[1], "op": "acquire", "target": EVIL[0], "at": EVIL[2],
                 "holder": [EVIL[0]]},
            ],
        },
    }  # fmt: skip
    return tracelock.load_trace_text(json.dumps(data), "hostile.json")


def test_nothing_in_a_trace_becomes_markup(browser: Browser, tmp_path: Path) -> None:
    from tracelock.analysis.findings import Finding

    trace = hostile()
    finding = Finding(EVIL[1], EVIL[0], "\n".join(EVIL), (0, 1), (0, 1), tuple(EVIL), EVIL[2])
    browser.open(page(tmp_path, trace, findings=[finding], path=EVIL[0], twin=recorded_twin(trace)))
    browser.press("Home")
    for _ in range(len(trace.events) + 1):
        browser.press("ArrowRight")
    for key in "npfmt":
        browser.press(key)
    assert browser.run("return window.pwned === undefined")
    assert browser.run("return document.scripts.length") == 2
    for tag in ("img", "iframe", "object", "link", "base", "form", "a[href^='javascript' i]"):
        assert browser.run("return document.querySelector(arguments[0]) === null", tag), tag
    assert browser.run(
        "return [...document.querySelectorAll('*')].every(e => "
        "[...e.attributes].every(a => !a.name.startsWith('on') && a.name !== 'style'))"
    )
    assert browser.texts("h1")[0] == f"{clean(EVIL[0])} on {clean(EVIL[0])}"
    assert browser.texts(".findings p")[0] == "".join(map(clean, EVIL))
    assert browser.texts("[data-run=a] thead th")[1:3] == [clean(EVIL[0]), clean(EVIL[1])]


def recorded_twin(trace: tracelock.Trace) -> tracelock.Trace:
    """The same trace, but it parts from it and passes."""
    data = json.loads(trace.to_text())
    data["events"] = data["events"][:-1]
    data["verdict"] = {"kind": "passed", "failure": None, "message": "", "state": {}, "blocked": []}
    return tracelock.load_trace_text(json.dumps(data), "twin.json")


def test_the_policy_lets_no_other_script_run(browser: Browser, tmp_path: Path) -> None:
    path = page(tmp_path, recorded("unlocked_counter"))
    injected = path.read_text(encoding="utf-8").replace(
        "<body>", "<body><script>window.pwned = 1</script><img src='x' onerror='window.pwned = 2'>"
    )
    path.write_text(injected, encoding="utf-8")
    browser.open(path)
    browser.press("Home")
    assert at(browser) == 0  # the page's own script runs
    assert browser.run("return window.pwned === undefined")
    refused = [entry for entry in browser.log() if "Content Security Policy" in entry["message"]]
    assert len(refused) >= 2


def test_nothing_is_loaded_from_anywhere(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, recorded("philosophers")))
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.run("return document.documentElement.dataset.ready") == "yes"


# --- sizes and sights ----------------------------------------------------------------------------
def test_a_thousand_events(browser: Browser, tmp_path: Path) -> None:
    trace = counters(1_000)
    assert len(trace.events) == 1_000
    path = page(tmp_path, trace)
    assert path.stat().st_size < 400_000
    browser.open(path)
    assert len(browser.texts("tr[id]")) == 1_000
    assert len(browser.texts("svg.arrows path")) > 100
    browser.press("End")
    assert at(browser) == 1_000
    assert browser.texts("table.facts td")[0] == "250"
    visible = browser.run(
        "const view = document.querySelector('.scroll').getBoundingClientRect(); "
        "const row = document.querySelector('tr.now').getBoundingClientRect(); "
        "return row.top >= view.top && row.bottom <= view.bottom"
    )
    assert visible


def test_a_long_run_shows_the_part_around_the_failure(browser: Browser, tmp_path: Path) -> None:
    trace = counters(20_000, lock=False)
    assert trace.verdict.kind == "failed"
    path = page(tmp_path, trace, around=12_345)
    assert path.stat().st_size < 400_000
    browser.open(path)
    assert browser.texts(".window")[0].startswith("Only a part is shown: 1,000 of 20,000 events")
    assert "(11,845 to 12,844)" in browser.texts(".window")[0]
    assert [row.split(" ")[0] for row in browser.texts("tr.gap td")] == ["11,845", "7,155"]
    assert browser.texts("tr.now > th") == ["12345"]
    one = story(trace, [range(11_845, 12_845)])
    assert shown(browser) == expected(one, 501)
    browser.press("Home")
    assert shown(browser) == expected(one, 0)


def test_a_run_without_events(browser: Browser, tmp_path: Path) -> None:
    data = {"name": "nothing", "workers": {"w": {"steps": []}}}
    empty = tracelock.Trace(
        data, "threading", "controlled", None, "virtual", {}, ["w"], tracelock.Events(),
        tracelock.Verdict("passed"),
    )  # fmt: skip
    browser.open(page(tmp_path, empty))
    browser.press("Home", "ArrowRight", "End", "n", "p", "f", "m", "j", "k")
    assert browser.texts("h2")[0] == "passed"


def test_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    path = page(tmp_path, recorded("deadlock_ab_ba"))
    background = "return getComputedStyle(document.body).backgroundColor"
    browser.open(path)
    light = browser.run(background)
    browser.prefer("dark")
    browser.open(path)
    dark = browser.run(background)
    assert light == "rgb(255, 255, 255)" != dark
    browser.click("#theme")
    assert browser.run(background) == light
    browser.press("t")
    assert browser.run(background) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.1, level AA)."""
    browser.prefer(scheme)
    trace = recorded("unlocked_counter")
    browser.open(page(tmp_path, trace, findings=[tracelock_finding()]))
    browser.press("End")
    assert browser.run(CONTRAST) == []
    browser.open(page(tmp_path, recorded("deadlock_ab_ba")))
    assert browser.run(CONTRAST) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_no_wider_than_the_window(browser: Browser, tmp_path: Path, width: int) -> None:
    browser.size(width, 900)
    for trace in (recorded("philosophers"), recorded("unlocked_counter"), counters(200, 8)):
        browser.open(page(tmp_path, trace, findings=[tracelock_finding()]))
        assert browser.run("return document.documentElement.scrollWidth") <= width


def test_without_scripts_there_is_the_whole_story(browser: Browser, tmp_path: Path) -> None:
    trace = recorded("deadlock_ab_ba")
    browser.scripting(False)
    browser.open(page(tmp_path, trace))
    browser.scripting(True)
    one = story(trace)
    assert shown(browser) == expected(one, len(one.rows))
    assert browser.texts(".code .here") == ["with: account[1 - index]"] * 2
    assert not browser.run("return document.documentElement.dataset.ready")
    hidden = "return getComputedStyle(document.getElementById('controls')).display"
    assert browser.run(hidden) == "none"


def test_what_a_screen_reader_finds(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path, recorded("deadlock_ab_ba"), findings=[tracelock_finding()]))
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    seen = {
        (node.get("role", {}).get("value"), node.get("name", {}).get("value"))
        for node in nodes
        if not node.get("ignored")
    }
    for role, name in (
        ("heading", "deadlock"), ("region", "Verdict"), ("region", "Findings"),
        ("navigation", "Step through the run"), ("slider", "Step"),
        ("button", "one step on (right arrow)"), ("region", "Timeline"),
        ("columnheader", "transfer[0]"), ("rowheader", "account[0] lock"),
        ("button", "change between light and dark"),
    ):  # fmt: skip
        assert (role, name) in seen, (role, name)
    buttons = [node for node in nodes if node.get("role", {}).get("value") == "button"]
    assert all(node["name"]["value"] for node in buttons)
    assert (
        browser.run("return document.getElementById('now').getAttribute('aria-live')") == "polite"
    )


def test_arrows_lead_from_who_gave_to_who_got(browser: Browser, tmp_path: Path) -> None:
    trace = counters(40)
    browser.open(page(tmp_path, trace))
    arrows = json.loads(browser.texts("#data")[0])["runs"][0]["arrows"]
    workers = list(trace.events.workers)
    given = [
        [seq, following]
        for seq, event in enumerate(trace.events)
        if event.op == "release"
        for following in [next((n for n in range(seq, 40) if trace.events[n].op == "acquire"), 0)]
        if following and workers[following] != event.worker
    ]
    assert [arrow[:2] for arrow in arrows] == given
    titles = browser.texts("svg.arrows path title")
    assert titles == [f"lock: event {a} to event {b}" for a, b in given]
    a, b = given[0]
    browser.click(f"#a{b} td.on")
    assert browser.texts("svg.arrows path.lit title") == [titles[0]]
    assert f"handed over by event {a}" in browser.texts("#now")[0]


def test_a_worker_without_a_lane_is_still_told_of(browser: Browser, tmp_path: Path) -> None:
    events = [
        {"seq": n, "worker": n, "op": "write", "target": "x", "value": n, "at": "p", "t": 0}
        for n in range(40)
    ]
    data = {
        "format": "tracelock-trace/1", "tracelock": "0", "scenario": {"name": "many"},
        "backend": "threading", "mode": "recorded", "strategy": None, "clock": "real",
        "environment": {}, "workers": [f"w[{n}]" for n in range(40)], "events": events,
        "verdict": {"kind": "passed", "failure": None, "message": "", "state": {}, "blocked": []},
    }  # fmt: skip
    trace = tracelock.load_trace_text(json.dumps(data), "many.json")
    browser.open(page(tmp_path, trace))
    browser.press("End")
    assert "event 39:  w[39]: write x = 39" in browser.texts("#now")[0]
    assert browser.texts("table.facts td")[0] == "39"
    browser.press("Home", "ArrowRight")
    assert "event 0: w[0] write x = 0" in browser.texts("#now")[0]
