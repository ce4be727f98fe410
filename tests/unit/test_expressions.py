"""The closed list of expressions: what is read, what is refused, and where."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.scenario.language.expressions import (
    FUNCTIONS,
    ExpressionError,
    constant_index,
    is_name,
    mentions,
    names,
    offset_of,
    parse,
    parse_reference,
    quote,
    suggest,
)

ALLOWED = (
    ast.Constant,
    ast.Name,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.List,
    ast.Call,
)


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("counter + 1", ("counter",)),
        ("  balance[index] - 10 ", ("index", "balance")),
        ("a < b <= c != d", ("a", "b", "c", "d")),
        ("x if y else z", ("y", "x", "z")),
        ("not a and b or c", ("a", "b", "c")),
        ("len(balance) + max(1, 2, x)", ("balance", "x")),
        ("[1, x][0] * -2 // 3 % 4 / 5", ("x",)),
        ("x is not null and y in [1, 2]", ("x", "y")),
        ("'red'", ()),
        ("a\n + b", ("a", "b")),
        ("round(sqrt(2.5), 1) + sum([1], 2)", ()),
        ("größe + 1", ("größe",)),
    ],
)
def test_accepts(text: str, mentioned: tuple[str, ...]) -> None:
    assert names(parse(text)) == mentioned


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("false", False), ("null", None), ("None", None)],
)
def test_constants_of_both_languages(text: str, value: object) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.Constant) and tree.value is value
    inner = parse(f"[{text}]")
    assert isinstance(inner, ast.List) and isinstance(inner.elts[0], ast.Constant)


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("1 + a.b", 4, "attributes"),
        ("a ** 2", 0, "powers"),
        ("a << 1", 0, "shifts"),
        ("a & b", 0, "did you mean and"),
        ("~a", 0, "did you mean not"),
        ("mx(1)", 0, 'unknown function "mx" (did you mean "max"?)'),
        ("print(1)", 0, "unknown function"),
        ("len()", 0, "len takes 1 argument, not 0"),
        ("round(1, 2, 3)", 0, "1 to 2"),
        ("max()", 0, "1 or more"),
        ("max(key=1)", 0, "no named arguments"),
        ("max(*a)", 4, "unpacking"),
        ("(1).real()", 0, "attributes"),
        ("x = 3", 0, "write =="),
        ("x && y", 2, "write and"),
        ("!x", 0, "write not"),
        ("a # b", 2, "comment"),
        ("(1, 2)", 0, "tuples"),
        ("a[1:2]", 2, "slices"),
        ("{}", 0, "mappings"),
        ("[x for x in y]", 0, "comprehensions"),
        ("lambda: 0", 0, "lambda"),
        ("f'{x}'", 0, "f-strings"),
        ("(x := 1)", 1, "let step"),
        ("b'x'", 0, "only constants"),
        ("1j", 0, "only constants"),
        ("...", 0, "only constants"),
        ("1e999", 0, "too large"),
        ("a is b", 0, "write =="),
        ("1 +", 3, "ends too early"),
        ("a b", 2, 'near "b"'),
        ("a; b", 1, "cannot be read"),
        ("'\\ud800'", 0, "surrogate"),
        ("", 0, "not an empty text"),
        ("  ", 0, "not an empty text"),
        ("é + b.c", 4, "attributes"),
    ],
)
def test_refuses_with_a_sentence_and_a_place(text: str, offset: int, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert words in caught.value.message
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "text",
    [
        "(" * 101 + "1" + ")" * 101,
        "-" * 5000 + "1",
        "not " * 2000 + "a",
        "1" + "+1" * 4000,
        "a" + "[0]" * 200,
        "a if b else " * 500 + "c",
        "9" * 20_000,
        "\x00",
        "x" * 10_001,
    ],
)
def test_bounds(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_hundred_levels_are_allowed() -> None:
    assert names(parse("-" * 98 + "x")) == ("x",)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(alphabet="ab1 .+-*/%<>=!()[]{},:'\"notrifelsm\n#é@&|~", max_size=40))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError as error:
        assert 0 <= error.offset <= len(text)
        assert "\n" not in error.message
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            assert isinstance(node, ALLOWED)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS


def test_mentions_say_how_sure_they_are() -> None:
    found = {m.name: m for m in mentions(parse("a and b[c] or len(d) if e else f < g < h"))}
    assert found["e"].sure and not found["a"].sure and not found["b"].sure
    assert found["d"].measured and not found["a"].measured
    index = found["b"].index
    assert isinstance(index, ast.Name) and index.id == "c"
    chain = {m.name: m.sure for m in mentions(parse("f < g < h"))}
    assert chain == {"f": True, "g": True, "h": False}


def test_offsets_count_characters() -> None:
    text = "  'é' == größe + wort"
    places = {m.name: offset_of(text, m.node) for m in mentions(parse(text))}
    assert places == {"größe": text.index("größe"), "wort": text.index("wort")}


def test_references() -> None:
    assert parse_reference("guard") == ("guard", None)
    name, index = parse_reference(" account[1 - index] ")
    assert name == "account" and isinstance(index, ast.BinOp)
    for text in ("a[0][1]", "a + b", "3", "", "a.b", "while", "2x", "f(x)"):
        with pytest.raises(ExpressionError):
            parse_reference(text)


def test_constant_indexes() -> None:
    assert [constant_index(parse(text)) for text in ("1", "-1", "x", "1 + 1")] == [1, -1, ..., ...]
    assert constant_index(None) is ...


def test_names() -> None:
    assert is_name("counter") and is_name("größe") and is_name("_x1")
    for text in ("", "2x", "a-b", "if", "true", "null", "None", "ﬁ", "a b"):
        assert not is_name(text)


def test_words_for_messages() -> None:
    assert quote("a\nb") == '"a\\nb"'
    assert len(quote("x" * 1000)) == 62
    assert suggest("aquire", ["acquire", "release"]) == ' (did you mean "acquire"?)'
    assert suggest("zzz", ["acquire"]) == ""
