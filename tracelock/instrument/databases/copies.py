"""The files of databases, as they were before a schedule touched them."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from tracelock.errors import UsageError

#: What SQLite keeps beside a database.
BESIDE: Final = ("", "-journal", "-wal", "-shm")
#: A database that is larger is not copied, in bytes.
MOST: Final = 64 << 20


class FileCopies:
    """What files of databases contained when a schedule came to them first, to be put back.

    A file that was not there is removed again. Raises UsageError for one that is too large.
    """

    def __init__(self) -> None:
        self._before: dict[str, list[bytes | None]] = {}

    def keep(self, path: str) -> None:
        """A schedule is about to open this database."""
        if path in self._before:
            return
        size = sum(os.path.getsize(path + end) for end in BESIDE if os.path.isfile(path + end))
        if size > MOST:
            raise UsageError(
                f"the database {path} has {size >> 20} MB: every schedule has to begin with the "
                f"same content, and no more than {MOST >> 20} MB are put back after each; let "
                "`setup` make a smaller one at a temporary path"
            )
        self._before[path] = [_content(path + end) for end in BESIDE]

    def put_back(self) -> None:
        """The schedule is over, and all is closed."""
        for path, before in self._before.items():
            for end, content in zip(BESIDE, before, strict=True):
                if _content(path + end) != content:
                    _put(path + end, content)
        self._before.clear()


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _put(path: str, content: bytes | None) -> None:
    if content is None:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(path)
        return
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return  # the program has removed it
    name = f"{path}.put-back"
    try:
        with open(name, "wb") as file:
            file.write(content)
        with contextlib.suppress(OSError):
            os.chmod(name, os.stat(path).st_mode & 0o7777)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
