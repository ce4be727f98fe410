"""Nothing that a document, a trace or a file's name says becomes code of an exported program."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import FULL, amount
from tests.helpers.hostile import KNOWN, TEXTS, places, with_text
from tracelock.cli.main import main
from tracelock.errors import TracelockError
from tracelock.export.writing import comment, docstring, lined, quoted
from tracelock.scenario.language.expressions import FUNCTIONS
from tracelock.scenario.loading import load_scenario_text, scenario_from_data
from tracelock.session.exporting import TARGETS, export
from tracelock.trace import load_trace_text

ROOT = Path(__file__).resolve().parents[2]
CHILD = ROOT / "tests" / "helpers" / "watched_child.py"
OLD = Path.home() / ".pyenv" / "versions" / "3.9.18" / "bin" / "python"
#: Every place of a scenario that holds text, expressions with texts in them included.
SCENARIO: dict[str, Any] = {
    "format": "tracelock-scenario/1",
    "name": "hostile",
    "description": "of all places",
    "shared": {"word": "a", "words": ["a", "b", None], "counter": 0, "other": "a"},
    "objects": {
        "guard": "lock", "jobs": {"type": "queue", "maxsize": 3},
        "ready": {"type": "condition", "lock": "guard"},
    },
    "workers": {
        "m": {"count": 2, "start": "manual", "steps": [{"work": 1}]},
        "w": {
            "count": 2,
            "steps": [
                {"write": "word", "value": "'TEXT'"},
                {"let": {"mine": "'TEXT'"}},
                {"atomic": [{"write": "words[len('TEXT') * 0]", "value": "'TEXT'"}]},
                {"compare_exchange": "other", "expect": "'TEXT'", "value": "'TEXT'", "into": "ok"},
                {"exchange": "other", "value": "'TEXT'", "into": "old"},
                {"put": "jobs", "value": "'TEXT'", "blocking": False, "into": "put"},
                {"get": "jobs", "into": "item", "blocking": False, "got": "got"},
                {"with": "guard", "do": [{"notify": "ready"}]},
                {"if": "mine == 'no' or word == 'TEXT'", "then": ["stop"]},
                {"assert": "mine == mine or mine == 'TEXT'", "message": "of all places"},
                {"assert": "word == word or word == 'TEXT'"},
                {"if": "counter == 7", "then": [{"fail": "of all places"}]},
                {"while": "counter == 8 and word != 'TEXT'", "do": ["break"]},
                {"repeat": "len('TEXT') * 0", "index": "k", "do": [{"sleep": "len('TEXT') * 0"}]},
                {"if": "index == 0", "then": [{"spawn": "m[len('TEXT') * 0]"}]},
                {"if": "index == 0", "then": [{"join": "m[len('TEXT') * 0]"}]},
            ],
        },
    },
    "finally": ["word == word or word == 'TEXT'"],
    "always": ["counter >= 0 or word == 'TEXT'"],
}  # fmt: skip
PLACES = list(places(SCENARIO))


def hostile_scenario(path: Sequence[Any], text: str) -> Any:
    """The scenario with ``text`` at a place; within an expression, where there is one."""
    at: Any = SCENARIO
    for part in path:
        at = part[1] if isinstance(part, tuple) else at[part]
    whole = at.replace("'TEXT'", repr(text)) if "TEXT" in at and at != "'TEXT'" else text
    return with_text(SCENARIO, tuple(path), repr(text) if at == "'TEXT'" else whole)


@cache
def known_names() -> frozenset[str]:
    """The names that programs have of the exporter itself: all words of its own source."""
    words: set[str] = set(FUNCTIONS)
    for path in (ROOT / "tracelock" / "export").glob("*.py"):
        words.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return frozenset(words - {"system", "exec", "subprocess", "injected", "__import__"})


def names(source: str) -> set[str]:
    """All names that a program uses for anything."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source, feature_version=(3, 9))):
        match node:
            case ast.Name(id=name) | ast.alias(name=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.keyword(arg=str(name)) | ast.arg(arg=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add("test_" if name.startswith("test_") else name)
    return found


def check(source: str, also: Iterable[str] = ()) -> None:
    """A program is text that shows all that is in it, and uses no names but those it may."""
    assert all(char.isprintable() or char == "\n" for char in source)
    known = known_names() | set(also)
    # names that are taken already get a line or a number behind them
    unknown = {
        name for name in names(source) - known
        if re.sub(r"(_nowait)?_?[0-9]*$", "", name) not in known
    }  # fmt: skip
    assert not unknown, f"{unknown}\n{source}"


def own_names(data: Any) -> set[str]:
    """Names in a program that come of those of a scenario, which may be hostile and yet names."""
    wanted = {name for part in ("shared", "objects", "workers") for name in data.get(part, {})}
    for path in places(data):
        if isinstance(path[-1], tuple):
            wanted |= {path[-1][1]} if "let" in path else set()
        elif path[-1] in ("into", "got", "index"):
            at = data
            for part in path:
                at = at[part]
            wanted.add(at)
    made: set[str] = set()
    for name in wanted:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "it"
        for one in (plain, f"n{plain}", f"seen_{name}"):
            made |= {one, f"{one}_", *(f"{one}_{number}" for number in range(9))}
    return made - {"system", "exec", "subprocess", "__import__"}


def watched(sources: list[str]) -> list[list[str]]:
    """What each program does that none should."""
    done = subprocess.run(
        [sys.executable, "-I", str(CHILD)], input=json.dumps(sources), capture_output=True,
        text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def compiles_on_old_python(sources: list[str], folder: Path) -> None:
    """On CPython 3.9, where it is installed: newer parsers take newer f-strings for old ones."""
    if not OLD.exists():
        return
    file = folder / "sources.json"
    file.write_text(json.dumps(sources))
    script = "import json, sys\nfor s in json.load(open(sys.argv[1])): compile(s, 'file', 'exec')"
    done = subprocess.run(
        [str(OLD), "-I", "-c", script, str(file)], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


# --- the ways into source ----------------------------------------------------------------------
@given(text=TEXTS)
@settings(max_examples=amount(200, 1_000))
def test_text_stays_where_it_is_put(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text
    assert ast.literal_eval(lined(text)) == text
    (only,) = ast.parse("\n".join(docstring([text]))).body
    assert isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)
    lines = text.split("\n")
    several = ast.parse("\n".join([*docstring(["a", *lines, text]), "x = 1"])).body
    assert len(several) == 2 and isinstance(several[0], ast.Expr)
    assert ast.dump(ast.parse(f"x = 1  {comment(text)}")) == ast.dump(ast.parse("x = 1"))


# --- scenarios ---------------------------------------------------------------------------------
def test_every_place_of_a_scenario(tmp_path: Path) -> None:
    """Each known text at each place, in all formats; each format is executed with a text of each
    kind of place."""
    went: Counter[Any] = Counter()
    kept: dict[tuple[str, Any], str] = {}
    for number, path in enumerate(PLACES):
        for turn in range(amount(5, 10)):
            if went[path] and not FULL:
                break
            text = KNOWN[(number * 5 + turn) % len(KNOWN)]
            data = hostile_scenario(path, text)
            try:
                scenario = scenario_from_data(data)
            except TracelockError:
                continue
            for target in (
                TARGETS if FULL and not turn else (TARGETS[(number + turn) % len(TARGETS)],)
            ):
                halves = any("\ud800" <= char <= "\udfff" for char in text)
                if target == "pytest" and halves and "\\ud800" in json.dumps(scenario.to_data()):
                    with pytest.raises(TracelockError, match="half a character"):
                        export(scenario, target)
                    continue
                source = export(scenario, target, origin=f"tracelock export {text}")
                check(source, own_names(data))
                kept[target, path] = source
                if target == "pytest":
                    (kept_text,) = [
                        ast.literal_eval(node.value)
                        for node in ast.parse(source).body
                        if isinstance(node, ast.Assign)
                    ]
                    again = load_scenario_text(kept_text, "again", "yaml")
                    assert again.to_data() == scenario.to_data()
            went[path] += 1
    # what is refused is no test of what is written: texts in these places are not
    for path in PLACES:
        if path[-1] in ("name", "description", "message", "fail", "value", "expect", 0, "assert"):
            at = path[:-1] if path[-1] == "name" else path
            if "always" in at or path[-1] != 0:
                assert went[path], path
    sources = [
        source for (target, _), source in kept.items()
        if target != "multiprocessing"  # that starts processes, as it should
    ][:: amount(6, 3)]  # fmt: skip
    compiles_on_old_python(list(kept.values()), tmp_path)
    for source, found in zip(sources, watched(sources), strict=True):
        assert not found, (found, source)


def test_the_child_sees_what_it_is_there_to_see() -> None:
    from tests.helpers.hostile import PAYLOADS

    found = watched([f"{payload}\ndef main(): pass\n" for payload in PAYLOADS])
    assert all(found), found


@pytest.mark.parametrize("target", ["threading", "asyncio", "trio", "multiprocessing"])
def test_an_index_with_a_text_in_it_is_no_part_of_an_f_string(target: str, tmp_path: Path) -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "index", "shared": {},
        "workers": {
            "m": {"count": 2, "start": "manual", "steps": []},
            "w": {"count": 2, "steps": [
                {"spawn": "m[len(\"it's\") - 4 + index]"},
                {"join": "m[len(\"it\\\\s\") - 4 + index]"},
            ]},
        },
    }  # fmt: skip
    source = export(scenario_from_data(data), target)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue):
            inside = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            assert not any(isinstance(value, str) for value in inside)
    compiles_on_old_python([source], tmp_path)
    assert watched([source]) == [[]] or target == "multiprocessing"


def test_a_program_says_which_code_it_runs_that_the_scenario_names() -> None:
    steps = [{"call": "os:system", "args": ["'true'"]}]
    data = {"format": "tracelock-scenario/1", "name": "n", "workers": {"w": {"steps": steps}}}
    for target in ("threading", "trio"):
        made = ast.get_docstring(ast.parse(export(scenario_from_data(data), target))) or ""
        assert "It runs Python code that the scenario names; read that first: os:system" in made


def test_names_that_are_no_python_are_not_written() -> None:
    for name in ("class:f", "a.import:f", "os:lambda", "a²:f"):
        steps = [{"call": name}]
        data = {"format": "tracelock-scenario/1", "name": "n", "workers": {"w": {"steps": steps}}}
        with pytest.raises(TracelockError):
            export(scenario_from_data(data), "threading")


# --- traces ------------------------------------------------------------------------------------
@cache
def trace_data() -> list[Any]:
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "traces").glob("*.json"))
    ]


@given(data=st.data())
@settings(max_examples=amount(60, 500))
def test_every_place_of_a_trace(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(trace_data()))
    path = data.draw(st.sampled_from(list(places(whole))))
    text = data.draw(TEXTS)
    hostile = with_text(whole, path, text)
    target = data.draw(st.sampled_from(TARGETS))
    try:
        trace = load_trace_text(json.dumps(hostile), "hostile.json")
        source = export(trace, target, origin=f"export {text}")
    except TracelockError:
        return
    check(source, own_names(hostile["scenario"]))


def test_texts_of_traces_are_not_executed(tmp_path: Path) -> None:
    sources = []
    for number, whole in enumerate(trace_data()[:: amount(3, 1)]):
        verdict = whole["verdict"]
        for path in (("verdict", "message"), ("scenario", "name"), ("scenario", "description")):
            text = KNOWN[number % len(KNOWN)]
            hostile = with_text(whole, path, text) if path[-1] in whole[path[0]] else whole
            target = "pytest" if path[-1] == "name" else "threading"
            try:
                trace = load_trace_text(json.dumps(hostile), "hostile.json")
                sources.append(export(trace, target, origin=text))
            except TracelockError:
                assert verdict["kind"] != "deadlock" or whole["backend"] != "threading"
    assert len(sources) >= amount(12, 30)
    compiles_on_old_python(sources, tmp_path)
    quick = [source for source in sources if "multiprocessing" not in source]
    for source, found in zip(quick, watched(quick), strict=True):
        assert not found, (found, source)


def test_a_condition_that_there_is_not() -> None:
    (whole,) = [one for one in trace_data() if one["scenario"]["name"] == "check-then-act"]
    for at in ("always[1]", "always[99999999999]", "always", "finally[0]", "\u0663"):
        hostile = with_text(whole, ("verdict", "at"), at)
        with pytest.raises(TracelockError):
            export(load_trace_text(json.dumps(hostile), "hostile.json"), "threading")


# --- names of files ----------------------------------------------------------------------------
def test_names_of_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Those that a file can have: no slash, no zero, 255 bytes."""
    texts = [
        text for text in (*KNOWN, 'c""";__import__("os").system("echo injected");"""', "-", "a\\")
        if "/" not in text and "\0" not in text and "\ud800" not in text
    ]  # fmt: skip
    texts = [*texts[:: amount(4, 1)], os.fsdecode(b"\xff\x9b31m"), texts[-3]]
    sources = []
    for number, text in enumerate(texts):
        kind = (".yaml", ".json")[number % 2]
        file = tmp_path / f"{text}{kind}"
        name = ("scenarios/unlocked_counter.yaml", "traces/deadlock_ab_ba.json")[number % 2]
        shutil.copy(ROOT / name, file)
        for target in ("pytest", ("threading", "asyncio", "trio")[number % 3]):
            status = main(["export", str(file), "--as", target])
            told = capfd.readouterr()
            if target in ("asyncio", "trio") and kind == ".json" and status in (2, 3):
                continue  # the interleaving is not possible there
            assert status == 0, told.err
            check(told.out, {"counter", "incrementer", "balance", "account", "transfer"})
            sources.append(told.out)
    compiles_on_old_python(sources, tmp_path)
    for source, found in zip(sources, watched(sources), strict=True):
        assert not found, (found, source)
