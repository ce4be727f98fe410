"""Where keys lead in the tour, how a page is cut into screens, and that the chapter is whole."""

from __future__ import annotations

import pytest
from rich.text import Text

from tracelock.cli.learning.chapter import CONCEPTS
from tracelock.cli.learning.shipped import file_of, first_sentence, names, path_of
from tracelock.cli.learning.showing import workers_of
from tracelock.cli.learning.tour import TourPlace, concept_of, screens_of
from tracelock.errors import UsageError
from tracelock.scenario.loading import load_scenario


def pressed(keys: list[str], screens: int = 2) -> tuple[int, int, bool]:
    place = TourPlace(14)
    going = True
    for key in keys:
        going = place.press(key, screens)
    return place.concept + 1, place.screen, going


@pytest.mark.parametrize(
    ("keys", "concept", "screen"),
    [
        ([" "], 1, 1), ([" ", " "], 2, 0), (["n"], 2, 0), (["n", "p"], 1, 0), (["p"], 1, 0),
        ([" ", "b"], 1, 0), (["n", "b"], 1, 0), (["\r"], 1, 1), (["3"], 3, 0), (["1"], 1, 0),
        (["1", "4"], 14, 0), (["14"], 14, 0), (["1", "\r"], 1, 0), (["n", "1", "\r"], 1, 0),
        (["1", "\x7f", "9"], 9, 0), (["1", "n"], 2, 0), (["9", "9"], 9, 0), (["0"], 1, 0),
        (["1", "5"], 1, 0), (["14", "n", "n"], 14, 0), (["\x1b[C", "\x1b[C"], 2, 0), (["x"], 1, 0),
        (["\xb2"], 1, 0),
    ],
)  # fmt: skip
def test_where_keys_lead(keys: list[str], concept: int, screen: int) -> None:
    assert pressed(keys) == (concept, screen, True)


@pytest.mark.parametrize("key", ["q", "\x03", "\x04", "\x1b", ""])
def test_what_ends_it(key: str) -> None:
    assert pressed(["n", key]) == (2, 0, False)


def test_a_page_is_cut_between_paragraphs() -> None:
    lines = [Text(word) for word in ("a", "b", "c", "", "d", "e", "f", "", "g")]
    plain = [[line.plain for line in screen] for screen in screens_of(lines, 5, 80)]
    assert plain == [["a", "b", "c"], ["d", "e", "f", "", "g"]]
    assert [len(screen) for screen in screens_of([Text("x")] * 12, 5, 80)] == [5, 5, 2]
    assert [len(screen) for screen in screens_of([Text("x" * 25)] * 4, 6, 10)] == [2, 2]
    assert [len(screen) for screen in screens_of([Text("x" * 99)] * 2, 6, 10)] == [1, 1]


def test_the_chapter_is_whole() -> None:
    known = set(names())
    assert len({one.name for one in CONCEPTS}) == len(CONCEPTS) == 14
    for one in CONCEPTS:
        assert set(one.scenarios) <= known and set(one.runs) <= set(one.scenarios) and one.runs
        assert one.go_on and all(line.startswith("tracelock ") for line in one.go_on)
        assert concept_of(one.name) is one
    assert concept_of("8").name == "deadlock"
    with pytest.raises(UsageError, match=r"nothing called deadlok: did you mean deadlock\?"):
        concept_of("deadlok")


def test_only_the_workers_of_a_program() -> None:
    program = (
        "import x\n\ndef helper():\n    pass\n\nasync def w(i):\n    a = 1\n\ndef v():\n    b\n"
    )
    assert list(workers_of(program, {"w", "v"})) == [
        "async def w(i):", "    a = 1", "", "def v():", "    b",
    ]  # fmt: skip


# --- the scenarios that come with the package ---------------------------------------------------
def test_a_name_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_of("@pi") == file_of("pi") == file_of("pi.yaml")
    assert file_of("deadlock-ab-ba") == file_of("@deadlock_ab_ba")
    monkeypatch.chdir(file_of("pi").parent)
    assert path_of("@pi") == "pi.yaml"
    monkeypatch.chdir("/")
    assert path_of("@pi") == str(file_of("pi"))[0:] or path_of("@pi") == str(file_of("pi"))[1:]
    assert path_of("./@pi") == "./@pi" and path_of("pi") == "pi"
    with pytest.raises(UsageError, match=r"^@philosofers: .*: did you mean @philosophers\?"):
        path_of("@philosofers")
    with pytest.raises(UsageError, match="'tracelock scenarios' lists them"):
        path_of("@")
    with pytest.raises(UsageError, match="no scenario of that name"):
        path_of("@../pyproject")


def test_each_says_what_it_is_about_in_a_sentence() -> None:
    found = {name: first_sentence(load_scenario(file_of(name))) for name in names()}
    assert found["unlocked_counter"] == "Two workers add one to a counter without a lock."
    assert found["lock_fairness"] == "First come, first served?"
    assert all(text and "\n" not in text for text in found.values())
