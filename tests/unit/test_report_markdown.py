"""Reports as CommonMark (with GitHub's tables) reads them: texts of strangers stay texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.helpers.amount import amount
from tests.helpers.hostile import TEXTS
from tests.unit.test_report import nasty
from tracelock.analysis.findings import WARNING, Finding
from tracelock.report.about import Subject, how_to_replay
from tracelock.report.attach import attachment
from tracelock.report.markdown import code, fenced, markdown, plain
from tracelock.report.wording import clean
from tracelock.trace.text import visible

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
#: What somebody would write to get out of a place, in Markdown and in the HTML below it.
MARKS = st.lists(
    st.sampled_from([
        "`", "``", "```", "~~~", "|", "\\", "\\|", "*", "**", "_", "~~", "[", "](", "][", "]:", ")",
        "(", "!", "![", "<", ">", "</code>", "<b>", "<!--", "-->", "<script>", "</details>", "&",
        "&lt;", "&#96;", "#", "##", "- ", "1. ", "+ ", "> ", "---", "===", ": ", "\n", "\n\n", "\t",
        "    ", " ", "\r", "\u2028", "\0", "https://e.org", "www.e.org", "@who", "#1", "a", "b ",
        ":--|",
        "javascript:alert(1)", "a@e.org", "end", "%%{init: {}}%%", ";", "|--|", "\x1b[31m",
    ]),
    min_size=1, max_size=9,
).map("".join)  # fmt: skip
ANY = TEXTS | MARKS


def tokens(text: str) -> Iterator[Token]:
    for token in PARSER.parse(text):
        yield token
        yield from token.children or ()


def shown(text: str) -> str:
    """The text of Markdown, as a reader sees it."""
    return "".join(
        token.content if token.type in ("text", "code_inline", "fence", "text_special") else "\n"
        if token.type == "softbreak" else ""
        for token in tokens(text)
    )  # fmt: skip


def report_of(texts: list[str]) -> tuple[Subject, str]:
    finding = Finding(texts[0], texts[1], texts[2], (0, 1), (0, 1), (texts[0],), WARNING)
    subject = Subject(nasty(texts), [finding], path=texts[1].strip() or "t.json")
    return subject, markdown(subject)


@cache
def usual() -> Counter[str]:
    return Counter(token.type for token in tokens(report_of(["a", "b", "c"])[1]))


#: Of these there are as many whatever the texts are.
FIXED = ("heading_open", "table_open", "th_open", "td_open", "tr_open", "blockquote_open", "hr")


@given(texts=st.lists(ANY, min_size=3, max_size=3))
@settings(max_examples=amount(40, 400))
def test_no_text_becomes_markdown(texts: list[str]) -> None:
    subject, text = report_of(texts)
    found = Counter(token.type for token in tokens(text))
    for kind in FIXED:
        if kind != "blockquote_open" or texts[1].strip():  # no description, no quotation
            assert found[kind] == usual()[kind], (kind, text)
    assert not found["link_open"] + found["image"] + found["html_block"] + found["code_block"], text
    # <code> and &#N; for what stands in a table's cell with pipes and backslashes in it
    pieces = Counter(token.content for token in tokens(text) if token.type == "html_inline")
    assert pieces.keys() <= {"<code>", "</code>"} and pieces["<code>"] == pieces["</code>"], text
    assert not found["s_open"], text
    fences = [token for token in tokens(text) if token.type == "fence"]
    assert {token.info for token in fences} <= {"mermaid", "sh", "yaml", ""}
    assert sum(token.info == "mermaid" for token in fences) == 1
    (sh,) = [token for token in fences if token.info == "sh"]
    assert sh.content == how_to_replay(subject.trace, subject.path) + "\n"
    assert text.rstrip("\n").endswith("every result.")


@given(texts=st.lists(ANY, min_size=3, max_size=3))
@settings(max_examples=amount(20, 200))
def test_a_trace_that_is_folded_in_stays_in_its_fold(texts: list[str]) -> None:
    subject, _ = report_of(texts)
    text = attachment(subject)
    blocks = [token for token in PARSER.parse(text) if token.type in ("html_block", "fence")]
    assert [token.type for token in blocks[-3:]] == ["html_block", "fence", "html_block"]
    opened, fence, closed = blocks[-3:]
    assert opened.content.startswith("<details><summary>") and closed.content == "</details>\n"
    assert fence.info == "json" and fence.content == visible(subject.trace.to_text())
    assert sum(token.type == "html_block" for token in blocks) == 2


@given(text=ANY)
@settings(max_examples=amount(150, 2_000))
def test_what_is_written_is_what_is_read(text: str) -> None:
    wanted = clean(text)
    read = shown(f"x {plain(text)} x")
    assert read.split() == f"x {wanted} x".split(), plain(text)
    span = shown(f"x {code(text)} x")
    assert span.split() == f"x {wanted} x".split(), code(text)
    (fence,) = [token for token in tokens(fenced(clean(text))) if token.type == "fence"]
    assert fence.content == wanted + "\n"
    if wanted.strip():
        row = f"| {code(text, cell=True)} | b |"
        cells = [
            token for token in PARSER.parse(f"|a|b|\n|--|--|\n{row}") if token.type == "inline"
        ]
        assert len(cells) == 4
        assert shown_cell(cells[2]).split() == wanted.split(), row


def shown_cell(token: Token) -> str:
    return "".join(
        part.content for part in token.children or ()
        if part.type in ("text", "code_inline", "text_special")
    )  # fmt: skip
