"""Values of given names are kept out of every part of a report, wherever else they stand."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracelock
from tests.helpers.pool_traces import pool
from tests.helpers.tracing import trace_of
from tracelock.analysis.analyze import analyze
from tracelock.cli.main import main
from tracelock.errors import UsageError
from tracelock.names import for_display
from tracelock.report.about import Subject
from tracelock.report.attach import attachment
from tracelock.report.panes.touched import touched_source
from tracelock.report.redaction.redacting import redacted, without_homes
from tracelock.report.redaction.scrubbing import Secrets
from tracelock.report.render import FORMS
from tracelock.trace import Trace, Verdict

SECRET = "hunter2-and-some-more"
SOURCE = f'''
class Vault:
    def __init__(self, password, pin=4711):
        self.password = password
        self.pin: int = pin
        self.count = 0

    def login(self, password):
        if password == "{SECRET}":
            self.count += 1


def use():
    vault = Vault("{SECRET}", 4711)
    other = {{"password": "ab", "user": "ann"}}
    vault.login(password="""{SECRET}
        on two lines""")
    print(f"{{vault.count}} for {SECRET}")
    pin = 815
    return vault, other
'''
EVENTS = f"""
t write Vault#1@t.password = "{SECRET}" @ vault.py:4
t write Vault#1@t.pin = 4711 @ vault.py:5
t write Vault#1@t.count = 0 @ vault.py:6
a read Vault#1@t.count -> 0 @ vault.py:10
b read Vault#1@t.count -> 0 @ vault.py:10
b write Vault#1@t.count = 1 @ vault.py:10
a write Vault#1@t.count = 1 @ vault.py:10
a put log@vault.py:2 = "{SECRET}" @ vault.py:10
a write Vault#1@t.copy = {{"password":"x","n":[4711]}} @ vault.py:10
b read Vault#1@t.password -> "{SECRET}" @ vault.py:9
"""
MESSAGE = (
    f"AssertionError: '{SECRET}' and 'hunter2-a...me-more' and pin=4711\n  vault.py:4711 in use"
)


def vault() -> Trace:
    scenario = {"name": "vault", "python": {"places": {"vault.py:4": "Vault.__init__"}}}
    verdict = Verdict("failed", "assert", MESSAGE, {"password": SECRET}, [], "vault.py:19", 0)
    trace = trace_of(EVENTS, scenario=scenario, verdict=verdict)
    trace.extra["names"] = {"a": f"login({SECRET!r})", "b": "login(password='ab')"}
    return trace


def secrets_in(text: str) -> list[str]:
    return [one for one in (SECRET, "hunter2", "me-more", "4711", "815", "'ab'", '"ab"')
            if one in text]  # fmt: skip


def test_no_part_of_a_page_has_them() -> None:
    sources = {"vault.py": SOURCE}
    whole = tracelock.render_report(vault(), sources=sources)
    assert SECRET in whole and "4711" in whole
    page = tracelock.render_report(vault(), sources=sources, redact=["password", "pin"])
    # vault.py:4711 is a place, and no value
    assert secrets_in(page.replace("vault.py:4711", "")) == []
    assert "Vault.password = &quot;[redacted" in page
    assert "self.count += 1" in page and "&quot;user&quot;: &quot;ann&quot;" in page
    assert "values of password, values of pin" in page
    for form in ("markdown", "text", "chrome", "shiviz"):
        text = tracelock.render_report(vault(), form, sources=sources, redact=["password", "pin"])
        assert secrets_in(text.replace("vault.py:4711", "")) == [], form


def test_what_is_found_is_the_same() -> None:
    kept = redacted([vault()], ["count"], {"vault.py": SOURCE})
    before, after = analyze(for_display(vault())), analyze(for_display(kept.traces[0]))
    assert [one.kind for one in after.findings] == [one.kind for one in before.findings]
    assert "lost-update" in {one.kind for one in after.findings}


def test_the_source_keeps_its_lines_and_still_is_python() -> None:
    kept = redacted([vault()], ["password", "pin"], {"vault.py": SOURCE})
    source = kept.sources["vault.py"]
    ast.parse(source)
    assert len(source.splitlines()) == len(SOURCE.splitlines())
    assert secrets_in(source) == []
    assert kept.unused == []
    blocks = touched_source(kept.traces[0], kept.sources)
    assert [one.name for one in blocks] == ["Vault.__init__", "Vault.login"]


def test_an_attachment_has_no_trace_that_would_not_replay() -> None:
    kept = redacted([vault()], ["password"], {}).traces[0]
    seen = for_display(kept)
    text = attachment(Subject.of(seen, analyze(seen), record=kept, path="vault.json"))
    assert SECRET not in text and "tl1-" not in text and "<details><summary>The trace" not in text
    assert "does not replay" in text
    plain = for_display(vault())
    full = attachment(Subject.of(plain, analyze(plain), record=vault(), path="vault.json"))
    assert "<details><summary>The trace" in full


def test_names_that_are_none_and_names_that_nothing_has() -> None:
    with pytest.raises(UsageError, match="--redact password"):
        redacted([vault()], ["pass word"], {})
    assert redacted([vault()], ["passwrod"], {"vault.py": SOURCE}).unused == ["passwrod"]
    same = redacted([vault()], [], {"vault.py": SOURCE})
    assert same.sources == {"vault.py": SOURCE} and same.traces == [vault()]


def test_short_values_are_no_reason_to_take_words_apart() -> None:
    secrets = Secrets()
    secrets.add("ab")
    secrets.add("word")
    secrets.add(7)
    assert secrets.text("about 'ab' a word, words, 7 of 77") == (
        "about '[redacted]' a [redacted-2], words, 7 of 77"
    )
    secrets.add(815)
    assert secrets.text("pool.py:815 has 815, 8150 and 815.5") == (
        "pool.py:815 has [redacted-4], 8150 and 815.5"
    )
    assert secrets.value({"ab": [815, True, None]}) == {"ab": ["[redacted-4]", True, None]}


@settings(max_examples=60)
@given(st.text(min_size=6, max_size=30).filter(lambda one: one.strip()), st.text(max_size=20))
def test_a_value_is_in_no_text_whatever_it_is(secret: str, around: str) -> None:
    if "redacted" in secret or secret in "[redacted]":
        return
    secrets = Secrets()
    secrets.add(secret)
    for text in (secret, repr(secret), json.dumps(secret)):
        assert text[1:-1] not in secrets.text(f"<<{text}>>") or text[1:-1] in "[redacted]<<>>"
    assert secret not in secrets.value([around + secret])[0]


def test_home_folders_have_no_user_name(tmp_path: Path) -> None:
    scenario = {"name": "x", "python": {"places": {}}}
    text = "no file /home/ann/x.db, C:\\Users\\ann\\y, /root/z; /srv/home/ann stays"
    verdict = Verdict("failed", "assert", text, {"path": "/Users/ann/q"}, [], "a.py:1", 0)
    trace = trace_of('t write A.path = "/home/ann/x.db" @ a.py:1', scenario=scenario,
                     verdict=verdict)  # fmt: skip
    clean = without_homes(trace)
    assert clean.verdict.message == "no file ~/x.db, ~\\y, ~/z; /srv/home/ann stays"
    assert clean.verdict.state == {"path": "~/q"}
    assert clean.events[0].value == "~/x.db" and trace.events[0].value == "/home/ann/x.db"
    assert "ann" not in tracelock.render_report(trace).replace("/srv/home/ann stays", "")
    trace.save(tmp_path / "t.json")
    for form in FORMS:
        assert main(["report", str(tmp_path / "t.json"), "-o", f"{tmp_path}/r", "--as", form]) == 0
        told = (tmp_path / "r").read_text(encoding="utf-8")
        assert "ann" not in told.replace("/srv/home/ann stays", ""), form


def test_touched_functions_are_whole_and_others_are_not_there() -> None:
    trace, sources = pool("pool_threads")
    blocks = touched_source(trace, sources, ["test_pool.py:23"])
    names = [(one.file, one.name) for one in blocks]
    assert names == [
        ("pool.py", "Pool.__init__"), ("pool.py", "Pool.acquire"), ("pool.py", "Pool.release"),
        ("tests/test_pool.py", "test_pool_one_connection_three_users"),
    ]  # fmt: skip
    acquire = blocks[1].lines
    assert [line.number for line in acquire] == list(range(47, 58))
    assert [line.number for line in acquire if line.ran] == [49, 50, 52, 53, 54, 55, 56, 57]
    unknown = touched_source(trace, {}, ["test_pool.py:23"])
    assert {one.known for one in unknown} == {False}
    assert unknown[0].lines[0].function == "Pool.__init__"


def test_a_form_feed_and_another_version_of_python_are_no_trouble() -> None:
    trace = trace_of("a write x = 1 @ a.py:3\nb write x = 2 @ a.py:5",
                     scenario={"name": "x", "python": {"places": {}}})  # fmt: skip
    text = "import os\n\x0c\nx = 1\n\ndef f():\n    global x; x = 2\n"
    lines = {line.number: line.text for one in touched_source(trace, {"a.py": text})
             for line in one.lines}  # fmt: skip
    assert lines[3] == "x = 1" and lines[5] == "def f():"
    broken = touched_source(trace, {"a.py": text.replace("def f():", "def f(:")})
    assert any(line.text == "x = 1" for one in broken for line in one.lines)


def test_source_is_text_and_nothing_else() -> None:
    trace, sources = pool("pool_threads")
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    sources["pool.py"] = sources["pool.py"].replace("the pool is closed", evil)
    page = tracelock.render_report(trace, sources=sources)
    assert page.count("<script") == 2 and "<img" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_the_commands_keep_values_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    vault().save("vault.json")
    kept = ["--redact", "password", "--redact", "passwrod"]
    assert main(["report", "vault.json", "-o", "vault.html", *kept]) == 0
    assert "--redact passwrod: nothing in the trace" in capsys.readouterr().err
    assert SECRET not in Path("vault.html").read_text(encoding="utf-8")
    for form in ("markdown", "text", "chrome", "shiviz"):
        assert main(["report", "vault.json", "-o", "-", "--as", form, *kept]) == 0
        out = capsys.readouterr().out
        assert out and SECRET not in out
    assert main(["attach", "vault.json", *kept]) == 0
    assert SECRET not in capsys.readouterr().out
    assert main(["attach", "vault.json"]) == 0
    assert SECRET in capsys.readouterr().out
    assert main(["attach", "vault.json", "--redact", "a b"]) == 2
    assert "is no name" in capsys.readouterr().err
