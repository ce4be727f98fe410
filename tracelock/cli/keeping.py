"""Where traces go, and under which names. Only what ``--trace`` names is ever replaced."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from tracelock.report.wording import clean
from tracelock.trace.files import parts_of
from tracelock.trace.folder import FOLDER, own_folder
from tracelock.trace.outputs import check_output, descriptor_of, write_new
from tracelock.trace.token import token_of

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.trace import Trace, Verdict

_MOST: Final = 100_000


class Keeper:
    """Saves the traces of one command.

    ``path``: where the first one goes, further ones beside it; None: failing ones to new files in
    ``.tracelock/`` under the current folder, which git ignores, the others nowhere. Raises
    UsageError, before anything is run, where that cannot work.
    """

    def __init__(self, path: str | None, scenario: str, backend: str) -> None:
        self.path = path
        self.stem = f"{slug(scenario)}-{backend}"
        self.saved = 0
        self._check()

    def wants(self, verdict: Verdict) -> bool:
        """Whether the trace of a run that ended so is kept."""
        return self.path is not None or verdict.kind != "passed"

    def keep(self, trace: Trace) -> str:
        """Save one trace; where it is now. Raises UsageError where it cannot be written."""
        self.saved += 1
        if self.path is None:
            own_folder()
            start = os.path.join(FOLDER, f"{self.stem}-{trace.verdict.kind}-")
            return _save_new(trace, start, ".json", 1)
        if self.saved == 1 or not os.path.isfile(self.path) or descriptor_of(self.path) is not None:
            trace.save(self.path)  # a pipe gets all of them, one after the other
            return self.path
        folder, name = os.path.split(self.path)
        first, dot, rest = name.partition(".")
        start = os.path.join(folder, f"{first}-")
        return _save_new(trace, start, dot + rest if rest else ".json", 2)

    def unsaved(self) -> str:
        """The name of the trace of a run that never came to its end."""
        return self.path or os.path.join(FOLDER, f"{self.stem}-killed.json")

    def _check(self) -> None:
        where = os.path.join(FOLDER, self.stem) if self.path is None else self.path
        check_output(where, make_folder=True)


def keeper_for(options: argparse.Namespace, scenario: Scenario, backend: str) -> Keeper | None:
    """What keeps the traces of a command, None with ``--no-trace``."""
    return None if options.no_trace else Keeper(options.trace, scenario.name, backend)


def replay_line(path: str, allow_call: bool) -> str:
    """How to replay a trace that was kept."""
    if descriptor_of(path) is not None:
        return "replay it: tracelock replay FILE, with what was written here"
    allow = " --allow-call" if allow_call else ""
    return f"replay it: tracelock replay {shlex.quote(clean(path))}{allow}"


def token_line(trace: Trace) -> list[str]:
    """The token of a failing trace, as the last word of a line; nothing where it has none."""
    token = token_of(trace)
    return [f"token: {token}"] if token else []


def slug(name: str) -> str:
    """A scenario's name as part of a file's name, whatever characters it has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60].rstrip("-.")
    return plain or "scenario"


def _save_new(trace: Trace, start: str, end: str, number: int) -> str:
    """Save under the first name ``start`` N ``end`` that is free."""
    return save_new(trace, (f"{start}{n}{end}" for n in range(number, _MOST)))


def save_new(trace: Trace, names: Iterable[str]) -> str:
    """Save under the first of these names that is free, whoever else looks for one."""
    return write_new(names, parts_of(trace.header(), trace.events, trace.verdict))
