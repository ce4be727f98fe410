"""The source lines of the places in a trace, where their files are here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tracelock.instrument import callers
from tracelock.instrument.rewrite.sites import project_root
from tracelock.trace.model import FILES

if TYPE_CHECKING:
    from tracelock.trace import Trace


def source_lines(trace: Trace, *, indented: bool = False) -> Callable[[str], str]:
    """What gives the source line of a place (``bank.py:31``), "" where it is not known.
    ``indented``: with the blanks before it.

    Files are looked for by the labels that they have in traces, without importing anything. One
    that is not what it was when the trace was recorded is left out: its lines may be others.
    """
    python = trace.scenario.get("python")
    sources = python.get("sources") if isinstance(python, dict) else None
    digests = sources if isinstance(sources, dict) else {}
    recorded = trace.extra.get(FILES)
    paths = recorded if isinstance(recorded, dict) else {}
    root = project_root()
    files: dict[str, list[str]] = {}

    def line(at: str) -> str:
        label, colon, number = at.rpartition(":")
        if not colon or not number.isdecimal() or label not in digests:
            return ""
        if label not in files:
            files[label] = _lines([label, paths.get(label)], root, digests[label])
        lines = files[label]
        place = int(number)
        text = lines[place - 1].rstrip() if 0 < place <= len(lines) else ""
        return text if indented else text.strip()

    return line


def _lines(names: Iterable[object], root: str, digest: object) -> list[str]:
    """The lines of the first of these files that is the one that was recorded."""
    for name in names:
        # a stranger's trace must not choose which file is shown
        if type(name) is not str or not name.endswith(".py"):
            continue
        if os.path.isabs(name) or ".." in name.split("/"):
            continue
        for path in (callers.path_of(name), os.path.join(root, name)):
            try:
                if path is None or callers.digest(path) != digest:
                    continue
                with open(path, encoding="utf-8", errors="replace") as file:
                    return file.read().splitlines()
            except OSError:
                continue
    return []
