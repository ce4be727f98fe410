"""The documented examples of real code: the bug is found, its trace replays, the fix passes."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

import tracelock
from docs import site_pages
from docs.examples.listing import HERE, RUNTIMES, SITUATIONS, load, names
from tests.helpers.amount import amount
from tracelock.instrument.databases.sqlite_native import NATIVE

#: Another runtime from one situation to the next.
EXAMPLES = [
    f"{situation}/on_{RUNTIMES[(place + turn) % len(RUNTIMES)]}"
    for turn in range(len(RUNTIMES))
    for place, situation in enumerate(SITUATIONS)
]
#: Of which every schedule is tried in a second: what is claimed is ``verified``.
SMALL = {
    "line_protocol/on_threads", "leaking_pool/on_threads", "stale_read/on_threads",
    *names(("cache_stampede", "lost_update", "expired_lease")),
}  # fmt: skip
SCHEDULES = 1_000


def needs(name: str) -> None:
    if name.startswith("lost_update") and NATIVE is None:
        pytest.skip(f"SQLite {sqlite3.sqlite_version} does not tell what it holds here")


def test_every_example_is_complete_and_small() -> None:
    assert sorted(EXAMPLES) == sorted(names()) and set(EXAMPLES) > SMALL
    assert {path.parent.name for path in HERE.glob("*/*")} - {"__pycache__"} == set(SITUATIONS)
    for name in EXAMPLES:
        program = HERE / f"{name}.py"
        assert len(program.read_text(encoding="utf-8").splitlines()) < 80, name
        trace = program.with_suffix(".json").read_text(encoding="utf-8")
        assert not re.search("/(?:home|root|tmp|Users)/", trace), name


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_bug_is_found_and_its_trace_replays(name: str) -> None:
    needs(name)
    for seed in range(amount(1, 3)):
        found = tracelock.explore(
            **load(name).BUGGY, seed=seed, schedules=SCHEDULES, shrink=False, confirm=0
        )
        assert found.failed, (name, seed, found.summary)
    kept = tracelock.load_trace(HERE / f"{name}.json")
    again = tracelock.replay(kept, allow_call=True)
    assert again.reproduced and not again.notes, (again.diverged, again.notes)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_fix_passes(name: str) -> None:
    needs(name)
    small = name in SMALL
    found = tracelock.explore(
        **load(name).FIXED, strategy="dpor" if small else "auto", seconds=None,
        schedules=2_000 if small else amount(8, 100),
    )  # fmt: skip
    assert found.verdict == ("verified" if small else "passed"), (found.summary, found.story())


def test_each_has_its_place_on_a_page() -> None:
    index = (Path(site_pages.HERE) / "pages" / "examples" / "index.md").read_text(encoding="utf-8")
    for situation in SITUATIONS:
        assert f"({situation}.md)" in index
    assert [path.parent.name for path in site_pages.example_traces()] == sorted(
        situation for situation in SITUATIONS for _ in RUNTIMES
    )
    page = site_pages.PAGES["examples/expired_lease.md"]()
    assert page.startswith("# A lease that outlives a pause\n")
    for runtime in RUNTIMES:
        assert f"(expired_lease-on_{runtime}.html)" in page
        assert f"docs/examples/expired_lease/on_{runtime}.json --allow-call" in page
    for part in (
        "class FencedFile(File)", "chooses 15.0 (of 1.0, 15.0)", "an old lease wrote last: [2, 1]",
        "[interference]", "## Why the fix works",
    ):  # fmt: skip
        assert part in page, part
