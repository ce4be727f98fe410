"""YAML and JSON as plain data with places."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.errors import ScenarioError
from tracelock.scenario.documents import yaml_reader
from tracelock.scenario.documents.document import Document
from tracelock.scenario.documents.reading import read_document, read_text
from tracelock.scenario.documents.yaml_reader import resolve
from tracelock.scenario.documents.yaml_writer import dump_yaml
from tracelock.scenario.faults import path_text

PROFILE = settings(derandomize=True, deadline=None, max_examples=150)


def problems(text: str, kind: Any) -> list[str]:
    try:
        document = read_document(text, "f", kind)
    except ScenarioError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("off", "off"), ("y", "y"),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("+1", 1), ("-0", 0), ("1e3", 1000.0),
        (".5", 0.5), ("1.", 1.0), ("-1.5E-2", -0.015), ("~", None), ("", None),
        ("null", None), ("Null", None), ("true", True), ("True", True), ("FALSE", False),
        ("tRUE", "tRUE"), ("1_000", "1_000"), ("1:30", "1:30"), ("2001-01-01", "2001-01-01"),
        ("0b1", "0b1"), ("-0x1", "-0x1"), ("<<", "<<"), ("=", "="), (".", "."), ("-", "-"),
    ],
)  # fmt: skip
def test_core_schema(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value and type(found) is type(value)


def test_quoted_scalars_are_texts() -> None:
    document = read_document("a: '1'\nb: \"true\"\nc: |\n  2\n", "f", "yaml")
    assert document.data == {"a": "1", "b": "true", "c": "2\n"}


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e400", "9" * 1001, "0x" + "f" * 1001])
def test_numbers_that_json_cannot_hold(text: str) -> None:
    (problem,) = problems(f"a:\n  b: {text}", "yaml")
    assert problem.startswith("f:2:6: a.b: ")


def test_all_that_is_refused_is_found_at_once() -> None:
    text = "a: &x 1\nb: *x\na: 2\nc: !!str 3\nd: !foo [1]\n---\nx"
    assert problems(text, "yaml") == [
        "f:1:4: a: anchors (&name) are refused: there are no aliases",
        "f:2:4: b: aliases (*name) are refused: write the value out",
        'f:3:1: a: duplicate key "a"',
        "f:4:4: c: tags (!name) are refused",
        "f:5:4: d: tags (!name) are refused",
        "f:6:1: only one document may stand here",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "f:1:1: the document is empty"),
        ("# only a comment", "f:1:1: the document is empty"),
        ("a: [1", "f:2:1: "),
        ("a: b: c", "f:1:5: not valid YAML: a colon"),
        ("a:\n\t- b", "f:2:1: a: YAML is indented with spaces"),
        ("? [a]\n: b", "f:1:3: a key must be a word"),
        ("*a : b", "f:1:1: aliases"),
        ("a: x\x07y", "f:1:5: the character '\\x07'"),
        ("a: @x", "f:1:4: a: not valid YAML: this character"),
        ("a: 1\n  b: 2", "f:2:4: "),
    ],
)
def test_yaml_that_cannot_be_read(text: str, start: str) -> None:
    (problem,) = problems(text, "yaml")
    assert problem.startswith(start)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "f:1:1: the document is empty"),
        ('{"a": 1,}', "f:1:9: JSON has no comma before }"),
        ("[1,]", "f:1:4: [1]: JSON has no comma before ]"),
        ("[1 2]", "f:1:4: [1]: a comma or ] belongs here"),
        ("[[1] 2]", "f:1:6: [1]: a comma"),
        ('{"a" 1}', "f:1:6: a: a colon belongs here"),
        ("{a: 1}", "f:1:2: a key in double quotes"),
        ("{}\n{}", "f:2:1: something follows"),
        ("[01]", 'f:1:2: [0]: "01" is no JSON number'),
        ("[tru]", 'f:1:2: [0]: "tru" is no JSON value'),
        ("[NaN]", "f:1:2: [0]: NaN is not JSON"),
        ("[-Infinity]", "f:1:2: [0]: -Infinity is not JSON"),
        ("[1e400]", "f:1:2: [0]: this number is too large"),
        ('["a\nb"]', "f:1:4: [0]: invalid control character"),
        ('["a', "f:1:2: [0]: unterminated string"),
        ("// x\n{}", "f:1:1: JSON has no comments"),
        ('{"a": "\\ud800"}', "f:1:7: a: this text holds half a character"),
        ('{"a": [1,', "f:1:10: a[1]: the document ends too early"),
    ],
)
def test_json_that_cannot_be_read(text: str, start: str) -> None:
    (problem,) = problems(text, "json")
    assert problem.startswith(start)


def test_json_duplicate_keys() -> None:
    text = '{"a": 1,\n "b": {"c": 1, "c": 2},\n "a": 3}'
    assert problems(text, "json") == [
        'f:2:16: b.c: duplicate key "c"',
        'f:3:2: a: duplicate key "a"',
    ]
    document = read_document(text, "f", "json")
    assert document.data == {"a": 1, "b": {"c": 1}}


def test_places() -> None:
    document = read_document('a:\n  - {b: "x y", é: z}\n  - [1,\n     q + r]\n', "f", "yaml")
    assert document.value_at(("a", 0, "b"), 2) == (2, 12)
    assert document.key_at(("a", 0, "é")) == (2, 16)
    assert document.value_at(("a", 1, 1), 4) == (4, 10)
    assert document.value_at(("a", 7, "x")) == (2, 3)
    assert document.value_at(("nowhere",)) == (1, 1)
    other = read_document('{"a":\n [10, "x\\u0041y", "xy"]}', "f", "json")
    assert other.value_at(("a", 1), 2) == (2, 7)  # escapes: only the text itself has a place
    assert other.value_at(("a", 2), 1) == (2, 21)
    assert other.key_at(("a",)) == (1, 2)


def test_hundred_levels_are_allowed() -> None:
    text = "[" * 100 + "]" * 100
    for kind in ("json", "yaml"):
        assert not problems(text, kind)
        assert problems("[" + text + "]", kind) == ["f:1:101: nested deeper than 100 levels"]


def test_python_parser_of_yaml_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, 'x', {b: ~}]\né: |\n  text\n1: on\n"
    fast = read_document(text, "f", "yaml")
    monkeypatch.setattr(yaml_reader, "_LOADER", yaml.SafeLoader)
    slow = read_document(text, "f", "yaml")
    assert fast.data == slow.data == {"a": [1, "x", {"b": None}], "é": "text\n", "1": "on"}
    for path in (("a", 1), ("a", 2, "b"), ("é",), ("1",)):
        assert fast.value_at(path) == slow.value_at(path)
    assert problems("[" * 2000, "yaml") == ["f:1:101: nested deeper than 100 levels"]


def test_size_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="larger than 10 bytes"):
        read_document("a: 12345678", "f", "yaml", max_bytes=10)
    with pytest.raises(ScenarioError, match="larger than 10 bytes"):
        read_document("a: äääää", "f", "yaml", max_bytes=10)
    file = tmp_path / "big.yaml"
    file.write_text("a: 12345678")
    with pytest.raises(ScenarioError, match="larger than 10 bytes"):
        read_text(str(file), 10)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: 1\nb\xc3\xa4\xff: 2\n")
    with pytest.raises(ScenarioError) as caught:
        read_text(str(file))
    assert str(caught.value) == f"{file}:2:3: this is not UTF-8 text"
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_text(str(tmp_path / "none.yaml"))
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_text(str(tmp_path))


def test_byte_order_mark() -> None:
    assert read_document("\ufeffa: 1", "f", "yaml").data == {"a": 1}
    assert read_document('\ufeff{"a": 1}', "f", "json").data == {"a": 1}


def test_paths() -> None:
    assert (
        path_text(("workers", "w", "steps", 0, "do", 1, "with")) == "workers.w.steps[0].do[1].with"
    )
    assert path_text(("shared", "a b", 2)) == 'shared["a b"][2]'
    assert path_text(()) == ""


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    | st.sampled_from(["on", "0o10", "1e3", "~", "null", "010", ".inf", "- a", "a: b", "#", "é\n"])
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b) and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@PROFILE
@given(trees, st.sampled_from([None, 1]), st.booleans())
def test_json_reads_what_json_writes(data: Any, indent: int | None, ascii_only: bool) -> None:
    document = read_document(json.dumps(data, indent=indent, ensure_ascii=ascii_only), "f", "json")
    assert not document.problems and same(document.data, data)
    assert_placed(document, data)


@PROFILE
@given(trees)
def test_yaml_reads_what_it_writes(data: Any) -> None:
    document = read_document(dump_yaml(data), "f", "yaml")
    assert not document.problems and same(document.data, data)
    assert_placed(document, data)


def assert_placed(document: Document, data: Any, path: tuple[str | int, ...] = ()) -> None:
    line, column = document.value_at(path)
    assert line >= 1 and column >= 1
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            assert_placed(document, value, (*path, key))


@PROFILE
@given(st.text(alphabet="{}[],:\"'0123eE+-.truefalsn \n\\u&*!|>-#?", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for kind in ("yaml", "json"):
        for problem in problems(text, kind):
            assert "\n" not in problem and problem.startswith("f:")
    try:
        expected = json.loads(text)
    except ValueError:
        assert problems(text, "json")
    else:
        if not problems(text, "json"):
            assert read_document(text, "f", "json").data == expected
