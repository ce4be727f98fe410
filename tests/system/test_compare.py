"""The comparison: its statistics, its variants, what it says of the library, and how it is told."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from math import comb
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracelock
from tests.oracles.brute import all_states
from tracelock.backends.rules import MULTIPROCESSING_RULES, THREADING_RULES
from tracelock.cli.main import main
from tracelock.compare import costs, gil
from tracelock.compare.gil import UnderGil
from tracelock.compare.leftovers import leftovers
from tracelock.compare.native import BOUNDS, Workshop
from tracelock.compare.outcomes import OutcomeTable
from tracelock.compare.stats import Z, apart, median_interval, spread, wilson
from tracelock.compare.variants import AROUND, INSIDE, NONE, WRITTEN, rounds, shortened, variants
from tracelock.errors import TraceError, UnsupportedError, UsageError
from tracelock.interpreter.child import this_interpreter
from tracelock.interpreter.tables import table_for
from tracelock.report.comparison.page import comparison_html
from tracelock.report.comparison.picture import costs_svg, duration
from tracelock.report.comparison.text import comparison_lines
from tracelock.report.comparison.words import summary
from tracelock.report.terminal import Style
from tracelock.scenario.language.models import BACKENDS, Scenario
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
CLASSIC = ROOT / "tests" / "data" / "classic.json"


# --- statistics ------------------------------------------------------------------------------
@given(st.integers(1, 500), st.data())
def test_wilson_is_where_the_score_test_just_holds(runs: int, data: st.DataObject) -> None:
    seen = data.draw(st.integers(0, runs))
    low, high = wilson(seen, runs)
    share = seen / runs
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        if 1e-9 < bound < 1 - 1e-9:
            assert abs(share - bound) == pytest.approx(Z * (bound * (1 - bound) / runs) ** 0.5)


def test_wilson_of_nothing_claims_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 100)[1] == pytest.approx(0.0370, abs=1e-4)  # published: 0 of 100


@given(st.integers(6, 60))
def test_the_interval_of_a_median_covers_as_it_says(n: int) -> None:
    low, high = median_interval(list(range(n)))
    assert low + high == n - 1
    rank = int(low)  # the true median lies outside with the chance of `rank` or fewer heads, twice
    miss = 2 * sum(comb(n, k) for k in range(rank + 1)) * 0.5**n
    assert miss <= 0.05
    assert miss + 2 * comb(n, rank + 1) * 0.5**n > 0.05  # and it is no wider than need be


def test_a_median_and_its_spread() -> None:
    assert spread([3, 1, 2])["median"] == 2
    assert spread([4, 1, 2, 3])["median"] == 2.5
    assert median_interval([5, 1, 3]) == (1, 5)
    assert apart(spread([1, 2, 3]), spread([4, 5, 6]))
    assert not apart(spread([1, 2, 4]), spread([4, 5, 6]))


# --- variants --------------------------------------------------------------------------------
def bodies(scenario: Scenario) -> list[dict[str, Any]]:
    return [
        form.scenario.to_data()["workers"]["incrementer"]["steps"] for form in variants(scenario)
    ]


def test_the_classic_experiment_is_derived_from_each_of_its_forms() -> None:
    add = [{"write": "counter", "value": "counter + 1"}]
    inside = load_scenario(SCENARIOS / "counter_each_round.yaml")
    forms = variants(inside)
    assert [(form.name, form.own) for form in forms] == [
        (NONE, False), (INSIDE, True), (AROUND, False)
    ]  # fmt: skip
    unlocked, as_given, around = bodies(inside)
    assert unlocked == [{"repeat": 100000, "do": add}]
    assert as_given == [{"repeat": 100000, "do": [{"with": "count_lock", "do": add}]}]
    assert around == [{"with": "count_lock", "do": [{"repeat": 100000, "do": add}]}]
    whole = load_scenario(SCENARIOS / "counter_whole_loop.yaml")
    assert [(form.name, form.own) for form in variants(whole)] == [
        (NONE, False), (INSIDE, False), (AROUND, True)
    ]  # fmt: skip
    loop = bodies(whole)[1][0]
    assert loop["repeat"] == 100000 and list(loop["do"][0]) == ["with", "do"]
    pairs = load_scenario(ROOT / "tests" / "data" / "examples" / "counter_100k.yaml")
    assert [form.name for form in variants(pairs)] == [NONE, INSIDE, AROUND]
    assert "acquire" not in json.dumps(bodies(pairs)[2])
    assert [rounds(one) for one in (inside, whole, pairs)] == [200000] * 3


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_variants_are_sound_and_keep_what_is_no_lock(path: Path) -> None:
    scenario = load_scenario(path)
    forms = variants(scenario)
    assert sum(form.own for form in forms) == 1
    signals = {"wait", "notify", "set", "put", "get"}
    before = sorted(word for word in re.findall(r'"(\w+)":', scenario.to_yaml()) if word in signals)
    for form in forms:
        Program(form.scenario)
        words = sorted(w for w in re.findall(r'"(\w+)":', form.scenario.to_yaml()) if w in signals)
        assert words == before


def test_a_tried_lock_and_a_signal_stay() -> None:
    for name in ("try_acquire", "timed_acquire", "semaphore_signal", "release_by_another"):
        forms = variants(load_scenario(SCENARIOS / f"{name}.yaml"))
        whole = forms[-1].scenario.to_data()
        assert [form.name for form in forms] in ([WRITTEN], [NONE, WRITTEN]), name
        kept = [json.dumps(form.scenario.to_data()["workers"]) for form in forms]
        assert all("acquire" in text for text in kept), (name, whole)


def test_locks_do_not_change_what_is_right_only_what_can_go_wrong() -> None:
    """By brute force, with two rounds: unlocked loses updates, both locked forms cannot."""
    short = shortened(load_scenario(SCENARIOS / "counter_each_round.yaml"), 50, 2)
    assert short is not None and short.finally_ == ["counter == 4"]
    for rules in (THREADING_RULES, MULTIPROCESSING_RULES):
        found = {f.name: all_states(Program(f.scenario), rules).verdicts for f in variants(short)}
        assert found == {NONE: {"passed", "failed"}, INSIDE: {"passed"}, AROUND: {"passed"}}
    assert shortened(load_scenario(SCENARIOS / "locked_counter.yaml"), 50, 2) is None


# --- what can happen -------------------------------------------------------------------------
def searched(name: str, backends: tuple[str, ...] = BACKENDS) -> list[dict[str, Any]]:
    scenario = load_scenario(SCENARIOS / f"{name}.yaml")
    here = [backend for backend in backends if backend in scenario.expect]
    survey = OutcomeTable(here)
    for backend in here:
        survey.search(scenario, backend, 30)
    return survey.finished(lambda: False)


KINDS = {"fails": {"failed", "crashed"}, "deadlock": {"deadlock"}, "passes": set[str]()}


@pytest.mark.parametrize(
    "name",
    ["unlocked_counter", "check_then_act_await", "self_deadlock", "event_pulse", "spawn_join",
     "deadlock_ab_ba", "condition_lost_wakeup", "locked_counter", "crash_holding_lock"],
)  # fmt: skip
def test_what_can_happen_is_what_the_library_expects(name: str) -> None:
    expect = load_scenario(SCENARIOS / f"{name}.yaml").expect
    for row in searched(name):
        for backend, cell in row["cells"].items():
            if row["kind"] != "passed":
                wanted = row["kind"] in KINDS[expect[backend].verdict]
                assert cell["can"] == ("possible" if wanted else "impossible"), (backend, row)
                if wanted:
                    assert cell["switches"] == expect[backend].switches
                    assert cell["trace"]["verdict"]["kind"] == row["kind"]


def test_rows_that_differ_come_first_with_the_reason() -> None:
    first, *others = searched("deadlock_ab_ba")
    assert first["differs"] and first["outcome"] == "deadlock"
    assert "may come in before every step" in first["why"]
    assert "on asyncio transfer[0] goes on until it really suspends" in first["why"]
    assert not any(row["differs"] for row in others)
    first = searched("release_by_another")[0]
    assert "On trio releaser's release gate raises RuntimeError" in first["why"]
    first = searched("check_then_act", ("threading", "asyncio"))[0]
    assert "after buyer[0]'s read free and before its read free" in first["why"]


# --- what the GIL makes of it ----------------------------------------------------------------
def under_gil(scenario: Scenario) -> dict[str, str]:
    found = UnderGil(scenario).search(20)
    assert found is not None
    return {key: can for key, can in found.items() if key not in ("", "passed")}


@pytest.mark.skipif(not this_interpreter()["gil"], reason="there is no GIL")
def test_what_the_gil_makes_of_a_scenario() -> None:
    """Two statements in a row, or one, are not interrupted; a call lets others in."""
    for name in ("unlocked_counter", "check_then_act", "peterson_reordered"):
        assert under_gil(load_scenario(SCENARIOS / f"{name}.yaml")) == {}, name
    (can,) = under_gil(load_scenario(SCENARIOS / "check_then_act_await.yaml")).values()
    assert can == "possible"
    data = load_scenario(SCENARIOS / "unlocked_counter.yaml").to_data()
    steps = [{"read": "counter", "into": "t"}, {"write": "counter", "value": "t + 1"}]
    data["workers"]["incrementer"]["steps"] = steps
    assert under_gil(scenario_from_data(data)) == {}
    steps.insert(1, {"let": {"x": "sqrt(2)"}})
    assert [*under_gil(scenario_from_data(data)).values()] == ["possible"]
    # whoever has one lock takes the next at once, up to 3.13: not the schedule that was found
    (can,) = under_gil(load_scenario(SCENARIOS / "deadlock_ab_ba.yaml")).values()
    assert can == ("possible" if table_for(sys.version_info[:2]).entering_with else "cannot tell")


def test_without_a_table_nothing_is_said_of_the_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gil, "TABLES", {})
    assert UnderGil(load_scenario(SCENARIOS / "unlocked_counter.yaml")).search(1) is None


def test_a_cut_search_says_not_found() -> None:
    survey = OutcomeTable(["threading"])
    survey.searched["threading"] = {"exhaustive": False, "schedules": 40, "states": 0}
    survey.count("threading", "passed", None, None, "passed", {}, 10)
    row = survey.row("deadlock", None, None, "deadlock")
    rows = survey.finished(lambda: False)
    assert row["cells"]["threading"]["can"] == "not found"
    assert row["cells"]["threading"]["tried"] == 50
    assert rows[-1]["cells"]["threading"]["share"] == 1.0


def test_what_is_left_behind() -> None:
    left = {
        (row["way"], row["kind"]): {b: cell["left"] for b, cell in row["cells"].items()}
        for row in leftovers(BACKENDS, ("lock", "semaphore"))
    }
    assert left["cancelled", "lock"] == {
        "threading": "refused", "multiprocessing": "refused", "asyncio": "held", "trio": "error"
    }  # fmt: skip
    assert left["cancelled in with", "lock"]["asyncio"] == "free"
    assert left["dies in with", "lock"]["multiprocessing"] == "held"
    assert left["ends", "semaphore"] == dict.fromkeys(BACKENDS, "held")


# --- what it costs ---------------------------------------------------------------------------
def small(rounds_: int = 40) -> Scenario:
    data = load_scenario(SCENARIOS / "counter_each_round.yaml").to_data()
    data["workers"]["incrementer"]["steps"][0]["repeat"] = rounds_
    data["finally"] = [f"counter == {2 * rounds_}"]
    data.pop("expect")
    return scenario_from_data(data)


@pytest.mark.parametrize("backend", BACKENDS)
def test_locks_that_measure_count_every_acquisition(backend: str) -> None:
    with Workshop() as workshop:
        prepared = workshop.prepare(small(), backend, 20)
        result = workshop.run(prepared, timed=True)
        assert (result["status"], result["state"]) == (0, {"counter": 80}), result
        assert result["taken"] == 80
        assert 0 <= result["again"] < 80
        assert 0 < result["held"] < 2 * result["seconds"] * 1e9
        plain = workshop.run(prepared)
        assert plain["taken"] == 0 and plain["status"] == 0


def test_bars_take_turns_and_an_overlap_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, bool]] = []

    def run(self: Workshop, prepared: Any, *, timed: bool = False, **_: Any) -> dict[str, Any]:
        steps = json.dumps(prepared.scenario.to_data()["workers"])
        order.append((steps, timed))
        took = {0: 1.0, 1: 1.01, 2: 5.0}[len(order) % 3] + len(order) / 1000
        return {
            "status": 0, "seconds": took, "output": "", "state": {}, "waited": 1e8, "held": 2e6,
            "taken": 100, "again": 50, "python": "3.12", "gil": True,
        }  # fmt: skip

    monkeypatch.setattr(Workshop, "run", run)
    data = costs.measure(small(), ["asyncio"], runs=6)
    first = [steps for steps, timed in order if not timed]
    assert len(first) == 18
    assert all(first[k] == first[k % 3] for k in range(18)) and len(set(first)) == 3
    assert [row["seconds"]["n"] for row in data["rows"]] == [6, 6, 6]
    assert data["rows"][1]["held_us"]["median"] == 20
    assert data["rows"][1]["again"]["median"] == 0.5
    pairs = {(one["a"], one["b"]) for one in data["noise"]}
    assert len(pairs) == 1 and not data["cut"]


def test_another_python_and_a_switch_interval_are_bars_of_their_own() -> None:
    data = costs.measure(
        small(), ["threading"], runs=1, others=[sys.executable], intervals=[0.0001]
    )
    kinds = {(row["switch_interval"], row["error"]) for row in data["rows"]}
    assert kinds == {(None, None), (0.0001, None)}
    assert len(data["rows"]) == 9
    assert costs.usable("/nothing/python") is not None
    assert costs.usable(sys.executable) is None


def test_a_program_that_hangs_has_no_time() -> None:
    deadlock = load_scenario(SCENARIOS / "self_deadlock.yaml")
    with Workshop() as workshop:
        cells = costs.cells_of(workshop, variants(deadlock), ["threading"], (), (), 0.2)
        own = next(cell for cell in cells if cell.own)
        for _ in range(2):
            own.take(workshop.run(own.prepared), False)
    assert own.hangs and own.to_data()["seconds"] is None
    assert own.to_data()["ends"] == {"deadlock": 2}


# --- the whole -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def unlocked() -> dict[str, Any]:
    scenario = load_scenario(SCENARIOS / "unlocked_counter.yaml")
    found = tracelock.compare(scenario, backends=["threading", "asyncio"], runs=4, seconds=60)
    assert found.failed
    return found.data


def test_the_document(unlocked: dict[str, Any]) -> None:
    assert json.loads(json.dumps(unlocked)) == unlocked
    assert unlocked["format"] == "tracelock-comparison/1"
    assert unlocked["complete"] and unlocked["notes"] == []
    row = unlocked["outcomes"]["rows"][0]
    assert row["differs"] and row["outcome"] == "failed: counter == 2 is false"
    if this_interpreter()["gil"]:
        assert row["gil"]["can"] == "impossible" and "never ends so" in row["gil"]["why"]
        assert row["gil"]["interpreter"] == this_interpreter()["interpreter"]
        assert row["gil"]["why"] in comparison_html(unlocked)
        assert f"threading: {row['gil']['why'][:40]}" in "\n".join(
            lines_of(unlocked, Style(80, True))
        )
    threads, tasks = row["cells"]["threading"], row["cells"]["asyncio"]
    assert (threads["can"], threads["switches"], threads["runs"]) == ("possible", 1, 4)
    assert (tasks["can"], tasks["seen"], tasks["share"]) == ("impossible", 0, 0)
    assert threads["states"] == [{"counter": 1}]
    assert [bar["seconds"]["n"] for bar in unlocked["costs"]["rows"]] == [4, 4]
    assert {row["way"] for row in unlocked["leftovers"]} >= {"ends", "dies in with"}


def test_an_interruption_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(costs, "_rounds", interrupted)
    scenario = load_scenario(SCENARIOS / "unlocked_counter.yaml")
    found = tracelock.compare(scenario, backends=["asyncio"], runs=2, seconds=30)
    assert not found.complete
    assert any("interrupted" in note for note in found.data["notes"])
    assert found.data["outcomes"]["rows"][0]["cells"]["asyncio"]["runs"] == 2
    assert "not complete" in comparison_html(found.data)
    assert found.data["costs"]["rows"][0]["seconds"] is None


def test_ctrl_c_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Workshop.run
    calls = []

    def run(self: Workshop, *args: Any, **kwargs: Any) -> dict[str, Any]:
        calls.append(args)
        if len(calls) > 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Workshop, "run", run)
    path = str(SCENARIOS / "locked_counter.yaml")
    assert main(["compare", path, "--backends", "asyncio", "--native", "--json"]) == 5
    data = json.loads(capsys.readouterr().out)
    assert not data["complete"] and "interrupted" in data["notes"][-1]
    assert [bar["seconds"]["n"] for bar in data["costs"]["rows"]] == [1, 1]


def test_refusals() -> None:
    scenario = load_scenario(SCENARIOS / "crash_holding_lock.yaml")
    with pytest.raises(UnsupportedError):
        tracelock.compare(scenario, backends=["threading"])
    with pytest.raises(UsageError, match="unknown backend"):
        tracelock.compare(scenario, backends=["gevent"])
    with pytest.raises(UsageError, match=r"'asynco' \(did you mean 'asyncio'\?\)"):
        tracelock.compare(scenario, backends=["asynco"])
    with pytest.raises(UsageError, match="seconds"):
        tracelock.compare(scenario, seconds=0)
    for damaged in ({}, {"format": "tracelock-comparison/1"}, []):
        with pytest.raises(TraceError):
            comparison_html(damaged)  # type: ignore[arg-type]


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture, kept = (tmp_path / name for name in ("c.html", "c.svg", "c.json"))
    status = main(
        ["compare", str(SCENARIOS / "locked_counter.yaml"), "--backends", "asyncio,threading",
         "--runs", "2", "--native", "--html", str(page), "--svg", str(picture), "-o", str(kept)]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert status == 0, out
    assert "What it costs" in out and f"page: {page}" in out
    data = json.loads(kept.read_text(encoding="utf-8"))
    assert page.read_text(encoding="utf-8") == comparison_html(data)
    assert picture.read_text(encoding="utf-8").strip() == costs_svg(data)
    assert main(["compare", str(SCENARIOS / "locked_counter.yaml"), "--backends", "x"]) == 2
    nowhere = str(tmp_path / "no" / "c.html")
    assert main(["compare", str(SCENARIOS / "locked_counter.yaml"), "--html", nowhere]) == 2
    assert main(["compare", str(SCENARIOS / "locked_counter.yaml"), "-o", str(tmp_path)]) == 2
    script = tmp_path / "bug.py"
    trace = str(ROOT / "traces" / "unlocked_counter.json")
    assert main(["export", trace, "--as", "threading", "-o", str(script)]) == 0
    assert subprocess.run([sys.executable, str(script)], capture_output=True).returncode == 1
    capsys.readouterr()
    assert main(["export", trace, "--as", "asyncio"]) == 3
    assert main(["export", trace, "--as", "threading"]) == 0
    assert capsys.readouterr().out == script.read_text(encoding="utf-8").replace(
        str(script), "bug.py"
    )


# --- how it is told --------------------------------------------------------------------------
def classic() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(CLASSIC.read_text(encoding="utf-8"))
    return data


def lines_of(data: dict[str, Any], style: Style) -> list[str]:
    return [line if isinstance(line, str) else line.plain for line in comparison_lines(data, style)]


def test_what_went_wrong_in_free_runs_comes_first(unlocked: dict[str, Any]) -> None:
    assert summary(classic()) == (
        "With no locks it went wrong where it ran freely: in 9 of 9 on threading and in 9 of 9 on "
        "multiprocessing. As it is written, nothing goes wrong on any of the backends, as far as "
        "was seen."
    )
    data = json.loads(json.dumps(unlocked))
    data["outcomes"]["rows"][0]["cells"]["threading"].update(seen=3, runs=4)
    assert summary(data).startswith(
        "Free runs went wrong: in 3 of 4 on threading. It depends on the backend."
    )


def test_eighty_columns_are_enough(unlocked: dict[str, Any]) -> None:
    for data in (classic(), unlocked):
        lines = lines_of(data, Style(80, True))
        assert max(map(len, lines)) <= 80
        plain = lines_of(data, Style(80, False))
        assert all(line.isascii() for line in plain)
        assert list(map(len, plain)) == list(map(len, lines))


def test_the_documentation_shows_what_the_command_made() -> None:
    data = classic()
    page = (ROOT / "docs" / "pages" / "how-to" / "compare.md").read_text(encoding="utf-8")
    lines = lines_of(data, Style(80, True))
    start = next(n for n, line in enumerate(lines) if line.startswith("What it costs"))
    end = next(n for n, line in enumerate(lines) if line.startswith("Crash and cancel"))
    table = "\n".join(lines[start + 2 : end - 1])
    assert table in page
    assert "tests/data/classic.svg" in page
    picture = (ROOT / "tests" / "data" / "classic.svg").read_text(encoding="utf-8")
    assert picture.strip() == costs_svg(data)


def test_the_page_needs_nothing_else(unlocked: dict[str, Any]) -> None:
    page = comparison_html(unlocked)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "<script" not in page and len(page) < 200_000
    assert "prefers-color-scheme:dark" in page
    assert "read counter = 0" in page  # the smallest schedule


@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
@settings(max_examples=10, deadline=None)
def test_nothing_in_a_document_becomes_markup(text: str) -> None:
    nasty = f'{text}<script>alert(1)</script>\x1b[31m"'
    data = classic()
    data["scenario"]["name"] = data["scenario"]["description"] = nasty
    data["notes"] = [nasty]
    data["outcomes"]["rows"][0].update(outcome=nasty, why=nasty, differs=True)
    for row in data["costs"]["rows"]:
        row["variant"] = row["error"] = nasty
    data["leftovers"][0]["what"] = nasty
    page = comparison_html(data)
    assert "<script" not in page
    assert "\x1b" not in page + "\n".join(lines_of(data, Style(80, True)))
    ElementTree.fromstring(costs_svg(data))


def test_the_picture_has_a_text_alternative() -> None:
    root = ElementTree.fromstring(costs_svg(classic()))
    space = "{http://www.w3.org/2000/svg}"
    words = root.find(f"{space}desc")
    assert words is not None and words.text is not None
    assert "threading, lock in the loop:" in words.text
    bars = root.findall(f"{space}rect")
    assert len(bars) == len([r for r in classic()["costs"]["rows"] if r["seconds"]])
    medians = [row["seconds"]["median"] for row in classic()["costs"]["rows"]]
    widths = [float(bar.get("width", "0")) for bar in bars]
    order = sorted(range(len(bars)), key=medians.__getitem__)
    assert [widths[k] for k in order] == sorted(widths)


def test_durations() -> None:
    told = [duration(value) for value in (12.34, 1.0, 0.99999, 0.0123, 1.5e-5, 2e-8, 0.0)]
    assert told == ["12.3 s", "1.00 s", "1.00 s", "12.3 ms", "15.0 µs", "0.02 µs", "0.00 µs"]


def test_a_room_does_not_hide_the_function_of_its_name() -> None:
    code = (
        "import tracelock.compare.stats, tracelock.export.points, tracelock.explore.search\n"
        "import tracelock\n"
        "from tracelock.compare import stats\n"
        "print(*[one.__class__.__name__ for one in\n"
        "        (tracelock.compare, tracelock.export, tracelock.explore, stats)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["function", "function", "function", "module"], done.stderr


def test_the_command_line_offers_what_there_is() -> None:
    from tracelock.cli.options import EXPORTS
    from tracelock.session.exporting import TARGETS

    assert EXPORTS == TARGETS


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_what_a_native_program_prints_is_bounded(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "prints", "shared": {"n": 0},
        "workers": {"w": {"steps": [{"write": "n", "value": 1}]}},
    }  # fmt: skip
    monkeypatch.setitem(BOUNDS, "RLIMIT_FSIZE", 1 << 20)
    with Workshop() as workshop:
        prepared = workshop.prepare(scenario_from_data(data), backend, 1.0)
        with open(prepared.file, "a", encoding="utf-8") as program:
            program.write("\nimport sys\nwhile True: sys.stderr.write('line' * 1000)\n")
        found = workshop.run(prepared, seconds=60.0)
    assert "line" in found["error"] and len(found["error"]) <= 200


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_a_native_program_has_bounds_of_memory_and_time(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of a stranger's program that would have 900 million items, and a loop without end."""
    grow: list[Any] = [{"let": {"x": "[0] * 900000"}}]
    grow += [{"let": {"x": "x + x"}}] * 10 + [{"write": "n", "value": 1}]
    data = {
        "format": "tracelock-scenario/1", "name": "grows", "shared": {"n": 0},
        "workers": {"w": {"steps": grow}, "v": {"steps": [{"write": "n", "value": 2}]}},
    }  # fmt: skip
    assert BOUNDS["RLIMIT_AS"] >= 1 << 30
    monkeypatch.setitem(BOUNDS, "RLIMIT_AS", 600 << 20)
    with Workshop() as workshop:
        prepared = workshop.prepare(scenario_from_data(data), backend, 1.0)
        found = workshop.run(prepared, seconds=60.0)
        assert found["status"] == 1 and found["state"] == {"n": 2}, found
        if backend == "threading":
            assert "MemoryError" in found["output"]
        with open(prepared.file, "a", encoding="utf-8") as program:
            program.write("\nwhile True: pass\n")
        assert "error" in workshop.run(prepared, seconds=1.0)
