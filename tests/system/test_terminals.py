"""Nothing that a document, or a file's name, says reaches a terminal as something it obeys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.hostile import places, with_text
from tracelock.cli.main import main
from tracelock.cli.output import harmless

ROOT = Path(__file__).resolve().parents[2]
#: Clears the screen, sets the title, the same as one character, turns text round, rings.
EVIL = "E\x1b[2J\x1b]0;title\x07\x9b2J\u202e\u2066\x7f\x85\x08\rL\u2028"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

SCENARIO: dict[str, Any] = {
    "format": "tracelock-scenario/1", "name": EVIL, "description": EVIL,
    "shared": {"word": EVIL, "counter": 0},
    "workers": {
        "w": {"count": 2, "steps": [
            {"write": "word", "value": repr(EVIL + "2")},
            {"write": "counter", "value": "counter + 1"},
            {"assert": f"word != {EVIL!r}", "message": EVIL},
        ]},
        "v": {"steps": [{"if": "counter == 1", "then": [{"fail": EVIL}]}]},
    },
    "finally": [f"counter == 2 or word == {EVIL!r}"],
}  # fmt: skip


def obeyed(text: str) -> set[str]:
    """What a terminal would obey, beside the colours that are ours."""
    return {char for char in _COLOURS.sub("", text) if not char.isprintable()} - set("\n\t")


@pytest.fixture(params=["plain", "coloured"])
def says(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Any:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if request.param == "coloured":
        monkeypatch.setenv("FORCE_COLOR", "1")

    def call(*words: str) -> int:
        status = main(list(words))
        out, err = capfd.readouterr()
        assert not obeyed(out), (words, out)
        assert not obeyed(err), (words, err)
        assert status != 4, err
        return status

    return call


def test_every_command_on_a_hostile_scenario(says: Any) -> None:
    file = f"{EVIL}.json"
    Path(file).write_text(json.dumps(SCENARIO), encoding="utf-8")
    assert says("validate", file) == 0
    status = says("run", file, "--strategy", "random", "--seed", "1", "--trace", "t.json")
    assert status in (0, 1)
    for words in (
        ["run", file, "--runs", "5", "--no-trace"],
        ["explore", file, "--strategy", "dpor", "--all", "--trace", f"{EVIL}.t.json"],
        ["explore", file, "--json", "--trace", "e.json"], ["compare", file, "--runs", "2",
        "--backends", "threading", "--html", f"{EVIL}.html"], ["check", "e.json", file],
        ["export", file, "--as", "threading"], ["export", file, "--as", "pytest"],
        ["export", file, "--as", "asyncio", "-o", f"{EVIL}.py"],
        ["export", "e.json", "--as", "pytest"],
    ):  # fmt: skip
        assert says(*words) in (0, 1, 5), words
    for trace in ("e.json", f"{EVIL}.t.json"):
        for words in (
            ["replay", trace], ["replay", trace, "--json"], ["show", trace],
            ["show", trace, "--json"], ["analyze", trace], ["analyze", trace, "--json"],
            ["attach", trace], ["attach", trace, "--find-twin"], ["predict", trace],
            ["shrink", trace, "-o", f"{EVIL}.min.json"], ["recover", trace],
            ["report", trace, "-o", f"{EVIL}.html"],
            *(["report", trace, "--as", form, "-o", "-"]
              for form in ("html", "markdown", "chrome", "shiviz", "text")),
        ):  # fmt: skip
            assert says(*words) in (0, 1), words


def test_every_command_on_what_is_wrong(says: Any) -> None:
    evil = f"{EVIL}.yaml"
    texts = (json.dumps({**SCENARIO, EVIL: EVIL}), f'"{EVIL}', f"a: *{EVIL}", EVIL, "",
             json.dumps({**SCENARIO, "finally": [EVIL]}), "a: [" * 200)  # fmt: skip
    for text in texts[: amount(2, 9)]:
        Path(evil).write_text(text, encoding="utf-8")
        Path(f"{EVIL}.json").write_text(text, encoding="utf-8")
        for words in (
            ["validate", evil], ["run", evil], ["explore", evil], ["compare", evil],
            ["export", evil, "--as", "trio"], *(
                [command, f"{EVIL}.json"]
                for command in ("replay", "show", "analyze", "attach", "predict", "shrink",
                                "recover")
            ), ["report", f"{EVIL}.json", "--as", "html", "-o", "-"],
        ):  # fmt: skip
            assert says(*words) in (1, 2), words
    none = f"none{EVIL}"
    for words in (
        [none], ["validate", none], ["run", none], ["replay", none], ["show", f"--{EVIL}"],
        ["report", evil, "-o", f"{none}.pdf"], ["run", evil, "--backend", EVIL],
        ["run", evil, "--trace", f"{EVIL}/x/\0"], ["atomic", f"{EVIL} += 1"],
        ["atomic", f"x = {EVIL!r}", "--no-trace"], ["explore", evil, "--prefix", EVIL],
        ["explore", evil, "--instrument", EVIL], ["report", evil, "-o", "/" + EVIL + "/x.html"],
        ["compare", evil, "--python", EVIL], ["compare", evil, "--backends", EVIL],
        ["explore", evil, "--seconds", EVIL],
    ):  # fmt: skip
        assert says(*words) in (0, 1, 2, 5), words


TRACES = [
    json.loads((ROOT / "traces" / f"{name}.json").read_text())
    for name in ("deadlock_ab_ba", "unlocked_counter", "condition_lost_wakeup")
]


@given(data=st.data())
@settings(max_examples=amount(40, 3_000))
def test_every_place_of_a_trace(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(TRACES))
    path = data.draw(st.sampled_from(list(places(whole))))
    words = data.draw(st.sampled_from([
        ["replay"], ["show"], ["analyze"], ["attach"], ["predict", "--no-trace"],
        ["report", "--as", "markdown", "-o", "-"], ["report", "--as", "text", "-o", "-"],
        ["report", "--as", "html", "-o", "-"], ["report", "--as", "chrome", "-o", "-"],
        ["report", "--as", "shiviz", "-o", "-"], ["export", "--as", "threading"],
        ["recover", "-o", "-"],
    ]))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        import io
        import sys
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            patch.chdir(folder)
            Path("t.json").write_text(json.dumps(with_text(whole, path, EVIL)))
            out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = main([words[0], "t.json", *words[1:]])
            for stream in (out, err):
                stream.flush()
                said = stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]
                assert not obeyed(said), (path, words, said)
        assert status != 4, (path, words)


@given(st.text())
def test_the_last_gate(text: str) -> None:
    made = harmless(text)
    assert len(made) == len(text) and not obeyed(made)
    assert all(a == b for a, b in zip(made, text, strict=True) if b.isprintable() or b in "\n\t")
