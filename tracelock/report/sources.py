"""The source files that a trace is of, where they are here as they were."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from tracelock.trace import Trace
from tracelock.trace.model import FILES

#: Sources larger than this are not read: they are no source files.
_LARGEST_SOURCE: Final = 4_000_000


def sources_below(trace: Trace, *folders: str) -> dict[str, str]:
    """The Python files that a trace names, as far as they lie in one of ``folders`` unchanged.

    The trace may come from anyone: only a file with the very digest that it names is read into a
    report, and none outside the folders.
    """
    python = trace.scenario.get("python")
    named = python.get("sources") if isinstance(python, dict) else None
    below = trace.extra.get(FILES)
    paths = below if isinstance(below, dict) else {}
    found: dict[str, str] = {}
    for name, digest in (named if isinstance(named, dict) else {}).items():
        if not isinstance(digest, str) or not digest.startswith("sha256:"):
            continue
        for folder in folders:
            for path in (name, paths.get(name)):
                text = _read_within(Path(folder).resolve(), path, digest.partition(":")[2])
                if text is not None:
                    found.setdefault(name, text)
    return found


def _read_within(root: Path, name: object, digest: str) -> str | None:
    """The text of a file below a folder, None where it is another file than was recorded."""
    try:
        path = (root / str(name or "")).resolve()
        if not path.is_relative_to(root) or path.stat().st_size > _LARGEST_SOURCE:
            return None
        content = path.read_bytes()
    except (OSError, ValueError):
        return None
    same = hashlib.sha256(content).hexdigest() == digest
    return content.decode("utf-8", "replace") if same else None
