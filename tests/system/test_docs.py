"""Every block of code in the documentation and the README runs, and does what stands there.

In the folder of a page, one block after the other:

- a block with a ``title`` is a file, which is written;
- ``python``: a script, which has to end well;
- ``sh``: commands, each of which ends with 0 or 1 (a failure was found) and without a traceback;
- ``console``: commands after ``$``, and what they print. In that ``...`` stands for anything: in a
  line for a part of it, alone in a line for any number of lines;
- ``text`` is not run: pages have such blocks for signatures and for what is listed in ``SHOWN``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from docs import site_pages
from tracelock.analysis.findings import SEVERITIES
from tracelock.analysis.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = sorted((ROOT / "docs" / "pages").rglob("*.md"))
PAGES = [ROOT / "README.md", *WRITTEN]
#: Commands that change the machine, or take minutes: those of an installation, and of this suite.
NOT_RUN = re.compile(r"(pip|\.venv/bin/|python3 -m venv|pytest --tracelock$)")
#: Pages with blocks of text that are no commands: tables that long commands printed, what a
#: repository of one's own has, what is typed at a prompt (``test_debugger``).
SHOWN = {
    "examples/index.md": 1,
    "explanation/verdicts.md": 1,
    "how-to/compare.md": 1,
    "how-to/crashes.md": 1,
    "how-to/debugger.md": 5,
    "how-to/inputs.md": 1,
    "how-to/suite.md": 2,
    "how-to/teeth.md": 1,
}
#: What a test of pages may take; a page that takes longer has a command too many.
PATIENCE = 120


class Block(NamedTuple):
    """``kind``: its language; ``title``: the name of a file or ""; ``line``: where it begins."""

    kind: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", text, re.M | re.S):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(found[1], found[2] or "", found[3], line)


def name_of(page: Path) -> str:
    below = page.relative_to(ROOT / "docs" / "pages") if page in WRITTEN else page.relative_to(ROOT)
    return below.as_posix()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    bin_, here = tmp_path / "bin", tmp_path / "here"
    bin_.mkdir()
    here.mkdir()
    for name, words in (("tracelock", "-m tracelock"), ("python", ""), ("pytest", "-m pytest")):
        (bin_ / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(bin_), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("PYTEST_ADDOPTS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    # a project of its own, of which no warning of another plugin is told
    (here / "pytest.ini").write_text("[pytest]\naddopts = -p no:asyncio\n")
    return here


def ran(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, text=True, timeout=PATIENCE, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def pattern(expected: list[str]) -> re.Pattern[str]:
    """What the lines of a ``console`` block promise."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            inner = r"[^\n]*?".join(map(re.escape, line.rstrip().split("...")))
            parts.append(rf"{inner}[ \t]*\n")
    return re.compile("".join(parts) + r"\Z")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a ``console`` block, with the lines that each prints."""
    command, expected = "", []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line[2:], []
        else:
            expected.append(line)
    yield command, expected


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_its_code_runs(page: Path, folder: Path) -> None:
    if page.parent.name == "gallery":
        for trace in site_pages.gallery_traces():
            shutil.copy(trace, folder)
    for block in blocks(page):
        place = f"{name_of(page)}:{block.line}"
        if block.title:
            (folder / block.title).write_text(block.text)
        elif block.kind == "python":
            script = folder / "block.py"
            script.write_text(block.text)
            done = ran("python block.py", folder)
            assert done.returncode == 0, (place, done.stdout)
        elif block.kind == "sh":
            for command in block.text.splitlines():
                if NOT_RUN.match(command):
                    continue
                done = ran(command, folder)
                assert done.returncode in (0, 1), (place, command, done.stdout)
                assert "Traceback" not in done.stdout, (place, command, done.stdout)
        elif block.kind == "console":
            for command, expected in commands(block.text):
                if NOT_RUN.match(command):
                    continue
                done = ran(command, folder)
                assert pattern(expected).match(done.stdout), (place, command, done.stdout)


def test_each_block_says_what_it_is() -> None:
    kinds = {"python", "sh", "console", "yaml", "text", "toml"}
    for page in PAGES:
        for block in blocks(page):
            place = f"{name_of(page)}:{block.line}"
            assert block.kind in kinds, place
            assert block.title or block.kind not in ("yaml", "toml"), f"{place}: never run"
        shown = sum(block.kind == "text" for block in blocks(page))
        assert shown == SHOWN.get(name_of(page), 0), page


def test_patterns_are_no_looser_than_they_look() -> None:
    assert pattern(["a ...", "..."]).match("a b\nc\nd\n")
    assert pattern(["...", "b"]).match("a\nb\n")
    assert not pattern(["b"]).match("a\nb\n")
    assert not pattern(["a", "...", "b"]).match("a\nc\n")
    assert not pattern(["a ... b"]).match("a\nb\n")
    assert not pattern(["a"]).match("a\nb\n")


# --- the pages that are made from the code --------------------------------------------------------
def test_every_command_and_option_is_in_the_reference() -> None:
    from tracelock.cli.options import all_commands, each

    page = site_pages.cli_page()
    for name, (_, rows) in all_commands().items():
        part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for option in each(rows):
            for word in option.names:
                assert not word.startswith("-") or f"`{word}`" in part, (name, word)
        assert "```sh\n" in part


def test_every_public_name_is_in_the_reference() -> None:
    import tracelock

    page, steps = site_pages.python_page(), site_pages.scenario_page()
    for name in tracelock.__all__:
        verb = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        known = f"\n## {name}\n" in page or f"\n### {verb}\n" in steps
        assert known or name in ("__version__", "MISSING", "Step"), name
    assert "Search the schedules of a scenario" in page


def test_the_reference_of_scenarios_has_every_key() -> None:
    import tracelock

    page = site_pages.scenario_page()
    schema = tracelock.scenario_schema()
    for key in schema["properties"]:
        assert f"| `{key}` |" in page
    for name, part in schema["definitions"].items():
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in page, (name, key)
    for kind in schema["definitions"]["object"]["anyOf"][0]["enum"]:
        assert f"### {kind}\n" in page


def test_findings_and_what_is_controlled() -> None:
    text = site_pages.findings_page()
    for kind in KINDS:
        assert text.count(f"`{kind}`") == 2  # what it is, and among what it is
    for severity in SEVERITIES:
        assert f"**{severity}**" in text
    table = site_pages.control_page()
    for word in ("## Controlled", "## Seen", "## Not controlled", "`start`", "`asyncio"):
        assert word in table
    assert "`--tracelock-replay TRACE`" in site_pages.pytest_page()


def test_the_gallery_has_a_report_for_each_trace() -> None:
    index = (ROOT / "docs" / "pages" / "gallery" / "index.md").read_text(encoding="utf-8")
    names = [path.stem for path in site_pages.gallery_traces()]
    assert sorted(re.findall(r"\(([\w-]+)\.html\)", index)) == names and len(names) == 10
    for path in site_pages.gallery_traces():
        assert "<html" in site_pages.gallery_report(path)[:200]
        assert not re.search("/(?:home|root|tmp|Users)/", path.read_text(encoding="utf-8"))


def test_every_page_is_in_the_navigation() -> None:
    import yaml

    text = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    assert listed == {*map(name_of, WRITTEN), *site_pages.PAGES}


def test_the_readme_is_short_and_leads_to_pages_that_there_are() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", text)
    assert len(links) > 10
    for link in links:
        there = (ROOT / link).exists()
        made = link.removeprefix("docs/pages/") in site_pages.PAGES
        assert there and not made, link
    first = text.splitlines()[:60]
    assert any(line.startswith("def test_") for line in first), "real code in the first screen"
