"""Where traces go, and under which names. Only what ``--trace`` names is ever overwritten."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from tracelock.errors import UsageError
from tracelock.report.wording import clean

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.trace import Trace

FOLDER: Final = "traces"
_MOST: Final = 100_000


class Keeper:
    """Saves the traces of one command.

    ``path``: where the first one goes; None: to a new file in ``traces/`` under the current
    folder. Further ones beside it. Raises UsageError, before anything is run, where that
    cannot work.
    """

    def __init__(self, path: str | None, scenario: str, backend: str) -> None:
        self.path = path
        self.stem = f"{slug(scenario)}-{backend}"
        self.saved = 0
        self._check()

    def keep(self, trace: Trace) -> str:
        """Save one trace; where it is now. Raises UsageError where it cannot be written."""
        self.saved += 1
        if self.path is None:
            os.makedirs(FOLDER, exist_ok=True)
            start = os.path.join(FOLDER, f"{self.stem}-{trace.verdict.kind}-")
            return _save_new(trace, start, ".json", 1)
        if self.saved == 1:
            trace.save(self.path)
            return self.path
        folder, name = os.path.split(self.path)
        first, dot, rest = name.partition(".")
        start = os.path.join(folder, f"{first}-")
        return _save_new(trace, start, dot + rest if rest else ".json", 2)

    def _check(self) -> None:
        if self.path is not None and os.path.isdir(self.path):
            raise UsageError(f"cannot write {self.path}: it is a folder")
        if self.path == "":
            raise UsageError("--trace needs the name of a file")
        folder = FOLDER if self.path is None else os.path.dirname(self.path)
        what = folder if self.path is None else self.path
        existing = os.path.abspath(folder or ".")
        while not os.path.exists(existing) and existing != os.path.dirname(existing):
            existing = os.path.dirname(existing)
        if not os.path.isdir(existing):
            raise UsageError(f"cannot write {what}: {existing} is not a folder")
        if not os.access(existing, os.W_OK) and not (self.path and os.path.exists(self.path)):
            raise UsageError(f"cannot write {what}: no permission to write in {existing}")


def keeper_for(options: argparse.Namespace, scenario: Scenario, backend: str) -> Keeper | None:
    """What keeps the traces of a command, None with ``--no-trace``."""
    return None if options.no_trace else Keeper(options.trace, scenario.name, backend)


def replay_line(path: str, allow_call: bool) -> str:
    """How to replay a trace that was kept."""
    allow = " --allow-call" if allow_call else ""
    return f"replay it: tracelock replay {shlex.quote(clean(path))}{allow}"


def slug(name: str) -> str:
    """A scenario's name as part of a file's name, whatever characters it has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60].rstrip("-.")
    return plain or "scenario"


def _save_new(trace: Trace, start: str, end: str, number: int) -> str:
    """Save under the first name ``start`` N ``end`` that is free."""
    for n in range(number, _MOST):
        path = f"{start}{n}{end}"
        try:
            # taken at once, so that two commands in one folder cannot choose the same
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        try:
            trace.save(path)
        except BaseException:
            os.unlink(path)
            raise
        return path
    raise UsageError(f"cannot write {start}N{end}: there are {_MOST:,} of them already")
