"""The failing schedules of tests, in ``.tracelock/`` under pytest's root folder.

One file for each test, under a name made of its node id. It is written when the test fails, tried
first when it runs again, and taken away when it passes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tracelock.session.explored import SearchFailed
from tracelock.trace.folder import FOLDER

if TYPE_CHECKING:
    from tracelock.trace import Trace

#: Of a test: what its explorations came to, in their order.
EXPLORED: pytest.StashKey[list[Kept]] = pytest.StashKey()
_LONGEST: Final = 80
#: A test may put something else in the place of ``sys.modules``.
_THIS: Final = sys.modules[__name__]


@dataclass(slots=True)
class Kept:
    """What came of one exploration of a test: where its failing trace goes, None if it passed;
    ``text``: what a failing test has to be told with, where its own exception does not say it."""

    path: Path
    trace: Trace | None
    text: str


def node_id(item: pytest.Item) -> str:
    """The id under which pytest runs this test: without the group that xdist may add."""
    head, _, group = item.nodeid.rpartition("@")
    if "::" in head and group and item.config.getoption("dist", None) == "loadgroup":
        return head
    return item.nodeid


def path_for(item: pytest.Item, number: int = 0) -> Path:
    """The file of a test's exploration ``number``: safe as a name, and of this test alone."""
    node = node_id(item) + (f"#{number}" if number else "")
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", node.rpartition("/")[2].replace(".py::", "-"))
    digest = hashlib.sha256(node.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return item.config.rootpath / FOLDER / f"{plain.strip('-.')[:_LONGEST]}-{digest}.json"


def earlier(path: Path) -> list[Trace]:
    """The failing trace that an earlier run left there; one that cannot be read counts for none."""
    from tracelock.errors import TraceError
    from tracelock.trace import load_trace

    if not path.is_file():
        return []
    try:
        return [load_trace(path)]
    except TraceError:
        return []


def note(item: pytest.Item, number: int, trace: Trace | None, text: str = "") -> None:
    """An exploration of a test has ended, with a failing trace or without."""
    plugins = item.config.pluginmanager
    if not plugins.is_registered(_THIS):
        plugins.register(_THIS)  # to be asked when the test is over
    item.stash.setdefault(EXPLORED, []).append(Kept(path_for(item, number), trace, text))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and EXPLORED in item.stash:
        settle(item, report, None if call.excinfo is None else call.excinfo.value)
    return report


def settle(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> None:
    """The test is over: keep its failing traces, or take those of earlier runs away."""
    commands = []
    for kept in item.stash.get(EXPLORED, ()):
        if report.failed and kept.trace is not None:
            commands.append(_save(item, kept))
            if not isinstance(error, SearchFailed):
                report.sections.append(("tracelock", kept.text))
        elif kept.trace is None:
            with contextlib.suppress(OSError):
                kept.path.unlink()
    item.stash[EXPLORED] = []
    if commands:
        # simple data, so that it comes along from another process
        extended: Any = report
        extended.tracelock_replay = commands


def _save(item: pytest.Item, kept: Kept) -> str:
    from tracelock.errors import TracelockError
    from tracelock.session.targets import python_of
    from tracelock.trace.files import parts_of
    from tracelock.trace.folder import own_folder
    from tracelock.trace.outputs import write_whole
    from tracelock.trace.token import token_of

    trace = kept.trace
    assert trace is not None
    try:
        parts = parts_of(trace.header(), trace.events, trace.verdict)
        own_folder(kept.path.parent)
        write_whole(kept.path, parts, follow=False)
    except TracelockError as error:
        return f"(not kept: {error})"
    where = os.path.relpath(kept.path, item.config.invocation_params.dir)
    allow = " --allow-call" if python_of(trace) is not None else ""
    command = f"tracelock replay {shlex.quote(where)}{allow}"
    token = token_of(trace)
    command = f"{command}\n  token: {token}" if token else command
    folder = item.config.getoption("--tracelock-report")
    if not folder:
        return command
    from tracelock.pytest_plugin.reports import write_reports

    try:
        written = write_reports(trace, kept.path, folder, str(item.config.rootpath))
    except TracelockError as error:
        return f"{command}\n  (no report: {error})"
    return f"{command}\n  report: {written[1]}"
