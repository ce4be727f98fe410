"""The source files that a trace is of, where they are here as they were."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from tracelock.trace import Trace

#: Sources larger than this are not read: they are no source files.
_LARGEST_SOURCE: Final = 4_000_000


def sources_below(trace: Trace, folder: str) -> dict[str, str]:
    """The Python files that a trace names, as far as they lie in ``folder`` unchanged.

    The trace may come from anyone: only a file with the very digest that it names is read into a
    report, and none outside the folder.
    """
    python = trace.scenario.get("python")
    named = python.get("sources") if isinstance(python, dict) else None
    found: dict[str, str] = {}
    root = Path(folder).resolve()
    for name, digest in (named if isinstance(named, dict) else {}).items():
        if not isinstance(digest, str) or not digest.startswith("sha256:"):
            continue
        try:
            path = (root / name).resolve()
            if not path.is_relative_to(root) or path.stat().st_size > _LARGEST_SOURCE:
                continue
            content = path.read_bytes()
        except (OSError, ValueError):
            continue
        if hashlib.sha256(content).hexdigest() == digest.partition(":")[2]:
            found[name] = content.decode("utf-8", "replace")
    return found
