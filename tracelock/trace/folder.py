"""``.tracelock/``: where failing schedules go unless told otherwise, and what git ignores."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from tracelock.trace.outputs import writing

FOLDER: Final = ".tracelock"
_IGNORE: Final = ".gitignore"
_EVERYTHING: Final = "# made by tracelock: failing schedules of this machine\n*\n"


def own_folder(folder: str | os.PathLike[str] = FOLDER) -> str:
    """The folder, made where it is not there; one that is made ignores itself in git, and one whose
    ``.gitignore`` was taken away stays as it is. Raises UsageError where it cannot be made."""
    path = os.fspath(folder)
    with writing(path):
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            os.mkdir(path)
        except FileExistsError:
            return path
    # without it the traces are there all the same, and git shows them
    with (
        contextlib.suppress(OSError),
        open(os.path.join(path, _IGNORE), "x", encoding="utf-8") as file,
    ):
        file.write(_EVERYTHING)
    return path
