"""The files of databases, as they were before a schedule touched them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
import time
from functools import partial
from typing import Any, Final

from tracelock.errors import UsageError

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    import fcntl

#: How often it is tried to have a database for this process, and how long is waited in between.
TRIES: Final = 100
PAUSE: Final = 0.02
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
        self._claims = PathClaims()

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
        self._claims.take(path)
        self._before[path] = [_content(path + end) for end in BESIDE]

    def put_back(self, lasting: set[str]) -> set[str]:
        """The schedule is over, and nobody holds anything. ``lasting``: of these there are
        connections, so that SQLite itself has to put them back. Those of them that were not there
        before, which cannot be: they are removed all the same."""
        gone = set()
        for path, before in self._before.items():
            if path in lasting and before[0] is not None:
                _put_by_library(path, before)
                continue
            if path in lasting:
                gone.add(path)
            for end, content in zip(BESIDE, before, strict=True):
                if _content(path + end) != content:
                    _put(path + end, content)
        self._before.clear()
        self._claims.give_back()
        return gone


def _put_by_library(path: str, before: list[bytes | None]) -> None:
    """Put a database back while it is open: by a backup, which its connections notice."""
    copy = f"{path}.put-back"
    for end, content in zip(BESIDE[:-1], before, strict=False):
        _put(copy + end, content)
    source, target = sqlite3.Connection(copy), sqlite3.Connection(path, timeout=0)
    try:
        for one in (source, target):
            one.execute("PRAGMA synchronous = OFF")
        source.backup(target, progress=partial(_locked, path))
    finally:
        source.close()
        target.close()
        for end in BESIDE:
            _put(copy + end, None)


def _locked(path: str, status: int, *_: int) -> None:
    """A step of the backup was made, or refused: it would be tried again without an end."""
    if status & 0xFF in (5, 6):  # SQLITE_BUSY, SQLITE_LOCKED
        raise UsageError(
            f"{path} cannot be put back after a schedule: a connection that is not under control "
            "has it; open all of them in `setup` or in workers"
        )


class PathClaims:
    """The databases that this process explores with, so that no other one does so meanwhile: two
    explorations of one file would each find what the other one has written.

    A claim is a lock on one byte of a file that all explorations of this user have in common; it
    ends with the process, and is not copied by a fork. Where there are no such locks nothing is
    claimed. Raises UsageError for a database that another process has for too long.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._taken: set[int] = set()

    def take(self, path: str) -> None:
        """This process explores with the database, until ``give_back``."""
        place = int.from_bytes(hashlib.sha256(os.fsencode(path)).digest()[:5])
        if fcntl is None or place in self._taken or not self._open():
            return
        for _ in range(TRIES):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                time.sleep(PAUSE)
            else:
                self._taken.add(place)
                return
        raise UsageError(
            f"another process explores with the database {path} at the same time, and what each "
            "writes the other would find: let `setup` make one at a temporary path of its own"
        )

    def _open(self) -> bool:
        if self._file is None:
            name = os.path.join(tempfile.gettempdir(), f"tracelock-databases-{os.getuid()}")
            with contextlib.suppress(OSError):
                self._file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file is not None

    def give_back(self) -> None:
        """Nothing is claimed any more."""
        if self._file is not None and self._taken:
            os.close(self._file)  # which ends all locks of this process on it
            self._file = None
        self._taken.clear()


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
